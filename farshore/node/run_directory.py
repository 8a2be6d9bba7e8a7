"""The directory of a node's sockets: made for this user alone, and removed when nobody listens there.

It outlives the node while engines run on, so whoever is last takes it away: a node that stops with its
engines, else the last engine to end. What killed processes leave behind, the next start of any node of
this user removes. A directory in which anything answers, or lies anything but a socket, stays; so it does
while a device is mounted in it, and what is mounted is not looked at. A node
holds a shared lock on its directory for as long as it runs; only who gets the lock alone removes one.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from farshore.errors import FarshoreError
from farshore.node.paths import MOUNTS, Paths

_MOST_LOOKED_AT = 10_000


def make(paths: Paths) -> int:
    """Makes the directory, and its parent; a descriptor that holds it until it is closed.

    Raises FarshoreError `permission` where somebody else made it first or can write to it: /tmp is shared.
    """
    while True:
        held = None
        if _made(paths.run.parent) and _made(paths.run):
            held = _locked(paths.run, fcntl.LOCK_SH)
        if held is not None:
            return held  # else it was removed just now


def _made(directory: Path) -> bool:
    """Whether the directory is there; another node may remove it as left before anybody holds it."""
    directory.mkdir(mode=0o700, exist_ok=True)
    try:
        found = directory.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise FarshoreError(
            "permission",
            f"{directory} is not a directory that only this user can write to",
            means="sockets there could be replaced by somebody else, so the node does not start",
            next_step=f"look at it with: ls -ld {directory}; remove it if it is not yours",
        )
    return True


def sweep(paths: Paths) -> None:
    """Removes the directories of other nodes that have ended with their engines."""
    for directory in islice(paths.run.parent.iterdir(), _MOST_LOOKED_AT):
        if directory != paths.run:
            remove_if_left(directory)


def remove_if_left(directory: Path) -> bool:
    """Removes a directory in which nothing listens any more; whether it is gone."""
    try:
        held = _locked(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False  # a node runs there, or it is not ours to look at
    if held is None:
        return True  # somebody else was quicker
    try:
        if os.fstat(held).st_uid != os.geteuid() or any(_kept(directory)):
            return False
        for each in directory.iterdir():
            each.unlink()
        directory.rmdir()
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.ENOENT, errno.EACCES, errno.EPERM):
            return False  # an engine has come or gone meanwhile
        raise
    finally:
        os.close(held)
    return True


def _locked(directory: Path, kind: int) -> int | None:
    """A descriptor of the directory with this lock; None where it is gone, also while we waited.

    Raises OSError.
    """
    try:
        held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(held, kind)
        if os.fstat(held).st_ino == directory.lstat().st_ino:
            return held
    except FileNotFoundError:
        pass  # below
    except OSError:
        os.close(held)
        raise
    os.close(held)
    return None


def _kept(directory: Path) -> Iterator[Path]:
    """What keeps a directory: sockets that are listened on, and everything that is none."""
    for each in directory.iterdir():
        if each.name == MOUNTS and _removed(each):
            continue
        if not each.is_socket() or listened_on(each):
            yield each


def _removed(mounts: Path) -> bool:
    """Takes away the directory of the devices' mounts if none is left: a mount cannot be removed so."""
    try:
        for each in mounts.iterdir():
            each.rmdir()
        mounts.rmdir()
    except OSError:
        return False
    return True


def listened_on(path: Path) -> bool:
    """Whether somebody may answer at a Unix socket: all but two errors leave that open, a lack of
    descriptors or of memory as much as a queue that is full."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            probe.connect(str(path))
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    except OSError:
        return True
    return True
