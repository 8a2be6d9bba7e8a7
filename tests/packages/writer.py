"""Runs inside a room, with the package's own Python: writes to a volume and reads back until told to stop.

    python writer.py URI|PATH PROGRESS STOP

PROGRESS holds the number of rounds and the seconds of the longest so far, STOP ends it by being there. An
error of any kind is its end, and exit 1.
"""

import os
import sys
import time
from typing import Protocol

from farshore.demo.nbd_client import NbdClient

_BLOCK = 16 << 10


class Volume(Protocol):
    """What is written to."""

    size: int

    def write(self, offset: int, data: bytes) -> None: ...

    def read(self, offset: int, length: int) -> bytes: ...

    def flush(self) -> None: ...


class Attached:
    """A device's file."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDWR)
        self.size = os.fstat(self._fd).st_size

    def write(self, offset: int, data: bytes) -> None:
        if os.pwrite(self._fd, data, offset) != len(data):
            raise OSError("a short write")

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self._fd, length, offset)

    def flush(self) -> None:
        os.fsync(self._fd)


def main(what: str, progress: str, stop: str) -> None:
    volume: Volume = Attached(what) if what.startswith("/") else NbdClient(what)
    rounds, longest = 0, 0.0
    while not os.path.exists(stop):  # noqa: PTH110 - as little as can be between two rounds
        at = rounds % (volume.size // _BLOCK) * _BLOCK
        content = rounds.to_bytes(8, "little") * (_BLOCK // 8)
        began = time.monotonic()
        volume.write(at, content)
        if rounds % 50 == 0:
            volume.flush()
            if volume.read(at, _BLOCK) != content:
                raise SystemExit(f"round {rounds} reads back as something else")
            with open(progress, "w", encoding="ascii") as file:
                file.write(f"{rounds} {longest:.2f}")
        longest = max(longest, time.monotonic() - began)
        rounds += 1


if __name__ == "__main__":
    main(*sys.argv[1:])
