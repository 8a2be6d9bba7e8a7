"""Volumes of a cluster as devices, mounted, and what may be left of them taken away whatever happened.

A device that is made here goes with the block that made it: unmounted and detached in order where the test
went well, and otherwise torn off, so that no mount, loop device or process is left on this machine.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from farshore.store.mounts import loop_devices, mounts
from tests.cluster import Host
from tests.interop.programs import run
from tests.processes import running
from tests.waiting import wait_until

DEVICE = "farshore.device"
"""What the command line of a device's process names."""


@contextmanager
def attached(host: Host, what: str, *words: str) -> Iterator[list[dict[str, Any]]]:
    """The devices of `what`, GROUP or GROUP/VOLUME, in the order of its volumes, until the block ends."""
    made = host.done("device", "attach", what, "--json", *words)["devices"]
    host.hold()
    try:
        yield made
        host.done("device", "detach", what)
    finally:
        if sys.exc_info()[0] is not None:
            tear_off(host)


@contextmanager
def mounted(device: str, at: Path, kind: str = "ext4") -> Iterator[Path]:
    """The file system on a block device, unmounted at the end."""
    at.mkdir(exist_ok=True)
    run("mount", "-t", kind, "-o", "noatime", device, at)
    try:
        yield at
    finally:
        failed = sys.exc_info()[0] is not None
        words = ["umount", "-l", str(at)] if failed else ["umount", str(at)]
        subprocess.run(words, capture_output=True, check=not failed, timeout=60)


def device(host: Host, what: str) -> dict[str, Any]:
    """A device as `device list` shows it."""
    group, _, volume = what.partition("/")
    return next(
        dict(each)
        for each in host.node.devices().document["devices"]
        if (each["group"], each["volume"]) == (group, volume)
    )


def until_state(host: Host, what: str, state: str, timeout: float = 30.0) -> dict[str, Any]:
    """The device once it is in this state."""
    wait_until(lambda: device(host, what)["state"] == state, timeout, what=f"{what} to be {state}")
    return device(host, what)


def left(host: Host) -> list[str]:
    """Mounts and loop devices of the host's node: none may be there when nothing is attached."""
    below = _mounts_of(host)
    points = [mount.point for mount in mounts() if mount.point.startswith(below)]
    loops = [name for name, backing in loop_devices().items() if backing.startswith(below)]
    return points + loops


def tear_off(host: Host) -> None:
    """Ends the node's devices without asking: the node first, which would start them again."""
    for pid in (*running(host.state, "farshore.api.process"), *running(host.state, DEVICE)):
        host.kill(pid)
    below = _mounts_of(host)
    for name, backing in loop_devices().items():
        if backing.startswith(below):
            subprocess.run(["umount", "-A", "-l", f"/dev/{name}"], capture_output=True, check=False)
            subprocess.run(["losetup", "-d", f"/dev/{name}"], capture_output=True, check=False)
    for mount in mounts():
        if mount.point.startswith(below):
            subprocess.run(["umount", "-l", mount.point], capture_output=True, check=False)


def _mounts_of(host: Host) -> str:
    record = host.state / "node.json"
    return f"{json.loads(record.read_text())['run']}/d/" if record.exists() else "/nowhere/"
