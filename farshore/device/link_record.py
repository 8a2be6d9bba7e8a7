"""The symbolic link to a device, and the record of what it was made to point to.

The record lies beside `device.json`, durable before the link is made: a link that nobody knows of would be
in the way for ever. Only a link that still points there is ever removed.
"""

from __future__ import annotations

import contextlib
import os
from typing import Final

from farshore.store.platform import RealFiles

_RECORD: Final = "link"


def link(directory: str, at: str, path: str) -> None:
    """Makes `at` point to `path`. Raises FileExistsError, and leaves no record then, or another OSError."""
    place = f"{directory}/{_RECORD}"
    with open(place, "w", encoding="utf-8") as record:
        record.write(path)
        record.flush()
        os.fsync(record.fileno())
    RealFiles().fsync_dir(directory)
    try:
        os.symlink(path, at)
    except FileExistsError:
        os.unlink(place)
        raise


def unlink(directory: str, at: str) -> None:
    """Removes the link, if it is still the one that was made, and the record."""
    place = f"{directory}/{_RECORD}"
    with contextlib.suppress(FileNotFoundError):
        with open(place, encoding="utf-8") as record:
            made = record.read()
        with contextlib.suppress(OSError):  # it is gone, or is no link
            if os.readlink(at) == made:
                os.unlink(at)
        os.unlink(place)
