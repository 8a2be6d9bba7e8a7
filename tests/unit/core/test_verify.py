"""A verify beside the application (rule E7): all that differs is found, nothing that is equal is reported."""

from dataclasses import replace
from random import Random

import pytest

from farshore.core import actions as a
from farshore.core import findings
from farshore.core.verifying import SHORT
from farshore.errors import FarshoreError
from farshore.model import messages as m
from farshore.model.header import VerifyState
from farshore.model.options import Apply, LinkOptions, LinkState, OnOutage, Reason
from tests.unit.core.pair import ASYNC, KIB, REGION, SYNC, Pair, Wish
from tests.unit.core.scenes import CONTENT

JOURNALED = replace(ASYNC, apply=Apply.JOURNAL)
_SLOW = (a.ReadRegion, a.CompareDigests, a.Issue, a.ApplyFrames, a.SyncJournal)
KINDS = pytest.mark.parametrize("options", [SYNC, ASYNC, JOURNALED], ids=["sync", "async", "journal"])


def running(options: LinkOptions = SYNC, size: int = 64 * KIB) -> Pair:
    pair = Pair(Wish(links=(options,), sizes={1: size}, content=CONTENT))
    pair.replicating()
    pair.turn(200)
    assert pair.equal()
    return pair


def begin(pair: Pair, *, halt: bool = False, rate: int = 0) -> None:
    pair.near.run(pair.near.core.verify(None, halt, rate))


def state(pair: Pair) -> VerifyState:
    record = pair.feeder.record.verify
    assert record is not None
    return record.state


def ended(pair: Pair, turns: int = 2000) -> VerifyState:
    pair.until(lambda: state(pair) is not VerifyState.RUNNING, turns)
    pair.turn(5)
    return state(pair)


def plant(pair: Pair, *regions: int) -> None:
    """The peer's volume is changed behind everybody's back, on its disk as well."""
    pair.checked = False
    disk = pair.far.disk
    for region in regions:
        at = region * REGION + 17
        other = bytes([disk.seen[1][at] ^ 0xFF])
        disk.seen[1][at : at + 1] = other
        disk.safe[1] = disk.safe[1][:at] + other + disk.safe[1][at + 1 :]


def found(pair: Pair) -> list[int]:
    return list(pair.feeder.board.found.bits[1].search(1))


@KINDS
def test_equal_copies_are_found_equal(options: LinkOptions) -> None:
    pair = running(options)
    begin(pair)
    assert ended(pair) is VerifyState.FINISHED
    assert found(pair) == []
    assert pair.is_in(LinkState.REPLICATING)


@KINDS
def test_every_planted_difference_is_found_and_nothing_else(options: LinkOptions) -> None:
    pair = running(options)
    plant(pair, 0, 3, 4, 15)
    begin(pair)
    assert ended(pair) is VerifyState.FINISHED
    assert found(pair) == [0, 3, 4, 15]
    assert findings.listed(pair.feeder)["ranges"] == [
        {"volume": 1, "offset": 0, "length": REGION},
        {"volume": 1, "offset": 3 * REGION, "length": 2 * REGION},
        {"volume": 1, "offset": 15 * REGION, "length": REGION},
    ]
    record = pair.feeder.record.verify
    assert record is not None
    assert record.found == 4 * REGION


@KINDS
@pytest.mark.parametrize("seed", range(6))
def test_nothing_in_flight_is_ever_reported(options: LinkOptions, seed: int) -> None:
    """Writes all the time, on lines and disks of any slowness; what differs is found all the same."""
    random, pair = Random(seed), running(options)
    planted = {1, 9} if seed % 2 else set[int]()
    plant(pair, *planted)
    free = [region for region in range(16) if region not in planted]
    for _ in range(8):
        begin(pair)
        while state(pair) is VerifyState.RUNNING:
            _slow_down(random, pair)
            places = [
                random.choice(free) * REGION + random.choice([0, 512])
                for _ in range(random.choice([0, 0, 1, 3]))
            ]
            if places:
                pair.write(*places)
            pair.turn()
        assert state(pair) is VerifyState.FINISHED
        assert set(found(pair)) == planted


def _slow_down(random: Random, pair: Pair) -> None:
    """Anything may take until some later turn, nothing overtakes its like."""
    pair.line.room = random.choice([0, 1, 2, None, None])
    for shell in (pair.near, pair.far):
        held = {kind for kind in _SLOW if random.random() < 0.3}
        shell.hold &= held
        shell.settle()
        shell.hold |= held


def test_a_region_that_is_always_being_written_is_compared_all_the_same() -> None:
    """Rule E4: its writes wait for the read here, and the stream for the look over there."""
    pair = running(ASYNC)
    begin(pair)
    for _ in range(3000):
        if state(pair) is not VerifyState.RUNNING:
            break
        pair.write(5 * REGION, 5 * REGION + 512)
        pair.turn()
    assert state(pair) is VerifyState.FINISHED
    assert found(pair) == []


def test_what_differs_is_asked_for_again_before_it_counts() -> None:
    pair = running()
    plant(pair, 3)
    begin(pair)
    ended(pair)
    queries = [unit for unit in pair.line.sent if isinstance(unit, m.DigestQuery) and unit.purpose]
    assert len([each for each in queries if each.offset <= 3 * REGION < each.offset + each.length]) == 2


def test_a_difference_that_a_write_replaces_is_none() -> None:
    pair = running()
    plant(pair, 3)
    pair.write(*range(3 * REGION, 4 * REGION, 512))
    pair.turn(5)
    begin(pair)
    assert ended(pair) is VerifyState.FINISHED
    assert found(pair) == []


@KINDS
def test_a_repair_copies_what_was_found_and_nothing_else(options: LinkOptions) -> None:
    pair = running(options)
    plant(pair, 2, 7)
    begin(pair)
    ended(pair)
    fills = len(pair.line.fills())
    pair.near.run(pair.near.core.repair_found(pair.link, findings.fingerprint(pair.feeder)))
    assert pair.marked() >= {(1, 2), (1, 7)}
    pair.turn(5)
    pair.replicating()
    pair.turn(200)
    filled = {unit.offset // REGION for unit in pair.line.fills()[fills:]}
    assert filled == {2, 7}
    assert pair.equal()
    assert found(pair) == []


def test_a_plan_for_other_findings_repairs_nothing() -> None:
    pair = running()
    plant(pair, 2)
    begin(pair)
    ended(pair)
    before = findings.fingerprint(pair.feeder)
    plant(pair, 5)
    begin(pair)
    ended(pair)
    with pytest.raises(FarshoreError) as refused:
        pair.near.core.repair_found(pair.link, before)
    assert refused.value.code.name == "stale-plan"
    assert pair.is_in(LinkState.REPLICATING)


def test_nothing_is_copied_without_an_order() -> None:
    pair = running()
    plant(pair, 2)
    begin(pair)
    ended(pair)
    pair.cut()
    pair.turn(5)
    pair.write(9 * REGION)
    pair.mend()
    pair.replicating()
    assert not pair.equal()
    assert found(pair) == [2]


def test_the_first_difference_halts_the_link_where_that_is_wished() -> None:
    pair = running()
    plant(pair, 2, 14)
    begin(pair, halt=True)
    assert ended(pair) is VerifyState.HALTED
    assert (pair.feeder.standing.state, pair.feeder.standing.reason) == (LinkState.LOGGING, Reason.VERIFY)
    pair.turn(300)
    assert pair.is_in(LinkState.LOGGING)
    assert 2 in found(pair)


def test_a_halt_is_refused_where_it_would_hold_every_write() -> None:
    pair = running(replace(SYNC, on_outage=OnOutage.FREEZE))
    with pytest.raises(FarshoreError) as refused:
        begin(pair, halt=True)
    assert refused.value.code.name == "plan-needed"


def test_a_halted_link_says_so_also_after_a_restart() -> None:
    pair = running()
    plant(pair, 2)
    begin(pair, halt=True)
    ended(pair)
    pair.stop_near()
    pair.start_near("boot-1")
    pair.turn(20)
    assert pair.feeder.standing.reason is Reason.VERIFY
    assert found(pair) == [2]


@pytest.mark.parametrize("how", ["cut", "kill", "stop"])
def test_a_verify_goes_on_after_an_interruption(how: str) -> None:
    pair = running(size=4 << 20)
    plant(pair, 1, 1000)
    begin(pair, rate=1)
    pair.turn(50)
    assert state(pair) is VerifyState.RUNNING
    if how == "cut":
        pair.cut()
        pair.turn(5)
        pair.mend()
    else:
        pair.turn(600)  # how far it has come is recorded now and then
        pair.kill_near() if how == "kill" else pair.stop_near()
        pair.start_near("boot-1")
    pair.replicating()
    begin(pair)
    assert ended(pair) is VerifyState.FINISHED
    assert found(pair) == [1, 1000]


def test_an_order_ends_it() -> None:
    pair = running(size=4 << 20)
    begin(pair, rate=1)
    pair.turn(5)
    pair.near.run(pair.near.core.end_verify(None))
    pair.turn(5)
    assert state(pair) is VerifyState.STOPPED
    assert pair.near.noted("verify-stopped")


def test_a_bound_on_its_pace_is_kept() -> None:
    pair = Pair(Wish(links=(SYNC,), sizes={1: 4 << 20}, content=CONTENT))
    pair.replicating()
    begin(pair, rate=1 << 20)
    pair.turn(100)
    assert state(pair) is VerifyState.RUNNING
    assert ended(pair) is VerifyState.FINISHED


def test_e5_it_gives_way_while_the_application_writes() -> None:
    pair = Pair(Wish(links=(SYNC,), sizes={1: 4 << 20}, content=CONTENT))
    pair.replicating()
    pair.write(0)
    first = len(pair.line.sent)
    begin(pair)
    while state(pair) is VerifyState.RUNNING:
        pair.write(0)
        pair.turn(2)
    queries = [unit for unit in pair.line.sent[first:] if isinstance(unit, m.DigestQuery)]
    assert sum(each.length for each in queries) >= 3 << 20
    assert max(each.length for each in queries) <= SHORT


def test_a_schedule_begins_one_by_itself_and_the_next_when_it_is_due() -> None:
    pair = running(replace(SYNC, verify_every=50.0))
    assert state(pair) is VerifyState.FINISHED
    begun = len(pair.near.noted("verify-begun"))
    pair.turn(60, step=1.0)
    pair.turn(50)
    assert len(pair.near.noted("verify-begun")) == begun + 1
    assert state(pair) is VerifyState.FINISHED


def test_a_volume_that_cannot_be_read_here_fails_the_verify_and_not_the_link() -> None:
    pair = running()
    pair.near.errors[a.ReadRegion] = [5] * 30
    begin(pair)
    assert ended(pair) is VerifyState.FAILED
    assert pair.is_in(LinkState.REPLICATING)
    record = pair.feeder.record.verify
    assert record is not None
    assert "EIO" in record.why


def test_a_region_that_cannot_be_read_there_differs() -> None:
    pair = running()
    pair.far.errors[a.CompareDigests] = [5] * 60
    begin(pair)
    assert ended(pair) is VerifyState.FINISHED
    assert found(pair)
    assert not pair.far.core.fault


def test_answers_to_a_verify_do_nothing_to_a_resync_that_came_between() -> None:
    """A full queue begins a resync in the same session: what was asked before is not what it asks."""
    pair = running(replace(ASYNC, queue_memory=8 * KIB))
    pair.far.hold.add(a.CompareDigests)
    begin(pair)
    pair.turn(3)
    pair.checked = False
    pair.line.room = 0
    for n in range(24):
        pair.write(n * 512)
    assert not pair.feeder.streaming
    pair.line.room = None
    for _ in range(100):
        pair.turn()
        pair.far.hold.clear()
        pair.far.settle()
    pair.replicating()
    pair.turn(100)
    assert pair.equal()
    for _ in range(500):
        pair.far.settle()
        pair.turn()
    assert state(pair) is VerifyState.FINISHED
    assert found(pair) == []
