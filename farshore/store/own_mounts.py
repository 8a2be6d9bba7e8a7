"""Which mounts and block devices of this host stand on a device of Farshore, directly or through others.

A device is a FUSE file, so whatever is mounted from it, or from a loop device, a partition or a mapped device
above it, waits for an engine when it is touched; an engine or a node that touched it could wait for itself.
So nothing here looks at a path on such a mount: only mountinfo, sysfs and links outside of them are read.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from farshore.errors import FarshoreError
from farshore.store.mounts import Mount, loop_devices, mount_of, mounts

KIND: Final = "fuse.farshore"
"""The type of file system that a device process mounts."""
_BLOCK: Final = "/sys/block"
_MOST_LINKS: Final = 40
_MOST_LAYERS: Final = 16

OwnMount: TypeAlias = Callable[[Mount], bool]
"""Says which mounts are our own devices, or stand on them."""


def own_mounts(table: list[Mount] | None = None, block: str = _BLOCK) -> OwnMount:
    """The mounts of `table` (of now) that stand on devices of Farshore, of whichever node of this host."""
    known = mounts() if table is None else table
    own = {mount for mount in known if mount.kind == KIND}
    for _ in range(_MOST_LAYERS if own else 0):  # a file system on a device may hold the file of the next one
        devices = devices_on(own.__contains__, known, block)
        names = {f"/dev/{name}" for name in devices.values()}
        # btrfs shows a number that no device has, and its device in the source alone.
        above = {mount for mount in known if mount.device in devices or _device(mount.source) in names}
        if above <= own:
            break
        own |= above
    return own.__contains__


def _device(source: str) -> str:
    """The device that a mount names, without links: `/dev/mapper/x` is `/dev/dm-0`."""
    return os.path.realpath(source) if source.startswith("/dev/") else source


def devices_on(own: OwnMount, table: list[Mount], block: str = _BLOCK) -> dict[int, str]:
    """The block devices that stand on files of these mounts, through any number of layers: number -> name."""
    found: dict[int, str] = {}
    for name, backing in loop_devices(block).items():
        below = mount_of(backing, table)
        if below is not None and own(below):
            found.update(_with_all_above(f"{block}/{name}", block))
    return found


def resolve(path: str, table: list[Mount], own: OwnMount, *, strict: bool = True) -> str:
    """The absolute path without links, one name at a time, so that nothing on our own mounts is asked.

    Raises FarshoreError `own-device`, and OSError for what cannot be looked at; with `strict` off what is
    missing is no error, and the rest of the path stays as it is.
    """
    left = [part for part in from_root(path).split("/") if part not in ("", ".")]
    at, links = "/", 0
    while left:
        part = left.pop(0)
        if part == "..":
            at = posixpath.dirname(at)
            continue
        below = posixpath.join(at, part)
        mount = mount_of(below, table)
        if mount is not None and own(mount):
            raise refusal(path, mount.point)
        try:
            pointed = os.readlink(below)
        except OSError as reason:
            missing = reason.errno in (errno.ENOENT, errno.ENOTDIR)
            if reason.errno != errno.EINVAL and (strict or not missing):  # EINVAL: it is there and no link
                raise
            at = below
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        if pointed.startswith("/"):
            at = "/"
        left = [part for part in pointed.split("/") if part not in ("", ".")] + left
    return at


def refuse_own(path: str) -> None:
    """Raises FarshoreError `own-device` for a path on a mount, or of a block device, that stands on one of
    our devices. What else may be wrong with it, whoever uses it will find."""
    table = mounts()
    own = own_mounts(table)
    try:
        place = resolve(path, table, own, strict=False)
        number = os.stat(place).st_rdev
    except (OSError, ValueError):
        return
    if number and number in devices_on(own, table):
        raise refusal(path, place)


def refusal(path: str, device: str) -> FarshoreError:
    """The error for a path that leads to `device`."""
    on = f"is {device}" if path == device else f"lies on {device}"
    return FarshoreError(
        "own-device",
        f"{path} {on}, which is one of Farshore's own devices or stands on one",
        means="it would have to wait for itself; nothing was changed",
        next_step="choose the volume below, or a place on another file system",
    )


def from_root(path: str) -> str:
    """The path, absolute."""
    return path if path.startswith("/") else posixpath.join(os.getcwd(), path)


def _with_all_above(directory: str, block: str) -> Iterator[tuple[int, str]]:
    """Number and name of a block device with this directory in sysfs, of its partitions, and of all that is
    made of one of them. A device that goes away meanwhile is not there any more."""
    pending, seen = [directory], {directory}
    while pending:
        one = pending.pop()
        name = posixpath.basename(one)
        with contextlib.suppress(OSError, ValueError):
            yield _number(one), name
        with contextlib.suppress(OSError):
            parts = [f"{one}/{each}" for each in os.listdir(one) if each.startswith(name)]
            above = [f"{block}/{each}" for each in os.listdir(f"{one}/holders")]
            fresh = [each for each in parts + above if each not in seen]
            seen.update(fresh)
            pending += fresh


def _number(directory: str) -> int:
    with open(f"{directory}/dev", encoding="ascii") as text:
        major, minor = text.read().split(":")
    return os.makedev(int(major), int(minor))
