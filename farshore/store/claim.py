"""Claiming a volume: everything that is checked before its first byte is touched.

A claim is exclusive for as long as the volume is open. Whatever speaks against it is a FarshoreError
that names the path and the next step, and leaves the path as it was. Nothing here looks at a path
that lies on one of our own mounts: it is refused by its name alone.
"""

from __future__ import annotations

import errno
import fcntl
import os
import posixpath
import stat
import struct
from enum import Enum, auto
from typing import Final, NoReturn, TypeAlias

from farshore.errors import FarshoreError
from farshore.store.mounts import Mount, loop_on, mount_of, mounts
from farshore.store.own_mounts import OwnMount, devices_on, from_root, refusal, resolve
from farshore.store.volume import Volume

_BLKROGET: Final = 0x125E
_BLKSSZGET: Final = 0x1268
_BLKGETSIZE64: Final = 0x80081272
_ANY_WRITE: Final = 0o222
_SECTOR: Final = 512
_IN_MEMORY: Final = frozenset(("tmpfs", "ramfs"))

_CODES: Final = {
    errno.ENOENT: "not-found",
    errno.ENOTDIR: "not-found",
    errno.ELOOP: "not-found",
    errno.ENAMETOOLONG: "not-found",
    errno.ENXIO: "not-found",
    errno.ENODEV: "not-found",
    errno.ENOMEDIUM: "not-found",
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.EROFS: "read-only",
    errno.EBUSY: "in-use",
    errno.ETXTBSY: "in-use",
    errno.EEXIST: "exists",
    errno.ENOSPC: "disk-full",
    errno.EDQUOT: "disk-full",
    errno.EFBIG: "disk-full",
}
_NEXT: Final = {
    "not-found": "correct the path, or give a size so that the file is made",
    "permission": "ls -l on the path; run the node as a user who may write there",
    "read-only": "make it writable, or choose another volume",
    "in-use": "stop what uses it, then try again",
    "exists": "choose another path, or use the file without a size",
    "disk-full": "make room there, or choose another place",
    "size-mismatch": "give the volume the size that is wanted",
    "usage": "choose a file or a block device",
}
_NOTHING: Final = "Nothing was changed."
_Wanted: TypeAlias = tuple[int | None, bool]
"""Bytes that are expected, if any, and whether there may be more."""


def no_own_mounts(mount: Mount) -> bool:
    """For those who have no devices of their own."""
    return False


class Longer(Enum):
    """What may have more bytes than are expected; the volume is no longer for it."""

    NOTHING = auto()
    DEVICE = auto()
    """A device, since whoever enlarges a volume enlarges its device first."""
    ANYTHING = auto()


def open_volume(
    path: str,
    expected: int | None = None,
    own: OwnMount = no_own_mounts,
    longer: Longer = Longer.NOTHING,
) -> Volume:
    """Claims the file or block device at `path`, which must have `expected` bytes where that is given.

    Raises FarshoreError: `own-device`, `not-found`, `usage` (no file and no block device), `permission`,
    `read-only`, `in-use` (claimed, mounted, or below a loop device) or `size-mismatch`.
    """
    table = mounts()
    place = _resolve(path, table, own)
    try:
        found = os.stat(place)
        if stat.S_ISBLK(found.st_mode):
            return _claim_device(path, place, (expected, longer is not Longer.NOTHING), table, own)
        if not stat.S_ISREG(found.st_mode):
            raise _refusal("usage", f"{path} is neither a file nor a block device")
        return _claim_file(path, place, (expected, longer is Longer.ANYTHING), table)
    except OSError as reason:
        _refuse(reason, path)


def create_volume(path: str, size: int, own: OwnMount = no_own_mounts) -> Volume:
    """Makes a sparse file of `size` bytes, durably, and claims it.

    Raises FarshoreError: `exists`, `size-mismatch` (not a multiple of 512), `disk-full` or as
    `open_volume`; no file is left behind then.
    """
    if not 0 < size < 1 << 63 or size % _SECTOR:
        raise _refusal(
            "size-mismatch", f"a volume of {size} bytes cannot be made: not a multiple of {_SECTOR}"
        )
    table = mounts()
    parent, name = posixpath.split(from_root(path).rstrip("/"))
    directory = _resolve(parent, table, own)
    try:
        if not stat.S_ISDIR(os.stat(directory).st_mode):
            raise _refusal("not-found", f"{directory} is not a directory")
    except OSError as reason:
        _refuse(reason, directory)
    place = posixpath.join(directory, name)
    try:
        fd = os.open(place, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as reason:
        _refuse(reason, path)
    try:
        _lock(fd, path)
        os.ftruncate(fd, size)
        os.fsync(fd)
        _sync_directory(directory)
    except (FarshoreError, OSError) as reason:
        os.close(fd)
        os.unlink(place)
        if isinstance(reason, FarshoreError):
            raise
        _refuse(reason, path)
    return Volume(fd, path, size, memory=_in_memory(place, table))


def _resolve(path: str, table: list[Mount], own: OwnMount) -> str:
    try:
        return resolve(path, table, own)
    except OSError as reason:
        _refuse(reason, path)


def _claim_file(path: str, place: str, wanted: _Wanted, table: list[Mount]) -> Volume:
    fd = os.open(place, os.O_RDWR | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        if not found.st_mode & _ANY_WRITE:
            # Root may write it all the same; whoever took the write permission away meant it.
            raise _refusal(
                "read-only", f"{path} has no write permission", f"chmod u+w {path}, or choose another volume"
            )
        _lock(fd, path)
        device = loop_on(place, table)
        if device is not None:
            raise _refusal("in-use", f"{path} is in use below /dev/{device}")
        size = _check_size(path, found.st_size, wanted)
        return Volume(fd, path, size, memory=_in_memory(place, table))
    except (FarshoreError, OSError):
        os.close(fd)
        raise


def _claim_device(path: str, place: str, wanted: _Wanted, table: list[Mount], own: OwnMount) -> Volume:
    number = os.stat(place).st_rdev
    if number in devices_on(own, table):
        raise refusal(path, place)
    for mount in table:
        if mount.device == number:
            raise _refusal("in-use", f"{path} is mounted at {mount.point}")
    fd = os.open(place, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    try:
        if _ask(fd, _BLKROGET, "I"):
            raise _refusal("read-only", f"{path} is a read-only device")
        size = _check_size(path, _ask(fd, _BLKGETSIZE64, "Q"), wanted)
        return Volume(fd, path, size, sector=_ask(fd, _BLKSSZGET, "I"))
    except (FarshoreError, OSError):
        os.close(fd)
        raise


def _ask(fd: int, request: int, layout: str) -> int:
    answer = fcntl.ioctl(fd, request, bytes(struct.calcsize(layout)))
    return int(struct.unpack(layout, answer)[0])


def _lock(fd: int, path: str) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _refusal(
            "in-use", f"{path} is locked by another process", f"fuser -v {path} shows by which; stop it first"
        ) from None


def _check_size(path: str, size: int, wanted: _Wanted) -> int:
    """The volume's size."""
    expected, longer = wanted
    if expected is not None and size != expected and not (longer and size > expected):
        raise _refusal("size-mismatch", f"{path} has {size} bytes instead of {expected}")
    if not size or size % _SECTOR:
        raise _refusal("size-mismatch", f"{path} has {size} bytes, which is not a multiple of {_SECTOR}")
    return expected or size


def _in_memory(place: str, table: list[Mount]) -> bool:
    mount = mount_of(place, table)
    return mount is not None and mount.kind in _IN_MEMORY


def _sync_directory(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _refusal(code: str, what: str, next_step: str = "") -> FarshoreError:
    return FarshoreError(code, what, means=_NOTHING, next_step=next_step or _NEXT[code])


def _refuse(reason: OSError, path: str) -> NoReturn:
    code = _CODES.get(reason.errno or 0)
    if code == "permission" and _write_protected(path):
        code = "read-only"
    what = f"{path}: {os.strerror(reason.errno or errno.EIO)}"
    if code is None:
        raise FarshoreError(
            "io-error", what, means=_NOTHING, next_step="dmesg, and smartctl on the disk"
        ) from reason
    raise _refusal(code, what) from reason


def _write_protected(path: str) -> bool:
    try:
        return not os.stat(path).st_mode & _ANY_WRITE
    except OSError:
        return False
