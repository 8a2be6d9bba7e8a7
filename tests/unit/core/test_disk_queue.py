"""The disk queue of a link: F1, D4, A1, A4, B1 and the state `queuing`, in order through every outage."""

from dataclasses import replace
from itertools import pairwise

import pytest

from farshore.core import actions as a
from farshore.model import messages as m
from farshore.model.options import LinkOptions, LinkState, Mode, OnFull, Reason, ResyncKind, Writes
from tests.unit.core.pair import ASYNC, KIB, SYNC, Pair, Wish
from tests.unit.core.queue_disk import QueueDisk, last_of
from tests.unit.core.scenes import begins

MEMORY = 2000
"""Bytes of the memory queue: three writes."""
QUEUED = replace(ASYNC, queue_memory=MEMORY, queue_disk=64 * KIB)


def queued(options: LinkOptions = QUEUED) -> Pair:
    """In step, with everything durable at the peer."""
    pair = Pair(Wish(links=(options,)))
    pair.replicating()
    pair.turn(30)
    pair.write(0)
    pair.turn(30)
    pair.line.credit = 0
    return pair


def write_on(pair: Pair, count: int, start: int = 0) -> None:
    """So many frames of a write each, all over the volume."""
    for n in range(start, start + count):
        pair.write((n * 5 % 128) * 512)


def disk(pair: Pair) -> QueueDisk:
    return pair.near.queues[pair.link]


def frames(pair: Pair) -> list[a.Issue]:
    """Every frame that was sent."""
    return [unit for unit in pair.line.sent if isinstance(unit, a.Issue)]


def in_order(pair: Pair) -> bool:
    """Whether no frame was sent twice, or before an older one."""
    return all(before.first < after.first for before, after in pairwise(frames(pair)))


def no_resync_since(pair: Pair, before: int) -> bool:
    return len(begins(pair)) == before


class TestPeerLost:
    def test_writes_are_queued_and_drained_in_order(self) -> None:
        pair = queued()
        resyncs = len(begins(pair))
        pair.cut()
        assert pair.feeder.standing.state is LinkState.QUEUING
        write_on(pair, 40)
        pair.turn(5)
        assert pair.is_in(LinkState.QUEUING)
        assert pair.feeder.standing.reason is Reason.PEER_LOST
        assert not pair.feeder.board.dirty.any()
        assert len(disk(pair).disk) == 40
        pair.mend()
        pair.replicating()
        pair.turn(30)
        assert pair.equal()
        assert pair.marked() == set()
        assert in_order(pair)
        assert no_resync_since(pair, resyncs)

    def test_the_peer_is_a_prefix_while_it_is_drained(self) -> None:
        pair = queued()
        pair.cut()
        states = []
        for n in range(30):
            states.append(bytes(pair.near.disk.seen[1]))
            write_on(pair, 1, n)
        states.append(bytes(pair.near.disk.seen[1]))
        pair.mend()
        pair.line.room = 1
        found = set()
        for _ in range(300):
            pair.turn()
            image = bytes(pair.far.disk.seen[1])
            assert image in states
            found.add(states.index(image))
        assert len(found) > 20
        pair.line.room = None
        pair.replicating()
        pair.turn(30)
        assert pair.equal()

    def test_frames_that_were_under_way_are_queued_too(self) -> None:
        pair = queued()
        pair.line.stops = lambda unit: isinstance(unit, a.Issue)
        write_on(pair, 3)
        pair.turn(2)
        pair.cut()
        pair.line.stops = lambda unit: False
        assert [last_of(each) for each in disk(pair).disk][-3:] == [
            pair.near.core.sequence - n for n in (2, 1, 0)
        ]
        pair.mend()
        pair.replicating()
        pair.turn(30)
        assert pair.equal()

    def test_writes_that_come_while_it_is_drained_follow_in_order(self) -> None:
        pair = queued()
        resyncs = len(begins(pair))
        pair.cut()
        write_on(pair, 40)
        pair.mend()
        pair.line.rate = 1 * KIB
        for n in range(400):
            if n % 4 == 0:
                write_on(pair, 1, n)
            pair.turn()
            if pair.is_in(LinkState.REPLICATING):
                break
        assert pair.is_in(LinkState.REPLICATING)
        pair.line.rate = None
        pair.turn(50)
        assert pair.equal()
        assert pair.marked() == set()
        assert in_order(pair)
        assert no_resync_since(pair, resyncs)

    def test_a_second_loss_while_it_is_drained_loses_nothing(self) -> None:
        pair = queued()
        resyncs = len(begins(pair))
        pair.cut()
        write_on(pair, 40)
        pair.mend()
        pair.line.room = 2
        pair.turn(8)
        pair.cut()
        assert pair.is_in(LinkState.QUEUING)
        write_on(pair, 5, 40)
        pair.line.room = None
        pair.mend()
        pair.replicating()
        pair.turn(30)
        assert pair.equal()
        assert no_resync_since(pair, resyncs)

    def test_a_link_that_has_not_replicated_has_nothing_to_queue_behind(self) -> None:
        pair = Pair(Wish(links=(QUEUED,)))
        pair.until(lambda: pair.is_in(LinkState.RESYNCING))
        pair.cut()
        assert pair.is_in(LinkState.LOGGING)

    def test_an_operators_full_resync_takes_the_place_of_the_queue(self) -> None:
        pair = queued()
        pair.cut()
        write_on(pair, 20)
        pair.near.run(pair.near.core.resync(None, ResyncKind.FULL, False))
        pair.mend()
        pair.replicating()
        pair.turn(30)
        assert pair.equal()
        assert begins(pair)[-1].kind is ResyncKind.FULL

    def test_a_pause_drops_the_queue_and_keeps_its_marks(self) -> None:
        pair = queued()
        pair.cut()
        write_on(pair, 20)
        pair.near.run(pair.near.core.pause(None, True, 1.0))
        assert pair.feeder.standing.reason is Reason.OPERATOR
        assert disk(pair).disk == []
        assert pair.feeder.board.dirty.count() > 0
        pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False))
        pair.mend()
        pair.replicating()
        pair.turn(30)
        assert pair.equal()

    def test_a_sync_link_goes_on_alone_until_the_queue_is_drained(self) -> None:
        pair = queued(replace(QUEUED, mode=Mode.SYNC))
        pair.cut()
        tokens = pair.write(0)
        pair.turn(2)
        assert pair.answered(*tokens)
        assert pair.feeder.record.alone_since is not None
        write_on(pair, 20)
        pair.mend()
        pair.replicating()
        pair.turn(40)
        assert pair.equal()
        assert pair.feeder.record.alone_since is None

    def test_a_queue_is_drained_without_autosync(self) -> None:
        pair = queued(replace(QUEUED, autosync=False))
        pair.cut()
        write_on(pair, 20)
        pair.mend()
        pair.replicating()
        pair.turn(30)
        assert pair.equal()

    def test_a_power_loss_at_the_peer_is_not_taken_for_order(self) -> None:
        """Its volumes are applied directly: what it holds in part needs an update."""
        pair = queued()
        pair.line.stops = lambda unit: isinstance(unit, m.Ack)
        write_on(pair, 5)
        pair.turn(2)
        pair.line.stops = lambda unit: False
        pair.restart_far("boot-2")
        pair.replicating()
        pair.turn(30)
        assert pair.equal()


class TestFullChannel:
    def test_a_burst_goes_through_the_disk_and_stays_in_order(self) -> None:
        pair = queued()
        resyncs = len(begins(pair))
        pair.line.rate = 1 * KIB
        write_on(pair, 60)
        assert pair.is_in(LinkState.REPLICATING)
        assert len(disk(pair).disk) > 40
        pair.turn(100)
        pair.line.rate = None
        pair.turn(60)
        assert pair.equal()
        assert pair.marked() == set()
        assert in_order(pair)
        assert no_resync_since(pair, resyncs)
        assert disk(pair).disk == []

    def test_it_is_in_step_again_beside_a_load_that_never_stops(self) -> None:
        pair = queued()
        pair.line.rate = 1 * KIB
        write_on(pair, 40)
        assert not pair.feeder.streaming
        for n in range(600):
            if n % 2 == 0:
                write_on(pair, 1, n)
            pair.turn()
            if pair.feeder.streaming:
                break
        assert pair.feeder.streaming
        assert in_order(pair)

    def test_the_channel_stays_bounded(self) -> None:
        pair = queued()
        pair.line.rate = 1 * KIB
        most = 0
        for n in range(300):
            write_on(pair, 1, n)
            pair.turn()
            most = max(most, pair.line.backlog)
        assert most <= 3 * MEMORY + 1 * KIB

    def test_frames_that_no_peer_has_durable_are_kept_within_the_memory_queue(self) -> None:
        pair = queued()
        pair.far.hold.add(a.SyncVolumes)
        for n in range(40):
            write_on(pair, 1, n)
            pair.turn()
            assert sum(1 for _ in disk(pair).memory) * 624 <= MEMORY + 624
        assert pair.feeder.streaming
        pair.far.let_all()
        pair.turn(40)
        assert pair.equal()


class TestFull:
    def test_f1_a_full_queue_logs_and_comes_back_by_an_update(self) -> None:
        pair = queued(replace(QUEUED, queue_disk=8 * KIB))
        pair.cut()
        write_on(pair, 40)
        assert pair.feeder.standing.reason is Reason.QUEUE_FULL
        assert pair.is_in(LinkState.LOGGING)
        assert disk(pair).disk == []
        pair.mend()
        pair.replicating()
        pair.turn(30)
        assert pair.equal()
        pair.cut()
        assert pair.is_in(LinkState.QUEUING)

    def test_the_queue_never_holds_more_than_its_bound(self) -> None:
        pair = queued(replace(QUEUED, queue_disk=8 * KIB))
        pair.cut()
        for n in range(40):
            write_on(pair, 1, n)
            assert disk(pair).size <= 8 * KIB

    def test_block_holds_writes_until_there_is_room(self) -> None:
        pair = queued(replace(QUEUED, queue_disk=8 * KIB, on_full=OnFull.BLOCK))
        resyncs = len(begins(pair))
        pair.cut()
        tokens = [pair.write((n * 5 % 128) * 512)[0] for n in range(40)]
        flush = pair.flush()
        pair.turn(10)
        held = [token for token in tokens if not pair.answered(token)]
        assert len(held) > 20
        assert not pair.answered(flush)
        assert pair.is_in(LinkState.QUEUING)
        assert pair.near.core.writable is Writes.HELD
        assert "full" in str(pair.near.core.held_by())
        pair.mend()
        pair.until(lambda: pair.answered(*tokens, flush))
        pair.replicating()
        pair.turn(30)
        assert pair.equal()
        assert pair.near.core.writable is Writes.FLOWING
        assert no_resync_since(pair, resyncs)

    def test_block_is_over_once_the_operator_says_log(self) -> None:
        options = replace(QUEUED, queue_disk=8 * KIB, on_full=OnFull.BLOCK)
        pair = queued(options)
        pair.cut()
        tokens = [pair.write((n * 5 % 128) * 512)[0] for n in range(40)]
        spec = replace(pair.feeder.spec, options=replace(options, on_full=OnFull.LOG))
        pair.near.run(pair.near.core.change_link(spec))
        pair.turn(5)
        assert pair.answered(*tokens)
        assert pair.is_in(LinkState.LOGGING)

    def test_block_without_a_disk_queue_holds_writes_for_a_full_channel(self) -> None:
        pair = queued(replace(ASYNC, queue_memory=MEMORY, on_full=OnFull.BLOCK))
        pair.line.room = 0
        tokens = [pair.write((n * 5 % 128) * 512)[0] for n in range(40)]
        pair.turn(3)
        assert not pair.answered(*tokens)
        assert pair.is_in(LinkState.REPLICATING)
        pair.line.room = None
        pair.until(lambda: pair.answered(*tokens))
        pair.turn(30)
        assert pair.equal()
        assert pair.is_in(LinkState.REPLICATING)

    def test_an_append_that_fails_is_a_full_queue(self) -> None:
        pair = queued()
        pair.cut()
        write_on(pair, 5)
        disk(pair).room = disk(pair).size + 1000
        tokens = [pair.write((n * 5 % 128) * 512)[0] for n in range(5)]
        pair.turn(2)
        assert pair.answered(*tokens)
        assert pair.feeder.standing.reason is Reason.QUEUE_FULL
        assert "ENOSPC" in pair.feeder.why
        pair.mend()
        pair.replicating()
        pair.turn(30)
        assert pair.equal()

    def test_a_disk_that_is_slower_than_the_application_is_a_full_queue(self) -> None:
        pair = queued()
        pair.cut()
        pair.near.hold.add(a.QueueAppend)
        write_on(pair, 10)
        assert pair.feeder.standing.reason is Reason.QUEUE_FULL
        pair.near.let_all()
        pair.mend()
        pair.replicating()
        pair.turn(30)
        assert pair.equal()

    def test_frames_that_cannot_be_read_back_are_marked(self) -> None:
        pair = queued()
        pair.cut()
        write_on(pair, 20)
        disk(pair).damaged = True
        pair.mend()
        pair.until(lambda: pair.feeder.standing.reason is Reason.LOCAL_ERROR)
        disk(pair).damaged = False
        pair.replicating()
        pair.turn(30)
        assert pair.equal()
        assert pair.near.noted("queue-lost")

    def test_a_gap_in_the_queue_is_never_sent(self) -> None:
        pair = queued()
        pair.cut()
        write_on(pair, 20)
        del disk(pair).disk[7]
        pair.mend()
        pair.replicating()
        pair.turn(30)
        assert pair.equal()
        assert pair.near.noted("queue-lost")


class TestOptions:
    def test_a_queue_may_be_switched_on_while_the_link_replicates(self) -> None:
        pair = queued(replace(ASYNC, queue_memory=MEMORY))
        spec = replace(pair.feeder.spec, options=QUEUED)
        pair.near.run(pair.near.core.change_link(spec))
        pair.write(0)
        pair.turn(30)
        pair.cut()
        assert pair.is_in(LinkState.QUEUING)

    @pytest.mark.parametrize("lost", [True, False])
    def test_a_queue_that_is_switched_off_leaves_its_marks(self, lost: bool) -> None:
        pair = queued()
        pair.line.rate = 1 * KIB
        if lost:
            pair.cut()
        write_on(pair, 20)
        spec = replace(pair.feeder.spec, options=replace(QUEUED, queue_disk=0))
        pair.near.run(pair.near.core.change_link(spec))
        assert pair.is_in(LinkState.LOGGING)
        assert disk(pair).disk == []
        pair.line.rate = None
        pair.mend()
        pair.replicating()
        pair.turn(30)
        assert pair.equal()

    def test_a_link_in_step_that_loses_its_queue_goes_on(self) -> None:
        pair = queued()
        spec = replace(pair.feeder.spec, options=replace(QUEUED, queue_disk=0))
        pair.near.run(pair.near.core.change_link(spec))
        assert pair.is_in(LinkState.REPLICATING)
        pair.cut()
        assert pair.is_in(LinkState.LOGGING)


class TestRestart:
    def test_a_clean_stop_keeps_the_queue_and_the_next_generation_follows(self) -> None:
        pair = queued()
        resyncs = len(begins(pair))
        pair.cut()
        write_on(pair, 20)
        pair.stop_near()
        assert pair.near.header.links[0].queue_whole
        pair.start_near("boot-1")
        pair.turn(60)
        assert pair.is_in(LinkState.QUEUING)
        write_on(pair, 10, 20)
        pair.turn(5)
        pair.stop_near()
        pair.start_near("boot-2")
        pair.turn(150)
        write_on(pair, 10, 30)
        pair.mend()
        pair.replicating()
        pair.turn(30)
        assert pair.equal()
        assert pair.marked() == set()
        assert no_resync_since(pair, resyncs)

    def test_a_stop_in_step_leaves_what_is_not_durable_in_the_queue(self) -> None:
        pair = queued()
        resyncs = len(begins(pair))
        pair.far.hold.add(a.SyncVolumes)
        write_on(pair, 3)
        pair.stop_near()
        pair.far.let_all()
        pair.start_near("boot-1")
        pair.replicating()
        pair.turn(30)
        assert pair.equal()
        assert no_resync_since(pair, resyncs)

    @pytest.mark.parametrize("lose_cache", [False, True])
    def test_d4_after_an_unclean_stop_it_is_drained_first_and_then_the_suspects(
        self, lose_cache: bool
    ) -> None:
        pair = queued()
        resyncs = len(begins(pair))
        pair.cut()
        write_on(pair, 20)
        pair.turn(15)
        write_on(pair, 5, 20)
        kept = disk(pair).safe if lose_cache else len(disk(pair).disk)
        assert 20 <= kept <= 25
        before = len(pair.line.sent)
        pair.kill_near(lose_cache=lose_cache)
        pair.start_near("boot-2" if lose_cache else "boot-1")
        pair.turn(150)
        write_on(pair, 3, 40)
        pair.turn(2)
        assert pair.is_in(LinkState.LOGGING)
        pair.mend()
        pair.replicating()
        pair.turn(30)
        assert pair.equal()
        units = pair.line.sent[before:]
        resync = next(n for n, unit in enumerate(units) if isinstance(unit, m.ResyncBegin))
        assert sum(isinstance(unit, a.Issue) for unit in units[:resync]) == kept
        assert len(begins(pair)) == resyncs + 1

    def test_d4_a_sealed_queue_that_does_not_reach_the_peer_is_dropped(self) -> None:
        pair = queued()
        pair.cut()
        write_on(pair, 20)
        pair.turn(15)
        pair.kill_near()
        del disk(pair).disk[:3]
        before = len(frames(pair))
        pair.start_near("boot-1")
        pair.mend()
        pair.replicating()
        pair.turn(30)
        assert pair.equal()
        assert len(frames(pair)) == before
        assert disk(pair).disk == []

    @pytest.mark.parametrize("harm", ["deleted", "cut short", "damaged"])
    def test_a_queue_that_is_not_whole_after_a_clean_stop_is_not_believed(self, harm: str) -> None:
        pair = queued()
        pair.cut()
        write_on(pair, 20)
        pair.stop_near()
        if harm == "deleted":
            disk(pair).drop()
        elif harm == "cut short":
            del disk(pair).disk[10:]
        else:
            del disk(pair).disk[4]
        pair.start_near("boot-1")
        assert pair.feeder.board.spooled or pair.feeder.board.dirty.any()
        pair.mend()
        pair.replicating()
        pair.turn(30)
        assert pair.equal()

    def test_the_flag_of_a_clean_stop_does_not_outlive_the_next_start(self) -> None:
        pair = queued()
        pair.cut()
        write_on(pair, 20)
        pair.stop_near()
        pair.start_near("boot-1")
        pair.turn(3)
        assert not pair.near.header.links[0].queue_whole

    def test_a_queue_that_cannot_be_synced_at_the_stop_is_not_called_whole(self) -> None:
        pair = queued()
        pair.cut()
        write_on(pair, 20)
        pair.near.errors[a.QueueSync] = [5]
        pair.stop_near()
        assert not pair.near.header.links[0].queue_whole
        pair.start_near("boot-1")
        pair.mend()
        pair.replicating()
        pair.turn(30)
        assert pair.equal()


def test_a1_marks_of_queued_frames_keep_extents_from_staying_hot() -> None:
    """A2: an extent cools once its queued frames are marked durably; a crash then finds the marks."""
    pair = Pair(Wish(links=(QUEUED,), capacity=2))
    pair.replicating()
    pair.turn(30)
    pair.write(0)
    pair.turn(30)
    pair.cut()
    tokens = [pair.write(extent * 16 * KIB)[0] for extent in (0, 1, 2, 3, 0, 2)]
    pair.until(lambda: pair.answered(*tokens))
    pair.kill_near()
    disk(pair).drop()
    pair.start_near("boot-1")
    pair.mend()
    pair.replicating()
    pair.turn(30)
    assert pair.equal()


def test_other_links_are_not_disturbed_by_a_queue() -> None:
    pair = Pair(Wish(links=(QUEUED, SYNC)))
    pair.replicating()
    pair.turn(30)
    write_on(pair, 1)
    pair.turn(30)
    pair.cut()
    tokens = [pair.write((n * 5 % 128) * 512)[0] for n in range(40)]
    pair.turn(10)
    assert pair.answered(*tokens)
    other = list(pair.near.core.feeders.values())[1]
    assert other.replicating
    pair.mend()
    pair.replicating()
    pair.turn(30)
    assert pair.equal()
