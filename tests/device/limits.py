"""Groups of processes with a limit of memory, page cache included: version 2 of cgroups where its memory
controller is there, else version 1, which waits for writeback in more places and so is the harder test."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_ROOT = Path("/sys/fs/cgroup")
_V1 = _ROOT / "memory"
_CAP_SYS_RESOURCE = 24


class Limit:
    """One group. Lift the limit before anything else is tried with processes that may be stuck in it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path / ("memory.max" if _version_2() else "memory.limit_in_bytes")

    def set(self, size: int) -> None:
        """From now on."""
        self._file.write_text(str(size))

    def lift(self) -> None:
        """No limit any more."""
        self._file.write_text("max" if _version_2() else "-1")

    def take(self, pid: int) -> None:
        """This process, and what it starts from now on."""
        (self._path / "cgroup.procs").write_text(str(pid))

    def reached(self) -> int:
        """How often somebody had to give memory back first."""
        if _version_2():
            events = dict(line.split() for line in (self._path / "memory.events").read_text().splitlines())
            return int(events["max"])
        return int((self._path / "memory.failcnt").read_text())

    def remove(self) -> None:
        """Its processes go to where they came from."""
        for pid in (self._path / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                (self._path.parent / "cgroup.procs").write_text(pid)
        self._path.rmdir()


def _version_2() -> bool:
    controllers = _ROOT / "cgroup.subtree_control"
    return controllers.exists() and "memory" in controllers.read_text().split()


@contextmanager
def limited() -> Iterator[Limit]:
    """A group of its own, without a limit yet."""
    name = f"farshore-test-{secrets.token_hex(4)}"
    path = (_ROOT if _version_2() else _V1) / name
    path.mkdir()
    limit = Limit(path)
    try:
        yield limit
    finally:
        limit.lift()
        limit.remove()


def requires_memory_limits() -> pytest.MarkDecorator:
    """Skips a test where no group with a limit of memory can be made."""
    place = _ROOT if _version_2() else _V1
    possible = os.access(place, os.W_OK) and (_version_2() or (place / "memory.limit_in_bytes").exists())
    return pytest.mark.skipif(not possible, reason="needs cgroups with a memory controller, and to be root")


def _requires_no_waiting_in_reclaim() -> pytest.MarkDecorator:
    """Skips a test where processes that get memory may wait for pages that are being written, and where they
    cannot be excepted from that: version 1 of cgroups, without CAP_SYS_RESOURCE."""
    return pytest.mark.skipif(
        not _version_2() and not _may_be_flusher(),
        reason="needs CAP_SYS_RESOURCE, or version 2 of cgroups: else the kernel itself deadlocks here",
    )


def in_both_forms() -> pytest.MarkDecorator:
    """Runs a test with the application alone in the limited group, and with engine and device in it too."""
    return pytest.mark.parametrize(
        "everybody",
        [
            pytest.param(False, id="application"),
            pytest.param(True, id="everybody", marks=_requires_no_waiting_in_reclaim()),
        ],
    )


def _may_be_flusher() -> bool:
    with Path("/proc/self/status").open() as lines:
        (effective,) = [line.split()[1] for line in lines if line.startswith("CapEff:")]
    return bool(int(effective, 16) >> _CAP_SYS_RESOURCE & 1)
