"""A file system whose root holds one file: the volume.

Everything that programs and the kernel may ask of it is answered here, except what moves or changes the
file's bytes or makes them durable: that is for whoever calls. Owner and name never change, and the size only
when the volume grows, of which the kernel is told; so it may believe them for ever. Nothing can be made,
removed or renamed; nobody can cut or extend the file; what is asked beyond its end is refused as a disk would
do it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from farshore.wire import fuse

FILE: Final = 2
"""Node id of the file."""
MOST_BACKGROUND: Final = 256
"""Requests that the kernel may have under way. More than a loop device sends at a time."""

_O_DSYNC: Final = os.O_DSYNC  # a part of O_SYNC
_OPENED: Final = fuse.FOPEN_DIRECT_IO | fuse.FOPEN_NOFLUSH | fuse.FOPEN_PARALLEL_DIRECT_WRITES
_WRITING: Final = os.O_WRONLY | os.O_RDWR


class OneFile:
    """See the module. `name` has no slash; `time` is what the file shows as its times."""

    def __init__(self, name: str, size: int, owner: tuple[int, int], time: int, *, read_only: bool) -> None:
        self.size = size
        self.read_only = read_only
        self._name = name.encode()
        mode = stat.S_IFREG | (0o400 if read_only else 0o600)
        self._attributes = {
            fuse.ROOT: fuse.Attributes(fuse.ROOT, stat.S_IFDIR | 0o500, 0, owner, time),
            FILE: fuse.Attributes(FILE, mode, size, owner, time),
        }
        self._answers: dict[int, Callable[[fuse.Header, memoryview], bytes]] = {
            fuse.INIT: self._init,
            fuse.LOOKUP: self._lookup,
            fuse.FORGET: lambda _head, _request: b"",
            fuse.BATCH_FORGET: lambda _head, _request: b"",
            fuse.GETATTR: self._getattr,
            fuse.SETATTR: self._setattr,
            fuse.OPEN: self._open,
            fuse.OPENDIR: lambda head, _request: fuse.opened(head.unique),
            fuse.READDIR: self._readdir,
            fuse.STATFS: lambda head, _request: fuse.statfs_answer(head.unique, self.size),
            fuse.RELEASE: lambda head, _request: fuse.answer(head.unique),
            fuse.RELEASEDIR: lambda head, _request: fuse.answer(head.unique),
            fuse.DESTROY: lambda head, _request: fuse.answer(head.unique),
        }

    def grow(self, size: int) -> None:
        """The file has `size` bytes from now on."""
        self.size = size
        self._attributes[FILE] = replace(self._attributes[FILE], size=size)

    def answer(self, head: fuse.Header, request: memoryview) -> bytes:
        """What to tell the kernel; nothing where it wants no answer. What it is told not to be offered
        (ENOSYS) it does not ask again."""
        found = self._answers.get(head.operation)
        return fuse.refusal(head.unique, errno.ENOSYS) if found is None else found(head, request)

    @staticmethod
    def durable(flags: int) -> bool:
        """Whether a write with these flags of an open file must be durable when it is answered."""
        return bool(flags & _O_DSYNC)

    def _init(self, head: fuse.Header, request: memoryview) -> bytes:
        major, minor, readahead, flags = fuse.version(request)
        if major != fuse.MAJOR or minor < fuse.MINOR:
            return fuse.refusal(head.unique, errno.EPROTO)  # it lets nobody open anything then
        return fuse.init_answer(head.unique, readahead, flags, MOST_BACKGROUND)

    def _lookup(self, head: fuse.Header, request: memoryview) -> bytes:
        if head.node != fuse.ROOT or fuse.looked_up(request, head.length) != self._name:
            return fuse.refusal(head.unique, errno.ENOENT)
        return fuse.entry(head.unique, self._attributes[FILE])

    def _getattr(self, head: fuse.Header, _request: memoryview) -> bytes:
        attributes = self._attributes.get(head.node)
        if attributes is None:
            return fuse.refusal(head.unique, errno.ENOENT)
        return fuse.attributes_answer(head.unique, attributes)

    def _setattr(self, head: fuse.Header, request: memoryview) -> bytes:
        """Times may be set and stay as they are; another size, owner or mode is not to be had."""
        if head.node != FILE or fuse.changes_more_than_times(request, self.size):
            return fuse.refusal(head.unique, errno.EPERM)
        return fuse.attributes_answer(head.unique, self._attributes[FILE])

    def _open(self, head: fuse.Header, request: memoryview) -> bytes:
        if self.read_only and fuse.open_flags(request) & _WRITING:
            return fuse.refusal(head.unique, errno.EROFS)
        return fuse.opened(head.unique, _OPENED)

    def _readdir(self, head: fuse.Header, request: memoryview) -> bytes:
        position, room = fuse.unpack_request(request)[4:6]
        entries = [
            fuse.directory_entry(fuse.ROOT, 1, fuse.DT_DIR, b"."),
            fuse.directory_entry(fuse.ROOT, 2, fuse.DT_DIR, b".."),
            fuse.directory_entry(FILE, 3, fuse.DT_REG, self._name),
        ]
        told = b""
        for each in entries[position:]:
            if len(told) + len(each) > room:
                break
            told += each
        return fuse.answer(head.unique, told)
