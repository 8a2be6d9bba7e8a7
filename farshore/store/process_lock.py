"""The lock that a process holds on its directory for its life: whoever holds it is its process.

Others look whether it is held by sharing it for an instant (`node/engine_process`). So a process that finds
it taken tries again for a moment, before it believes that another one lives there.
"""

from __future__ import annotations

import os
import time
from typing import Final

from farshore.errors import FarshoreError
from farshore.store.platform import FileLayer, Lock

PATIENCE: Final = 1.0
"""Seconds; whoever only looks needs microseconds, and may lose the processor meanwhile."""
_PAUSE: Final = 0.01


def take_lock(layer: FileLayer, directory: str) -> Lock:
    """With our pid in its file, for whoever looks for us. Raises FarshoreError `state-locked`."""
    lock = _take(layer, f"{directory}/lock")
    fd = os.open(f"{directory}/lock", os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    try:
        os.write(fd, b"%d\n" % os.getpid())
    finally:
        os.close(fd)
    return lock


def _take(layer: FileLayer, path: str) -> Lock:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return layer.lock(path)
        except FarshoreError as error:
            if error.code.name != "state-locked" or time.monotonic() > until:
                raise
        time.sleep(_PAUSE)
