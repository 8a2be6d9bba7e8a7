"""Tests that run at the same time do not get into each other's way, and a run ends with nobody waiting."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.side_by_side import DEVICES, group_of

_ROOT = Path(__file__).resolve().parents[2]
_DEVICES = re.compile(r"requires_fuse\(\)|losetup|loop_devices\(\)|\"loop[\",]|os\.sync\(")
"""What a module that meets devices says, itself or through what it imports."""
_IMPORT = re.compile(r"^from (tests\.\S+) import", re.MULTILINE)
_NEVER = {"tests/requires.py", "tests/unit/test_side_by_side.py"}


def _meets_devices(path: Path, seen: set[Path]) -> bool:
    if path in seen or str(path.relative_to(_ROOT)) in _NEVER:
        return False
    seen.add(path)
    text = path.read_text()
    imported = [_ROOT / f"{name.replace('.', '/')}.py" for name in _IMPORT.findall(text)]
    return bool(_DEVICES.search(text)) or any(
        _meets_devices(each, seen) for each in imported if each.exists()
    )


@pytest.mark.parametrize(
    "module",
    sorted(
        str(path.relative_to(_ROOT))
        for path in (_ROOT / "tests").rglob("test_*.py")
        if "soak" not in path.parts and _meets_devices(path, set())
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


def test_workers_run_all_tests_and_the_last_line_counts_them(tmp_path: Path) -> None:
    """As in `make test`: one summary, whichever worker ran what."""
    modules = ["tests/unit/test_config.py", "tests/unit/test_processes.py"]
    command = [sys.executable, "-m", "pytest", "-n", "2", "-p", "no:cacheprovider", *modules]
    ended = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=100)
    alone = subprocess.run([*command, "-n", "0"], cwd=_ROOT, capture_output=True, text=True, timeout=100)
    found = [run.stdout.splitlines()[-1] for run in (ended, alone)]
    assert [run.returncode for run in (ended, alone)] == [0, 0], found
    assert re.findall(r"\d+ passed", found[0]) == re.findall(r"\d+ passed", found[1]) != []
