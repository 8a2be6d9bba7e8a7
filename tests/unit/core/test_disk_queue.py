"""The disk queue of a link: F1, D4, A1, A4, B1 and the state `queuing`, in order through every outage."""

from dataclasses import replace

import pytest

from farshore.core import actions as a
from farshore.model import messages as m
from farshore.model.options import LinkState, Mode, Reason, ResyncKind
from tests.unit.core.pair import ASYNC, KIB, Pair, Wish
from tests.unit.core.queue_disk import last_of
from tests.unit.core.queue_scenes import (
    MEMORY,
    QUEUED,
    disk,
    in_order,
    no_resync_since,
    queued,
    write_on,
)
from tests.unit.core.scenes import begins


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


class TestOptions:
    def test_a_link_that_is_removed_while_its_queue_is_read_sends_nothing_more(self) -> None:
        pair = queued()
        pair.cut()
        write_on(pair, 20)
        pair.near.hold.add(a.QueueRead)
        pair.mend()
        pair.until(lambda: pair.near.held(a.QueueRead) == 1)
        pair.near.run(pair.near.core.remove_link(pair.link))
        pair.near.let(a.QueueRead)
        assert pair.near.carried(a.SendFrames) == []
        tokens = pair.write(0)
        assert pair.answered(*tokens)

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
