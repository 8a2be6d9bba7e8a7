"""Who uses a device: processes that have it open, mounts and other devices that stand on it.

Reads /proc and /sys and follows no link there: to look at our own file would be to ask ourselves. What ends
or hides while it is looked at is passed over.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from farshore.store.mounts import mounts, mounts_of

MOST_NAMED: Final = 8
_GONE: Final = (FileNotFoundError, ProcessLookupError, PermissionError, NotADirectoryError)


@dataclass(frozen=True, slots=True)
class Holder:
    """One of them in words, and what makes him let go."""

    words: str
    next_step: str


def holders(paths: list[str], device: str | None) -> list[Holder]:
    """At most `MOST_NAMED` of each kind, mounts first. `paths` are those that programs open; `device` is the
    loop device among them, if there is one. Our own process does not count."""
    found: list[Holder] = []
    if device:
        found += _mounted(device)
        found += [Holder(f"device {name}", f"take off what stands on {device}") for name in _stacked(device)]
    found += [
        Holder(f"open in process {pid} ({_command(pid)})", f"end process {pid}")
        for pid in _openers(set(paths))
    ]
    return list(dict.fromkeys(found))


def _pids() -> Iterator[int]:
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            yield int(name)


def _openers(paths: set[str]) -> list[int]:
    found: list[int] = []
    for pid in _pids():
        try:
            descriptors = os.listdir(f"/proc/{pid}/fd")
        except _GONE:
            continue
        for descriptor in descriptors:
            try:
                open_there = os.readlink(f"/proc/{pid}/fd/{descriptor}")
            except _GONE:
                continue
            if open_there in paths:
                found.append(pid)
                break
        if len(found) == MOST_NAMED:
            break
    return found


def _mounted(device: str) -> list[Holder]:
    """Where file systems on the device are mounted, in whichever namespace of mounts they are."""
    number = os.stat(device).st_rdev
    found: dict[str, Holder] = {}
    tables = {"/proc/self/mountinfo": 0}
    seen: set[str] = set()
    for pid in _pids():
        try:
            namespace = os.readlink(f"/proc/{pid}/ns/mnt")
        except _GONE:
            continue
        if namespace not in seen:
            seen.add(namespace)
            tables[f"/proc/{pid}/mountinfo"] = pid
    for table, pid in tables.items():
        try:
            here = mounts(table)
        except (*_GONE, OSError):
            continue
        for mount in mounts_of(number, here):
            if mount.point not in found:
                found[mount.point] = _mount(mount.point, pid)
    return list(found.values())[:MOST_NAMED]


def _mount(point: str, pid: int) -> Holder:
    """`pid` is of a process that sees it where we do not, or 0."""
    if not pid:
        return Holder(f"mounted on {point}", f"umount {point}")
    return Holder(
        f"mounted on {point}, as process {pid} sees it", f"nsenter --target {pid} --mount umount {point}"
    )


def _stacked(device: str) -> list[str]:
    """Devices made of it: volume groups, RAIDs."""
    try:
        return sorted(os.listdir(f"/sys/block/{os.path.basename(device)}/holders"))
    except FileNotFoundError:
        return []


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as text:
            return text.read().strip()
    except _GONE:
        return "gone"
