"""Hot extents: what is logged before a write, compared after a crash, and when it cools (rules A2 to A4)."""

import pytest

from farshore.core import actions as a
from farshore.model import messages as m
from tests.unit.core.pair import ASYNC, KIB, REGION, Pair, Wish
from tests.unit.core.scenes import running


class TestHotExtents:
    """Rules A2 and A3."""

    def test_a2_nothing_of_a_cold_write_is_written_or_leaves_before_its_extent_is_logged(self) -> None:
        pair = running()
        pair.near.hold.add(a.WriteActivity)
        sent = len(pair.line.sent)
        before = bytes(pair.near.disk.seen[1])
        pair.write(0)
        assert pair.near.disk.seen[1] == before
        assert len(pair.line.sent) == sent
        pair.near.let_all()
        assert pair.near.disk.seen[1] != before
        assert (1, 0) in (pair.near.hot or set())

    @pytest.mark.parametrize("lose_cache", [False, True])
    def test_a3_after_a_crash_hot_extents_are_compared_and_only_what_differs_is_sent(
        self, lose_cache: bool
    ) -> None:
        pair = running()
        pair.write(0, 20 * KIB)
        pair.flush()
        pair.turn(10)
        pair.line.room = 0
        pair.write(512, fill=b"!")
        pair.kill_near(lose_cache=lose_cache)
        pair.line.room = None
        sent = len(pair.line.sent)
        pair.start_near("boot-2" if lose_cache else "boot-1")
        pair.replicating()
        units = pair.line.sent[sent:]
        fills = [unit for unit in units if isinstance(unit, m.Fill)]
        queries = [unit for unit in units if isinstance(unit, m.DigestQuery)]
        assert sum(each.length for each in queries) <= 3 * 16 * KIB
        assert sum(each.length for each in fills) == (0 if lose_cache else REGION)
        assert pair.equal()

    def test_a3_suspects_outlive_a_clean_stop_that_comes_before_they_were_compared(self) -> None:
        pair = running()
        pair.write(0)
        pair.kill_near(lose_cache=True)
        pair.cut()
        pair.start_near("boot-2", "alone")
        pair.turn(80)
        pair.stop_near()
        pair.start_near("boot-2")
        assert pair.feeder.board.suspect.count() == 4
        pair.mend()
        pair.replicating()
        assert pair.equal()

    def test_a3_an_unreadable_activity_log_makes_everything_suspect(self) -> None:
        pair = running()
        pair.kill_near()
        pair.near.hot = None
        pair.start_near("boot-1")
        assert pair.feeder.board.suspect.count() == 16
        pair.replicating()
        assert pair.equal()

    def test_a3_what_the_page_cache_still_had_is_safe_before_a_suspect_is_forgotten(self) -> None:
        """A process death, then a power loss: what was found equal must not go back."""
        pair = running()
        pair.write(0, fill=b"w")
        pair.turn(20)
        pair.kill_near()
        pair.start_near("boot-1")
        pair.replicating()
        pair.write(40 * KIB)
        pair.kill_near(lose_cache=True)
        pair.start_near("boot-2")
        pair.replicating()
        assert pair.equal()

    def test_a2_an_extent_does_not_cool_before_its_writes_are_synced_here(self) -> None:
        """The peer has it durable; a power loss here must not make the two differ unmarked."""
        pair = Pair(Wish(sizes={1: 128 * KIB}, capacity=4))
        pair.replicating()
        pair.near.hold.add(a.SyncVolumes)
        pair.write(0, fill=b"w")
        for n in range(1, 4):
            pair.write(n * 16 * KIB)
        pair.turn(20)
        assert pair.feeder.acked.durable == 4
        cold = pair.write(4 * 16 * KIB)
        pair.turn(20)
        assert not pair.answered(*cold)
        assert (1, 0) in (pair.near.hot or set())
        pair.kill_near(lose_cache=True)
        pair.start_near("boot-2")
        pair.replicating()
        assert pair.equal()

    def test_a2_extents_cool_while_a_slow_peer_lags_and_nothing_is_forgotten(self) -> None:
        pair = running(ASYNC, capacity=2)
        pair.line.room = 0
        tokens = [token for n in range(8) for token in pair.write(n * 8 * KIB, fill=bytes([n + 1]))]
        pair.until(lambda: pair.answered(*tokens))
        assert len(pair.near.hot or ()) <= 2
        pair.flush()
        pair.kill_near(lose_cache=True)
        pair.line.room = None
        pair.start_near("boot-2")
        pair.replicating()
        assert pair.equal()

    def test_a4_two_frames_of_one_region_under_way_and_only_the_first_durable(self) -> None:
        """The region's extent cools, the first frame's acknowledgement comes, then power is lost."""
        pair = running(ASYNC, capacity=2)
        pair.line.stops = lambda unit: isinstance(unit, a.Issue) and unit.first > 1
        pair.write(0, fill=b"1")
        pair.write(0, fill=b"2")
        pair.flush()
        for n in range(2, 7):
            pair.write(n * 8 * KIB)
            pair.turn(5)
        pair.write(16 * KIB)
        pair.turn(5)
        assert pair.feeder.acked.durable == 1
        assert (1, 0) not in (pair.near.hot or set())
        pair.kill_near(lose_cache=True)
        pair.restart_far("boot-2")
        pair.line.stops = lambda unit: False
        pair.start_near("boot-2")
        pair.replicating()
        assert pair.equal()

    def test_a_write_that_needs_more_room_than_is_free_gets_it(self) -> None:
        pair = running(capacity=4)
        pair.write(0, 16 * KIB, 32 * KIB)
        pair.turn(3)
        tokens = [pair.near.core.sequence + 1000]
        pair.near.submit([(1, 1, 31 * KIB, 18 * KIB)], [bytes(18 * KIB)], tokens)
        pair.turn(20)
        assert pair.answered(*tokens)
