"""What the disk and the kernel of a host tell of its node, whether or not the node runs.

Of the state directory only what is listed here is taken: records and logs that hold no secret. Keys, open
invitations, and what volumes, journals and queues contain stay where they are.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

from farshore import __version__
from farshore.support.parts import Missing, Part, of_command, of_document, of_file

_RECORDS: Final = (
    "node.json",
    "rates.json",
    "events",
    "events.1",
    "node.log",
    "copies/*/*/copy.json",
    "copies/*/*/failure.json",
    "copies/*/*/engine.log",
    "copies/*/*/engine.log.1",
    "devices/*/device.json",
    "devices/*/failure.json",
    "devices/*/device.log",
    "devices/*/device.log.1",
)
_KERNEL: Final = (
    "version",
    "loadavg",
    "meminfo",
    "modules",
    "partitions",
    "diskstats",
    "swaps",
    "pressure/cpu",
    "pressure/io",
    "pressure/memory",
    "self/mountinfo",
    "net/dev",
    "net/snmp",
    "sys/net/ipv4/tcp_rmem",
    "sys/net/ipv4/tcp_wmem",
    "sys/vm/dirty_ratio",
    "sys/vm/dirty_background_ratio",
    "sys/fs/file-nr",
)
_PROCESS: Final = ("status", "limits", "io", "cgroup", "wchan", "oom_score_adj", "smaps_rollup")
_MODULES: Final = ("farshore.api.process", "farshore.engine.process", "farshore.device")
_MOST_FILES: Final = 500
_MOST_LISTED: Final = 10_000
_MOST_PROCESSES: Final = 100
_UNITS: Final = ("farshore.target", "farshore-node.service", "farshore-engine@*", "farshore-device@*")


def versions() -> Part:
    """Of Farshore, of what it stands on, and of the host."""
    found = {each.metadata["Name"]: each.version for each in importlib.metadata.distributions()}
    return of_document(
        "versions.json",
        {
            "farshore": __version__,
            "python": sys.version,
            "executable": sys.executable,
            "platform": platform.platform(),
            "release": platform.freedesktop_os_release() if Path("/etc/os-release").exists() else {},
            "processors": os.cpu_count(),
            "user": os.geteuid(),
            "packages": dict(sorted(found.items())),
        },
    )


def records(state: Path) -> Iterator[Part | Missing]:
    """The state directory: what stands in its records and logs, and a list of everything in it."""
    if not os.access(state, os.R_OK | os.X_OK):
        yield Missing("state", f"{state} is not there, or not this user's")
        return
    yield of_document("state/files.json", {"directory": str(state), "files": list(_listed(state))})
    for pattern in _RECORDS:
        for path in islice(sorted(state.glob(pattern)), _MOST_FILES):
            yield of_file(f"state/{path.relative_to(state)}", path)


def kernel(state: Path) -> Iterator[Part | Missing]:
    """Memory, disks, network and limits as the kernel tells them, and how our own processes stand."""
    for name in _KERNEL:
        yield of_file(f"kernel/{name.replace('/', '-')}", Path("/proc") / name)
    place = next(each for each in (state, *state.parents) if each.exists())
    usage = shutil.disk_usage(place)
    yield of_document("kernel/space.json", {"at": str(place), "total": usage.total, "free": usage.free})
    for pid, module in islice(_processes(), _MOST_PROCESSES):
        for name in _PROCESS:
            yield of_file(f"processes/{pid}-{module}/{name}", Path(f"/proc/{pid}/{name}"))


def service() -> Iterator[Part | Missing]:
    """Our units and what they have said, where systemd runs."""
    if not Path("/run/systemd/system").is_dir():
        yield Missing("systemd", "systemd does not run here")
        return
    yield of_command("systemd/status", ("systemctl", "status", "--no-pager", "--full", "--all", *_UNITS))
    yield of_command("systemd/units", ("systemctl", "cat", "--no-pager", *_UNITS[:2]))
    units = [f"--unit={each}" for each in _UNITS]
    words = ("journalctl", "--no-pager", "--lines=5000", "--output=short-iso-precise", *units)
    yield of_command("systemd/journal", words)


def _listed(state: Path) -> Iterator[dict[str, Any]]:
    for path in islice(sorted(state.rglob("*")), _MOST_LISTED):
        try:
            about = path.lstat()
        except FileNotFoundError:
            continue  # a node that runs makes and removes files
        yield {
            "name": str(path.relative_to(state)),
            "mode": oct(about.st_mode),
            "owner": about.st_uid,
            "size": about.st_size,
            "bytes": about.st_blocks * 512,
            "changed": about.st_mtime,
        }


def _processes() -> Iterator[tuple[int, str]]:
    """Pid and module of each process of ours; of any node of this host that we may look at."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
        except OSError:
            continue  # it has ended
        module = next((each for each in _MODULES if each in words), None)
        if module is not None:
            yield int(entry.name), module.removeprefix("farshore.").replace(".", "-")
