"""A view of this machine's mounts of a test's own: /dev/fuse as ordinary users have it, or no FUSE at all."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import Host
from tests.processes import Processes, running
from tests.waiting import wait_until

USER = "nobody"
_FUSE = "mknod -m 666 {room}/fuse c 10 229 && mount --bind {room}/fuse /dev/fuse"
_NO_FUSE = """mkdir {room}/dev && mount -t tmpfs -o mode=755 farshore-test {room}/dev &&
mkdir {room}/dev/shm && for node in null zero full random urandom; do cp -a /dev/$node {room}/dev/; done &&
mount --bind /dev/shm {room}/dev/shm && mount --move {room}/dev /dev"""
_OTHERS = """awk '$1 ~ "^/dev/loop" || $3 ~ "^fuse" {{print $2}}' /proc/mounts | xargs -r umount -l"""
"""Devices of others that are mounted just now: a second view of them would keep them in use."""


@contextmanager
def _namespace(script: str, processes: Processes) -> Iterator[list[str]]:
    """The words that go before a command which is to see what `script` has made of the mounts."""
    with tempfile.TemporaryDirectory(prefix="fs-", dir="/tmp") as room:
        made = Path(room) / "made"
        steps = ["mount --make-rprivate /", _OTHERS, script, "touch {room}/made", "exec sleep infinity"]
        command = " && ".join(steps).format(room=room)
        holder = processes.start(["unshare", "--mount", "sh", "-c", command], output=Path(room) / "log")
        wait_until(made.exists, what="the namespace to be there")
        yield ["nsenter", f"--mount=/proc/{holder.pid}/ns/mnt", "--"]
        processes.kill(holder.pid)
        holder.wait(10)


@contextmanager
def user_without_links(processes: Processes, *, may_use_fuse: bool = True) -> Iterator[Host]:
    """A host of `USER`'s whose node does not run yet; it ends with the block."""
    with users_view(processes, "666" if may_use_fuse else "600") as words, users_room() as room:
        host = Host(room, "u", processes, words)
        subprocess.run(["chown", USER, host.directory], check=True)
        with ended(host):
            yield host


@contextmanager
def ended(host: Host) -> Iterator[None]:
    """Whatever runs for the host at the end of the block is killed, first what would start others."""
    try:
        yield
    finally:
        for name in ("farshore.api.process", ""):
            for pid in running(host.state, name):
                host.kill(pid)


@contextmanager
def users_view(processes: Processes, mode: str) -> Iterator[list[str]]:
    """Commands run as `USER`; /dev/fuse has this mode."""
    with _namespace(f"{_FUSE} && chmod {mode} /dev/fuse", processes) as words:
        yield [*words, "setpriv", f"--reuid={USER}", f"--regid={_group()}", "--clear-groups", "--"]


@contextmanager
def view_without_fuse(processes: Processes) -> Iterator[list[str]]:
    """Commands run as root, with a kernel that seems to have no FUSE."""
    with _namespace(_NO_FUSE, processes) as words:
        yield words


@contextmanager
def users_room() -> Iterator[Path]:
    """A directory that is `USER`'s."""
    with tempfile.TemporaryDirectory(prefix="fs-", dir="/tmp") as path:
        subprocess.run(["chown", f"{USER}:{_group()}", path], check=True)
        yield Path(path)


def _group() -> str:
    return subprocess.run(["id", "-gn", USER], check=True, capture_output=True, text=True).stdout.strip()


def may_make_namespaces() -> bool:
    """Root in a container may be denied it."""
    if os.geteuid() != 0:
        return False
    words = ["unshare", "--mount", "mount", "--make-rprivate", "/"]
    return subprocess.run(words, check=False, capture_output=True).returncode == 0
