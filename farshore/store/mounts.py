"""What this host has mounted, and which loop devices stand on which files.

Reads what the kernel says, and looks at no path on another file system than the one that is asked about: a
path on one of our own mounts must not be touched, since a lookup there would wait for ourselves.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass

_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo. `device` is what `os.makedev` makes of its numbers."""

    point: str
    kind: str
    """The type of the file system, `fuse.farshore` say."""
    source: str
    device: int
    root: str


def mounts(table: str = "/proc/self/mountinfo") -> list[Mount]:
    """The mounts that this process sees, in the order in which they were made."""
    with open(table, encoding="utf-8", errors="surrogateescape") as lines:
        return [_parse(line) for line in lines]


def _parse(line: str) -> Mount:
    fields = line.rstrip("\n").split(" ")
    after = fields.index("-", 6)
    major, minor = fields[2].split(":")
    return Mount(
        point=_plain(fields[4]),
        kind=fields[after + 1],
        source=_plain(fields[after + 2]),
        device=os.makedev(int(major), int(minor)),
        root=_plain(fields[3]),
    )


def _plain(text: str) -> str:
    """Blanks and the like stand as octal numbers there."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)


def mount_of(path: str, table: list[Mount]) -> Mount | None:
    """The mount on which an absolute path without links lies. A later mount hides an earlier one."""
    found: Mount | None = None
    for mount in table:
        prefix = mount.point.rstrip("/") + "/"
        if (path + "/").startswith(prefix) and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    return found


def mounts_of(device: int, table: list[Mount]) -> list[Mount]:
    """The mounts of a block device, in their order. btrfs shows a number that no device has, and its device
    in the source alone; of that nothing is looked at but its entry in /dev."""
    return [mount for mount in table if device in (mount.device, _number_of(mount.source))]


def _number_of(source: str) -> int | None:
    if source.startswith("/dev/"):
        with contextlib.suppress(OSError):
            return os.stat(source).st_rdev
    return None


def loop_devices(sys_block: str = "/sys/block") -> dict[str, str]:
    """Loop device name -> path of the file that it stands on, for those in use."""
    backing: dict[str, str] = {}
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(sys_block):
            if name.startswith("loop") and (file := backing_file(name, sys_block)) is not None:
                backing[name] = file
    return backing


def backing_file(name: str, sys_block: str = "/sys/block") -> str | None:
    """The file that a loop device stands on, None where it stands on none."""
    try:
        return _first_line(f"{sys_block}/{name}/loop/backing_file")
    except OSError:
        return None


def loop_on(path: str, table: list[Mount], sys_block: str = "/sys/block") -> str | None:
    """The name of a loop device that stands on the file at this absolute path without links, if one does.

    Of files behind loop devices only those on the same file system are looked at: another one may be one of
    ours, or hang for reasons of its own.
    """
    here, file = mount_of(path, table), os.stat(path)
    for name, backing in loop_devices(sys_block).items():
        behind = backing.removesuffix(" (deleted)")
        there = mount_of(behind, table)
        if here is None or there is None or there.device != here.device:
            continue
        with contextlib.suppress(OSError):  # detached meanwhile, or its file is out of sight
            if os.path.samestat(os.stat(behind), file):
                return name
    return None


def _first_line(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as lines:
        return lines.readline().rstrip("\n")
