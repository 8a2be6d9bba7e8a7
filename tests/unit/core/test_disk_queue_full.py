"""A full disk queue, or one that fails: the stated fall to the next tier (F1), and never a wrong image."""

from dataclasses import replace

import pytest

from farshore.core import actions as a
from farshore.core import queueing
from farshore.core.holding import held_by
from farshore.model.options import LinkState, OnFull, Reason, Writes
from tests.unit.core.pair import ASYNC, KIB
from tests.unit.core.queue_scenes import (
    MEMORY,
    QUEUED,
    disk,
    no_resync_since,
    queued,
    write_on,
)
from tests.unit.core.scenes import begins


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

    @pytest.mark.parametrize("on_full", OnFull)
    def test_f1_a_bound_that_is_made_smaller_counts_at_once(self, on_full: OnFull) -> None:
        pair = queued(replace(QUEUED, queue_disk=256 * KIB))
        pair.cut()
        write_on(pair, 40)
        assert pair.is_in(LinkState.QUEUING)
        spec = replace(pair.feeder.spec, options=replace(QUEUED, queue_disk=8 * KIB, on_full=on_full))
        pair.near.run(pair.near.core.change_link(spec))
        logs = on_full is OnFull.LOG
        assert pair.is_in(LinkState.LOGGING if logs else LinkState.QUEUING)
        assert pair.near.core.writable is (Writes.FLOWING if logs else Writes.HELD)
        pair.mend()
        pair.replicating()
        pair.turn(30)
        assert pair.equal()
        assert pair.near.core.writable is Writes.FLOWING

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
        assert "full" in str(held_by(pair.near.core))
        pair.mend()
        pair.until(lambda: pair.answered(*tokens, flush))
        pair.replicating()
        pair.turn(30)
        assert pair.equal()
        assert pair.near.core.writable is Writes.FLOWING
        assert no_resync_since(pair, resyncs)

    def test_room_comes_back_though_the_disk_was_busy_at_the_last_acknowledgement(self) -> None:
        pair = queued(replace(QUEUED, queue_disk=8 * KIB, on_full=OnFull.BLOCK))
        pair.cut()
        tokens = [pair.write((n * 5 % 128) * 512)[0] for n in range(15)]
        disk(pair).deaf = 20
        pair.mend()
        pair.until(lambda: pair.answered(*tokens))
        pair.until(lambda: disk(pair).disk == [])

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

    def test_a_disk_that_is_slower_than_the_application_is_a_full_queue(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queueing, "WRITING", MEMORY)
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
