"""Rule C3: no stop ends with the record of a fault still in memory, and every stop ends."""

import errno

import pytest

from farshore.core import actions as a
from farshore.core.fault_record import RECORD_EVERY
from farshore.core.fault_texts import RECORDS, VOLUMES, doubts_volumes, fault_id
from farshore.core.record_actions import ForgetBeyond
from farshore.model.layers import LayerKind
from farshore.model.options import Apply, LinkOptions, Mode, ResyncKind, Writes
from tests.unit.core.pair import KIB, Pair
from tests.unit.core.scenes import running

EIO = errno.EIO


def fence(pair: Pair) -> None:
    """The primary learns for good of a newer one."""
    near = pair.near
    pair.cut()
    pair.turn(2)
    near.core._fence("a newer one", True, None)
    near.run(near.core.outbox.take())
    pair.turn(2)


def strike(pair: Pair, what: str) -> None:
    """A disk of the primary fails."""
    pair.near.core.faulting.strike(EIO, what)
    pair.near.run(pair.near.core.outbox.take())


class TestPrimary:
    """Of a primary."""

    def test_a_record_that_has_failed_before_is_tried_again_by_a_stop(self) -> None:
        """Otherwise the next start fills the peer, which has the write, with what the sync has left."""
        pair = running()
        near, far = pair.near, pair.far
        (token,) = pair.write(0, fill=b"N")
        pair.turn(30)
        assert pair.answered(token)
        near.errors[a.SyncVolumes] = [EIO]
        near.errors[a.WriteHeader] = [EIO]
        pair.flush()
        pair.turn(3)
        assert near.core.writable is Writes.REFUSED
        assert not near.header.fault
        pair.checked = False
        near.disk.lose_cache()
        near.run(near.core.stop())
        pair.until(lambda: near.core.stopped)
        pair.kill_near()
        pair.start_near("boot-1", repaired=False)
        pair.turn(300)
        assert near.core.writable is Writes.REFUSED
        assert bytes(far.disk.seen[1][:512]) == b"N" * 512

    def test_a_record_that_fails_once_more_ends_the_stop(self) -> None:
        pair = running()
        near = pair.near
        pair.write(0)
        near.errors[a.SyncVolumes] = [EIO]
        near.errors[a.WriteHeader] = [EIO, EIO]
        pair.flush()
        pair.turn(3)
        near.run(near.core.stop())
        pair.until(lambda: near.core.stopped)
        assert not near.header.fault

    def test_a_second_failure_does_not_end_it_before_the_record(self) -> None:
        pair = running(capacity=2)
        near = pair.near
        pair.write(0)
        pair.turn(2)
        near.hold |= {a.WriteHeader, a.WriteActivity}
        pair.write(16 * KIB * 3)  # a cold extent
        assert near.held(a.WriteActivity) == 1
        near.errors[a.SyncVolumes] = [EIO]
        pair.flush()
        pair.turn(3)
        near.run(near.core.stop())
        near.errors[a.WriteActivity] = [EIO]
        near.let(a.WriteActivity)
        pair.turn(3)
        assert not near.core.stopped
        near.hold.clear()
        near.let_all()
        pair.until(lambda: near.core.stopped)
        assert doubts_volumes(near.header.fault)

    @pytest.mark.parametrize("stop", [False, True])
    def test_a_graver_fault_is_not_recorded_with_the_lesser_one_before_it(self, stop: bool) -> None:
        pair = running()
        near = pair.near
        pair.write(0)
        pair.turn(2)
        near.hold |= {a.WriteHeader, a.SyncVolumes}
        pair.flush()
        strike(pair, RECORDS)
        near.let(a.WriteHeader)
        assert near.held(a.WriteHeader) == 1, "one that carries the lesser fault"
        near.errors[a.SyncVolumes] = [EIO]
        near.let(a.SyncVolumes)
        assert doubts_volumes(near.core.keeper.header.fault)
        if stop:
            near.run(near.core.stop())
        near.let(a.WriteHeader)
        pair.turn(1)
        assert not near.core.stopped
        near.errors[a.WriteHeader] = [EIO]
        near.let(a.WriteHeader)
        assert near.core.stopped is stop
        near.hold.clear()
        for _ in range(3):
            pair.turn(1, RECORD_EVERY)
        assert doubts_volumes(near.header.fault)
        assert near.header.links[0].paused

    def test_no_repair_is_told_of_a_fault_that_is_not_durable(self) -> None:
        pair = running()
        near = pair.near
        pair.write(0)
        pair.turn(2)
        near.hold |= {a.WriteHeader, a.SyncVolumes}
        pair.flush()
        strike(pair, RECORDS)
        near.let(a.WriteHeader)
        near.run(near.core.faulting.repair())
        near.errors[a.SyncVolumes] = [EIO]
        near.let(a.SyncVolumes)
        near.let(a.WriteHeader)
        assert not near.noted("repairable")
        near.let(a.WriteHeader)
        (told,) = near.noted("repairable")
        assert told["id"] == fault_id(near.header)
        assert told["doubtful"]

    @pytest.mark.parametrize("restart", [False, True])
    @pytest.mark.parametrize("what", [RECORDS, VOLUMES])
    def test_one_that_is_fenced_and_faulted_ends(self, what: str, restart: bool) -> None:
        pair = running()
        near = pair.near
        fence(pair)
        strike(pair, what)
        pair.turn(2)
        assert near.header.fault
        assert near.header.fenced
        if restart:
            pair.kill_near()
            pair.start_near("boot-1", repaired=False)
            pair.turn(2)
        near.run(near.core.stop())
        pair.until(lambda: near.core.stopped)
        assert not near.header.clean

    @pytest.mark.parametrize("meanwhile", ["stop", ""])
    def test_one_of_a_start_that_repairs_does_not_forget_the_fault(self, meanwhile: str) -> None:
        """Before its maps are durable; the next start would not compare everything."""
        pair = running()
        near = pair.near
        pair.write(0)
        pair.turn(10)
        strike(pair, RECORDS)
        pair.turn(3)
        pair.kill_near()
        pair.checked = False
        near.disk.seen[1][-4 * KIB :] = b"Z" * 4 * KIB  # only a comparison of everything finds it
        near.hold |= {a.WriteBoard, a.SyncVolumes}
        pair.start_near("boot-1", repaired=True)
        if meanwhile == "stop":
            near.run(near.core.stop())
        pair.turn(3)
        assert near.header.fault
        near.hold.clear()
        near.let_all()
        if meanwhile == "stop":
            pair.until(lambda: near.core.stopped)
            pair.kill_near()
            pair.start_near("boot-1")
        assert near.header.fault is None
        near.run(near.core.resync(None, ResyncKind.UPDATE, False))
        pair.turn(500)
        assert pair.feeder.replicating
        assert pair.equal()

    def test_one_that_is_fenced_waits_for_the_record_too(self) -> None:
        pair = running()
        near = pair.near
        pair.write(0)
        pair.turn(2)
        pair.cut()
        pair.turn(2)
        near.hold.add(a.SyncVolumes)
        pair.flush()
        fence(pair)
        near.hold.add(a.WriteHeader)
        near.errors[a.SyncVolumes] = [EIO]
        near.let(a.SyncVolumes)
        near.run(near.core.stop())
        pair.turn(3)
        assert not near.core.stopped
        near.hold.clear()
        near.let_all()
        pair.until(lambda: near.core.stopped)
        assert near.header.fault


class TestSecondary:
    """Of a secondary."""

    def test_a_record_that_an_older_write_of_the_header_took_along_is_tried(self) -> None:
        pair = running()
        far = pair.far
        pair.write(0)
        far.hold |= {a.WriteHeader, a.SyncVolumes}
        pair.turn(15)
        far.core.keeper.put(far.core.keeper.header)
        far.run(far.core.outbox.take())
        assert far.held(a.WriteHeader) == 1
        far.errors[a.SyncVolumes] = [EIO]
        far.run(far.core.stop())
        far.let(a.SyncVolumes)
        far.errors[a.WriteHeader] = [EIO]
        far.let(a.WriteHeader)
        assert far.core.fault
        assert not far.core.stopped
        far.hold.clear()
        pair.turn(2)  # at once, and not when the next attempt of one that failed would be due
        assert far.core.stopped
        assert far.header.fault

    def test_a_fault_at_its_very_end_is_recorded(self) -> None:
        pair = running()
        far = pair.far
        far.run(far.core.take_layer(LayerKind.SNAPSHOT, "s", lambda *_: None))
        pair.turn(5)
        far.hold.add(a.DropLayer)
        far.run(far.core.drop_layer(far.core.preserve.layers[0].id, lambda _: None))
        far.run(far.core.stop())
        pair.turn(5)
        assert far.header.clean
        assert not far.core.stopped
        far.hold.add(a.WriteHeader)
        far.errors[a.DropLayer] = [EIO]
        far.let(a.DropLayer)
        assert not far.core.stopped
        far.let(a.WriteHeader)
        assert far.core.stopped
        assert far.header.fault
        assert not far.header.clean

    def test_a_fault_on_the_way_leaves_no_clean_header(self) -> None:
        pair = running()
        far = pair.far
        far.run(far.core.take_layer(LayerKind.SNAPSHOT, "s", lambda *_: None))
        pair.turn(5)
        pair.write(0)
        pair.turn(1)
        far.hold |= {a.DropLayer, a.SyncVolumes}
        far.run(far.core.drop_layer(far.core.preserve.layers[0].id, lambda _: None))
        far.run(far.core.stop())
        far.errors[a.DropLayer] = [EIO]
        far.let(a.DropLayer)
        far.let(a.SyncVolumes)
        pair.until(lambda: far.core.stopped)
        assert far.header.fault
        assert not far.header.clean

    def test_a_fault_of_a_start_outlives_it(self) -> None:
        pair = running()
        far = pair.far
        pair.cut()
        far.forget()
        far.start("boot-1")
        far.hold.add(a.WriteHeader)
        far.run(far.core.start())
        far.run(far.core.stop())
        far.core.fail(EIO)
        far.run(far.core.outbox.take())
        far.hold.clear()
        far.let_all()
        pair.until(lambda: far.core.stopped)
        assert far.header.fault
        assert not far.header.clean

    def test_a_full_disk_does_not_end_it_before_the_record(self) -> None:
        pair = running(LinkOptions(mode=Mode.SYNC, apply=Apply.JOURNAL))
        far = pair.far
        far.hold.add(a.ApplyFrames)
        pair.write(0)
        pair.turn(15)
        assert far.held(a.ApplyFrames)
        far.hold.add(a.WriteHeader)
        far.run(far.core.stop())
        far.core.fail(EIO)
        far.run(far.core.outbox.take())
        far.errors[a.ApplyFrames] = [errno.ENOSPC]
        far.let(a.ApplyFrames)
        assert not far.core.stopped
        far.let(a.WriteHeader)
        assert far.core.stopped
        assert far.header.fault

    def test_a_repair_of_a_copy_that_starts_behind_its_fault_is_none(self) -> None:
        """The old fault stands in the header until what it has cost is forgotten."""
        pair = running()
        far = pair.far
        far.core.fail(EIO)
        far.run(far.core.outbox.take())
        assert far.header.fault
        pair.cut()
        far.forget()
        far.start("boot-1")
        far.hold.add(ForgetBeyond)
        far.run(far.core.start())
        far.run(far.core.repair())
        assert far.header.fault is not None
        assert not far.noted("repairable")
