"""`python -m farshore.device.leaving DIR`: what systemd runs before it tells a device to end.

At a shutdown it unmounts what lies on the device. systemd takes a file system that somebody mounted by hand
for a local one, and would unmount it only after every service, this device included, has ended. As long as
programs still use it, it is tried again: they are being ended at the same time. At any other time it does
nothing: a device that is in use is not detached then, and says who uses it.
"""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import time
from typing import Final

from farshore.device.intent import read_config
from farshore.engine.log import to_stderr
from farshore.errors import FarshoreError, ProtocolError
from farshore.store.mounts import Mount, mounts, mounts_of
from farshore.wire import control

PATIENCE: Final = 120.0
"""Seconds; services that do not end by themselves are killed before that."""
_PAUSE: Final = 0.5
_UMOUNT_S: Final = 60.0
_ANSWER_S: Final = 5.0


def main(arguments: list[str]) -> int:
    """The exit code: 0 where nothing lies on the device any more, or nothing was to be done."""
    if len(arguments) != 1:
        to_stderr("usage: python -m farshore.device.leaving DIR")
        return 2
    if not _shutting_down():
        return 0
    try:
        number = _device_number(arguments[0])
    except (FarshoreError, OSError) as error:
        to_stderr(f"nothing is unmounted: {error}")
        return 1
    until = time.monotonic() + PATIENCE
    while number is not None:
        points = mounted(number, mounts())
        if not points:
            break
        for point in reversed(points):  # what was mounted last may lie on what was mounted before
            _unmount(point)
        if time.monotonic() > until:
            return 1
        time.sleep(_PAUSE)
    return 0


def mounted(number: tuple[int, int], table: list[Mount]) -> list[str]:
    """Where file systems of a block device are mounted, in the order in which they were. Pure."""
    return [mount.point for mount in mounts_of(os.makedev(*number), table)]


def _shutting_down() -> bool:
    try:
        run = subprocess.run(
            ("systemctl", "is-system-running"), capture_output=True, text=True, timeout=_ANSWER_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False  # there is no systemd, or it says nothing: nothing is unmounted on a guess
    return run.stdout.strip() == "stopping"


def _device_number(directory: str) -> tuple[int, int] | None:
    """Of the block device that programs see; None where it is none."""
    found = os.stat(_path(read_config(directory).control))
    return (os.major(found.st_rdev), os.minor(found.st_rdev)) if stat.S_ISBLK(found.st_mode) else None


def _path(address: str) -> str:
    """What programs open, as the device says. Raises OSError, ProtocolError, or what the device answers."""
    decoder = control.Decoder()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.settimeout(_ANSWER_S)
        door.connect(address)
        door.sendall(control.encode_request(control.Request(1, "status", {})))
        while data := door.recv(1 << 16):
            for message in decoder.feed(data):
                reply = control.as_reply(message)
                if reply.error is not None:
                    raise reply.error
                if isinstance(reply.result, dict):
                    return str(reply.result.get("path"))
    raise ProtocolError("the device did not say what it is")


def _unmount(point: str) -> None:
    try:
        run = subprocess.run(
            ("umount", point), capture_output=True, text=True, timeout=_UMOUNT_S, check=False
        )
    except subprocess.TimeoutExpired:
        to_stderr(f"{point}: not unmounted within {_UMOUNT_S:g} s")
        return
    to_stderr(f"{point} is unmounted" if run.returncode == 0 else run.stderr.strip())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
