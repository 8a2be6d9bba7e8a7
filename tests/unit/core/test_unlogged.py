"""Volumes whose changes are not logged in an outage: never resumed nor updated around (rule A6)."""

from dataclasses import replace

from farshore.core import actions as a
from farshore.model import messages as m
from farshore.model.options import ResyncKind
from tests.unit.core.pair import ASYNC, KIB, REGION, Pair, Wish
from tests.unit.core.scenes import CONTENT, begins, filled

LOGGED, IGNORED = 1, 2
SIZES = {LOGGED: 64 * KIB, IGNORED: 64 * KIB}
ALL = set(range(16))


def apart() -> Pair:
    """A pair that has replicated, and whose line is gone."""
    pair = Pair(Wish(sizes=SIZES, content=CONTENT, ignored=frozenset({IGNORED})))
    pair.replicating()
    pair.turn(20)
    pair.cut()
    pair.turn(2)
    return pair


def marked(pair: Pair, volume: int) -> set[int]:
    bits = pair.feeder.board.dirty.bits[volume]
    return {region for region in range(len(bits)) if bits[region]}


def compared(pair: Pair) -> set[tuple[int, int]]:
    """(volume, region) of all digest queries."""
    return {
        (each.volume, region)
        for each in pair.line.sent
        if isinstance(each, m.DigestQuery)
        for region in range(each.offset // REGION, -(-(each.offset + each.length) // REGION))
    }


def test_its_writes_are_not_marked_once_all_of_it_is_durably_unknown() -> None:
    pair = apart()
    pair.write(0, volume=IGNORED)
    assert marked(pair, IGNORED) == {0}  # nothing is durable yet
    pair.turn(3)
    tokens = pair.write(5 * REGION, 9 * REGION, volume=IGNORED) + pair.write(7 * REGION, volume=LOGGED)
    pair.turn(3)
    assert pair.answered(*tokens)
    assert (marked(pair, IGNORED), marked(pair, LOGGED)) == ({0}, {7})
    assert pair.feeder.board.dirty_bytes() == SIZES[IGNORED] + REGION  # what nobody knows counts as dirty


def test_until_it_is_durable_every_write_is_marked() -> None:
    pair = apart()
    pair.near.hold.add(a.WriteBoard)
    pair.write(0, volume=IGNORED)
    pair.turn(3)
    pair.write(5 * REGION, 9 * REGION, volume=IGNORED)
    assert marked(pair, IGNORED) == {0, 5, 9}
    pair.near.let_all()
    pair.write(11 * REGION, volume=IGNORED)
    assert marked(pair, IGNORED) == {0, 5, 9}


def test_an_outage_in_which_nobody_writes_to_it_costs_nothing() -> None:
    pair = apart()
    pair.write(3 * REGION, volume=LOGGED)
    pair.turn(3)
    pair.mend()
    pair.replicating()
    assert compared(pair) == set()
    assert begins(pair)[-1].kind is ResyncKind.UPDATE


def test_the_one_resync_of_its_group_compares_it_as_a_whole_and_copies_what_differs() -> None:
    pair = apart()
    pair.write(0, volume=IGNORED)
    pair.turn(3)
    pair.write(5 * REGION, volume=IGNORED)
    pair.write(7 * REGION, volume=LOGGED)
    sent, opened = len(pair.line.fills()), len(begins(pair))
    pair.mend()
    pair.replicating()
    pair.turn(20)
    assert pair.equal()
    assert len(begins(pair)) == opened + 1
    assert {region for volume, region in compared(pair) if volume == IGNORED} >= ALL - {0}
    assert {volume for volume, _ in compared(pair)} == {IGNORED}
    fills = pair.line.fills()[sent:]
    assert filled([each for each in fills if each.volume == IGNORED]) == {0, 5}
    assert filled([each for each in fills if each.volume == LOGGED]) == {7}


def test_it_stays_unknown_through_the_death_of_the_machine() -> None:
    pair = apart()
    pair.write(0, volume=IGNORED)
    pair.turn(3)
    pair.write(5 * REGION, volume=IGNORED)
    pair.turn(3)
    pair.flush()
    pair.turn(3)
    pair.kill_near(lose_cache=True)
    pair.start_near("boot-2", "alone")
    pair.until(lambda: pair.near.core.opened)
    pair.write(9 * REGION, volume=IGNORED)
    pair.turn(3)
    assert 9 not in marked(pair, IGNORED)  # it was unknown already
    pair.mend()
    pair.replicating()
    pair.turn(20)
    assert pair.equal()


def test_it_stays_unknown_through_a_clean_stop() -> None:
    pair = apart()
    pair.write(0, volume=IGNORED)
    pair.turn(3)
    pair.write(5 * REGION, volume=IGNORED)
    pair.turn(3)
    pair.stop_near()
    pair.start_near("boot-1")
    pair.mend()
    pair.replicating()
    pair.turn(20)
    assert pair.equal()


def test_once_a_resync_has_begun_its_writes_count_again() -> None:
    pair = apart()
    pair.write(0, volume=IGNORED)
    pair.turn(3)
    pair.line.stops = lambda unit: isinstance(unit, m.DigestReply)
    pair.mend()
    pair.until(lambda: bool(compared(pair)))
    pair.line.stops = lambda unit: isinstance(unit, m.ResyncEnd)
    pair.until(lambda: not pair.feeder.board.suspect.any())
    pair.cut()  # all was compared, and the resync has not completed
    pair.turn(3)
    pair.write(11 * REGION, volume=IGNORED)
    assert 11 in marked(pair, IGNORED)
    pair.line.stops = lambda unit: False
    pair.mend()
    pair.replicating()
    pair.turn(20)
    assert pair.equal()


def test_a_queue_that_overflows_while_the_peer_is_there_logs_it() -> None:
    """The session goes on, and the return to order is an update: it needs marks."""
    link = replace(ASYNC, queue_memory=2000)
    pair = Pair(Wish(links=(link,), sizes=SIZES, content=CONTENT, ignored=frozenset({IGNORED})))
    pair.replicating()
    pair.turn(20)
    pair.line.room = 0
    for number in range(40):
        pair.write(number * 512, volume=IGNORED)
    assert not pair.feeder.streaming
    pair.write(15 * REGION, volume=IGNORED)
    assert 15 in marked(pair, IGNORED)
    pair.line.room = None
    pair.replicating()
    pair.turn(20)
    assert pair.equal()
