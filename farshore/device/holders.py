"""Who uses a device: processes that have it open, mounts and other devices that stand on it.

Reads /proc and /sys and follows no link there: to look at our own file would be to ask ourselves. What ends
or hides while it is looked at is passed over.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from farshore.store.mounts import mounts

MOST_NAMED: Final = 8
_GONE: Final = (FileNotFoundError, ProcessLookupError, PermissionError, NotADirectoryError)


def holders(paths: list[str], device: str | None) -> list[str]:
    """In words, at most `MOST_NAMED` of each kind. `paths` are those that programs open; `device` is the loop
    device among them, if there is one. Our own process does not count."""
    found = _mounted(device) if device else []
    if device:
        found += [f"device {name}" for name in _stacked(device)]
    found += [f"process {pid} ({_command(pid)})" for pid in _openers(set(paths))]
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


def _mounted(device: str) -> list[str]:
    """Where file systems on the device are mounted, in whichever namespace of mounts they are."""
    number = os.stat(device).st_rdev
    found: dict[str, str] = {}
    tables = {"/proc/self/mountinfo": ""}
    seen: set[str] = set()
    for pid in _pids():
        try:
            namespace = os.readlink(f"/proc/{pid}/ns/mnt")
        except _GONE:
            continue
        if namespace not in seen:
            seen.add(namespace)
            tables[f"/proc/{pid}/mountinfo"] = f", as process {pid} sees it"
    for table, seen_by in tables.items():
        try:
            here = mounts(table)
        except (*_GONE, OSError):
            continue
        for mount in here:
            if mount.device == number and mount.point not in found:
                found[mount.point] = f"mounted on {mount.point}{seen_by}"
    return list(found.values())[:MOST_NAMED]


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
