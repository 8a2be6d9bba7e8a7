"""`farshore demo` proves what it claims on this machine, and leaves nothing behind however it ends."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import ROOT
from tests.processes import command_lines


def _start(directory: Path) -> subprocess.Popen[str]:
    """The demo, with its own directory for temporary files."""
    return subprocess.Popen(
        [sys.executable, "-m", "farshore", "demo", "--json"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(directory)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


def _processes_of(directory: Path) -> list[str]:
    """Command lines of processes that name something below `directory`."""
    lines = [" ".join(words) for _, words in command_lines()]
    return [line for line in lines if str(directory) in line]


@pytest.mark.timeout(240)
def test_every_claim_of_the_demo_holds(disk_path: Path) -> None:
    demo = _start(disk_path)
    output, _ = demo.communicate(timeout=200)
    verdict = json.loads(output.splitlines()[-1])
    assert verdict["problem"] is None, output
    assert [proof for proof in verdict["proofs"] if not proof["held"]] == []
    assert len(verdict["proofs"]) >= 19
    assert (verdict["held"], demo.returncode) == (True, 0)
    assert list(disk_path.iterdir()) == []
    assert _processes_of(disk_path) == []


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("moment", "number"),
    [("node start", signal.SIGINT), ("group create", signal.SIGTERM), ("link create", signal.SIGINT)],
)
def test_an_interrupted_demo_stops_and_removes_everything(
    moment: str, number: signal.Signals, disk_path: Path
) -> None:
    demo = _start(disk_path)
    assert demo.stdout is not None
    for line in demo.stdout:
        if moment in str(json.loads(line).get("command")):
            break
    demo.send_signal(number)
    output, _ = demo.communicate(timeout=90)
    assert demo.returncode == 130
    assert json.loads(output.splitlines()[-1])["held"] is False
    assert list(disk_path.iterdir()) == []
    assert _processes_of(disk_path) == []
