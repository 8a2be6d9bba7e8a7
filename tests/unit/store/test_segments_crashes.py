"""Segments on a simulated disk, used at random until they die: what a sync has covered is always there."""

from random import Random

import pytest

from farshore.model.positions import Position
from farshore.store.segments import Entry, Segments
from sim.disk import Died, Disk
from sim.files import SimFiles
from tests.unit.store.test_segments import SIZE, START, STREAM, G, all_of


class Life:
    """A row of segments on a simulated disk, used at random until it dies; remembers what it was told."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.disk = Disk(random)
        self.appended: list[Entry] = []
        self.durable = 0
        """Entries that a sync has covered."""
        self.front = START
        self.open()

    def open(self) -> None:
        self.layer = SimFiles(self.disk)
        self.segments = Segments.open(self.layer, "/q", STREAM, SIZE)

    def act(self) -> None:
        dice, segments = self.random.random(), self.segments
        if dice < 0.6:
            end = segments.end or self.front
            sizes = [
                self.random.choice((0, 1, 40, 700, 2500, 6000)) for _ in range(self.random.randint(1, 4))
            ]
            made = [
                (Position(G, end.sequence + 1 + n), self.random.randbytes(size))
                for n, size in enumerate(sizes)
            ]
            segments.append(made, end)
            self.appended += made
        elif dice < 0.9:
            count = len(self.appended)
            segments.sync()
            self.durable = count
        elif self.durable:
            position = self.appended[self.random.randrange(self.durable)][0]
            segments.trim(position)
            self.front = max(self.front, position)

    def crash(self) -> None:
        lost = self.random.random() < 0.7
        self.layer.end()
        self.disk.steps_left = None
        if lost:
            self.disk.power_loss()
        self.open()
        assert self.segments.damaged is None
        found = [(position, bytes(data)) for position, data in all_of(self.segments)]
        end = self.segments.end or self.front
        sequences = [position.sequence for position, _ in self.appended]
        if found:
            assert found[0][0].sequence <= self.front.sequence + 1
            index = sequences.index(found[0][0].sequence) if found[0][0].sequence in sequences else 0
            known = self.appended[index : index + len(found)]
            assert found[: len(known)] == known
        durable = self.appended[self.durable - 1][0] if self.durable else START
        assert end.sequence >= max(durable.sequence, self.front.sequence if self.durable else 0)
        # An append that was under way may be there, too; from now on it is known.
        self.appended = [each for each in self.appended if each[0].sequence <= end.sequence]
        last = self.appended[-1][0].sequence if self.appended else START.sequence
        self.appended += [each for each in found if each[0].sequence > last]
        self.durable = len(self.appended)


@pytest.mark.parametrize("seed", range(60))
def test_whatever_dies_when_what_was_durable_is_there_and_nothing_else(seed: int) -> None:
    life = Life(Random(seed))
    for _ in range(6):
        life.disk.steps_left = life.random.randint(1, 60)
        try:
            for _ in range(200):
                life.act()
        except Died:
            pass
        else:
            raise AssertionError("it never died")
        life.crash()
