"""Cuts: a position behind everything that was acknowledged, noted by each copy that it passes (section H)."""

import pytest

from farshore.core import actions as a
from farshore.errors import FarshoreError
from farshore.model import messages as m
from farshore.model.volumes import CUT
from tests.unit.core.pair import ASYNC, REGION, SYNC, Pair, Wish
from tests.unit.core.scenes import CONTENT, running

EIO = 5


def cut(pair: Pair, name: str = "noon") -> int:
    """The sequence of a cut that is made now."""
    pair.near.run(pair.near.core.cut(name, 3))
    return pair.near.core.sequence


def noted(pair: Pair, kind: str = "cut") -> list[object]:
    """The sequences of the cuts that the first follower noted."""
    return [fields["sequence"] for fields in pair.far.noted(kind)]


def test_it_stands_behind_what_was_written_and_before_what_follows() -> None:
    pair = running()
    before = pair.write(0)
    at = cut(pair)
    after = pair.write(REGION)
    assert pair.near.noted("cut")[-1] == {
        "name": "noon",
        "number": 3,
        "generation": pair.near.core.generation.hex(),
        "sequence": at,
    }
    pair.turn(5)
    assert pair.answered(*before, *after)
    assert noted(pair) == [at]
    issued = pair.near.carried(a.Issue)[-2]
    assert (issued.operations, issued.first) == ([(0, CUT, 3, 0)], at)
    assert pair.equal()


def test_every_follower_notes_the_same_position() -> None:
    pair = running(SYNC, ASYNC)
    pair.write(0)
    at = cut(pair)
    pair.turn(5)
    assert [[fields["sequence"] for fields in far.noted("cut")] for far in pair.fars.values()] == [[at], [at]]


def test_it_marks_nothing_where_it_is_not_sent() -> None:
    pair = running()
    pair.cut()
    pair.turn(2)
    cut(pair)
    pair.turn(2)
    assert pair.feeder.board.clean
    pair.mend()
    pair.replicating()
    pair.turn(5)
    assert noted(pair) == []  # the follower was brought past it
    assert pair.equal()


def test_a_follower_that_is_being_resynced_notes_that_it_missed_it() -> None:
    pair = Pair(Wish(content=CONTENT))
    pair.line.stops = lambda unit: isinstance(unit, m.ResyncEnd)
    pair.until(lambda: pair.feeder.live)
    at = cut(pair)
    pair.turn(5)
    assert (noted(pair), noted(pair, "cut-missed")) == ([], [at])
    pair.line.stops = lambda unit: False
    pair.replicating()
    later = cut(pair)
    pair.turn(5)
    assert noted(pair) == [later]


def test_none_is_made_while_writes_are_held_or_refused() -> None:
    pair = Pair(Wish(content=CONTENT))
    pair.replicating()
    pair.turn(20)
    pair.kill_near()
    pair.cut(silent=True)
    pair.start_near("boot-2")
    with pytest.raises(FarshoreError, match="writes do not flow"):
        cut(pair)
    pair.mend()
    pair.replicating()
    assert cut(pair)
    pair.near.errors[a.WriteHeader] = [EIO]
    pair.near.core.faulting.strike(EIO)
    with pytest.raises(FarshoreError, match="writes do not flow"):
        cut(pair)
