"""A follower makes itself durable in time for whoever feeds it (rule B4).

What is not durable at the peer stays in the feeder's memory queue, where there is a disk queue behind it: a
follower that waited for its own 16 MiB would have a small queue spill to the disk without any need.
"""

from dataclasses import replace

import pytest

from farshore.core import actions as a
from farshore.core.durability import SYNC_BYTES
from farshore.core.journaling import JournalLimits
from farshore.model.options import Apply
from tests.unit.core.pair import ASYNC, KIB, Pair, Wish
from tests.unit.core.queue_disk import size_of
from tests.unit.core.queue_scenes import frames, queued, write_on
from tests.unit.core.shells import TIMING

TURN = 0.01
WRITES = 40
"""Frames in a turn."""
MEMORY = 64 * KIB
SMALL = replace(ASYNC, queue_memory=MEMORY, queue_disk=1024 * KIB)


def loaded(apply: Apply) -> tuple[Pair, int]:
    """A load beyond the memory queue in less time than a follower may take by the clock, without a flush; the
    pair, and how much the feeder kept in memory at most."""
    pair = queued(replace(SMALL, apply=apply))
    most = 0
    for number in range(round(TIMING.durable_every * 0.8 / TURN)):
        write_on(pair, WRITES, number * WRITES)
        pair.turn(1, TURN)
        most = max(most, pair.feeder.disk.memory_bytes)
    return pair, most


@pytest.mark.parametrize("apply", list(Apply))
def test_b4_a_link_in_step_leaves_its_disk_queue_alone_however_small_its_memory(apply: Apply) -> None:
    pair, most = loaded(apply)
    assert most <= MEMORY
    assert not pair.near.queues[pair.link].disk
    assert sum(map(size_of, frames(pair))) > 2 * MEMORY


def test_b4_a_journal_is_synced_at_each_quarter_too() -> None:
    pair, _ = loaded(Apply.JOURNAL)
    sent = sum(map(size_of, frames(pair)))
    assert len(pair.far.carried(a.SyncJournal)) >= sent // (MEMORY // 4)


def test_b4_what_gathers_while_a_sync_is_under_way_begins_the_next_one() -> None:
    pair = queued(SMALL)
    pair.turn(30)
    pair.far.hold.add(a.SyncVolumes)
    pair.turn(2, 2 * TIMING.durable_every)
    write_on(pair, 2 * WRITES)
    pair.turn(1, TURN)
    syncs = len(pair.far.carried(a.SyncVolumes))
    pair.far.let(a.SyncVolumes)
    pair.turn(2, TURN)
    assert len(pair.far.carried(a.SyncVolumes)) == syncs + 1, "without a further frame, or a second's wait"


def test_b4_a_feeder_with_a_large_queue_or_of_which_nothing_is_known_costs_no_more_syncs_than_before() -> (
    None
):
    standing, journal = Pair(Wish()).far.core.standing, Pair(Wish()).far.core.journal
    for queue in (0, 64 << 20, 1 << 40):
        standing.heed(queue)
        journal.heed(queue)
        assert (standing.sync_bytes, journal.sync_bytes) == (SYNC_BYTES, JournalLimits().sync)
    standing.heed(1 << 20)
    assert standing.sync_bytes == 1 << 18
    standing.heed(1)
    assert standing.sync_bytes == 1
