"""The volumes of a copy on a simulated disk: what the engine does with descriptors, on the file layer.

Operations are whole sectors here. A group's sync begins and ends at two moments; it covers what was
written before it began.
"""

from __future__ import annotations

from farshore.model.messages import Buffer
from farshore.model.volumes import TRIM, WRITE, ZERO
from sim.files import SimFile, SimFiles

DIRECTORY = "/data"


def path_of(volume: int) -> str:
    """Where a volume lies."""
    return f"{DIRECTORY}/{volume}.img"


class Volumes:
    """All volumes of one copy, as one process has them open."""

    def __init__(self, files: SimFiles, sizes: dict[int, int]) -> None:
        self._files: dict[int, SimFile] = {volume: files.open(path_of(volume)) for volume in sizes}
        # What an earlier process wrote may be in the cache only: a flush covers that as well (C1).
        self._unsynced: set[int] = set(sizes)

    def change(self, volume: int, code: int, offset: int, length: int, data: Buffer | None) -> None:
        """Carries out one operation; a FLUSH changes nothing."""
        if code not in (WRITE, ZERO, TRIM):
            return
        self._unsynced.add(volume)
        file = self._files[volume]
        if data is not None:
            file.pwrite(data, offset)
        elif code == TRIM:
            file.punch(offset, length)
        else:
            file.zero(offset, length)

    def read(self, volume: int, offset: int, length: int) -> bytes:
        """What a range holds now."""
        return self._files[volume].pread(length, offset)

    def begin_sync(self) -> dict[int, int]:
        """What a sync that begins now covers: volume -> mark."""
        marks = {volume: self._files[volume].begin_sync() for volume in sorted(self._unsynced)}
        self._unsynced.clear()
        return marks

    def end_sync(self, marks: dict[int, int]) -> None:
        """The sync has ended. Raises the OSError of the first volume that failed."""
        for volume, mark in marks.items():
            self._files[volume].end_sync(mark)
