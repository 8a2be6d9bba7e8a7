"""Volumes as files and block devices on this host: what is there, whether it is free, whether it is blank.

Nothing here changes what a volume holds. A file that is made is sparse and is taken away again by whoever
made it when the rest of the request fails. Who uses a volume is known by device and inode, never by path.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TypeAlias

from farshore.errors import FarshoreError
from farshore.node.os_errors import as_farshore_error
from farshore.store.mounts import loop_on, mounts
from farshore.store.own_mounts import refuse_own

SECTOR = 512
SCAN_SECONDS = 8.0
_CHUNK = 4 << 20

DiskId: TypeAlias = tuple[str, int, int]
"""Equal for two paths that lead to the same file or the same device."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A file or block device that exists. `path` is its real path, `size` in bytes."""

    path: str
    size: int
    id: DiskId


def disk_id(path: str) -> DiskId | None:
    """None where nothing is there, and where it cannot be a volume because it lies on one of our devices."""
    try:
        refuse_own(path)
        found = Path(path).stat()
    except (OSError, FarshoreError):
        return None
    return _id(found)


def inspect(path: str) -> Disk:
    """What lies at an absolute path, after making sure that it can be written and nobody has it mounted.

    Raises FarshoreError `usage`, `own-device`, `not-found`, `permission`, `read-only`, `in-use` or
    `io-error`.
    """
    if not Path(path).is_absolute():
        raise FarshoreError("usage", f"{path} is not an absolute path", next_step="begin it with /")
    refuse_own(path)
    real = os.path.realpath(path)
    try:
        found = Path(real).stat()
        device = stat.S_ISBLK(found.st_mode)
        if not device and not stat.S_ISREG(found.st_mode):
            raise FarshoreError(
                "usage", f"{path} is neither a file nor a block device", next_step="name a file or a device"
            )
        size = _open_and_measure(real, device)
    except OSError as error:
        raise _explain(error, path, real) from error
    if not device:
        _refuse_loop(real)
    if size == 0 or size % SECTOR:
        raise FarshoreError(
            "usage",
            f"{path} has {size} bytes",
            means="nothing was changed",
            next_step=f"a volume has a multiple of {SECTOR} bytes and at least one sector",
        )
    return Disk(real, size, _id(found))


def create(path: str, size: int) -> None:
    """Makes a sparse file of `size` bytes that only its owner can read.

    Raises FarshoreError; no file is left then, and an existing one is never touched.
    """
    refuse_own(path)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise as_farshore_error(error, path) from error
    try:
        os.ftruncate(descriptor, size)
        os.fsync(descriptor)
    except OSError as error:
        Path(path).unlink(missing_ok=True)
        raise as_farshore_error(error, path) from error
    finally:
        os.close(descriptor)


def first_data(disk: Disk) -> int | None:
    """The offset of the first byte that is not zero, None for a blank disk.

    Reads holes for free. Raises FarshoreError `timeout` when `SCAN_SECONDS` did not suffice to tell, and
    `io-error`.
    """
    until = monotonic() + SCAN_SECONDS
    blank = bytes(_CHUNK)
    try:
        descriptor = os.open(disk.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            offset = 0
            while offset < disk.size:
                offset = _next_data(descriptor, offset, disk.size)
                data = os.pread(descriptor, min(_CHUNK, disk.size - offset), offset)
                if data != blank[: len(data)]:
                    return offset + len(data) - len(data.lstrip(b"\0"))
                if not data and offset < disk.size:
                    break
                offset += len(data)
                if monotonic() > until:
                    raise FarshoreError("timeout", f"{disk.path} could not be read to its end in time")
        finally:
            os.close(descriptor)
    except OSError as error:
        raise as_farshore_error(error, disk.path) from error
    return None


def _next_data(descriptor: int, offset: int, size: int) -> int:
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return size
        return offset  # a device that knows no holes: read on


def _open_and_measure(real: str, device: bool) -> int:
    # O_EXCL on a block device fails while it is mounted or part of something else.
    exclusive = os.O_EXCL if device else 0
    descriptor = os.open(real, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK | exclusive)
    try:
        return os.lseek(descriptor, 0, os.SEEK_END)
    finally:
        os.close(descriptor)


def _explain(error: OSError, path: str, real: str) -> FarshoreError:
    if error.errno in (errno.EACCES, errno.EPERM) and os.access(real, os.R_OK):
        return FarshoreError(
            "read-only",
            f"{path} can be read but not written",
            means="nothing was changed",
            next_step=f"make it writable for the user that runs the node: ls -l {path}",
        )
    if error.errno == errno.ENOENT:
        return FarshoreError(
            "not-found",
            f"{path} does not exist",
            means="nothing was changed",
            next_step="check the path, or give a size to have a sparse file made: --volume PATH,size=10GiB",
        )
    if error.errno == errno.EBUSY:
        return FarshoreError(
            "in-use",
            f"{path} is mounted or in use",
            means="nothing was changed",
            next_step=f"unmount it first: lsblk {path}",
        )
    return as_farshore_error(error, path)


def _refuse_loop(real: str) -> None:
    """A file behind a loop device is written by whoever mounted that."""
    loop = loop_on(real, mounts())
    if loop is not None:
        raise FarshoreError(
            "in-use",
            f"{real} is attached to /dev/{loop}",
            means="nothing was changed",
            next_step=f"detach it first: losetup -d /dev/{loop}",
        )


def _id(found: os.stat_result) -> DiskId:
    if stat.S_ISBLK(found.st_mode):
        return ("device", os.major(found.st_rdev), os.minor(found.st_rdev))
    return ("file", found.st_dev, found.st_ino)
