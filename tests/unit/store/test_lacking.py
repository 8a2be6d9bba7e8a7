"""How much each layer lacks is known without a look, whatever becomes of the layers and of the store."""

import errno
import random
from collections.abc import Collection
from pathlib import Path

import pytest

from farshore.core.geometry import Geometry
from farshore.model.layers import Layer, LayerKind
from farshore.store.lacking import Lacking
from farshore.store.layer_file import LayerFile
from farshore.store.platform import RealFiles
from farshore.store.preserve import PreserveStore, Read

REGION = 4096
REGIONS = 12


def bad(regions: Collection[int]) -> Read:
    """A disk that refuses these regions."""

    def read(volume: int, offset: int, length: int) -> bytes:
        if any(offset // REGION <= each < -(-(offset + length) // REGION) for each in regions):
            raise OSError(errno.EIO, "a bad sector")
        return bytes(length)

    return read


class Life:
    """A store whose layers begin and go, over a volume that grows and a disk that refuses some of it."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.path = str(directory / str(seed))
        self.random = random.Random(seed)
        self.geometry = Geometry({1: 6 * REGION}, REGION, REGION)
        self.number = 0
        self.store = self.opened()

    def opened(self) -> PreserveStore:
        return PreserveStore.open(RealFiles(), self.path, self.geometry, 1 << 30)

    def begin(self) -> None:
        self.number += 1
        size = self.geometry.sizes[1]
        if size < REGIONS * REGION and self.random.random() < 0.3:
            self.geometry.grow(1, size + REGION)
        sizes = tuple(self.geometry.sizes.items())
        layer = Layer(bytes([self.number]) * 16, LayerKind.SNAPSHOT, sizes, f"n{self.number}", None, 1.5)
        self.store.begin(layer, 0)

    def save(self) -> None:
        first = self.random.randrange(self.geometry.regions(1))
        stop = self.random.randint(first + 1, self.geometry.regions(1))
        refused = self.random.sample(range(REGIONS), self.random.randint(0, 6))
        self.store.save([(1, first, stop)], bad(refused))

    def drop(self) -> None:
        if self.store.layers:
            layer = self.random.choice(self.store.layers).id
            while not self.store.hand_down(layer):
                self.check()
            self.check()
            self.store.drop(layer)

    def again(self) -> None:
        self.store.close()
        self.store = self.opened()

    def check(self) -> None:
        for each in self.store.layers:
            assert self.store.lacking_bytes(each.id) == REGION * len(self.store.lacking(each.id))

    def live(self) -> int:
        """How many regions any layer lacked, most at once."""
        most = 0
        for _ in range(60):
            self.random.choices([self.begin, self.save, self.drop, self.again], [3, 6, 2, 1])[0]()
            self.check()
            most = max([most, *[self.store.lacking_bytes(each.id) // REGION for each in self.store.layers]])
        self.store.close()
        return most


def test_the_count_is_what_a_look_would_find(tmp_path: Path) -> None:
    assert max(Life(tmp_path, seed).live() for seed in range(10)) > 3


def test_a_count_that_is_not_kept_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lacking, "lost", lambda self, regions: None)
    with pytest.raises(AssertionError):
        test_the_count_is_what_a_look_would_find(tmp_path)


def test_nobody_looks_for_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    life = Life(tmp_path, 1)
    for _ in range(4):
        life.begin()
    life.store.save([(1, 0, 6)], bad(range(6)))
    monkeypatch.setattr(LayerFile, "has", None)
    assert {life.store.lacking_bytes(each.id) for each in life.store.layers} == {6 * REGION}
    assert life.store.lacking_bytes(bytes(16)) == 0
    life.store.close()
