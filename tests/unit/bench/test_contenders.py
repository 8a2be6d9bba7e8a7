"""Each program that we compare with comes up, does its job and leaves nothing behind."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.contenders.base import CannotStart, Contender, Processes, Room, program
from bench.contenders.limit import Limit
from bench.contenders.nbdkit import Nbdkit
from bench.contenders.qemu_mirror import QemuMirror, QemuMirrorUnix
from bench.contenders.qemu_nbd import QemuNbd
from bench.fio import Job, Run, measure
from tests.processes import command_lines
from tests.requires import requires

SIZE = 8 << 20
EVERY = [
    pytest.param(Limit, marks=requires("fio")),
    pytest.param(Nbdkit, marks=requires("fio", "nbdkit")),
    pytest.param(QemuNbd, marks=requires("fio", "qemu-nbd")),
    pytest.param(QemuMirror, marks=requires("fio", "qemu-nbd", "qemu-storage-daemon")),
    pytest.param(QemuMirrorUnix, marks=requires("fio", "qemu-nbd", "qemu-storage-daemon")),
]


@pytest.fixture
def room() -> Iterator[Room]:
    with Room.make(SIZE) as found:
        yield found


def running(room: Room) -> list[str]:
    """The command lines of processes that name the room."""
    lines = [" ".join(words) for _, words in command_lines()]
    return [line for line in lines if str(room.path) in line]


@pytest.mark.parametrize("make", EVERY)
def test_a_contender_takes_writes_and_leaves_no_process(
    make: Callable[[Room], Contender], room: Room
) -> None:
    contender = make(room)
    try:
        found = measure(Job(4096, 4), Run(contender.start(), SIZE, 0.2))
        contender.settle()
        assert found.iops > 0
        assert running(room)
    finally:
        contender.stop()
    assert running(room) == []
    contender.stop()


@pytest.mark.parametrize("make", EVERY[3:])
def test_the_mirror_that_we_compare_with_does_mirror(make: Callable[[Room], Contender], room: Room) -> None:
    contender = make(room)
    try:
        measure(Job(65536, 4), Run(contender.start(), SIZE, 0.2))
    finally:
        contender.stop()
    near, far = ((room.path / f"{contender.name}-{side}").read_bytes() for side in "ab")
    assert near == far


def test_a_program_that_is_missing_is_named_with_its_package() -> None:
    with pytest.raises(CannotStart, match=r"no-such-program.*Debian package some-package"):
        program("no-such-program", "some-package")


def test_a_program_that_ends_at_once_is_quoted(room: Room) -> None:
    processes = Processes(room.path / "log")
    process = processes.start([sys.executable, "-c", "raise SystemExit('no luck')"])
    with pytest.raises(CannotStart, match="ended with code 1: no luck"):
        processes.until(process, lambda: False)
    processes.stop()


@requires("fio", "nbdkit")
def test_the_command_measures_in_turn_and_keeps_both_files(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "--only", "S1", "--with", "nbdkit,limit", "--volume", "8"]
    effort = ["--rounds", "1", "--seconds", "0.3", "--out", str(tmp_path)]
    root = Path(__file__).parents[3]
    done = subprocess.run([*command, *effort], cwd=root, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "farshore-sync / limit" in done.stdout
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".md"]


def test_the_command_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "--only", "S99", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "no scenario s99" in done.stderr
    assert list(tmp_path.iterdir()) == []
