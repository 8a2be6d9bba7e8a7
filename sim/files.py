"""The file layer of the store on a simulated disk, as one process sees it.

Implements `FileLayer`, `File` and `Lock` of `farshore.store.platform` with all their obligations.
What the process held open or locked ends with it; using it afterwards is a fault of the simulator
and stops the run.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from farshore.errors import FarshoreError
from farshore.model.messages import Buffer
from sim.disk import SECTOR, Died, Disk, NameChange, Node


class SimFile:
    """`File` on a simulated disk, with a sync that can also be watched from begin to end."""

    __slots__ = ("_disk", "_files", "_node", "_open", "_path")

    def __init__(self, files: SimFiles, path: str, node: Node) -> None:
        self._files = files
        self._disk = files.disk
        self._path = path
        self._node = node
        self._open = True

    def _begin(self, operation: str) -> OSError | Died | None:
        if self._files.ended or not self._open:
            raise RuntimeError(f"{self._path} was used after it was closed")
        return self._disk.operation(operation, self._path)

    def pread(self, length: int, offset: int) -> bytes:
        failure = self._begin("pread")
        if failure is not None:
            raise failure
        return bytes(memoryview(self._node.current)[offset : offset + length])

    def pread_into(self, buffer: bytearray | memoryview, offset: int) -> int:
        data = self.pread(len(buffer), offset)
        buffer[: len(data)] = data
        return len(data)

    def pwrite(self, data: Buffer, offset: int) -> int:
        failure = self._begin("pwrite")
        if failure is not None:
            self._write_in_part(data, offset)
            raise failure
        self._node.write(data, offset)
        return len(data)

    def _write_in_part(self, data: Buffer, offset: int) -> None:
        """Whole sectors from the front; a sector is never torn."""
        first, last = offset // SECTOR, -(-(offset + len(data)) // SECTOR)
        end = self._disk.random.randint(first, last) * SECTOR
        if end > offset:
            self._node.write(memoryview(data)[: end - offset], offset)

    def pwrite_many(self, pieces: Sequence[Buffer], offset: int) -> int:
        return self.pwrite(b"".join(pieces), offset)

    def settle(self) -> None:
        self.fdatasync()
        self._node.drop_clean()

    def fdatasync(self) -> None:
        self.end_sync(self.begin_sync())

    def begin_sync(self) -> int:
        """A sync begins: it covers what was written until now. Hand the mark to `end_sync`."""
        return self._node.serial

    def end_sync(self, mark: int) -> None:
        """The sync is done, or has failed with an OSError."""
        failure = self._begin("fdatasync")
        if isinstance(failure, OSError):
            self._node.sync_failed(self._disk.random)
        if failure is not None:
            raise failure
        self._node.sync(mark)

    def allocate_zeroed(self, size: int) -> None:
        self.truncate(0)
        self.pwrite(bytes(size), 0)

    def reserve(self, size: int) -> None:
        self.truncate(max(size, self.size()))

    def size(self) -> int:
        return len(self._node.current)

    def truncate(self, size: int) -> None:
        failure = self._begin("truncate")
        if failure is not None:
            raise failure
        node = self._node
        before = len(node.current)
        if size < before:
            del node.current[size:]
            node.pending = {s: v for s, v in node.pending.items() if s * SECTOR < size}
        else:
            node.current.extend(bytes(size - before))
        edge = min(size, before)
        if edge % SECTOR:
            node.touch(edge, edge + 1)

    def punch(self, offset: int, length: int) -> None:
        inside = min(length, self.size() - offset)
        if inside > 0:
            self.pwrite(bytes(inside), offset)

    def zero(self, offset: int, length: int) -> None:
        self.punch(offset, length)

    def close(self) -> None:
        self._open = False


class SimLock:
    """`Lock` on a simulated disk."""

    __slots__ = ("_disk", "_path")

    def __init__(self, disk: Disk, path: str) -> None:
        self._disk = disk
        self._path = path
        disk.locks[path] = self

    def release(self) -> None:
        if self._disk.locks.get(self._path) is self:
            del self._disk.locks[self._path]


class SimFiles:
    """`FileLayer` of one process on a machine's disk."""

    __slots__ = ("_locks", "disk", "ended")

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.ended = False
        self._locks: list[SimLock] = []

    def end(self) -> None:
        """The process is gone: its files are closed, its locks free, the page cache untouched."""
        self.ended = True
        for lock in self._locks:
            lock.release()

    def _begin(self, operation: str, path: str) -> None:
        if self.ended:
            raise RuntimeError(f"{path} was used by a process that is gone")
        failure = self.disk.operation(operation, path)
        if failure is not None:
            raise failure

    def open(self, path: str, *, create: bool = False) -> SimFile:
        self._begin("open", path)
        names = self.disk.names
        if create:
            if path in names:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
            self._directory(os.path.dirname(path))
            node: Node | None = Node()
            self.disk.change_names((path, True, node))
        else:
            if path not in names:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            node = names[path]
        if node is None:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        return SimFile(self, path, node)

    def _directory(self, path: str) -> None:
        if path not in self.disk.names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if self.disk.names[path] is not None:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)

    def fsync_dir(self, path: str) -> None:
        self._begin("fsync_dir", path)
        self._directory(path)
        self.disk.sync_names(path)

    def mkdir(self, path: str) -> None:
        self._begin("mkdir", path)
        if path in self.disk.names:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        self._directory(os.path.dirname(path))
        self.disk.change_names((path, True, None))

    def exists(self, path: str) -> bool:
        return path in self.disk.names

    def rename(self, old: str, new: str) -> None:
        self._begin("rename", old)
        names = self.disk.names
        if old not in names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), old)
        if os.path.dirname(old) != os.path.dirname(new):
            raise RuntimeError("this disk renames within a directory only")
        if new in names and (names[new] is None) != (names[old] is None):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), new)
        if names[old] is None:
            self._rename_directory(old, new)
        else:
            self.disk.change_names((new, True, names[old]), (old, False, None))

    def _rename_directory(self, old: str, new: str) -> None:
        """With all that lies below it; what was unsynced there is synced by it, as a journal does."""
        if self.exists(new) and self.listdir(new):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), new)
        below = [name for name in self.disk.names if name == old or name.startswith(old + "/")]
        for name in below:
            self.disk.sync_names(name)
        moved: list[NameChange] = [(new + name[len(old) :], True, self.disk.names[name]) for name in below]
        gone: list[NameChange] = [(name, False, None) for name in below]
        self.disk.change_names((new, True, None), *moved, *gone)

    def listdir(self, path: str) -> list[str]:
        self._directory(path)
        within = path.rstrip("/") + "/"
        names = [name[len(within) :] for name in self.disk.names if name.startswith(within)]
        return sorted(name for name in names if name and "/" not in name)

    def remove(self, path: str) -> None:
        self._begin("remove", path)
        if path not in self.disk.names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if self.disk.names[path] is None and self.listdir(path):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)
        self.disk.change_names((path, False, None))

    def lock(self, path: str) -> SimLock:
        self._begin("lock", path)
        if path in self.disk.locks:
            raise FarshoreError("state-locked", f"{path} is locked by another process")
        if path not in self.disk.names:
            self._directory(os.path.dirname(path))
            self.disk.change_names((path, True, Node()))
        lock = SimLock(self.disk, path)
        self._locks.append(lock)
        return lock
