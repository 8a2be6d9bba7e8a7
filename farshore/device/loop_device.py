"""A loop device on a file: made with direct I/O, taken off, and found again. Needs root.

Direct I/O matters twice: the kernel does not keep every page a second time, and many requests are under way
at once. The calls here open the file, so they must never run on the thread that answers for it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
import struct
from typing import Final

from farshore.errors import FarshoreError
from farshore.store.mounts import backing_file, loop_devices

CONTROL: Final = "/dev/loop-control"
_CLR_FD: Final = 0x4C01
_SET_STATUS64: Final = 0x4C04
_GET_STATUS64: Final = 0x4C05
_SET_CAPACITY: Final = 0x4C07
_CONFIGURE: Final = 0x4C0A
_GET_FREE: Final = 0x4C82
_READ_ONLY, _AUTOCLEAR, _DIRECT_IO = 1, 4, 16
_INFO: Final = struct.Struct("=QQQQQIIII64s64s32s16x")
_FLAGS, _NAME = 8, 9  # the fields' places in it
_LONGEST_NAME: Final = 63
_HEAD: Final = struct.Struct("=II")
_RESERVED: Final = bytes(64)
_LOOP_MAJOR: Final = 7
_TRIES: Final = 32


def permitted() -> bool:
    """Whether this user can have loop devices on this system."""
    return os.geteuid() == 0 and os.access(CONTROL, os.R_OK | os.W_OK)


def make(file: str, *, read_only: bool) -> str:
    """A loop device on all of the file; its path. Raises FarshoreError, or OSError with the reason."""
    mode = os.O_RDONLY if read_only else os.O_RDWR
    backing = os.open(file, mode | os.O_CLOEXEC)
    try:
        for _ in range(_TRIES):
            device = _free()
            if _configured(device, backing, file, read_only=read_only):
                return device
    finally:
        os.close(backing)
    raise FarshoreError(
        "in-use",
        "no loop device is free: others took each one that was found",
        means="The volume is not attached; nothing was changed.",
        next_step="try again; losetup -a lists those in use",
    )


def _free() -> str:
    control = os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC)
    try:
        number = fcntl.ioctl(control, _GET_FREE)
    finally:
        os.close(control)
    path = f"/dev/loop{number}"
    if not os.path.exists(path):  # nobody makes device nodes here
        os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(_LOOP_MAJOR, number))
    return path


def _configured(device: str, backing: int, file: str, *, read_only: bool) -> bool:
    """False where somebody else took it in the meantime."""
    flags = _DIRECT_IO | (_READ_ONLY if read_only else 0)
    info = _INFO.pack(0, 0, 0, 0, 0, 0, 0, 0, flags, _name_for(file), b"", b"")
    fd = os.open(device, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _CONFIGURE, _HEAD.pack(backing, 0) + info + _RESERVED)
    except OSError as error:
        if error.errno == errno.EBUSY:
            return False
        raise
    finally:
        os.close(fd)
    return True


def grow(device: str) -> None:
    """Has it as large as its file is by now."""
    fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _SET_CAPACITY, 0)
    finally:
        os.close(fd)


def free(device: str) -> None:
    """Takes it off. Raises OSError EBUSY, and leaves it as it was, where somebody has it open."""
    fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC | os.O_EXCL)  # EBUSY where it is mounted
    try:
        fcntl.ioctl(fd, _CLR_FD)
        if _keeps(fd):
            raise OSError(errno.EBUSY, "somebody has it open", device)
    finally:
        os.close(fd)


def _keeps(fd: int) -> bool:
    """Whether somebody else has it open. The kernel would take it off when that one closes it; we say no."""
    status = bytearray(_INFO.size)
    try:
        fcntl.ioctl(fd, _GET_STATUS64, status, True)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return False
        raise
    fields = list(_INFO.unpack(status))
    fields[_FLAGS] &= ~_AUTOCLEAR
    fcntl.ioctl(fd, _SET_STATUS64, _INFO.pack(*fields))
    return True


def free_when_unused(device: str) -> None:
    """Takes it off when its last user has gone, at once where there is none."""
    with contextlib.suppress(FileNotFoundError):
        fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, _CLR_FD)
        except OSError as error:
            if error.errno != errno.ENXIO:  # nothing is behind it any more
                raise
        finally:
            os.close(fd)


def stands_on(device: str, file: str) -> bool:
    """Whether a loop device has this file behind it. Of a file whose mount was taken off meanwhile the kernel
    shows the place within that mount alone."""
    return backing_file(os.path.basename(device)) in (file, f"/{os.path.basename(file)}")


def on(file: str) -> list[str]:
    """The loop devices that have this file behind it, as the kernel shows it; their paths. Opens nothing."""
    return sorted(f"/dev/{name}" for name, backing in loop_devices().items() if backing == file)


def once_on(file: str) -> list[str]:
    """Those whose file went out of sight with its mount: the kernel still knows what it was called when they
    were made. Asks them, so it is not for the process that answers for such a file."""
    out_of_sight = on(f"/{os.path.basename(file)}")
    return [device for device in out_of_sight if _name_of(device) == _name_for(file)]


def _name_for(file: str) -> bytes:
    """What the kernel is told that the file is called. It keeps no more than the first bytes, and long paths
    of two devices may begin alike: of such a one it gets the end, and a digest of all of it."""
    path = os.fsencode(file)
    if len(path) <= _LONGEST_NAME:
        return path
    digest = hashlib.blake2b(path, digest_size=16).hexdigest().encode()
    return digest + b":" + path[len(digest) + 1 - _LONGEST_NAME :]


def _name_of(device: str) -> bytes | None:
    """What the file behind it was called when it was made; None where that is not to be learned."""
    status = bytearray(_INFO.size)
    with contextlib.suppress(OSError):  # it was taken off just now, or its file can tell nothing
        fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, _GET_STATUS64, status, True)
        finally:
            os.close(fd)
        return bytes(_INFO.unpack(status)[_NAME]).rstrip(b"\0")
    return None
