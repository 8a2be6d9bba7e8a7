"""Fixtures that every test may use: where its files lie, where its sockets lie, what it started.

Files go to memory where there is enough of it, since tests are about what is written and not about
how fast this disk is. Sockets go to a directory whose path leaves room for their names: the address
of a Unix socket ends after 107 bytes.
"""

import gc
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from tests.processes import Processes
from tests.side_by_side import InGroups, end_workers, longest_first

_MEMORY = Path("/dev/shm")
_ENOUGH = 2 << 30
_SELDOM = 50_000
"""New objects between two searches for garbage."""
_SHORT = 256
"""Bytes that a report of a comparison may show whole: comparing longer ones by lines takes minutes."""

# Hundreds of engines, nodes and commands are started here, each of some hundred modules: what Python has
# compiled is kept, also where the caller's environment says otherwise.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Where these stand, pytest tells every difference of two values in full: of two images that takes minutes,
# and most of the tests that compare images expect, of some variant, that they differ.
for _name in ("CI", "BUILD_NUMBER"):
    os.environ.pop(_name, None)

# The fixtures for clusters of real nodes are a module of their own.
pytest_plugins = ["tests.cluster"] if Path(__file__).with_name("cluster.py").exists() else []


def pytest_configure() -> None:
    """Puts `tmp_path` into memory, unless somebody has chosen a place; a terminated run ends in order."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupted)
    if "PYTEST_DEBUG_TEMPROOT" in os.environ or not os.access(_MEMORY, os.W_OK):
        return
    if shutil.disk_usage(_MEMORY).free >= _ENOUGH:
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(_MEMORY)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than processors: most tests wait for something most of the time."""
    return len(os.sched_getaffinity(0)) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> InGroups:
    """However many workers there are, what may not run side by side does not."""
    return InGroups(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Several workers take the longest groups first; one alone takes tests as they stand."""
    if hasattr(config, "workerinput"):
        longest_first(items)


def pytest_collection_finish() -> None:
    """What has been collected stays to the end: nobody need look through it for garbage again and again, nor
    often through what a simulated life makes, here or in a process that is forked from this one."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_SELDOM, 20, 100)


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Of two images that should be equal the first difference is told, and nothing else."""
    if op != "==" or not (isinstance(left, bytes) and isinstance(right, bytes)):
        return None
    if max(len(left), len(right)) <= _SHORT:
        return None
    pairs = enumerate(zip(left, right, strict=False))
    first = next((at for at, (a, b) in pairs if a != b), min(len(left), len(right)))
    shown = f"{left[first : first + 16].hex(' ')} is not {right[first : first + 16].hex(' ')}"
    return [f"{len(left)} bytes == {len(right)} bytes", f"from byte {first}: {shown}"]


def _interrupted(number: int, frame: FrameType | None) -> None:
    """As Ctrl-C: fixtures end what tests have started. Without it nodes and engines would outlive the run."""
    end_workers()
    raise KeyboardInterrupt


@pytest.fixture
def socket_directory() -> Iterator[Path]:
    """A private directory with a short path, for Unix sockets; gone after the test."""
    with tempfile.TemporaryDirectory(prefix="fs-", dir="/tmp") as path:
        yield Path(path)


@pytest.fixture
def disk_path() -> Iterator[Path]:
    """A directory on a real disk, for tests of durability and of what only real file systems do."""
    with tempfile.TemporaryDirectory(prefix="farshore-", dir="/var/tmp") as path:
        yield Path(path)


@pytest.fixture
def processes() -> Iterator[Processes]:
    """Starts processes for a test; none of them outlives it."""
    kept = Processes()
    yield kept
    kept.close()
