"""A rewind and regions that a disk refuses to show: it is refused before anything is overwritten (E1, E3)."""

import errno

import pytest

from farshore.errors import FarshoreError
from farshore.model.layers import LayerKind
from sim.disk import Strike
from tests.unit.engine.rewound import Life


def fed() -> Life:
    """A copy with a snapshot and some frames behind it."""
    life = Life(7)
    life.snapshot()
    _written(life)
    return life


def _written(life: Life) -> None:
    for _ in range(12):
        life.frame()
    life.feed(0)


def test_what_cannot_be_read_now_could_not_be_gone_back_to() -> None:
    life = fed()
    goal = life.ground.preserve.layers[0].mark
    assert goal is not None
    life.disk.strikes += [Strike("pread", "/data/1", errno.EIO)] * 2
    wish = life.wish(goal)
    with pytest.raises(FarshoreError, match="cannot be read, and so not be kept") as why:
        life.attempt(wish)
    assert why.value.code.name == "not-rewindable"
    life.disk.strikes.clear()
    life.check(goal)
    assert [each.kind for each in life.ground.preserve.layers] == [LayerKind.SNAPSHOT]
    life.attempt(wish)  # it can be read again
    life.check(goal)


def test_nor_does_it_go_to_a_layer_that_lacks_a_region() -> None:
    life = Life(7)
    life.snapshot()
    goal = life.ground.preserve.layers[0].mark
    assert goal is not None
    life.disk.strikes += [Strike("pread", "/data/1", errno.EIO)] * 2
    assert life.ground.preserve.save([(1, 0, 1)], life.ground.read) == errno.EIO
    life.disk.strikes.clear()
    life.moments.clear()
    _written(life)
    before, header = life.present(), life.ground.header.header
    with pytest.raises(FarshoreError, match="could not be read when it was to be kept") as why:
        life.attempt(life.wish(goal))
    assert why.value.code.name == "not-rewindable"
    assert (life.present(), life.ground.header.header) == (before, header)
