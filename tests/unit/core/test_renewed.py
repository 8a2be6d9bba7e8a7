"""Rule D3: a secondary whose volume was replaced, as a plan says, gets everything, whatever happens."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from farshore.core import handshake
from farshore.core.handshake import Course, Decision, Terms
from farshore.core.scoreboard import Scoreboard
from farshore.engine.other_volumes import emptied
from farshore.model.header import RENEWED, LinkRecord
from farshore.model.messages import Welcome
from farshore.model.options import LinkOptions, LinkState, Mode
from farshore.model.positions import History
from tests.unit.core.pair import KIB, Pair, Wish

OPTIONS = {"sync": LinkOptions(mode=Mode.SYNC), "async": LinkOptions()}


def in_step(mode: str) -> Pair:
    pair = Pair(Wish(links=(OPTIONS[mode],), sizes={1: 1024 * KIB}))
    pair.until(lambda: pair.feeder.state is LinkState.REPLICATING)
    pair.write(*range(0, 1024 * KIB, 16 * KIB))
    pair.flush()
    pair.until(lambda: pair.feeder.state is LinkState.REPLICATING and pair.feeder.board.clean)
    pair.turn(50)
    return pair


def replaced(pair: Pair, *, told: bool = True) -> None:
    """Another disk, empty, while no process ran there; the header is what a start makes of it."""
    far = pair.far
    pair.cut(silent=True)
    far.forget()
    far.disk.seen[1][:] = bytes(len(far.disk.seen[1]))
    far.disk.sync()(0)
    fresh = emptied(far.header)
    far.header = fresh if told else replace(fresh, resync=None)
    far.durable = far.applied = far.journal_start = None
    far.journal.clear()
    pair.checked = False  # until the feeder has met it, it counts what that held as held
    pair.restart_far(far.boot)


def copying(pair: Pair) -> bool:
    """The copy at the far end durably knows of the one that it gets now."""
    resync = pair.far.header.resync
    return pair.feeder.filling is not None and resync is not None and resync.id != RENEWED


def whole(pair: Pair) -> None:
    pair.until(lambda: pair.feeder.state is LinkState.REPLICATING)
    pair.checked = True
    pair.write(4 * KIB)
    pair.turn(60)
    assert pair.near.disk.seen[1] == pair.far.disk.seen[1]
    assert any(pair.far.disk.seen[1])


@pytest.mark.parametrize("mode", list(OPTIONS))
def test_it_gets_everything_without_a_word_to_its_feeder(mode: str) -> None:
    pair = in_step(mode)
    replaced(pair)
    pair.until(lambda: pair.feeder.filling is not None)
    pair.checked = True
    assert not pair.far.core.consistent
    whole(pair)


def _trouble(pair: Pair) -> Iterator[str]:
    boots = (f"boot-{number}" for number in range(2, 9))
    yield "the line is cut"
    pair.cut()
    pair.turn(20)
    pair.mend()
    yield "its process dies"
    pair.restart_far(pair.far.boot)
    yield "its machine dies"
    pair.restart_far(next(boots))
    yield "the primary dies"
    pair.kill_near(lose_cache=True)
    pair.turn(20)
    pair.start_near(next(boots))


@pytest.mark.parametrize("number", range(4))
def test_the_copy_that_it_gets_may_be_cut_off_anywhere(number: int) -> None:
    pair = in_step("async")
    pair.line.rate = 8 * KIB
    replaced(pair)
    pair.until(lambda: copying(pair))
    pair.turn(20)
    pair.checked = True
    for step, _ in enumerate(_trouble(pair)):
        if step == number + 1:
            break
        assert not pair.far.core.consistent
    pair.line.rate = None
    whole(pair)


def test_without_that_plan_it_is_diverged_and_gets_nothing() -> None:
    pair = in_step("async")
    replaced(pair, told=False)
    pair.until(lambda: pair.feeder.state is LinkState.DIVERGED)
    pair.turn(100)
    assert not any(pair.far.disk.seen[1])


def _believes_its_base(
    record: LinkRecord, board: Scoreboard, mine: History, peer: Welcome, terms: Terms
) -> Decision:
    """Broken: what the scoreboard knew of the volume that is gone is copied, and no more."""
    found = handshake.decide(record, board, mine, peer, terms)
    return replace(found, course=Course.UPDATE) if found.course is Course.FIRST else found


def test_a_feeder_that_believed_its_scoreboard_would_be_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = in_step("async")
    monkeypatch.setattr("farshore.core.feeder_session.decide", _believes_its_base)
    replaced(pair)
    with pytest.raises(AssertionError):
        whole(pair)


def test_a_feeder_that_forgot_what_it_had_begun_would_be_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken: a scoreboard with a base makes a blank peer a changed one, also in the middle of this copy."""

    def decide(record: LinkRecord, board: Scoreboard, mine: History, peer: Welcome, terms: Terms) -> Decision:
        found = handshake.decide(record, board, mine, peer, terms)
        stale = found.course is Course.CONTINUE and board.base is not None and peer.history.blank
        return replace(found, course=Course.CHANGED) if stale else found

    monkeypatch.setattr("farshore.core.feeder_session.decide", decide)
    with pytest.raises(AssertionError):
        test_the_copy_that_it_gets_may_be_cut_off_anywhere(0)
