"""A primary whose disk has failed answers nothing, in this process and the next ones, until a repair."""

import errno

import pytest

from farshore.core import actions as a
from farshore.core import report
from farshore.core.fault_record import RECORD_EVERY
from farshore.core.fault_texts import RECORDS, VOLUMES, doubts_volumes, fault_id, fault_of
from farshore.model.header import Fault, FaultKind
from farshore.model.options import LinkState, Reason, Writes
from tests.unit.core.pair import KIB, Pair
from tests.unit.core.scenes import running

EIO = errno.EIO


def lost_a_sync() -> Pair:
    """Replicating, with one write that a failed fsync had covered."""
    pair = running()
    pair.write(0)
    pair.turn(2)
    pair.near.errors[a.SyncVolumes] = [EIO]
    pair.flush()
    pair.turn(3)
    return pair


def test_c3_a_faulted_primary_stays_so_through_starts_until_this_fault_is_repaired() -> None:
    pair = lost_a_sync()
    before = pair.near.header
    for _ in range(2):
        pair.kill_near(lose_cache=True)
        pair.start_near("boot-2", repaired=False)
        token = pair.flush()
        pair.turn(60)
        assert pair.near.replies[token] == EIO
        assert pair.near.core.writable is Writes.REFUSED
        assert pair.feeder.standing.reason is Reason.LOCAL_ERROR
        shown = report.of_primary(pair.near.core, "g")
        assert (shown["health"], shown["fault_id"]) == ("failed", fault_id(before))
        assert shown["next"] == "see to the disk, then farshore repair g"
        assert pair.near.header == before
    pair.kill_near()
    pair.start_near("boot-2")
    pair.turn(3)
    assert pair.near.core.writable is Writes.FLOWING
    assert not pair.near.header.fault
    assert pair.feeder.board.suspect.count() == 16


def test_c3_an_earlier_repair_is_none_of_a_later_fault() -> None:
    pair = lost_a_sync()
    first = fault_id(pair.near.header)
    pair.kill_near()
    pair.start_near("boot-1")
    pair.turn(3)
    pair.near.errors[a.SyncVolumes] = [EIO]
    pair.flush()
    pair.turn(3)
    assert fault_id(pair.near.header) not in ("", first)


def test_a_stop_of_a_copy_that_stays_faulted_changes_nothing() -> None:
    pair = lost_a_sync()
    before = pair.near.header
    pair.kill_near()
    pair.start_near("boot-1", repaired=False)
    pair.stop_near()
    assert pair.near.header == before


@pytest.mark.parametrize("kind", [a.WriteHeader, a.WriteActivity, a.WriteBoard])
def test_a_fault_of_the_records_leaves_the_links_to_go_on_by_digest_after_a_repair(kind: type) -> None:
    pair = running(capacity=2)
    pair.near.errors[kind] = [errno.ENOSPC]
    pair.cut()
    for n in range(4):
        pair.write(n * 16 * KIB)
    pair.turn(5)
    assert pair.near.core.writable is Writes.REFUSED
    assert not doubts_volumes(pair.near.header.fault)
    pair.mend()
    pair.kill_near()
    pair.start_near("boot-1")
    pair.replicating()
    assert pair.equal()


def test_c3_a_fault_that_cannot_be_recorded_is_recorded_as_soon_as_that_works() -> None:
    pair = running()
    pair.write(0)
    pair.near.errors[a.SyncVolumes] = [EIO]
    pair.near.errors[a.WriteHeader] = [EIO, EIO, EIO]
    pair.flush()
    pair.turn(5)
    assert pair.near.core.writable is Writes.REFUSED
    assert not pair.near.header.fault
    pair.near.run(pair.near.core.faulting.repair())
    assert not pair.near.noted("repairable"), "its records cannot be written"
    for _ in range(3):
        pair.turn(1, RECORD_EVERY)
    assert pair.near.header.fault
    assert pair.near.noted("repairable")[0]["id"] == fault_id(pair.near.header)


@pytest.mark.parametrize(
    ("fault", "doubts"),
    [
        (None, False),
        (fault_of(RECORDS, EIO), False),
        (fault_of(VOLUMES, EIO), True),
        (Fault(f"{RECORDS}, and so on", FaultKind.VOLUMES), True),
        (Fault("another text", FaultKind.RECORDS), False),
        (Fault(f"{RECORDS}: EIO", None), False),
        (Fault(f"{VOLUMES}: EIO", None), True),
    ],
)
def test_c3_what_a_fault_leaves_in_doubt_says_its_kind_and_only_in_old_headers_its_text(
    fault: Fault | None, doubts: bool
) -> None:
    assert doubts_volumes(fault) is doubts


def test_c3_a_sync_that_fails_after_a_record_could_not_be_written_counts_as_well() -> None:
    pair = running()
    pair.write(0)
    pair.near.hold.add(a.SyncVolumes)
    pair.flush()
    pair.near.core.faulting.strike(EIO)
    pair.turn(2)
    assert not doubts_volumes(pair.near.header.fault)
    pair.near.errors[a.SyncVolumes] = [EIO]
    pair.near.let_all()
    pair.turn(2)
    assert doubts_volumes(pair.near.header.fault)
    assert pair.near.header.links[0].paused


def test_a_clean_stop_that_a_failed_sync_ends_has_recorded_it() -> None:
    pair = running()
    pair.write(0)
    pair.turn(2)
    pair.near.errors[a.SyncVolumes] = [EIO]
    pair.near.hold.add(a.WriteHeader)
    pair.near.run(pair.near.core.stop())
    pair.turn(3)
    assert not pair.near.core.stopped, "not before the header tells of it"
    pair.near.let_all()
    pair.turn(2)
    assert pair.near.core.stopped
    assert doubts_volumes(pair.near.header.fault)


def test_c3_a_stop_behind_a_failed_sync_waits_for_its_record() -> None:
    pair = running()
    pair.near.hold.add(a.WriteHeader)
    pair.near.errors[a.SyncVolumes] = [EIO]
    pair.flush()
    pair.turn(3)
    pair.near.run(pair.near.core.stop())
    pair.turn(3)
    assert not pair.near.core.stopped
    pair.near.let_all()
    pair.turn(2)
    assert pair.near.core.stopped
    assert doubts_volumes(pair.near.header.fault)


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_c3_a_stop_that_a_failed_sync_ends_of_a_secondary_has_recorded_it_or_tried_to(
    before: bool, fails: bool
) -> None:
    pair = running()
    far = pair.far
    pair.write(0)
    far.hold.add(a.WriteHeader)
    far.errors[a.SyncVolumes] = [EIO]
    if before:
        pair.turn(15)
        assert far.core.fault
    far.run(far.core.stop())
    pair.turn(3)
    assert far.core.fault
    assert not far.core.stopped, "whoever starts next would believe what the sync has lost"
    far.errors[a.WriteHeader] = [EIO] * 3 if fails else []
    far.let_all()
    assert far.core.stopped
    assert bool(far.header.fault) != fails
    assert not far.header.clean


def test_c3_a_copy_is_never_usable_whose_peer_says_that_its_disk_failed() -> None:
    pair = running()
    pair.far.errors[a.SyncVolumes] = [EIO]
    pair.write(0)
    pair.turn(30)
    assert pair.far.core.fault
    assert not pair.far.core.consistent
    assert not report.of_secondary(pair.far.core, "a")["usable"]
    usable, _, why = report.peer_usable(pair.near.core, pair.feeder)
    assert usable is False
    assert "EIO" in why
    pair.restart_far("boot-1")
    pair.replicating()
    assert report.peer_usable(pair.near.core, pair.feeder)[0] is True


def test_c3_a_direct_copy_whose_disk_is_full_is_in_doubt_at_the_primary_too() -> None:
    pair = running()
    pair.far.errors[a.ApplyFrame] = [errno.ENOSPC]
    pair.write(0)
    pair.until(lambda: pair.feeder.standing.reason is Reason.PEER_ERROR)
    assert report.peer_usable(pair.near.core, pair.feeder)[0] is False
    pair.replicating()
    assert pair.feeder.state is LinkState.REPLICATING
    assert report.peer_usable(pair.near.core, pair.feeder)[0] is True


def test_c3_no_moment_between_a_fault_and_the_pause_of_its_links_is_durable() -> None:
    pair = running()
    pair.write(0)
    pair.turn(2)
    pair.near.hold.add(a.WriteHeader)
    pair.near.errors[a.SyncVolumes] = [EIO]
    pair.flush()
    seen = [pair.near.header]
    for _ in range(4):
        if pair.near.held(a.WriteHeader):
            pair.near.let(a.WriteHeader)
            seen.append(pair.near.header)
    assert [each.links[0].paused for each in seen] == [bool(each.fault) for each in seen]
    assert seen[-1].fault
