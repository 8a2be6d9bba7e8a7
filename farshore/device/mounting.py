"""Puts our file system into the tree and takes it out: by system calls for root, else by fusermount3.

Its type is `fuse.farshore`, which is how others know what must not be touched by us. Nobody but the user who
mounted it sees into it. A mount whose process has died is taken off, whoever uses it: nothing works there.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import errno
import os
import shutil
import socket
import subprocess
from typing import Final

from farshore.errors import FarshoreError
from farshore.store.mounts import mounts

KIND: Final = "fuse.farshore"
_MS_NOSUID, _MS_NODEV = 2, 4
_MNT_FORCE: Final = 1
_MNT_DETACH: Final = 2
_UMOUNT_NOFOLLOW: Final = 8
_LIMIT: Final = 30.0
_MEANS: Final = "The volume is not attached; nothing was changed."


def mount(point: str) -> int:
    """Makes the directory and mounts on it; the descriptor through which the kernel asks.

    Raises FarshoreError: `permission`, or `not-found` where this system has no FUSE.
    """
    os.makedirs(point, mode=0o700, exist_ok=True)
    return _mount_as_root(point) if os.geteuid() == 0 else _mount_as_user(point)


def _mount_as_root(point: str) -> int:
    try:
        fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise _refusal("/dev/fuse cannot be opened", error.errno or 0) from error
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={fd},rootmode=40000,user_id={os.geteuid()},group_id={os.getegid()}"
    flags = ctypes.c_ulong(_MS_NOSUID | _MS_NODEV)
    if libc.mount(b"farshore", os.fsencode(point), KIND.encode(), flags, options.encode()):
        number = ctypes.get_errno()
        os.close(fd)
        raise _refusal(f"a file system cannot be mounted on {point}", number)
    return fd


def _mount_as_user(point: str) -> int:
    program = shutil.which("fusermount3")
    if program is None:
        raise _refusal("fusermount3 is not installed (Debian package fuse3)", errno.ENOENT)
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, its:
        ours.settimeout(_LIMIT)
        run = subprocess.run(
            [program, "-o", "nosuid,nodev,fsname=farshore,subtype=farshore", "--", point],
            env={**os.environ, "_FUSE_COMMFD": str(its.fileno())},
            pass_fds=(its.fileno(),),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            check=False,
        )
        if run.returncode:
            raise _refusal(run.stderr.strip() or "fusermount3 failed", errno.EPERM)
        _, descriptors, _, _ = socket.recv_fds(ours, 1, array.array("i").itemsize)
    if not descriptors:
        raise _refusal("fusermount3 gave nothing back", errno.EPERM)
    os.set_inheritable(descriptors[0], False)
    return descriptors[0]


def unmount(point: str, *, lazily: bool = False) -> None:
    """Raises OSError: EBUSY while a file there is open. `lazily`: it goes when the last user goes. Where
    nothing is mounted any more there is nothing to do."""
    if not any(found.point == point for found in mounts()):
        return
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.umount2(os.fsencode(point), _UMOUNT_NOFOLLOW | (_MNT_DETACH if lazily else 0)):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), point)
        return
    program = shutil.which("fusermount3") or "fusermount3"
    words = [program, "-u", *(["-z"] if lazily else []), "--", point]
    run = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LIMIT, check=False)
    if run.returncode:
        busy = b"busy" in run.stderr
        raise OSError(errno.EBUSY if busy else errno.EPERM, os.fsdecode(run.stderr.strip()), point)


def abort(point: str) -> None:
    """Has the kernel answer, with errors, all that is asked there; the mount may stay. Raises OSError, EPERM
    for all but root."""
    if any(found.point == point for found in mounts()):
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.umount2(os.fsencode(point), _UMOUNT_NOFOLLOW | _MNT_FORCE):
            number = ctypes.get_errno()
            if number != errno.EBUSY:  # files there are open: what was asked is answered all the same
                raise OSError(number, os.strerror(number), point)


def clear_away(point: str) -> None:
    """Takes off what a process that died left mounted there."""
    for found in mounts():
        if found.point == point and found.kind == KIND:
            unmount(point, lazily=True)


def remove_directory(point: str) -> None:
    """After `unmount`; a directory that is not empty is somebody's, and stays."""
    with contextlib.suppress(OSError):
        os.rmdir(point)


def _refusal(what: str, number: int) -> FarshoreError:
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        code, hint = "not-found", "load the kernel's module (modprobe fuse), install fuse3; farshore doctor"
    elif number in (errno.EPERM, errno.EACCES):
        code, hint = "permission", "run the node as root, or as a user who may use FUSE; farshore doctor"
    else:
        code, hint = "io-error", "farshore doctor"
    return FarshoreError(code, f"{what}: {os.strerror(number)}", means=_MEANS, next_step=hint)
