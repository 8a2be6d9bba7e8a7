"""The lock that a process holds on its directory for its life: whoever holds it is its process."""

from __future__ import annotations

import os

from farshore.store.platform import FileLayer, Lock


def take_lock(layer: FileLayer, directory: str) -> Lock:
    """With our pid in its file, for whoever looks for us. Raises FarshoreError `state-locked`."""
    lock = layer.lock(f"{directory}/lock")
    fd = os.open(f"{directory}/lock", os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    try:
        os.write(fd, b"%d\n" % os.getpid())
    finally:
        os.close(fd)
    return lock
