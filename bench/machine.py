"""Where and when a measurement was made: what a figure means nothing without."""

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_CHECKOUT = Path(__file__).parents[1]
_VERSIONS = (
    ("fio", ["fio", "--version"]),
    ("nbdkit", ["nbdkit", "--version"]),
    ("qemu", ["qemu-nbd", "--version"]),
)


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine, the software and the moment of one session of measurements."""

    processor: str
    cores: int
    memory_bytes: int
    kernel: str
    python: str
    programs: dict[str, str]
    """The first line of what each one says of its version; programs that are not installed are absent."""
    load: float
    """Processes that wanted to run in the minute before: what else the machine was busy with."""
    commit: str
    """Short, with `-dirty` where the tree differs from it; `uncommitted` before the first commit."""
    started: datetime


def look() -> Machine:
    """This machine, now."""
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 0,
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        kernel=platform.release(),
        python=platform.python_version(),
        programs={name: said[0] for name, command in _VERSIONS if (said := _said(command))},
        load=round(os.getloadavg()[0], 2),
        commit=_commit(),
        started=datetime.now(UTC).replace(microsecond=0),
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    commit = _said(["git", "-C", str(_CHECKOUT), "rev-parse", "--short", "HEAD"])
    if not commit:
        return "uncommitted"
    changed = _said(["git", "-C", str(_CHECKOUT), "status", "--porcelain", "--", "farshore", "bench"])
    return commit[0] + ("-dirty" if changed else "")


def _said(command: list[str]) -> list[str]:
    """The lines that a command prints; none if it is missing or fails."""
    if shutil.which(command[0]) is None:
        return []
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return done.stdout.strip().splitlines() if done.returncode == 0 else []
