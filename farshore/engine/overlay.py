"""A volume that can be written, over one that cannot: what a drill works on.

Blocks of 4 KiB that were written lie in a file of our own, sparse and without a name, so that nothing of it
outlives the process; all others are read from below. The room is bounded, and a part of the file system stays
free for replication in any case: beyond either, writes end with ENOSPC, whatever the disk would take. One
thread writes, any number may read meanwhile.
"""

from __future__ import annotations

import errno
import os
import weakref
from collections.abc import Hashable, Iterator
from typing import Final

from bitarray import bitarray

from farshore.engine.nbd_exports import Source
from farshore.model.messages import Buffer
from farshore.store.volume import Volume

BLOCK: Final = 4096
_SPARED: Final = 20
"""One part in so many of the file system is left to others, at most `_SPARED_BYTES`."""
_SPARED_BYTES: Final = 1 << 30


class Room:
    """What the overlays of one drill may take together."""

    def __init__(self, directory: str, limit: int) -> None:
        self.directory = directory
        self.limit = limit
        self._files: list[int] = []

    def file(self, size: int) -> int:
        """A new file without a name: its descriptor, which is the caller's. Raises OSError."""
        fd = os.open(self.directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        os.ftruncate(fd, size)
        self._files.append(fd)
        return fd

    def left(self, fd: int) -> None:
        """A file is about to be closed."""
        self._files.remove(fd)

    @property
    def used(self) -> int:
        """Bytes on the disk."""
        return sum(os.fstat(fd).st_blocks * 512 for fd in list(self._files))

    def admit(self, more: int) -> None:
        """Raises OSError ENOSPC where so many bytes more are too many."""
        if self.used + more > self.limit:
            raise OSError(errno.ENOSPC, "the drill has used up its room", self.directory)
        found = os.statvfs(self.directory)
        spared = min(found.f_blocks * found.f_frsize // _SPARED, _SPARED_BYTES)
        if found.f_bavail * found.f_frsize - more < spared:
            raise OSError(errno.ENOSPC, "the file system has no room to spare for a drill", self.directory)


def usual_limit(directory: str, size: int) -> int:
    """Bytes that a drill may take where nobody has said: as much as its volumes have, and no more than half
    of what is free."""
    found = os.statvfs(directory)
    return min(size + size // 64 + BLOCK, found.f_bavail * found.f_frsize // 2)


class Overlay:
    """See the module. It ends with its last user. Reads and writes are calls for a thread."""

    fast_zero = True

    def __init__(self, base: Source, room: Room, size: int | None = None) -> None:
        """`size` where it is not the base's, which reads as zeroes behind its own. Raises OSError."""
        self.size = size = base.size if size is None else size
        self._base = base
        self._room = room
        fd = room.file(size)
        self._own = Volume(fd, "the drill's overlay", size)
        self._written = bitarray(-(-size // BLOCK), endian="little")
        """Blocks that are read from our own file."""
        self._written.setall(0)
        self._taken = self._written.copy()
        """Those of them that take room there: not what was given back, and takes it anew when written."""
        weakref.finalize(self, _end, room, self._own, fd).atexit = False

    @property
    def lane(self) -> Hashable:
        """The base's: its extents are looked at."""
        return self._base.lane

    # -- reading ----------------------------------------------------------------------------

    def read_nowait(self, _offset: int, _length: int) -> Buffer | None:
        """Never on the loop."""
        return None

    def read(self, offset: int, length: int) -> Buffer:
        """Any range within the size. Raises OSError."""
        runs = list(self._runs(offset, length))
        if len(runs) == 1:
            return self._from(runs[0][0]).read(offset, length)
        parts = bytearray()
        for written, begin, size in runs:
            parts += self._from(written).read(begin, size)
        return parts

    def _from(self, written: bool) -> Source:
        return self._own if written else self._base

    def _runs(self, offset: int, length: int) -> Iterator[tuple[bool, int, int]]:
        """A range as (written, offset, length)."""
        end = offset + length
        while offset < end:
            block = offset // BLOCK
            written = bool(self._written[block])
            stop = self._written.find(not written, block)
            until = end if stop < 0 else min(end, stop * BLOCK)
            yield written, offset, until - offset
            offset = until

    def prefetch(self, offset: int, length: int) -> None:
        """Most of it is below."""
        self._base.prefetch(offset, length)

    def extents(self, offset: int, length: int) -> Iterator[tuple[int, bool]]:
        """Runs of (length, hole)."""
        for written, begin, size in list(self._runs(offset, length)):
            if written:
                yield size, False
            else:
                yield from self._base.extents(begin, size)

    # -- writing ----------------------------------------------------------------------------

    def write(self, data: Buffer, offset: int) -> None:
        """Raises OSError; blocks that were not written yet are as they were then."""
        self._admit(offset, len(data))
        self._fill_edges(offset, len(data))
        self._own.write(data, offset)
        self._note(offset, len(data))

    def zero(self, offset: int, length: int, *, may_unmap: bool) -> None:
        """The range reads as zeroes afterwards; with `may_unmap` it takes no room."""
        given_back = may_unmap and self._own.fast_zero
        if not given_back:
            self._admit(offset, length)
        self._fill_edges(offset, length)
        self._own.zero(offset, length, may_unmap)
        self._note(offset, length)
        if given_back:
            self._taken[-(-offset // BLOCK) : max(-(-offset // BLOCK), (offset + length) // BLOCK)] = 0

    def sync(self) -> None:
        """All writes that returned are on the disk when this returns, for as long as the drill lasts."""
        self._own.fdatasync()

    def _admit(self, offset: int, length: int) -> None:
        first, stop = offset // BLOCK, -(-(offset + length) // BLOCK)
        fresh = self._taken.count(0, first, stop)
        if fresh:
            self._room.admit(fresh * BLOCK)

    def _fill_edges(self, offset: int, length: int) -> None:
        """Blocks of which a part is about to be written have the rest from below first."""
        end = offset + length
        for block in {offset // BLOCK, (end - 1) // BLOCK}:
            begin, stop = block * BLOCK, min((block + 1) * BLOCK, self.size)
            if not self._written[block] and (offset > begin or end < stop):
                self._admit(begin, stop - begin)
                self._own.write(self._base.read(begin, stop - begin), begin)
                self._note(begin, stop - begin)

    def _note(self, offset: int, length: int) -> None:
        touched = slice(offset // BLOCK, -(-(offset + length) // BLOCK))
        self._written[touched] = self._taken[touched] = 1


def _end(room: Room, own: Volume, fd: int) -> None:
    room.left(fd)
    own.close()
