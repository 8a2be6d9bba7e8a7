"""What a device's process leaves behind when it is killed, and how that is cleaned away before the next one.

The kernel keeps a FUSE mount and a loop device whose process has died: requests there fail, none waits. A
loop device that is mounted or open stays with its holder, who is named, and nothing new is started in its
place; one that nobody holds is freed, and the mount taken away. Nothing here looks at a path on the mount.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from farshore.errors import FarshoreError
from farshore.model.device_config import DeviceConfig
from farshore.node.os_errors import as_farshore_error
from farshore.store.mounts import loop_devices, mounts, mounts_of

_LOOP_CLR_FD: Final = 0x4C01
_DETACH_NOFOLLOW: Final = 2 | 8
"""MNT_DETACH | UMOUNT_NOFOLLOW of umount2(2)."""
_FORCE_NOFOLLOW: Final = 1 | 8
_MOST_MOUNTS: Final = 16
_LIMIT_S: Final = 10.0


def clear(directory: Path, config: DeviceConfig) -> None:
    """Takes away what the process of this device has left; call it only while no process holds its lock.

    It may take a while, so not on an event loop. Raises FarshoreError `in-use` while somebody holds a loop
    device of it, and `permission` where what was left is not ours to take away.
    """
    for name in _loops_of(config):
        _free(config, name)
    _unmount(config)
    with contextlib.suppress(OSError):  # it is not there, or somebody put something below
        Path(config.mount).rmdir()
    if config.at is not None:
        _unlink(directory / "link", config.at)


def abort(config: DeviceConfig) -> None:
    """Has the kernel answer, with errors, whatever still waits for a process that is being killed: else one
    that had its own file open could not end. As root only; nobody else's process opens its own file."""
    if any(mount.point == config.mount for mount in mounts()):
        ctypes.CDLL(None).umount2(os.fsencode(config.mount), _FORCE_NOFOLLOW)


def _loops_of(config: DeviceConfig) -> list[str]:
    prefix = config.mount + "/"
    return sorted(name for name, backing in loop_devices().items() if backing.startswith(prefix))


def _free(config: DeviceConfig, name: str) -> None:
    """Frees a loop device. Whether somebody held it is seen afterwards: the kernel keeps it then."""
    device = f"/dev/{name}"
    holders = list(_holders(device))
    if not holders:
        try:
            descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                fcntl.ioctl(descriptor, _LOOP_CLR_FD)
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno not in (errno.ENXIO, errno.ENODEV, errno.EBUSY):
                raise as_farshore_error(error, device) from error
        if name not in _loops_of(config):
            return
    by, following = holders[0] if holders else ("somebody", f"lsof {device}")
    raise FarshoreError(
        "in-use",
        f"{device}, of a device process of {config.group}/{config.volume} that ended, is held: {by}",
        means="reads and writes there fail; the volume has all that was confirmed, and is attached anew when"
        " nothing holds the old device",
        next_step=following,
    )


def _holders(device: str) -> Iterator[tuple[str, str]]:
    """Who holds a block device, in words, and what to do about it: mounts first, then processes."""
    number = Path(device).stat().st_rdev
    for mount in mounts_of(number, mounts()):
        yield f"mounted at {mount.point}", f"umount {mount.point}"
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended, or is another user's
            names = {str(each.readlink()) for each in (process / "fd").iterdir()}
            if device in names:
                command = (process / "comm").read_text(errors="replace").strip()
                yield f"open in process {process.name} ({command})", f"end process {process.name}"


def _unmount(config: DeviceConfig) -> None:
    for _ in range(_MOST_MOUNTS):
        if not any(mount.point == config.mount for mount in mounts()):
            return
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.umount2(os.fsencode(config.mount), _DETACH_NOFOLLOW) == 0:
            continue
        number = ctypes.get_errno()
        if number != errno.EPERM or not _unmount_as_user(config.mount):
            raise as_farshore_error(OSError(number, os.strerror(number)), config.mount)


def _unmount_as_user(point: str) -> bool:
    program = shutil.which("fusermount3")
    if program is None:
        return False
    done = subprocess.run(
        [program, "-u", "-z", "-q", point],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_LIMIT_S,
        check=False,
    )
    return done.returncode == 0


def _unlink(record: Path, at: str) -> None:
    """Removes the link that the process made, and nothing else: it wrote down what it pointed to."""
    with contextlib.suppress(OSError):
        if str(Path(at).readlink()) == record.read_text():
            Path(at).unlink()
