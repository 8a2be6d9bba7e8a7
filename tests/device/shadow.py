"""A file on a file system, changed in every way that programs have, and compared with what it should hold.

    python -m tests.device.shadow FILE PROGRESS SEED OPERATIONS

A process of its own, since whoever writes to a device whose engine is dead waits where no signal reaches him.
It ends with 0 when everything that it read was what it had written; a difference or an error of the system
ends it with 1 and says where. The number of operations done so far stands in PROGRESS, 8 bytes; once all
are done it goes on until PROGRESS + 8 is not zero. Its last line is the digest of the file's content.
"""

import ctypes
import hashlib
import mmap
import os
import random
import struct
import sys
from collections.abc import Callable
from pathlib import Path

LONGEST = 6 << 20
_PAGE = mmap.PAGESIZE
_PIECE = 256 << 10
_PUNCH, _ZERO, _KEEP = 0x2, 0x10, 0x1
_COUNT = struct.Struct("=QQ")
_libc = ctypes.CDLL(None, use_errno=True)


class Shadow:
    """The file and what it should hold."""

    def __init__(self, path: Path, seed: int) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self.fd = os.open(path, flags, 0o600)
        self.direct = os.open(path, flags | os.O_DIRECT)
        self.expected = bytearray()
        self.chosen = random.Random(seed)
        self.page = mmap.mmap(-1, _PIECE)
        self.ways: list[tuple[int, Callable[[], None]]] = [
            (30, self.write),
            (20, self.read),
            (8, self.write_mapped),
            (6, self.read_mapped),
            (8, self.write_direct),
            (6, self.read_direct),
            (4, self.cut_or_extend),
            (6, self.punch),
            (3, self.zero),
            (6, self.sync),
            (2, self.forget),
        ]

    def step(self) -> None:
        """One operation."""
        weights = [weight for weight, _ in self.ways]
        (_, way), *_ = self.chosen.choices(self.ways, weights)
        way()

    def _range(self, most: int) -> tuple[int, int]:
        offset = self.chosen.randrange(most)
        longest = self.chosen.choice((100, 5000, 70_000, _PIECE))
        return offset, self.chosen.randrange(1, min(longest, most - offset) + 1)

    def _data(self, length: int) -> bytes:
        return self.chosen.randbytes(length)

    def _put(self, offset: int, data: bytes) -> None:
        if len(self.expected) < offset + len(data):
            self.expected.extend(bytes(offset + len(data) - len(self.expected)))
        self.expected[offset : offset + len(data)] = data

    def _same(self, offset: int, found: bytes | memoryview, how: str) -> None:
        wanted = self.expected[offset : offset + len(found)]
        if found != wanted:
            at = next(index for index, (a, b) in enumerate(zip(found, wanted, strict=False)) if a != b)
            raise AssertionError(f"{how}: byte {offset + at} is {found[at]}, and {wanted[at]} was written")

    # -- ways -------------------------------------------------------------------------------

    def write(self) -> None:
        offset, length = self._range(LONGEST)
        data = self._data(length)
        assert os.pwrite(self.fd, data, offset) == length
        self._put(offset, data)

    def read(self) -> None:
        if self.expected:
            offset, length = self._range(len(self.expected))
            self._same(offset, os.pread(self.fd, length, offset), "read")

    def write_mapped(self) -> None:
        if self.expected:
            offset, length = self._range(len(self.expected))
            data = self._data(length)
            with self._mapped() as view:
                view[offset : offset + length] = data
                if self.chosen.random() < 0.3:
                    view.flush()
            self._put(offset, data)

    def read_mapped(self) -> None:
        if self.expected:
            offset, length = self._range(len(self.expected))
            with self._mapped() as view:
                self._same(offset, view[offset : offset + length], "mapped")

    def _mapped(self) -> mmap.mmap:
        return mmap.mmap(self.fd, len(self.expected))

    def write_direct(self) -> None:
        offset, length = (each // _PAGE * _PAGE for each in self._range(LONGEST))
        if length:
            self.page[:length] = self._data(length)
            assert os.pwritev(self.direct, [memoryview(self.page)[:length]], offset) == length
            self._put(offset, self.page[:length])

    def read_direct(self) -> None:
        offset = self.chosen.randrange(LONGEST) // _PAGE * _PAGE
        found = os.preadv(self.direct, [self.page], offset)
        assert found == max(0, min(len(self.page), len(self.expected) - offset))
        self._same(offset, self.page[:found], "direct")

    def cut_or_extend(self) -> None:
        size = self.chosen.randrange(LONGEST)
        os.ftruncate(self.fd, size)
        del self.expected[size:]
        self.expected.extend(bytes(size - len(self.expected)))

    def punch(self) -> None:
        self._allocate(_PUNCH | _KEEP)

    def zero(self) -> None:
        self._allocate(_ZERO | _KEEP)

    def _allocate(self, mode: int) -> None:
        if self.expected:
            offset, length = self._range(len(self.expected))
            if _libc.fallocate(self.fd, mode, ctypes.c_int64(offset), ctypes.c_int64(length)):
                raise OSError(ctypes.get_errno(), "fallocate")
            self.expected[offset : offset + length] = bytes(length)

    def sync(self) -> None:
        self.chosen.choice((os.fsync, os.fdatasync))(self.fd)

    def forget(self) -> None:
        """What is read next comes from the device."""
        os.fsync(self.fd)
        os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def end(self) -> str:
        """All of it is as it should be, and on the device; its digest."""
        self.forget()
        found = os.pread(self.fd, LONGEST, 0)
        assert len(found) == len(self.expected)
        self._same(0, found, "all of it")
        return hashlib.sha256(found).hexdigest()


def main(arguments: list[str]) -> int:
    """The exit code."""
    path, progress, seed, operations = arguments
    fd = os.open(progress, os.O_RDWR | os.O_CLOEXEC)
    told = mmap.mmap(fd, _COUNT.size)
    shadow, done = Shadow(Path(path), int(seed)), 0
    while done < int(operations) or not _COUNT.unpack_from(told)[1]:
        try:
            shadow.step()
        except (OSError, AssertionError) as error:
            print(f"seed {seed}, operation {done}: {error!r}", flush=True)
            return 1
        done += 1
        told[:8] = done.to_bytes(8, sys.byteorder)
    print(shadow.end(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
