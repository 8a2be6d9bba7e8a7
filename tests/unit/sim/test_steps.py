"""Durable steps end in order within their lane, and deaths fall before, in and after them."""

import errno
from random import Random

import pytest

from sim.disk import Disk, Strike
from sim.files import SimFile, SimFiles
from sim.steps import Doom, Phase, Step, Steps
from sim.world import Life, World


class Process:
    """Something with steps, and a file that they write to, one byte in a sector of its own each."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        self.life = Life("process")
        self.disk = Disk(Random(seed))
        self.file: SimFile = SimFiles(self.disk).open("/file", create=True)
        self.steps = Steps(self.world, self.life, self.disk, self.die)
        self.reports: list[tuple[int, int]] = []
        self.deaths: list[bool] = []

    def die(self, machine: bool) -> None:
        self.life.alive = False
        self.deaths.append(machine)
        self.steps.abandon()

    def begin(self, lane: str, number: int) -> None:
        def run() -> None:
            self.file.pwrite(b"\1" * 512, number * 1024)
            self.file.pwrite(b"\2" * 512, number * 1024 + 512)

        self.steps.begin(lane, Step(run, lambda code: self.reports.append((number, code))))

    def written(self, number: int) -> tuple[bool, bool]:
        """Which of the two writes of a step have happened."""
        image = self.file.pread(512 * 20, 0)
        return image[number * 1024 : number * 1024 + 1] == b"\1", image[number * 1024 + 512 :][:1] == b"\2"

    def run(self) -> None:
        while self.world.step():
            pass


@pytest.mark.parametrize("seed", range(10))
def test_steps_of_a_lane_are_reported_in_order(seed: int) -> None:
    process = Process(seed)
    for number in range(5):
        process.begin("a", number)
        process.begin("b", number + 5)
    process.run()
    done = [number for number, _ in process.reports]
    assert [number for number in done if number < 5] == [0, 1, 2, 3, 4]
    assert [number for number in done if number >= 5] == [5, 6, 7, 8, 9]


def test_a_failed_step_reports_its_errno() -> None:
    process = Process(1)
    process.disk.strikes.append(Strike("pwrite", "/file", errno.ENOSPC))
    process.begin("a", 0)
    process.run()
    assert process.reports == [(0, errno.ENOSPC)]


@pytest.mark.parametrize(
    ("phase", "allowed"),
    [
        (Phase.BEFORE, {(False, False)}),
        (Phase.TORN, {(False, False), (True, False), (True, True)}),
        (Phase.AFTER, {(True, True)}),
    ],
)
def test_a_doom_falls_where_it_is_meant_to(phase: Phase, allowed: set[tuple[bool, bool]]) -> None:
    seen = set()
    for seed in range(30):
        process = Process(seed)
        process.steps.doom = Doom("a", 2, phase, machine=True)
        for number in range(3):
            process.begin("a", number)
        process.run()
        assert process.deaths == [True]
        assert process.reports == [(0, 0)]
        assert process.written(0) == (True, True)
        assert process.written(2) == (False, False)
        seen.add(process.written(1))
    assert seen == allowed


def test_a_death_finds_the_steps_under_way_in_every_state() -> None:
    seen = set()
    for seed in range(60):
        process = Process(seed)
        process.begin("a", 0)
        process.begin("a", 1)
        process.die(False)
        process.run()
        assert process.reports == []
        assert process.written(1) == (False, False)
        seen.add(process.written(0))
    assert seen == {(False, False), (True, False), (True, True)}
