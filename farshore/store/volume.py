"""One opened volume: a file or block device, used as it is.

`farshore.store.claim` opens it; here are the calls that the data path makes on it. Offsets and
lengths are bytes within `size`; nobody here checks that. What the disk reports comes out as
`OSError` (or, from `write_many`, as errno by write); no error is retried. All calls but
`read_nowait` may block; those that move much data release the interpreter lock.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from typing import Final

from farshore.model.messages import Buffer
from farshore.store import fallocate

_PIECE: Final = 1 << 20
_ROOM_PIECE: Final = 1 << 30
_ZEROES: Final = bytes(_PIECE)
_MOST_PIECES: Final = 1024
"""Buffers in one vectored write (IOV_MAX)."""
_NOT_OFFERED: Final = frozenset((errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL))


class Volume:
    """See the module. `sector` is what ranges of `fallocate` must be multiples of (1 for files);
    `memory` says that reads never wait for a disk."""

    __slots__ = ("_may_punch", "_may_zero", "_nowait", "fd", "is_device", "memory", "path", "sector", "size")

    def __init__(self, fd: int, path: str, size: int, *, sector: int = 0, memory: bool = False) -> None:
        """Takes the descriptor over. A `sector` other than 0 says that it is a block device."""
        self.fd = fd
        self.path = path
        self.size = size
        self.is_device = sector > 0
        self.sector = sector or 1
        self.memory = memory
        self._nowait = True
        self._may_punch = self._punches()
        self._may_zero = True

    def _punches(self) -> bool:
        if self.is_device:
            number = os.fstat(self.fd).st_rdev
            limit = f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/queue/write_zeroes_max_bytes"
            try:
                with open(limit, encoding="ascii") as text:
                    return int(text.read()) > 0
            except (OSError, ValueError):
                return False
        # Beyond the end there is nothing to punch, so that only the answer matters.
        try:
            return fallocate.punch(self.fd, self.size + _PIECE, 4096)
        except OSError:
            return False

    @property
    def fast_zero(self) -> bool:
        """Whether zeroing with `may_unmap` is known to be faster than writing."""
        return self._may_punch

    @property
    def lane(self) -> tuple[str, int]:
        """Calls of `extents` share the file's position: one at a time, in the pool's lane of this name."""
        return ("holes", self.fd)

    def prefetch(self, offset: int, length: int) -> None:
        """Has the range read ahead."""
        os.posix_fadvise(self.fd, offset, length, os.POSIX_FADV_WILLNEED)

    def read(self, offset: int, length: int) -> bytes:
        """The bytes of a range."""
        data = os.pread(self.fd, length, offset)
        if len(data) == length:
            return data
        pieces = [data]
        have = len(data)
        while have < length:
            data = os.pread(self.fd, length - have, offset + have)
            if not data:
                raise OSError(errno.EIO, f"{self.path} ends at byte {offset + have}", self.path)
            pieces.append(data)
            have += len(data)
        return b"".join(pieces)

    def read_nowait(self, offset: int, length: int) -> Buffer | None:
        """The bytes of a range if that takes no waiting for a disk, else None."""
        if self.memory:
            return self.read(offset, length)
        if not self._nowait:
            return None
        buffer = bytearray(length)
        try:
            got = os.preadv(self.fd, (buffer,), offset, os.RWF_NOWAIT)
        except BlockingIOError:
            return None
        except OSError as reason:
            if reason.errno not in _NOT_OFFERED:
                raise
            self._nowait = False
            return None
        return buffer if got == length else None

    def write(self, data: Buffer, offset: int) -> None:
        """Writes all of `data`."""
        done = os.pwrite(self.fd, data, offset)
        if done < len(data):
            self._write_rest(memoryview(data), offset, done)

    def _write_rest(self, data: memoryview, offset: int, done: int) -> None:
        while done < len(data):
            step = os.pwrite(self.fd, data[done:], offset + done)
            if not step:
                raise OSError(errno.EIO, f"{self.path}: the system wrote nothing and reported no error")
            done += step

    def write_many(self, offsets: Sequence[int], pieces: Sequence[Buffer]) -> dict[int, int]:
        """Writes each of these pieces, in order, at its offset. Every one of them is tried; returns the
        errno of each that failed by its index, so {} is success."""
        if len(offsets) > 1 and offsets[0] + len(pieces[0]) == offsets[1]:
            return self._write_neighbours(offsets, pieces)
        failed: dict[int, int] = {}
        fd, pwrite = self.fd, os.pwrite
        for index, (offset, piece) in enumerate(zip(offsets, pieces, strict=True)):
            try:
                done = pwrite(fd, piece, offset)
                if done != len(piece):
                    self._write_rest(memoryview(piece), offset, done)
            except OSError as reason:
                failed[index] = reason.errno or errno.EIO
        return failed

    def _write_neighbours(self, offsets: Sequence[int], pieces: Sequence[Buffer]) -> dict[int, int]:
        """The same where it is likely that many of them follow one another: those share a call."""
        failed: dict[int, int] = {}
        at, count = 0, len(offsets)
        while at < count:
            after, end = at + 1, offsets[at] + len(pieces[at])
            while after < count and offsets[after] == end and after - at < _MOST_PIECES:
                end += len(pieces[after])
                after += 1
            try:
                done = os.pwritev(self.fd, pieces[at:after], offsets[at])
            except OSError:
                done = -1
            if done != end - offsets[at]:
                self._write_singly(offsets, pieces, range(at, after), failed)
            at = after
        return failed

    def _write_singly(
        self, offsets: Sequence[int], pieces: Sequence[Buffer], indices: range, failed: dict[int, int]
    ) -> None:
        """Once more, one by one, to learn which of a run of writes failed."""
        for index in indices:
            try:
                self._write_rest(memoryview(pieces[index]), offsets[index], 0)
            except OSError as reason:
                failed[index] = reason.errno or errno.EIO

    def zero(self, offset: int, length: int, may_unmap: bool) -> None:
        """The range reads as zeroes afterwards. Without `may_unmap` it keeps its blocks. Where file
        system or device offer nothing better, zeroes are written, at most 1 MiB at a time."""
        end = offset + length
        first = -(-offset // self.sector) * self.sector
        last = end // self.sector * self.sector
        if first >= last:
            self._write_zeroes(offset, length)
            return
        self._write_zeroes(offset, first - offset)
        if not self._deallocate(first, last - first, may_unmap):
            self._write_zeroes(first, last - first)
        self._write_zeroes(last, end - last)

    def _deallocate(self, offset: int, length: int, may_unmap: bool) -> bool:
        if may_unmap and self._may_punch:
            if fallocate.punch(self.fd, offset, length):
                return True
            self._may_punch = False
        if self._may_zero:
            if fallocate.zero(self.fd, offset, length):
                return True
            self._may_zero = False
        return False

    def _write_zeroes(self, offset: int, length: int) -> None:
        for done in range(0, length, _PIECE):
            self.write(memoryview(_ZEROES)[: min(_PIECE, length - done)], offset + done)

    def trim(self, offset: int, length: int) -> None:
        """The range reads as zeroes afterwards and gives its blocks back where that is offered."""
        self.zero(offset, length, may_unmap=True)

    def make_room(self, start: int, size: int) -> None:
        """The file or device holds `size` bytes afterwards, and all from `start` on read as zeroes, durably.
        A file gets longer only where there is room for what it gains; a device must be that long. OSError
        with ENOSPC where it is not so."""
        has = os.lseek(self.fd, 0, os.SEEK_END)
        found = os.fstatvfs(self.fd)
        if size > has and (self.is_device or found.f_bavail * found.f_frsize < size - has):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path)
        if size > has:
            os.ftruncate(self.fd, size)
        for at in range(start, min(has, size), _ROOM_PIECE):
            self.zero(at, min(_ROOM_PIECE, min(has, size) - at), may_unmap=True)
        os.fsync(self.fd)

    def extents(self, offset: int, length: int) -> Iterator[tuple[int, bool]]:
        """The range as runs of (length, hole); a hole reads as zeroes. Where holes are not told, all of
        it is data. Moves the file position, which nothing else uses."""
        end = offset + length
        if self.is_device:
            yield length, False
            return
        while offset < end:
            data = min(self._seek(offset, os.SEEK_DATA, end), end)
            if data > offset:
                yield data - offset, True
            hole = min(self._seek(data, os.SEEK_HOLE, end), end) if data < end else end
            # A range that is punched right now may have become a hole between the two questions.
            if hole > data:
                yield hole - data, False
            offset = hole

    def _seek(self, offset: int, whence: int, end: int) -> int:
        try:
            return os.lseek(self.fd, offset, whence)
        except OSError as reason:
            if reason.errno == errno.ENXIO:
                return end
            if reason.errno != errno.EINVAL:
                raise
            return offset if whence == os.SEEK_DATA else end

    def is_blank(self, limit: int | None = None, *, beyond: bool = False) -> bool:
        """Whether nothing but zeroes is found. Reads data only, no holes, and no more than `limit` bytes:
        `beyond` is the answer where that ends the look."""
        offset = read = 0
        for length, hole in self.extents(0, self.size):
            at, offset = offset, offset + length
            while not hole and at < offset:
                if limit is not None and read >= limit:
                    return beyond
                data = self.read(at, min(_PIECE, offset - at))
                if data != _ZEROES and data != _ZEROES[: len(data)]:
                    return False
                at += len(data)
                read += len(data)
        return True

    def fdatasync(self) -> None:
        """All writes that returned are durable when this returns (rule C3: after an error, none is)."""
        os.fdatasync(self.fd)

    def settle(self) -> None:
        """After an unclean stop: makes durable what an earlier process left in the page cache, then lets
        go of that cache (rules C1, C3). An fdatasync that failed has marked pages clean that never reached
        the disk; whoever saw it may have died before saying so. What is read afterwards is on the disk."""
        if not self.memory:
            os.fdatasync(self.fd)
            os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        """Ends the use of the volume and the claim on it. Closing twice has no effect."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)
