"""What a volume says of itself beyond its path and its size, so that another one at that path is noticed.

An identity is a text `KIND:VALUE`. A file has a mark, an extended attribute with a random value, from when it
joins a copy; where its file system has no attributes, its inode with the generation of that, if it tells one.
A block device has what the kernel knows of it that outlives a restart of the machine. Of a volume of which
nothing is known, one thing is: that something else than zeroes was found on it (`data:`). An empty identity
says nothing.

A mark goes with the file when it is renamed, and is lost where it is copied without attributes. Content that
was put into the same file, or onto the same device, behind our back is not noticed by it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import struct
from pathlib import Path
from typing import Final

from farshore.store.volume import Volume

ATTRIBUTE: Final = "user.farshore.volume"
"""Its value: 32 lowercase hex digits."""
READ_LIMIT: Final = 64 << 20
"""Bytes that are read to find out whether a volume holds something else than zeroes; what lies behind them on
a device of which nothing else is known is not looked at."""
DATA: Final = "data:"

_GETVERSION: Final = 0x80087601
_LONG: Final = struct.Struct("l")
_NO_MARKS: Final = frozenset(
    (errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM, errno.EACCES, errno.ENOSPC, errno.EDQUOT, errno.E2BIG)
)
_NO_ANSWER: Final = frozenset((errno.ENODATA, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM, errno.EACCES))
_DEVICES: Final = Path("/sys/dev/block")
_KNOWN: Final = (
    ("dm", "dm/uuid"),
    ("md", "md/uuid"),
    ("wwid", "wwid"),
    ("wwid", "device/wwid"),
    ("serial", "serial"),
    ("serial", "device/serial"),
)


def join(volume: Volume, devices: Path = _DEVICES) -> str:
    """The identity by which the volume is known from now on; durable before this returns. May block.

    A file gets a new mark, whatever it had: it belongs to this copy, and no longer to one that had it before.
    """
    if volume.is_device:
        return next(iter(_device(_sysfs(volume, devices))), "") or _content(volume)
    if _marked(volume.fd):
        if not volume.memory:
            os.fsync(volume.fd)
        return f"mark:{_mark(volume.fd)}"
    return _inode(volume.fd) or _content(volume)


def same(volume: Volume, identity: str, devices: Path = _DEVICES) -> bool:
    """Whether this can be the volume that was known by a recorded identity. Changes nothing. May block."""
    if not identity:
        return True
    if identity == DATA:
        return not blank(volume)
    return identity in _said(volume, devices)


def blank(volume: Volume) -> bool:
    """Whether it reads as zeroes, as far as anybody looks. May block."""
    return volume.is_blank(READ_LIMIT, beyond=True)


def told(volume: Volume, devices: Path = _DEVICES) -> str:
    """What tells this volume from another one that could stand in its place: for whoever accepts it."""
    place = "" if volume.is_device else f"at:{os.fstat(volume.fd).st_ino}"
    return " ".join(filter(None, [*_said(volume, devices), place]))


def _said(volume: Volume, devices: Path) -> list[str]:
    if volume.is_device:
        return _device(_sysfs(volume, devices))
    return _file(volume.fd)


def _content(volume: Volume) -> str:
    return "" if blank(volume) else DATA


# -- files --------------------------------------------------------------------------------------


def _file(file: int) -> list[str]:
    """Everything that identifies a file, the best first."""
    mark = _mark(file)
    return list(filter(None, (mark and f"mark:{mark}", _inode(file))))


def _marked(file: int) -> bool:
    """Gives the file a new mark; False where it can have none."""
    try:
        os.setxattr(file, ATTRIBUTE, secrets.token_hex(16).encode())
    except OSError as reason:
        if reason.errno not in _NO_MARKS:
            raise
        return False
    return True


def _mark(file: int | str) -> str:
    try:
        return os.getxattr(file, ATTRIBUTE).decode("ascii", "replace")
    except OSError as reason:
        if reason.errno not in _NO_ANSWER:
            raise
        return ""


def _inode(file: int) -> str:
    """Without a generation an inode's number is worth little: file systems without attributes tend to number
    their files anew at each mount."""
    try:
        (generation,) = _LONG.unpack(fcntl.ioctl(file, _GETVERSION, bytes(_LONG.size)))
    except OSError:  # whatever it says: this file system does not tell
        return ""
    return f"inode:{os.fstat(file).st_ino}.{generation & 0xFFFFFFFF}" if generation else ""


# -- block devices ------------------------------------------------------------------------------


def _sysfs(volume: Volume, devices: Path) -> Path:
    number = os.fstat(volume.fd).st_rdev
    return devices / f"{os.major(number)}:{os.minor(number)}"


def _device(place: Path) -> list[str]:
    """Everything that identifies a device, the best first."""
    if _read(place / "partition"):
        return _partition(place)
    known = [f"{kind}:{value}" for kind, name in _KNOWN if (value := _read(place / name))]
    return [*_loop(place), *known]


def _partition(place: Path) -> list[str]:
    lines = [line.partition("=") for line in _read(place / "uevent").splitlines()]
    uuids = [f"part:{value}" for name, _, value in lines if name == "PARTUUID" and value]
    whole = _device(place.resolve().parent)
    return [*uuids, *[f"part:{each}+{_read(place / 'start')}" for each in whole]]


def _loop(place: Path) -> list[str]:
    """A loop device is what its file is."""
    backing = _read(place / "loop" / "backing_file")
    if not backing:
        return []
    try:
        held = os.open(backing, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # the file has no name any more, or one that is not seen from here
        return []
    try:
        said = _file(held)
    finally:
        os.close(held)
    return [f"loop:{each}+{_read(place / 'loop' / 'offset')}" for each in said]


def _read(path: Path) -> str:
    """What a file of sysfs says; empty where it says nothing."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text(encoding="ascii").strip()
    return ""
