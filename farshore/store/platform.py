"""The file layer: what the store asks of an operating system, and the real one.

Every durable record except the volumes goes through a `FileLayer`. Errors of the system come out
as `OSError`, unchanged, from every method; a refused lock is a `FarshoreError`. Nothing here knows
what a file holds. The simulator implements the same two protocols, and one conformance suite
(`tests/unit/store/file_layer_suite.py`) runs on both.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Sequence
from typing import Protocol

from farshore.errors import FarshoreError
from farshore.model.messages import Buffer
from farshore.store import fallocate

_ZEROES = bytes(1 << 20)
_MOST_PIECES = 1024
"""Buffers in one vectored write (IOV_MAX)."""


class File(Protocol):
    """One open file. Offsets and lengths are bytes and never negative."""

    def pread(self, length: int, offset: int) -> bytes:
        """`length` bytes from `offset`; fewer only where the file ends. Sees every earlier `pwrite`."""

    def pread_into(self, buffer: bytearray | memoryview, offset: int) -> int:
        """Fills `buffer` from `offset`; returns how many bytes the file had for it."""

    def pwrite(self, data: Buffer, offset: int) -> int:
        """Writes all of `data`, extends the file where needed, and returns its length. Not durable
        before `fdatasync`; until then any subset of the touched 512-byte sectors may arrive."""

    def pwrite_many(self, pieces: Sequence[Buffer], offset: int) -> int:
        """`pwrite` of all pieces, one behind the other."""

    def settle(self) -> None:
        """`fdatasync`, then the page cache lets go of what it believes to be on the disk: what is read
        afterwards is there. For files whose last user may have died after a sync that failed (C3)."""

    def fdatasync(self) -> None:
        """When it returns, all earlier writes and the size are durable. After an error nothing is
        known about any unsynced write, also not after a later success (rule C3)."""

    def allocate_zeroed(self, size: int) -> None:
        """Makes the file exactly `size` bytes of zeroes that were written, not merely allocated, so
        that later writes change no metadata (rule A2). Not durable before `fdatasync`."""

    def reserve(self, size: int) -> None:
        """Makes the file at least `size` bytes, and sees to it that the disk has room for all of them: what
        is new reads as zeroes. OSError with ENOSPC where it has not; some of it may be allocated then."""

    def size(self) -> int:
        """Bytes in the file."""

    def truncate(self, size: int) -> None:
        """Cuts the file, or extends it with a hole."""

    def punch(self, offset: int, length: int) -> None:
        """The range reads as zeroes and may lose its blocks; the size stays. Past the end: no effect."""

    def zero(self, offset: int, length: int) -> None:
        """The range reads as zeroes and keeps its blocks; the size stays. Past the end: no effect."""

    def close(self) -> None:
        """Ends the use of the file; makes nothing durable. Closing twice has no effect."""


class Lock(Protocol):
    """A lock that is held until `release` or the end of the process."""

    def release(self) -> None:
        """Gives the lock up. Releasing twice has no effect."""


class FileLayer(Protocol):
    """Names of files. Paths are absolute strings with `/` between parts."""

    def open(self, path: str, *, create: bool = False) -> File:
        """Opens for reading and writing. With `create` the file must not exist yet, else
        FileExistsError; without it, it must, else FileNotFoundError. The name of a new file is
        durable only after `fsync_dir` of its directory."""

    def fsync_dir(self, path: str) -> None:
        """When it returns, all earlier changes to the names in this directory are durable."""

    def mkdir(self, path: str) -> None:
        """Makes one directory, readable by its owner only; FileExistsError where something is."""

    def exists(self, path: str) -> bool:
        """Whether the name exists."""

    def rename(self, old: str, new: str) -> None:
        """Gives a file or directory another name, replacing a file or an empty directory of that
        name; at any instant, after a power loss too, the new name is either what it was or all of
        what was renamed. Durable only after `fsync_dir`."""

    def listdir(self, path: str) -> list[str]:
        """The names in a directory, sorted."""

    def remove(self, path: str) -> None:
        """Removes a file or an empty directory. Durable only after `fsync_dir`."""

    def lock(self, path: str) -> Lock:
        """Takes the exclusive lock of this name, whose file is made where it is missing; it falls
        with the process. Raises FarshoreError `state-locked` while anyone else holds it."""


class RealFile:
    """`File` on a descriptor that it owns."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def pread(self, length: int, offset: int) -> bytes:
        data = os.pread(self._fd, length, offset)
        if len(data) == length or not data:
            return data
        pieces = [data]
        have = len(data)
        while have < length and (data := os.pread(self._fd, length - have, offset + have)):
            pieces.append(data)
            have += len(data)
        return b"".join(pieces)

    def pread_into(self, buffer: bytearray | memoryview, offset: int) -> int:
        view = memoryview(buffer)
        have = 0
        while have < len(view) and (got := os.preadv(self._fd, [view[have:]], offset + have)):
            have += got
        return have

    def pwrite(self, data: Buffer, offset: int) -> int:
        size = len(data)
        done = os.pwrite(self._fd, data, offset)
        while done < size:
            step = os.pwrite(self._fd, memoryview(data)[done:], offset + done)
            if not step:
                raise OSError(errno.EIO, "the system wrote nothing and reported no error")
            done += step
        return size

    def pwrite_many(self, pieces: Sequence[Buffer], offset: int) -> int:
        size = 0
        for first in range(0, len(pieces), _MOST_PIECES):
            some = pieces[first : first + _MOST_PIECES]
            length = sum(map(len, some))
            done = os.pwritev(self._fd, some, offset + size)
            if done < length:
                self.pwrite(memoryview(b"".join(some))[done:], offset + size + done)
            size += length
        return size

    def settle(self) -> None:
        os.fdatasync(self._fd)
        os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def fdatasync(self) -> None:
        os.fdatasync(self._fd)

    def allocate_zeroed(self, size: int) -> None:
        os.ftruncate(self._fd, 0)
        for offset in range(0, size, len(_ZEROES)):
            self.pwrite(memoryview(_ZEROES)[: min(len(_ZEROES), size - offset)], offset)

    def reserve(self, size: int) -> None:
        os.posix_fallocate(self._fd, 0, size)

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size)

    def punch(self, offset: int, length: int) -> None:
        inside = min(length, self.size() - offset)
        if inside > 0 and not fallocate.punch(self._fd, offset, inside):
            self._overwrite(offset, inside)

    def zero(self, offset: int, length: int) -> None:
        inside = min(length, self.size() - offset)
        if inside > 0 and not fallocate.zero(self._fd, offset, inside):
            self._overwrite(offset, inside)

    def _overwrite(self, offset: int, length: int) -> None:
        for done in range(0, length, len(_ZEROES)):
            self.pwrite(memoryview(_ZEROES)[: min(len(_ZEROES), length - done)], offset + done)

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class RealFiles:
    """`FileLayer` on the operating system. Everything it makes is for the owner only."""

    __slots__ = ()

    def open(self, path: str, *, create: bool = False) -> File:
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if create else 0)
        return RealFile(os.open(path, flags, 0o600))

    def fsync_dir(self, path: str) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def mkdir(self, path: str) -> None:
        os.mkdir(path, 0o700)

    def exists(self, path: str) -> bool:
        return os.path.lexists(path)

    def rename(self, old: str, new: str) -> None:
        os.replace(old, new)

    def listdir(self, path: str) -> list[str]:
        return sorted(os.listdir(path))

    def remove(self, path: str) -> None:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            os.rmdir(path)
        else:
            os.unlink(path)

    def lock(self, path: str) -> Lock:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise FarshoreError(
                "state-locked",
                f"{path} is locked by another process",
                means="Another engine uses this state directory; nothing was read or changed.",
                next_step="farshore status, or stop the other process",
            ) from None
        except OSError:
            os.close(fd)
            raise
        return _RealLock(fd)


class _RealLock:
    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def release(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.closing(os.fdopen(fd, "rb", buffering=0)):
                fcntl.flock(fd, fcntl.LOCK_UN)
