"""A queue that is full: marks in place of frames, and the way back to order (rules A4, E4, F1)."""

from dataclasses import replace

from farshore.core import actions as a
from farshore.model import messages as m
from farshore.model.options import LinkState, Reason
from tests.unit.core.pair import ASYNC, KIB, REGION, SYNC, Pair, Wish
from tests.unit.core.scenes import CONTENT, begins, overflow


class TestOverflow:
    """Rules E4 and F1."""

    WISH = Wish(links=(replace(ASYNC, queue_memory=2000),))

    def test_a_full_queue_falls_to_logging_and_returns_to_order_by_itself(self) -> None:
        pair = Pair(self.WISH)
        pair.replicating()
        overflow(pair)
        assert pair.feeder.standing.reason is Reason.QUEUE_FULL
        assert pair.feeder.record.stopped_at is not None
        pair.line.room = None
        pair.replicating()
        assert pair.equal()
        assert pair.near.replies == dict.fromkeys(range(1, 21), 0)

    def test_a_line_that_takes_everything_at_once_never_overflows(self) -> None:
        pair = Pair(self.WISH)
        pair.replicating()
        for n in range(50):
            pair.write(n * 512)
            pair.turn()
        assert len(begins(pair)) == 1

    def test_overflow_before_the_peer_is_ready_does_not_end_in_a_link_that_sends_nothing(self) -> None:
        pair = Pair(self.WISH)
        pair.replicating()
        pair.turn(20)
        pair.cut()
        pair.turn(1)
        pair.mend()
        pair.line.stops = lambda unit: isinstance(unit, m.Ready)
        pair.until(lambda: isinstance(pair.line.sent[-1], m.Resume))
        overflow(pair)
        pair.line.stops = lambda unit: False
        pair.line.room = None
        pair.replicating()
        assert pair.feeder.streaming
        pair.write(60 * KIB)
        pair.turn(20)
        assert pair.equal()
        assert pair.marked() == set()

    def test_overflow_in_a_resync_keeps_the_session_and_the_pass(self) -> None:
        pair = Pair(replace(self.WISH, content=CONTENT))
        pair.until(lambda: pair.is_in(LinkState.RESYNCING))
        overflow(pair)
        pair.write(50 * KIB)
        pair.line.room = None
        pair.replicating()
        assert pair.equal()
        assert len(begins(pair)) == 1
        assert not any(isinstance(unit, m.Refusal) for unit in pair.line.heard)

    def test_a_resync_ends_under_a_load_that_never_stops(self) -> None:
        pair = Pair(Wish(links=(replace(ASYNC, queue_memory=64 * KIB),), content=CONTENT))
        pair.line.room = 3
        for n in range(400):
            pair.write(n * 512 % (64 * KIB))
            pair.write(n * 7 * 512 % (64 * KIB))
            pair.turn()
            if pair.is_in(LinkState.REPLICATING):
                break
        assert pair.is_in(LinkState.REPLICATING)
        assert any(isinstance(unit, m.Skip) for unit in pair.line.sent)

    def test_a4_a_fill_does_not_clean_what_a_frame_behind_it_wrote(self) -> None:
        """The frame is sent but not durable when the stream is given up; then the peer loses it."""
        pair = Pair(replace(self.WISH, content=CONTENT))
        pair.until(lambda: pair.far.core.session is not None and pair.far.core.session.fills_applied == 1)
        pair.far.hold.add(a.SyncVolumes)
        pair.until(lambda: pair.far.held(a.SyncVolumes) == 1)
        pair.write(3 * REGION)
        pair.turn(2)
        assert pair.far.core.applied == 1
        pair.line.room = 0
        for n in range(8):
            pair.write(n * 512)
        assert not pair.feeder.streaming
        pair.far.let(a.SyncVolumes)
        pair.turn(2)
        pair.line.room = None
        pair.restart_far("boot-2")
        pair.far.hold.clear()
        pair.replicating()
        assert pair.equal()

    def test_a_sync_link_that_replicates_never_overflows(self) -> None:
        """Its writers wait; nothing has to be dropped."""
        pair = Pair(Wish(links=(replace(SYNC, queue_memory=2000),)))
        pair.replicating()
        pair.line.room = 0
        tokens = [token for n in range(20) for token in pair.write(n * 512)]
        pair.turn(5)
        assert pair.is_in(LinkState.REPLICATING)
        pair.line.room = None
        pair.turn(5)
        assert pair.answered(*tokens)

    def test_the_next_resync_in_a_session_does_not_take_the_last_ones_acknowledgements(self) -> None:
        """Ordinals of fills begin anew; a record that was still being written must not count."""
        pair = Pair(replace(self.WISH, content=CONTENT))
        pair.replicating()
        pair.far.hold.add(a.WriteDurable)
        pair.write(0)
        pair.until(lambda: pair.far.held(a.WriteDurable) == 1)
        overflow(pair)
        pair.line.room = None
        pair.near.hold.add(a.ReadRegion)
        pair.until(lambda: pair.near.held(a.ReadRegion) > 0)
        pair.far.hold.add(a.SyncVolumes)
        pair.near.let_all()
        pair.turn(2)
        pair.far.let(a.WriteDurable)
        pair.turn(3)
        session = pair.far.core.session
        assert session is not None
        assert session.fills_durable == 0
        pair.far.let_all()
        pair.replicating()
        assert pair.equal()
