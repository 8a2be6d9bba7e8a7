"""A queue that is full: marks in place of frames, and the way back to order (rules A4, E4, F1)."""

import random
from dataclasses import replace
from itertools import count, pairwise

import pytest

from farshore.core import actions as a
from farshore.core import report
from farshore.core.filling import Turns
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

    def test_a4_a_fill_does_not_clean_what_a_frame_behind_it_wrote(self) -> None:
        """The frame is sent but not durable when the stream is given up; then the peer loses it."""
        pair = Pair(Wish(links=(replace(ASYNC, queue_memory=8 * KIB),), content=CONTENT))
        pair.until(lambda: pair.far.core.session is not None and pair.far.core.session.fills_applied > 0)
        pair.far.hold.add(a.SyncVolumes)
        pair.until(lambda: pair.far.held(a.SyncVolumes) == 1)
        pair.write(3 * REGION)
        pair.turn(2)
        assert pair.far.core.applied == 1
        pair.line.room = 0
        for n in range(16):
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


class TestOrderReturns:
    """Rule E4: a resync beside a load that never stops, on a line of 16 KiB a turn."""

    LINE = 16 * KIB
    WRITE = 512 + 112
    """Bytes that a write of these tests takes on the line."""
    REGIONS = 256

    def resyncing(self, queue: int = 32 * KIB) -> Pair:
        """In a full resync, on a line of that rate."""
        size = self.REGIONS * REGION
        pair = Pair(
            Wish(
                links=(replace(ASYNC, queue_memory=queue),),
                sizes={1: size},
                content=(CONTENT * (size // len(CONTENT)))[:size],
                capacity=size // (16 * KIB),
            )
        )
        pair.until(lambda: pair.is_in(LinkState.RESYNCING))
        pair.line.rate = self.LINE
        return pair

    def load(self, pair: Pair, share: float, regions: int, turns: int) -> list[LinkState]:
        """Writes at a share of the line's rate, each to the next of so many regions; the link's states."""
        chance, owed, states = random.Random(1), 0.0, []
        for _ in range(turns):
            owed += share * self.LINE / self.WRITE
            while owed >= 1:
                owed -= 1
                pair.write(chance.randrange(regions) * REGION)
            pair.turn()
            states.append(pair.feeder.state)
            if pair.is_in(LinkState.REPLICATING):
                break
        return states

    @pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
    def test_one_overflow_does_not_keep_it_away_from_a_load_that_the_line_carries(self, share: float) -> None:
        """The load dirties more regions than the line could copy, was each to be copied again."""
        pair = self.resyncing()
        pair.line.rate = 0
        self.load(pair, share, self.REGIONS, 5 if share > 0.5 else 12)
        assert not pair.feeder.streaming
        pair.line.rate = self.LINE
        assert self.load(pair, share, self.REGIONS, 1500)[-1] is LinkState.REPLICATING
        pair.turn(300)
        assert pair.equal()

    def test_a_load_on_few_regions_faster_than_the_line_does_not_keep_the_resync_from_its_end(self) -> None:
        pair = self.resyncing(256 * KIB)
        states = self.load(pair, 2.0, 4, 300)
        assert states[-1] is LinkState.REPLICATING
        assert any(isinstance(unit, m.Skip) for unit in pair.line.sent)

    def test_status_says_that_writes_mark_more_than_is_copied_and_how_much(self) -> None:
        pair = self.resyncing(64 * KIB)
        self.load(pair, 2.0, self.REGIONS, 800)
        assert pair.is_in(LinkState.RESYNCING)
        document = report.of_primary(pair.near.core, "shop")
        (link,) = document["links"]
        assert link["marked_bytes_per_second"] > 0.9 * link["copied_bytes_per_second"] > 0
        assert link["copied_bytes_per_second"] <= 1.1 * self.LINE * 100
        assert "anew" in document["why"]

    def test_a_resync_that_gains_says_nothing_of_the_kind(self) -> None:
        pair = self.resyncing(64 * KIB)
        pair.line.rate = 1024  # so that it lasts
        pair.turn(600)
        assert pair.is_in(LinkState.RESYNCING)
        document = report.of_primary(pair.near.core, "shop")
        (link,) = document["links"]
        assert link["marked_bytes_per_second"] == 0
        assert link["copied_bytes_per_second"] > 0
        assert "anew" not in document["why"]

    def test_order_is_tried_ever_more_rarely_beside_a_load_that_the_line_does_not_carry(self) -> None:
        pair = self.resyncing(64 * KIB)
        self.load(pair, 2.0, self.REGIONS, 400)
        tries = [place for place, unit in enumerate(pair.line.sent) if isinstance(unit, m.Skip)]
        between = [after - before for before, after in pairwise(tries)]
        assert len(between) >= 3
        assert between[-1] > between[-2] > between[-3]
        latest = pair.line.sent[tries[-2] : tries[-1]]
        fills = sum(unit.length for unit in latest if isinstance(unit, m.Fill))
        frames = self.WRITE * sum(isinstance(unit, a.Issue) for unit in latest)
        assert fills > 2 * frames


def test_e4_how_many_fills_go_first() -> None:
    turns = Turns()
    assert turns.over(0)
    sent, needed = 0, []
    for _ in range(9):
        turns.overflowed(sent, 100)
        needed.append(next(more for more in count() if turns.over(sent + more)))
        sent += needed[-1]
        turns.resumed(sent)
        sent += 1
    assert needed == [100, 200, 400, 800, 1600, 3200, 6400, 6400, 6400]
    turns.overflowed(sent + 6400, 100)
    assert turns.over(sent + 6500)
    assert not turns.over(sent + 6499)
