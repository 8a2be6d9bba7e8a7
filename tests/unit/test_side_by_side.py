"""Tests that run at the same time do not get into each other's way, and a run ends with nobody waiting."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import Processes
from tests.side_by_side import DEVICES, group_of
from tests.waiting import wait_until

_ROOT = Path(__file__).resolve().parents[2]
_DEVICES = re.compile(
    r"requires_fuse\(\)|loop_mounted|block_device_on|\(\"losetup\"|\[\"losetup\"|\"-o\", \"loop"
)
"""What a module says that makes devices."""


def _meets_devices(path: Path) -> bool:
    return bool(_DEVICES.search(path.read_text()))


@pytest.mark.parametrize(
    "module",
    sorted(
        str(path.relative_to(_ROOT))
        for path in (_ROOT / "tests").rglob("test_*.py")
        if "soak" not in path.parts and path != Path(__file__) and _meets_devices(path)
    ),
)
def test_whatever_meets_devices_runs_in_one_worker(module: str) -> None:
    assert group_of(f"{module}::test_it") == DEVICES


def test_tests_that_share_nodes_are_one_group() -> None:
    for package in (_ROOT / "tests").iterdir():
        conftest = package / "conftest.py"
        if package.name != "soak" and conftest.exists() and 'scope="package"' in conftest.read_text():
            assert group_of(f"tests/{package.name}/test_a.py::test_it") == group_of(
                f"tests/{package.name}/test_b.py::test_it"
            )


def _pytest(workers: int, tests: Path) -> list[str]:
    """A run of its own, of tests that lie elsewhere, with what all our tests have."""
    words = ["-n", str(workers), "-p", "tests.conftest", "-p", "no:cacheprovider", "--import-mode=importlib"]
    return [sys.executable, "-m", "pytest", *words, str(tests)]


def test_the_last_line_of_a_run_counts_what_all_workers_ran(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"test_{number}.py").write_text(f"def test_it():\n    assert {number} < 2\n")
    ended = subprocess.run(_pytest(2, tmp_path), cwd=_ROOT, capture_output=True, text=True, timeout=100)
    assert ended.returncode == 1
    assert "1 failed, 2 passed" in ended.stdout.splitlines()[-1]


_WAITS = """
from pathlib import Path

def test_it(processes):
    started = processes.start(["sleep", "100"])
    Path(__file__).with_name("waiting").write_text(str(started.pid))
    started.wait()
"""


def test_a_run_that_is_terminated_ends_what_its_workers_started(tmp_path: Path, processes: Processes) -> None:
    (tmp_path / "test_it.py").write_text(_WAITS)
    run = processes.start(_pytest(1, tmp_path), cwd=_ROOT, output=tmp_path / "output")
    waiting = tmp_path / "waiting"
    wait_until(lambda: waiting.exists() and waiting.read_text(), 60.0, what="the test to run")
    processes.kill(run.pid, signal.SIGTERM)
    assert run.wait(60) != 0
    assert not Path(f"/proc/{waiting.read_text()}").exists()
