"""A link's life at its near end: first copy, outages, pauses, overflow (rules A1, A4, B5, E4, F1, G)."""

from dataclasses import replace

import pytest

from farshore.core import actions as a
from farshore.model import messages as m
from farshore.model.options import LinkState, Reason, ResyncKind
from farshore.model.positions import Position
from tests.unit.core.pair import ASYNC, KIB, REGION, SYNC, Pair, Unit, Wish

CONTENT = (bytes(range(1, 256)) * 258)[: 64 * KIB]
"""Something in every byte of a volume of 64 KiB."""


def filled(fills: list[m.Fill]) -> set[int]:
    """The regions that fills covered."""
    return {
        region
        for each in fills
        for region in range(each.offset // REGION, -(-(each.offset + each.length) // REGION))
    }


def begins(pair: Pair) -> list[m.ResyncBegin]:
    return [unit for unit in pair.line.sent if isinstance(unit, m.ResyncBegin)]


class TestFirstCopy:
    def test_a_full_first_copy_under_writes_ends_in_equal_copies(self) -> None:
        pair = Pair(Wish(content=CONTENT))
        tokens = [token for n in range(20) for token in pair.write(3000 * n)]
        pair.replicating()
        tokens += pair.write(0, 60_000)
        pair.turn(20)
        assert pair.equal()
        assert pair.answered(*tokens)
        assert [each.kind for each in begins(pair)] == [ResyncKind.FULL]
        assert pair.far.core.consistent

    def test_holes_and_zeroes_travel_as_such(self) -> None:
        pair = Pair(Wish(content=bytes(60 * KIB)))
        pair.far.disk.seen[1][0:4] = b"junk"
        pair.replicating()
        assert pair.equal()
        assert all(each.data is None for each in pair.line.fills())

    def test_a_digest_first_copy_sends_only_what_differs(self) -> None:
        pair = Pair(Wish(links=(replace(SYNC, first=ResyncKind.DIGEST),), content=CONTENT))
        pair.far.disk.seen[1][:] = CONTENT
        pair.far.disk.seen[1][5 * REGION : 5 * REGION + 3] = b"old"
        pair.replicating()
        assert pair.equal()
        assert filled(pair.line.fills()) == {5}

    def test_the_last_short_region_is_copied_to_its_end(self) -> None:
        pair = Pair(Wish(sizes={1: 9 * REGION + 513, 2: 700}))
        pair.write(9 * REGION + 1)
        pair.write(188, volume=2)
        pair.replicating()
        pair.turn(5)
        assert pair.equal()

    def test_a_first_copy_that_was_cut_goes_on_where_it_was(self) -> None:
        pair = Pair(Wish(sizes={1: 4096 * KIB}, region=64 * KIB, extent=256 * KIB), start=True)
        pair.near.disk.seen[1][:] = bytes([7]) * (4096 * KIB)
        pair.line.stops = lambda unit: isinstance(unit, m.Fill) and unit.ordinal > 2
        pair.until(lambda: pair.feeder.board.dirty.count() == 32)
        before = len(pair.line.fills())
        pair.cut()
        pair.turn(3)
        pair.mend()
        pair.line.stops = lambda unit: False
        pair.replicating()
        assert pair.equal()
        first, second = begins(pair)
        assert first.resync == second.resync
        assert sum(each.length for each in pair.line.fills()[before:]) <= 2048 * KIB


class TestOutage:
    def test_after_an_outage_only_what_was_written_meanwhile_is_sent(self) -> None:
        """At most 1.1 times the bytes of the changed regions."""
        pair = Pair(Wish(content=CONTENT))
        pair.replicating()
        pair.turn(20)
        pair.cut()
        tokens = pair.write(2 * REGION, 9 * REGION, 9 * REGION + 600)
        pair.turn(3)
        assert pair.answered(*tokens)
        assert pair.feeder.standing.reason is Reason.PEER_LOST
        sent = len(pair.line.fills())
        pair.mend()
        pair.replicating()
        assert filled(pair.line.fills()[sent:]) == {2, 9}
        assert pair.equal()

    def test_b5_the_stop_is_recorded_with_its_position_and_time(self) -> None:
        pair = Pair()
        pair.replicating()
        pair.write(0)
        pair.turn(2)
        pair.cut()
        pair.write(0, 512)
        assert pair.feeder.record.stopped_at == Position(pair.near.core.generation, 1)
        assert pair.feeder.record.stopped_time == pytest.approx(pair.now)

    def test_a_peer_that_is_equal_after_a_cut_is_resumed_without_a_resync(self) -> None:
        pair = Pair()
        pair.replicating()
        pair.write(0)
        pair.turn(20)
        pair.cut()
        pair.turn(2)
        pair.mend()
        pair.replicating()
        assert len(begins(pair)) == 1
        assert any(isinstance(unit, m.Resume) for unit in pair.line.sent)

    def test_a_silent_line_is_lost_after_the_limit_and_writers_are_released(self) -> None:
        pair = Pair()
        pair.replicating()
        pair.cut(silent=True)
        tokens = pair.write(0)
        pair.turn(40)
        assert not pair.answered(*tokens)
        pair.turn(20)
        assert pair.answered(*tokens)
        assert pair.is_in(LinkState.LOGGING)

    def test_our_own_stall_does_not_count_against_the_peer(self) -> None:
        pair = Pair()
        pair.replicating()
        pair.turn(1, step=30.0)
        pair.turn(5)
        assert pair.is_in(LinkState.REPLICATING)

    def test_a_line_that_is_said_to_be_back_is_used_at_once(self) -> None:
        pair = Pair()
        pair.replicating()
        pair.cut()
        pair.turn(100)
        pair.mend()
        pair.near.run(pair.near.core.peer_back(pair.link))
        pair.turn(4)
        assert pair.is_in(LinkState.REPLICATING)

    @pytest.mark.parametrize(
        "message", [m.Welcome, m.Ready, m.Resume, m.ResyncBegin, m.ResyncEnd, m.ResyncDone, m.Fill, m.Ack]
    )
    def test_f2_a_cut_at_any_message_ends_in_equal_copies(self, message: type) -> None:
        pair = Pair(Wish(content=CONTENT))
        pair.write(100, 5000)
        for _ in range(2):
            pair.line.stops = lambda unit: isinstance(unit, message)
            pair.turn(30)
            pair.cut()
            pair.write(9000)
            pair.turn(3)
            pair.mend()
            pair.line.stops = lambda unit: False
            pair.replicating()
            pair.write(2 * REGION)
            pair.turn(20)
            assert pair.equal()
            pair.cut()
            pair.write(3 * REGION)
            pair.turn(1)
            pair.mend()


class TestAutosyncOff:
    WISH = Wish(links=(replace(SYNC, autosync=False),))

    def lost(self) -> Pair:
        pair = Pair(self.WISH)
        pair.replicating()
        pair.cut()
        pair.write(0)
        pair.mend()
        pair.turn(100)
        return pair

    def test_it_waits_for_the_operator(self) -> None:
        assert self.lost().is_in(LinkState.LOGGING)

    def test_resync_brings_it_back(self) -> None:
        pair = self.lost()
        pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False))
        pair.replicating()
        assert pair.equal()

    def test_an_overflow_waits_as_well_and_resync_ends_it(self) -> None:
        pair = Pair(Wish(links=(replace(ASYNC, autosync=False, queue_memory=2000),)))
        pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False))
        pair.replicating()
        overflow(pair)
        pair.line.room = None
        pair.turn(50)
        assert pair.feeder.standing.reason is Reason.QUEUE_FULL
        pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False))
        pair.replicating()
        assert pair.equal()


class TestPause:
    def test_now_stops_at_once_and_stays(self) -> None:
        pair = Pair()
        pair.replicating()
        pair.line.room = 0
        pair.write(0)
        pair.near.run(pair.near.core.pause(None, False, 0.0))
        tokens = pair.write(REGION)
        pair.line.room = None
        pair.turn(100)
        assert pair.feeder.standing.reason is Reason.OPERATOR
        assert pair.answered(*tokens)
        assert {(1, 0), (1, 1)} <= pair.marked()
        (told,) = pair.near.noted("link-paused")
        assert (told["sequence"], told["drained"]) == (1, False)

    def test_drain_waits_until_the_peer_has_the_cut_and_nothing_beyond_it(self) -> None:
        pair = Pair(Wish(links=(ASYNC,)))
        pair.replicating()
        pair.line.room = 0
        pair.write(0)
        pair.write(REGION)
        pair.near.run(pair.near.core.pause(None, True, 5.0))
        pair.write(2 * REGION)
        pair.turn(5)
        assert pair.near.noted("link-paused") == []
        pair.line.room = None
        pair.turn(10)
        (told,) = pair.near.noted("link-paused")
        assert (told["sequence"], told["drained"]) == (2, True)
        assert pair.far.core.durable == 2
        assert pair.marked() == {(1, 2)}
        assert pair.feeder.board.base == pair.feeder.record.stopped_at

    def test_drain_gives_up_at_its_deadline(self) -> None:
        pair = Pair(Wish(links=(ASYNC,)))
        pair.replicating()
        pair.line.room = 0
        pair.write(0)
        pair.near.run(pair.near.core.pause(None, True, 0.2))
        pair.until(lambda: bool(pair.near.noted("link-paused")), 40)
        assert pair.near.noted("link-paused")[0]["drained"] is False
        assert pair.marked() == {(1, 0)}

    def test_drain_ends_with_the_line(self) -> None:
        pair = Pair(Wish(links=(ASYNC,)))
        pair.replicating()
        pair.line.room = 0
        pair.write(0)
        pair.near.run(pair.near.core.pause(None, True, 60.0))
        pair.cut()
        assert pair.near.noted("link-paused")[0]["drained"] is False
        assert pair.marked() == {(1, 0)}

    def test_resync_ends_a_pause(self) -> None:
        pair = Pair()
        pair.replicating()
        pair.near.run(pair.near.core.pause(None, True, 5.0))
        pair.write(0)
        pair.turn(20)
        pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False))
        pair.replicating()
        assert pair.equal()

    def test_resync_during_a_drain_is_the_later_wish_and_wins(self) -> None:
        pair = Pair(Wish(links=(ASYNC,)))
        pair.replicating()
        pair.line.room = 0
        pair.write(0)
        pair.near.run(pair.near.core.pause(None, True, 5.0))
        pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False))
        pair.line.room = None
        pair.turn(100)
        assert pair.is_in(LinkState.REPLICATING)
        assert not pair.feeder.record.paused

    def test_a3_a5_a_peer_set_back_below_what_it_drained_is_refused(self) -> None:
        pair = Pair(Wish(links=(ASYNC,)))
        pair.replicating()
        pair.turn(20)
        old = (pair.far.durable, pair.far.applied, bytes(pair.far.disk.safe[1]))
        pair.line.room = 0
        pair.write(0)
        pair.near.run(pair.near.core.pause(None, True, 5.0))
        pair.line.room = None
        pair.turn(20)
        assert pair.near.noted("link-paused")[0]["drained"] is True
        pair.checked = False
        pair.far.durable, pair.far.applied = old[0], old[1]
        pair.far.disk.safe[1] = old[2]
        pair.restart_far("boot-2")
        pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False))
        pair.turn(30)
        assert pair.is_in(LinkState.DIVERGED)


class TestOnce:
    def test_it_logs_again_at_the_completion_cut(self) -> None:
        pair = Pair()
        pair.replicating()
        pair.cut()
        pair.write(0)
        pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, True))
        pair.mend()
        pair.until(lambda: bool(pair.near.noted("link-paused")))
        cut = pair.near.noted("link-paused")[0]["sequence"]
        pair.write(REGION)
        pair.turn(50)
        assert pair.feeder.standing.reason is Reason.OPERATOR
        assert pair.far.core.applied == cut
        assert pair.far.core.consistent
        assert pair.marked() == {(1, 1)}
        assert pair.feeder.session.met

    def test_the_follower_is_told_of_no_gap_behind_the_cut(self) -> None:
        pair = Pair()
        pair.replicating()
        pair.far.hold.add(a.WriteDurable)
        pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, True))
        pair.until(lambda: pair.far.held(a.WriteDurable) > 0)
        pair.write(0)
        pair.turn(5)
        pair.far.let_all()
        pair.turn(10)
        assert not any(isinstance(unit, m.Skip) for unit in pair.line.sent)
        assert not any(isinstance(unit, m.Refusal) for unit in pair.line.heard)

    def test_a_plain_resync_meanwhile_means_to_stay(self) -> None:
        """Replicating means streaming: no link replicates that only marks."""
        pair = Pair()
        pair.replicating()
        pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, True))
        pair.line.stops = lambda unit: isinstance(unit, m.ResyncDone)
        pair.turn(20)
        pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False))
        pair.line.stops = lambda unit: False
        pair.turn(50)
        assert pair.is_in(LinkState.REPLICATING)
        pair.write(0)
        pair.turn(20)
        assert pair.equal()
        assert pair.marked() == set()

    def test_a4_frames_before_the_cut_that_the_peer_loses_are_sent_again(self) -> None:
        """Not durable, then the line and the peer's memory are lost: the same resync goes on."""
        pair = Pair(Wish(links=(ASYNC,), content=CONTENT))
        pair.near.run(pair.near.core.resync(None, ResyncKind.FULL, True))
        lose_the_cut(pair)

    def test_a4_the_same_without_once(self) -> None:
        lose_the_cut(Pair(Wish(links=(ASYNC,), content=CONTENT)))


def lose_the_cut(pair: Pair) -> None:
    """A write goes out while the last fill is on its way, and the peer never makes it durable."""
    pair.line.stops = lambda unit: isinstance(unit, m.Fill)
    pair.until(lambda: bool(pair.line.fills()))
    pair.line.stops = lambda unit: isinstance(unit, a.Issue)
    pair.write(3 * REGION)
    pair.far.hold.add(a.SyncVolumes)
    pair.until(lambda: pair.far.held(a.SyncVolumes) == 1)
    pair.line.stops = lambda unit: False
    pair.turn(1)
    assert pair.far.core.applied == 1
    pair.far.let(a.SyncVolumes)
    pair.until(lambda: any(isinstance(unit, m.ResyncEnd) for unit in pair.line.sent))
    pair.restart_far("boot-2")
    pair.far.hold.clear()
    pair.until(lambda: pair.far.core.consistent and not pair.feeder.filling)
    pair.turn(5)
    assert pair.equal()


def overflow(pair: Pair, size: int = 20) -> None:
    """More than the queue takes, on a line that takes nothing."""
    pair.line.room = 0
    for n in range(size):
        pair.write(n * 512)
    assert not pair.feeder.streaming


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


class TestResync:
    def test_e5_an_operators_digest_sends_only_what_differs(self) -> None:
        pair = Pair(Wish(content=CONTENT))
        pair.replicating()
        pair.turn(20)
        sent = len(pair.line.fills())
        pair.checked = False
        pair.far.disk.seen[1][7 * REGION] ^= 1
        pair.near.run(pair.near.core.resync(None, ResyncKind.DIGEST, False))
        pair.turn(3)
        pair.checked = True
        pair.replicating()
        assert filled(pair.line.fills()[sent:]) == {7}
        assert pair.equal()

    def test_an_operators_full_resync_sends_everything(self) -> None:
        pair = Pair(Wish(content=CONTENT))
        pair.replicating()
        sent = len(pair.line.fills())
        pair.near.run(pair.near.core.resync(None, ResyncKind.FULL, False))
        pair.turn(2)
        pair.replicating()
        assert filled(pair.line.fills()[sent:]) == set(range(16))

    def test_e4_a_region_written_during_each_read_is_read_with_its_writes_held(self) -> None:
        pair = Pair(Wish(content=CONTENT))
        pair.cut()
        pair.turn(2)
        pair.mend()
        pair.near.hold.add(a.ReadRegion)
        held_back: list[int] = []
        for _ in range(12):
            pair.until(lambda: pair.near.held(a.ReadRegion) > 0 or pair.is_in(LinkState.REPLICATING))
            if pair.is_in(LinkState.REPLICATING):
                break
            before = pair.near.core.path.waiting
            tokens = pair.write(0)
            if pair.near.core.path.waiting > before:
                held_back += tokens
            pair.near.let(a.ReadRegion, pair.near.held(a.ReadRegion))
            pair.turn()
        pair.near.let_all()
        pair.replicating()
        assert held_back
        assert pair.answered(*held_back)
        assert pair.equal()
        assert pair.near.core.path.barriers == []

    def test_e4_a_region_with_a_write_always_under_way_is_copied_all_the_same(self) -> None:
        """Its writes overlap: one has always begun and not ended, unless new ones are held."""
        pair = Pair(Wish(content=CONTENT))
        pair.near.hold.add(a.Issue)
        for _ in range(150):
            pair.write(0)
            if pair.near.held(a.Issue) > 1 or pair.near.core.path.waiting:
                pair.near.let(a.Issue, min(1, pair.near.held(a.Issue)))
            pair.turn()
            if pair.feeder.board.dirty.count() == 0:
                break
        assert pair.feeder.board.dirty.count() == 0
        pair.near.let_all()
        pair.replicating()
        assert pair.equal()

    def test_e4_a_write_that_waited_for_a_read_is_issued_although_its_extent_cooled(self) -> None:
        pair = Pair(Wish(content=CONTENT))
        pair.near.hold.add(a.ReadRegion)
        tokens: list[int] = []
        for _ in range(12):
            pair.until(lambda: pair.near.held(a.ReadRegion) > 0)
            tokens = pair.write(0)
            if pair.near.core.path.waiting:
                break
            pair.near.let(a.ReadRegion)
            pair.turn()
        assert pair.near.core.path.waiting
        pair.near.core.activity.hot.clear()
        pair.near.let_all()
        pair.turn(30)
        assert pair.answered(*tokens)

    def test_max_rate_bounds_the_fills(self) -> None:
        rate = 1024 * KIB
        pair = Pair(
            Wish(
                links=(replace(ASYNC, max_rate=rate),),
                sizes={1: 8192 * KIB},
                region=64 * KIB,
                extent=256 * KIB,
            )
        )
        pair.near.disk.seen[1][:] = bytes([7]) * (8192 * KIB)
        began = pair.now
        for _ in range(20):
            pair.turn(10)
            sent = sum(each.length for each in pair.line.fills())
            assert sent <= (pair.now - began) * rate + 1024 * KIB
        assert sent >= 1024 * KIB

    def test_a_local_read_error_stops_the_link_and_not_the_application(self) -> None:
        pair = Pair(Wish(content=CONTENT))
        pair.near.errors[a.ReadRegion] = [5]
        pair.turn(8)
        assert pair.feeder.standing.reason is Reason.LOCAL_ERROR
        tokens = pair.write(0)
        pair.turn(3)
        assert pair.answered(*tokens)
        pair.replicating()
        assert pair.equal()

    def test_a_peer_that_answers_a_query_wrongly_does_not_hang_the_resync(self) -> None:
        pair = Pair(Wish(content=CONTENT))
        pair.replicating()
        pair.far.hold.add(a.CompareDigests)
        pair.near.run(pair.near.core.resync(None, ResyncKind.DIGEST, False))
        pair.until(lambda: pair.far.held(a.CompareDigests) == 1)
        nonce = pair.feeder.session.nonce
        pair.near.run(pair.near.core.received(pair.link, m.DigestReply(nonce, 1, b"\0")))
        assert pair.feeder.standing.reason is Reason.PEER_ERROR
        pair.far.let_all()
        pair.replicating()


class TestSeveralLinks:
    WISH = Wish(links=(SYNC, replace(ASYNC, queue_memory=2000)))

    def test_a_slow_link_overflows_alone(self) -> None:
        pair = Pair(self.WISH)
        pair.replicating()
        _, slow = pair.lines.values()
        slow.room = 0
        tokens = [token for n in range(30) for token in pair.write(n * 512)]
        pair.turn(3)
        first, second = pair.near.core.feeders.values()
        assert pair.answered(*tokens)
        assert first.replicating
        assert second.standing.reason is Reason.QUEUE_FULL
        slow.room = None
        pair.replicating()
        assert pair.equal()

    def test_b5_a_pause_of_the_group_cuts_every_link_at_one_sequence(self) -> None:
        pair = Pair(self.WISH)
        pair.replicating()
        pair.write(0, 512)
        pair.near.run(pair.near.core.pause(None, True, 5.0))
        pair.write(1024)
        pair.until(lambda: len(pair.near.noted("link-paused")) == 2)
        assert {told["sequence"] for told in pair.near.noted("link-paused")} == {2}
        assert {far.core.applied for far in pair.fars.values()} == {2}

    def test_the_ledger_keeps_nothing_once_every_peer_is_durable_or_lost(self) -> None:
        pair = Pair(self.WISH)
        pair.replicating()
        pair.write(0)
        pair.turn(20)
        assert len(pair.near.core.ledger.entries) == 0
        for link in pair.lines:
            pair.cut(link)
        pair.write(0)
        assert len(pair.near.core.ledger.entries) == 0

    def test_a_removed_link_does_nothing_more_and_holds_nobody_up(self) -> None:
        pair = Pair(Wish(links=(SYNC, SYNC), content=CONTENT))
        pair.near.hold.add(a.ReadRegion)
        pair.until(lambda: pair.near.held(a.ReadRegion) == 2)
        link = pair.link
        pair.near.run(pair.near.core.remove_link(link))
        tokens = pair.write(0)
        before = len(pair.line.sent)
        pair.near.let_all()
        pair.replicating()
        assert pair.answered(*tokens)
        assert len(pair.lines[link].sent) == before
        assert pair.near.header.link(link) is None


def test_every_unit_of_a_line_is_one_that_the_model_knows() -> None:
    """The pair's own types, so that a new message is not forgotten here."""
    assert set(m.Message.__args__) <= set(Unit.__args__)
