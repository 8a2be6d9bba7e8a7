"""A primary's clean stop: what it leaves behind, and what it never calls clean (rules A3, A4, C3, D1)."""

from dataclasses import replace

import pytest

from farshore.core import actions as a
from farshore.model import messages as m
from farshore.model.options import LinkState
from tests.unit.core.pair import ASYNC, KIB, REGION, SYNC, Pair, Wish
from tests.unit.core.scenes import CONTENT, EIO


def running(*, capacity: int = 16) -> Pair:
    pair = Pair(Wish(content=CONTENT, capacity=capacity))
    pair.replicating()
    pair.turn(20)
    return pair


def copied_after_restart(pair: Pair) -> int:
    """Bytes of fills and queries after a clean stop and start."""
    pair.stop_near()
    assert pair.near.header.clean
    before = len(pair.line.sent)
    pair.start_near("boot-1")
    pair.replicating()
    looked_at = [unit for unit in pair.line.sent[before:] if isinstance(unit, m.Fill | m.DigestQuery)]
    return sum(each.length for each in looked_at)


def test_after_a_clean_stop_the_link_resumes_and_nothing_is_copied_or_compared() -> None:
    pair = running()
    pair.write(0, 5 * REGION)
    assert copied_after_restart(pair) == 0
    assert isinstance(pair.line.sent[-1], m.Resume | m.Heartbeat)
    assert pair.equal()


def test_what_a_resync_left_on_disk_before_it_completed_is_gone_as_well() -> None:
    """A small activity log makes the scoreboard be written while the first copy runs."""
    pair = Pair(Wish(content=CONTENT, capacity=2))
    pair.until(lambda: pair.is_in(LinkState.RESYNCING))
    for n in range(4):
        pair.write(n * 16 * KIB)
        pair.turn()
    pair.replicating()
    pair.turn(20)
    assert copied_after_restart(pair) == 0


def test_only_what_was_marked_at_the_stop_is_sent_after_the_start() -> None:
    pair = running()
    pair.cut()
    pair.write(3 * REGION)
    pair.turn(2)
    pair.stop_near()
    pair.mend()
    before = len(pair.line.fills())
    pair.start_near("boot-1")
    pair.replicating()
    assert sum(each.length for each in pair.line.fills()[before:]) == REGION
    assert pair.equal()


def test_a4_an_interrupted_resync_goes_on_after_a_clean_restart() -> None:
    pair = Pair(Wish(links=(ASYNC,), sizes={1: 4096 * KIB}, region=64 * KIB, extent=256 * KIB))
    pair.near.disk.seen[1][:] = bytes([7]) * (4096 * KIB)
    pair.line.stops = lambda unit: isinstance(unit, m.Fill) and unit.ordinal > 2
    pair.until(lambda: pair.feeder.board.dirty.count() == 32)
    pair.stop_near()
    pair.line.stops = lambda unit: False
    before = len(pair.line.fills())
    pair.start_near("boot-1")
    pair.replicating()
    assert sum(each.length for each in pair.line.fills()[before:]) <= 2048 * KIB
    assert pair.equal()


def test_it_waits_for_peers_to_have_it_all_durable_but_not_for_ever() -> None:
    pair = running()
    pair.far.hold.add(a.SyncVolumes)
    pair.write(0)
    pair.turn(2)
    pair.near.run(pair.near.core.stop())
    pair.turn(20)
    assert not pair.near.core.stopped
    pair.far.let_all()
    pair.turn(3)
    assert pair.near.core.stopped

    pair = running()
    pair.far.hold.add(a.SyncVolumes)
    pair.write(0)
    pair.turn(2)
    pair.near.run(pair.near.core.stop())
    pair.until(lambda: pair.near.core.stopped, 300)
    assert pair.near.header.clean


def test_a_write_in_flight_is_finished_and_new_ones_are_refused() -> None:
    pair = running()
    pair.near.hold.add(a.Issue)
    first = pair.write(0)
    pair.near.run(pair.near.core.stop())
    late = pair.write(512)
    assert not pair.near.core.stopped
    pair.near.let_all()
    pair.turn(20)
    assert pair.near.core.stopped
    assert pair.answered(*first)
    assert all(pair.near.replies[token] for token in late)


def test_a_flush_that_waited_for_the_disk_is_answered_by_the_stops_own_sync() -> None:
    pair = Pair(Wish(links=()))
    pair.turn(3)
    pair.write(0)
    pair.near.hold.add(a.SyncVolumes)
    flush = pair.flush()
    pair.near.run(pair.near.core.stop())
    pair.near.let_all()
    assert pair.answered(flush)
    assert pair.near.core.stopped


def test_the_header_says_clean_last() -> None:
    pair = running()
    pair.write(0)
    pair.turn(2)
    pair.near.hold.update({a.SyncVolumes, a.WriteBoard, a.WriteHeader})
    pair.near.run(pair.near.core.stop())
    pair.turn(20)
    for step in (a.SyncVolumes, a.WriteBoard):
        assert not pair.near.header.clean
        assert not pair.near.core.stopped
        while pair.near.held(step):
            pair.near.let(step)
    while not pair.near.core.stopped:
        pair.near.let(a.WriteHeader)
    assert pair.near.header.clean
    assert pair.near.disk.safe[1] == pair.near.disk.seen[1]


@pytest.mark.parametrize("kind", [a.SyncVolumes, a.WriteBoard, a.WriteHeader])
def test_c3_a_stop_that_fails_is_not_clean(kind: type) -> None:
    pair = running()
    pair.write(0)
    pair.turn(20)
    pair.near.errors[kind] = [EIO]
    pair.near.run(pair.near.core.stop())
    pair.turn(10)
    assert pair.near.core.stopped
    assert not pair.near.header.clean


def test_c3_a_stop_behind_a_failed_sync_is_not_clean() -> None:
    """The kernel tells of an error once; the stop's own sync would succeed."""
    pair = running()
    pair.near.hold.add(a.SyncVolumes)
    pair.write(0)
    flush = pair.flush()
    pair.near.run(pair.near.core.stop())
    pair.turn(5)
    pair.near.errors[a.SyncVolumes] = [EIO]
    pair.near.let_all()
    pair.turn(10)
    assert pair.near.core.stopped
    assert pair.near.replies[flush] == EIO
    assert not pair.near.header.clean


def test_a_faulted_copy_stops_and_is_not_clean() -> None:
    pair = running()
    pair.near.errors[a.SyncVolumes] = [EIO]
    pair.flush()
    pair.turn(3)
    pair.near.run(pair.near.core.stop())
    pair.turn(3)
    assert pair.near.core.stopped
    assert not pair.near.header.clean


def test_a_stop_before_the_start_has_ended_forgets_no_suspect() -> None:
    pair = running()
    pair.write(0)
    pair.kill_near()
    pair.near.hold.add(a.WriteBoard)
    pair.start_near("boot-1")
    pair.near.run(pair.near.core.stop())
    pair.near.let_all()
    pair.turn(5)
    assert pair.near.core.stopped
    assert pair.near.carried(a.Connect)[-1:] == pair.near.carried(a.Connect)[:1]
    pair.kill_near()
    pair.start_near("boot-1")
    assert pair.feeder.board.suspect.count() == 4
    pair.replicating()
    assert pair.equal()


def test_a_stop_while_writes_are_held_ends() -> None:
    pair = running()
    pair.kill_near(lose_cache=True)
    pair.cut()
    pair.start_near("boot-2")
    token = pair.write(0)
    pair.turn(3)
    pair.near.run(pair.near.core.stop())
    pair.until(lambda: pair.near.core.stopped)
    assert pair.near.replies[token[0]] != 0


def test_a_paused_link_stays_paused_over_a_restart() -> None:
    pair = running()
    pair.near.run(pair.near.core.pause(None, True, 1.0))
    pair.turn(5)
    pair.stop_near()
    pair.start_near("boot-1")
    tokens = pair.write(0)
    pair.turn(100)
    assert pair.answered(*tokens)
    assert pair.is_in(LinkState.LOGGING)
    assert pair.near.header.links[0].paused


def test_several_links_each_keep_their_own_marks() -> None:
    pair = Pair(Wish(links=(SYNC, replace(ASYNC, queue_memory=2000)), content=CONTENT))
    pair.replicating()
    pair.turn(20)
    second = list(pair.lines)[1]
    pair.cut(second)
    pair.write(REGION)
    pair.turn(20)
    pair.stop_near()
    pair.start_near("boot-1")
    assert [each.board.regions() for each in pair.near.core.feeders.values()] == [0, 1]
    pair.mend(second)
    pair.replicating()
    assert pair.equal()
