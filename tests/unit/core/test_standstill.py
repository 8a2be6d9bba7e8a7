"""A standstill: writes wait, and every peer that is there has all that came before, durably (rule D7)."""

import pytest

from farshore.core import actions as a
from farshore.core.holding import held_by
from farshore.errors import FarshoreError
from farshore.model.options import Writes
from tests.unit.core.pair import ASYNC, SYNC, Pair
from tests.unit.core.scenes import running


def drain(pair: Pair, timeout: float = 1.0) -> None:
    pair.near.run(pair.near.core.drain(timeout))


def told(pair: Pair) -> list[dict[str, object]]:
    return pair.near.noted("standstill")


@pytest.mark.parametrize("options", [SYNC, ASYNC])
def test_new_writes_wait_and_the_peer_has_all_others_durably(options: object) -> None:
    pair = running(options)  # type: ignore[arg-type]
    pair.write(0, 512)
    drain(pair)
    tokens = pair.write(1024)
    pair.turn(30)
    (note,) = told(pair)
    assert note["sequence"] == pair.near.core.sequence == pair.far.core.durable
    assert note["links"] == [{"name": "l0", "durable": pair.near.core.sequence}]
    assert not pair.answered(*tokens)
    assert pair.near.core.writable is Writes.HELD
    assert "change of roles" in str(held_by(pair.near.core))
    with pytest.raises(FarshoreError):
        pair.near.core.cut("x", 0)
    pair.near.run(pair.near.core.resume())
    pair.turn(5)
    assert pair.answered(*tokens)
    assert pair.near.core.writable is Writes.FLOWING


def test_it_is_given_up_where_a_peer_does_not_follow_in_time() -> None:
    pair = running(SYNC)
    pair.line.room = 0
    tokens = pair.write(0)
    drain(pair, 0.2)
    pair.turn(30)
    assert not told(pair)
    (note,) = pair.near.noted("standstill-ended")
    assert "l0" in str(note["why"])
    pair.line.room = None
    pair.turn(30)
    assert pair.answered(*tokens)


def test_a_local_write_that_does_not_end_is_waited_for_and_given_up() -> None:
    pair = running(SYNC)
    pair.near.hold.add(a.Issue)
    pair.write(0)
    drain(pair, 0.2)
    pair.turn(30)
    (note,) = pair.near.noted("standstill-ended")
    assert "disk" in str(note["why"])


def test_a_peer_that_is_away_is_not_waited_for_and_said_to_be_behind() -> None:
    pair = running(SYNC)
    durable = pair.far.core.durable
    pair.cut()
    pair.turn(5)
    pair.write(0)
    pair.turn(5)
    drain(pair)
    (note,) = told(pair)
    assert note["links"] == [{"name": "l0", "durable": durable}]
    assert note["sequence"] != durable


def test_a_resync_under_way_is_waited_for() -> None:
    pair = running(SYNC)
    pair.cut()
    pair.turn(3)
    pair.write(*[n * 4096 for n in range(8)])
    pair.line.room = 1
    pair.mend()
    pair.until(lambda: pair.feeder.filling is not None and pair.feeder.live)
    drain(pair, 5.0)
    assert not told(pair)
    pair.until(lambda: bool(told(pair)))
    assert pair.equal()


def test_it_can_be_asked_for_again_and_says_the_same() -> None:
    pair = running(SYNC)
    for _ in range(2):
        drain(pair)
        pair.turn(30)
    first, second = told(pair)
    assert first == second
    pair.near.run(pair.near.core.resume())
    pair.near.run(pair.near.core.resume())
    assert len(pair.near.noted("standstill-ended")) == 1


def test_a_failing_disk_ends_it() -> None:
    pair = running(SYNC)
    pair.near.hold.add(a.Issue)
    pair.write(0)
    drain(pair, 5.0)
    pair.near.core.path.fail(5)
    pair.turn(3)
    assert not told(pair)
    (note,) = pair.near.noted("standstill-ended")
    assert note["why"] == "writes are refused"


def test_d7_a_standstill_that_is_reached_too_late_holds_nobody() -> None:
    """Whoever asked has given up and resumes nothing: our loop stood still, or a disk did."""
    pair = running(SYNC)
    pair.near.hold.add(a.Issue)
    pair.write(0)
    pair.near.run(pair.near.core.drain(1.0))
    pair.now += 60.0
    pair.near.core.clock(*pair.clock("near"))
    pair.near.hold.clear()
    pair.near.let_all()
    pair.turn(100)
    tokens = pair.write(1024)
    pair.turn(20)
    assert not pair.near.noted("standstill"), "nobody listens any more"
    assert pair.answered(*tokens)
