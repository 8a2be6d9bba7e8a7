"""The bursty application really writes, measures from hand-over to answer, and does not wait in between."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.bounded.writer import BLOCK
from bench.contenders.base import Room
from bench.contenders.limit import Limit

SIZE = 8 << 20
ROOT = Path(__file__).parents[3]


@pytest.fixture
def room() -> Iterator[Room]:
    with Room.make(SIZE) as found:
        yield found


def written(uri: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "bench.bounded.writer", uri, "--per-second", "200", "--seconds", "2"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_all_writes_of_the_plan_are_made_in_bursts(room: Room) -> None:
    limit = Limit(room)
    try:
        uri = limit.start()
        before = (room.path / "limit-a").read_bytes()
        done = written(uri)
    finally:
        limit.stop()
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert len(said["latencies_us"]) == 400
    assert min(said["latencies_us"]) > 0
    times, sizes = zip(*said["timeline"], strict=True)
    assert list(sizes) == sorted(sizes)
    assert sizes[-1] == 400 * BLOCK
    assert times[-1] - times[0] >= 1.3  # the second burst ends a third of a second into its second
    after = (room.path / "limit-a").read_bytes()
    changed = sum(before[at : at + BLOCK] != after[at : at + BLOCK] for at in range(0, SIZE, BLOCK))
    assert 300 < changed <= 400


def test_a_server_that_is_not_there_is_an_error_and_no_figure(tmp_path: Path) -> None:
    done = written(f"nbd+unix:///?socket={tmp_path}/none")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "No such file" in done.stderr
    assert "Traceback" not in done.stderr
