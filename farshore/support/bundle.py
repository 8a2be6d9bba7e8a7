"""Writes a bundle: one tar.gz that is whole or is not there, readable by its owner alone.

Parts go in as they come, so that a bundle never stands in memory; what could not be had is listed in
`missing.json`, which is the last file of it.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import tarfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from farshore.errors import FarshoreError
from farshore.support.parts import Missing, Part, of_document
from farshore.support.secrets import without_secrets

MOST_BYTES: Final = 256 << 20
"""Of all parts together, before packing."""
_CODES: Final = {
    errno.EEXIST: ("exists", "choose another --to FILE, or remove it"),
    errno.ENOSPC: ("disk-full", "choose a place with more room with --to FILE"),
    errno.EDQUOT: ("disk-full", "choose a place with more room with --to FILE"),
    errno.EACCES: ("permission", "choose a place where you may write with --to FILE"),
    errno.EPERM: ("permission", "choose a place where you may write with --to FILE"),
    errno.EROFS: ("read-only", "choose a place where you may write with --to FILE"),
    errno.ENOENT: ("not-found", "make the directory, or choose another --to FILE"),
    errno.ENOTDIR: ("not-found", "choose another --to FILE"),
}


@dataclass(frozen=True, slots=True)
class Written:
    """A bundle that was written."""

    size: int
    parts: tuple[str, ...]
    missing: tuple[Missing, ...]


def write(path: Path, parts: Iterable[Part | Missing]) -> Written:
    """Writes the bundle to a new file. Raises FarshoreError; no file is left then."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _refused(path, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            written = _pack(file, path.name.removesuffix(".tar.gz"), parts)
            file.flush()
            os.fsync(descriptor)
            return Written(file.tell(), *written)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        if isinstance(error, OSError):
            raise _refused(path, error) from error
        raise


def _pack(
    file: io.BufferedWriter, top: str, parts: Iterable[Part | Missing]
) -> tuple[tuple[str, ...], tuple[Missing, ...]]:
    names: list[str] = []
    missing: list[Missing] = []
    left = MOST_BYTES
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=6) as archive:

        def put(name: str, content: bytes) -> None:
            clean = without_secrets(content)
            about = tarfile.TarInfo(f"{top}/{name}")
            about.size, about.mode, about.mtime = len(clean), 0o600, int(time.time())
            archive.addfile(about, io.BytesIO(clean))
            names.append(name)

        for part in parts:
            if isinstance(part, Missing):
                missing.append(part)
            elif len(part.content) > left:
                missing.append(Missing(part.name, "the bundle would become too large"))
            else:
                left -= len(part.content)
                put(part.name, part.content)
        last = of_document("missing.json", [asdict(each) for each in missing])
        put(last.name, last.content)
    return tuple(names), tuple(missing)


def _refused(path: Path, error: OSError) -> FarshoreError:
    code, following = _CODES.get(error.errno or 0, ("io-error", "choose another --to FILE"))
    return FarshoreError(
        code, f"{path}: {error.strerror}", means="no bundle was written", next_step=following
    )
