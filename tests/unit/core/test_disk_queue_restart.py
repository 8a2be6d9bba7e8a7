"""What becomes of a disk queue at a stop and a start (D4), and what its marks are good for (A1, A2)."""

import pytest

from farshore.core import actions as a
from farshore.model import messages as m
from farshore.model.options import LinkState
from tests.unit.core.pair import KIB, SYNC, Pair, Wish
from tests.unit.core.queue_scenes import QUEUED, disk, frames, no_resync_since, queued, write_on
from tests.unit.core.scenes import begins


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
