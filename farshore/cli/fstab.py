"""A line of /etc/fstab for a volume that is attached as a device.

The line names the link that `device attach --at` made, since what is behind it, /dev/loop7 say, is another
one after each start of the host. It must not lie in /dev: systemd would wait there for udev to announce it,
and nobody announces a link. So that the mount comes after the device and goes before it, the line says
`_netdev`, and requires the unit that the device runs in, where it runs in one: the kernel says so.
"""

from __future__ import annotations

import re
from pathlib import Path

from farshore.client.answers import Device
from farshore.errors import FarshoreError

_UNIT = re.compile(r"(farshore-device@[^/\n]+\.service)$", re.MULTILINE)
_NEXT = "farshore device attach {what} --at /run/farshore-{group}-{volume}"


def line(device: Device, mount: str, unit: str | None) -> str:
    """The line, without its end. `unit`: the device's own. Raises FarshoreError `wrong-state` for a device
    whose name does not last."""
    what = f"{device.group}/{device.volume}"
    detach = f"farshore device detach {what}; then {attach_command(device.group, device.volume)}"
    if device.at is None:
        raise FarshoreError(
            "wrong-state",
            f"{what} is attached, but under no name that is the same after the next start of the host",
            means="nothing was changed",
            next_step=detach,
        )
    if device.at.startswith("/dev/"):
        raise FarshoreError(
            "wrong-state",
            f"{what} is attached at {device.at}: systemd waits in /dev for devices that udev announces",
            means="nothing was changed; a mount from there would fail at the start of the host",
            next_step=detach,
        )
    options = ["ro"] if device.read_only else []
    options += ["_netdev", "nofail"]
    if unit is not None:
        options.append(f"x-systemd.requires={unit}")
    # The last number is 0: what is no device in systemd's eyes it does not check.
    return " ".join((_written(device.at), _written(mount), "auto", _written(",".join(options)), "0", "0"))


def attach_command(group: str, volume: str) -> str:
    """What gives a volume a name that lasts."""
    return _NEXT.format(what=f"{group}/{volume}", group=group, volume=volume)


def unit_of(pid: int | None) -> str | None:
    """The unit that systemd runs a device's process in; None where it runs in none."""
    if pid is None:
        return None
    try:
        said = Path(f"/proc/{pid}/cgroup").read_text("utf-8")
    except OSError:
        return None  # it has just ended: what it ran in is not known
    found = _UNIT.search(said)
    return found[1] if found else None


def _written(text: str) -> str:
    """As fstab has what would end a field: in octal. A unit's own backslashes too."""
    return "".join(f"\\{ord(each):03o}" if each in " \t\n\\" else each for each in text)
