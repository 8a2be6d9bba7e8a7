"""A link's life at its near end: first copy, outages, several links (rules A1, A4, B5, F2, G)."""

from dataclasses import replace

import pytest

from farshore.core import actions as a
from farshore.model import messages as m
from farshore.model.options import LinkState, Reason, ResyncKind
from farshore.model.positions import Position
from tests.unit.core.line import Unit
from tests.unit.core.pair import ASYNC, KIB, REGION, SYNC, Pair, Wish
from tests.unit.core.scenes import CONTENT, begins, filled, overflow, running


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

    def test_a_peer_that_is_alive_and_never_gets_ready_is_met_anew(self) -> None:
        pair = running(ASYNC)
        pair.cut()
        pair.turn(3)
        pair.write(0)
        pair.far.hold.add(a.WriteHeader)
        pair.mend()
        pair.until(lambda: len(begins(pair)) == 2)
        pair.turn(500)
        assert len(begins(pair)) == 2, "it may have much to make durable"
        pair.until(lambda: not pair.feeder.session.nonce)
        assert "does not answer" in pair.feeder.why
        pair.far.let_all()
        pair.replicating()
        assert pair.equal()

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


class TestBlockStatus:
    """What an application is told to be dirty is what rule A1 calls so, at any moment."""

    def _told(self, pair: Pair) -> set[tuple[int, int]]:
        found: set[tuple[int, int]] = set()
        for volume, size in pair.wish.sizes.items():
            at = 0
            for length, dirty in pair.feeder.dirty_extents(volume, 0, size):
                if dirty:
                    found |= {(volume, region) for region in pair.geometry.regions_of(at, length)}
                at += length
            assert at == size
        return found

    def test_a1_a_write_is_dirty_until_it_is_durable_at_the_peer(self) -> None:
        pair = running(ASYNC)
        assert self._told(pair) == set()
        pair.line.stops = lambda unit: True
        pair.write(3 * REGION)
        pair.turn(3)
        assert pair.feeder.replicating
        assert self._told(pair) == {(1, 3)}
        pair.line.stops = lambda unit: False
        pair.until(lambda: not self._told(pair))
        assert pair.equal()

    def test_a1_all_through_an_outage_and_its_resync(self) -> None:
        pair = running(SYNC)
        seen: set[tuple[tuple[int, int], ...]] = set()

        def look() -> bool:
            told = self._told(pair)
            assert told == pair.marked()
            seen.add(tuple(sorted(told)))
            return pair.feeder.replicating and not told

        pair.cut()
        pair.turn(3)
        pair.write(2 * REGION, 9 * REGION)
        look()
        pair.mend()
        pair.write(5 * REGION)
        pair.until(look)
        assert len(seen) > 2
