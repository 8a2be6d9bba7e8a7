"""The apply journal: what reaches the volumes and when, and what every kind of death leaves (B2, B4, E1)."""

import errno
from dataclasses import replace

import pytest

from farshore.core import actions as a
from farshore.core.journaled import JournalImage
from farshore.core.journaling import JournalLimits
from farshore.core.undoing import FOREVER
from farshore.model import messages as m
from farshore.model.options import Apply, LinkOptions, LinkState, Mode
from farshore.model.positions import Position
from tests.unit.core.far import Far
from tests.unit.core.pair import KIB, REGION, Pair
from tests.unit.core.scenes import running

JOURNALED = LinkOptions(apply=Apply.JOURNAL)
SYNC = replace(JOURNALED, mode=Mode.SYNC)


def journaled(*links: LinkOptions) -> Pair:
    pair = running(*(links or (JOURNALED,)))
    assert pair.far.core.journal.active
    pair.far.done.clear()
    return pair


def image(far: Far, at: int = 0, size: int = 512) -> bytes:
    return bytes(far.disk.seen[1][at : at + size])


def restart_holding(pair: Pair, boot: str, kind: type) -> None:
    """A loss of power at the secondary; its next start does not get beyond `kind`."""
    pair.cut()
    pair.far.forget()
    pair.far.lose_power()
    pair.far.start(boot)
    pair.far.hold.add(kind)
    pair.far.core.clock(pair.now, pair.now)
    pair.far.run(pair.far.core.start())
    pair.mend()


class TestOrder:
    """Rule B2: journal, fdatasync, volumes; and only then the mark."""

    def test_b2_nothing_reaches_the_volumes_before_it_is_durable_in_the_journal(self) -> None:
        pair = journaled()
        before = image(pair.far)
        pair.far.hold.add(a.SyncJournal)
        pair.write(0)
        pair.turn(20)
        assert pair.far.core.applied == 1
        assert pair.far.core.durable == 0
        assert image(pair.far) == before
        pair.far.let_all()
        assert pair.far.core.durable == 1
        assert image(pair.far) == bytes(pair.near.disk.seen[1][:512])

    def test_b2_one_fdatasync_covers_all_that_was_appended_before_it(self) -> None:
        pair = journaled()
        pair.far.hold.add(a.SyncJournal)
        for n in range(6):
            pair.write(n * 512)
            pair.turn(15)
        assert pair.far.held(a.SyncJournal) == 1
        pair.far.let(a.SyncJournal)
        assert pair.far.core.durable == 1  # appended before the first one began
        pair.far.let(a.SyncJournal)
        assert pair.far.core.durable == 6
        assert [len(each.frames) for each in pair.far.carried(a.ApplyFrames)] == [1, 5]

    def test_b2_the_mark_moves_only_behind_an_fdatasync_of_the_volumes(self) -> None:
        pair = journaled()
        pair.far.hold.add(a.SyncVolumes)
        pair.write(0)
        pair.turn(20)
        pair.far.core.journal.limits = JournalLimits(mark_every=0.0)
        marks = len(pair.far.carried(a.WriteDurable))
        pair.turn(5)
        assert pair.far.held(a.SyncVolumes) == 1
        assert len(pair.far.carried(a.WriteDurable)) == marks
        assert not pair.far.carried(a.TrimJournal)
        pair.write(512)
        pair.turn(20)
        pair.far.let_all()
        first = pair.far.carried(a.TrimJournal)[0]
        assert first.position.sequence == 1  # what was written when the fdatasync began, and not more
        assert pair.far.durable is not None

    def test_b4_a_flush_makes_the_journal_durable_at_once_and_holds_nothing(self) -> None:
        pair = journaled(SYNC)
        pair.far.hold.add(a.SyncJournal)
        (token,) = pair.write(0)
        flush = pair.flush()
        pair.turn()
        assert pair.answered(token)
        assert not pair.answered(flush)
        assert not pair.far.core.holding
        (later,) = pair.write(512)
        pair.turn(2)
        assert pair.answered(later)
        pair.far.let_all()
        pair.turn(2)
        assert pair.answered(flush)
        assert not pair.far.carried(a.SyncVolumes)

    def test_b4_what_was_appended_becomes_durable_soon_by_itself(self) -> None:
        pair = journaled()
        pair.write(0)
        pair.turn(15)
        assert pair.feeder.acked.durable == 1

    def test_an_overlapping_write_stands_over_the_earlier_one(self) -> None:
        pair = journaled()
        pair.write(0, fill=b"a")
        pair.write(0, fill=b"b")
        pair.turn(15)
        assert image(pair.far) == b"b" * 512

    def test_b7_what_came_already_and_what_does_not_follow_is_no_entry(self) -> None:
        pair = journaled()
        pair.write(0)
        pair.turn()
        frame = pair.far.carried(a.AppendFrame)[0].frame
        head = m.FrameHead(
            pair.group,
            frame.follows.generation,
            frame.first,
            1,
            frame.follows,
            0,
            False,
            608,
        )
        pair.far.run(pair.far.core.frame(pair.line.key, head, frame))
        assert len(pair.far.carried(a.AppendFrame)) == 1
        gap = head._replace(first=9, follows=Position(head.generation, 8))
        pair.far.run(pair.far.core.frame(pair.line.key, gap, frame))
        assert len(pair.far.carried(a.AppendFrame)) == 1
        assert pair.far.core.session is None


class TestBounds:
    """Rule F1: what is not applied, and what is not marked, is bounded; beyond it the line is not read."""

    def test_f1_frames_that_wait_for_the_volumes_are_bounded(self) -> None:
        pair = journaled()
        pair.far.core.journal.limits = JournalLimits(waiting=4 * KIB)
        pair.far.hold.add(a.ApplyFrames)
        for n in range(20):
            pair.write(n * 512)
        pair.turn(30)
        assert pair.far.core.holding
        assert pair.far.core.journal.waiting <= 5 * KIB
        assert pair.is_in(LinkState.REPLICATING)  # waiting for a disk is no silence
        pair.turn(100)
        assert pair.is_in(LinkState.REPLICATING)
        pair.far.let_all()
        pair.until(lambda: pair.feeder.acked.durable == 20)

    def test_f1_the_journal_is_bounded_and_the_mark_makes_room(self) -> None:
        pair = journaled()
        pair.far.core.journal.limits = JournalLimits(size=4 * KIB)
        for n in range(40):
            pair.write(n * 512)
        pair.until(lambda: pair.feeder.acked.durable == 40)
        assert len(pair.far.carried(a.TrimJournal)) > 3
        assert pair.far.core.journal.size <= 5 * KIB


class TestDeath:
    """Rules B2, B3, C2: after any death the image is a prefix, and says so."""

    def test_c2_what_was_acknowledged_applied_survives_the_process(self) -> None:
        pair = journaled(SYNC)
        pair.far.hold |= {a.SyncJournal, a.ApplyFrames}
        tokens = pair.write(0, 512)
        pair.turn(2)
        assert pair.answered(*tokens)
        pair.restart_far("boot-1")
        assert pair.far.core.applied == 2
        assert image(pair.far, 0, 1024) == bytes(pair.near.disk.seen[1][:1024])
        pair.replicating()
        assert not pair.far.header.doubtful_until

    @pytest.mark.parametrize("synced", [False, True])
    @pytest.mark.parametrize("in_part", [False, True])
    def test_b2_after_a_power_loss_the_image_is_a_prefix_without_any_doubt(
        self, synced: bool, in_part: bool
    ) -> None:
        pair = journaled()
        pair.write(0)
        pair.turn(15)
        pair.far.hold |= {a.SyncVolumes} if synced else {a.SyncVolumes, a.SyncJournal}
        pair.write(512)
        pair.turn(15)
        if in_part and synced:
            pair.far.disk.safe = {1: bytes(pair.far.disk.seen[1])}
        pair.restart_far("boot-2")
        core = pair.far.core
        assert core.applied == (2 if synced else 1)
        assert core.consistent
        assert not core.standing.doubtful
        assert image(pair.far) == bytes(pair.near.disk.seen[1][:512])
        pair.until(pair.equal)

    def test_b2_a_replay_may_be_cut_short_and_done_again(self) -> None:
        pair = journaled()
        for n in range(5):
            pair.write(n * 512)
        pair.turn(15)
        restart_holding(pair, "boot-2", a.SyncVolumes)
        assert not pair.far.core.started
        pair.restart_far("boot-3")
        pair.far.let_all()
        assert pair.far.core.applied == 5
        pair.until(pair.equal)

    @pytest.mark.parametrize("boot", ["boot-1", "boot-3"])
    @pytest.mark.parametrize("clean", [False, True])
    def test_two_deaths_in_a_row_are_no_reason_for_a_doubt(self, boot: str, clean: bool) -> None:
        pair = journaled()
        pair.write(0)
        pair.turn(15)
        if clean:
            pair.far.run(pair.far.core.stop())
        pair.line.up = False
        pair.restart_far("boot-2" if boot == "boot-3" else boot)
        pair.restart_far(boot)
        assert pair.far.core.applied == 1
        assert pair.far.core.consistent
        pair.replicating()

    def test_after_a_clean_stop_nobody_misses_the_journal(self) -> None:
        pair = journaled()
        pair.write(0)
        pair.turn(15)
        pair.far.run(pair.far.core.stop())
        pair.far.journal, pair.far.journal_start = [], None
        pair.restart_far("boot-2")
        assert not pair.far.noted("journal-damaged")
        assert pair.far.core.consistent
        pair.replicating()
        pair.until(pair.equal)

    def test_a_stop_during_the_replay_ends_with_everything_in_the_volumes(self) -> None:
        pair = journaled()
        for n in range(5):
            pair.write(n * 512)
        pair.turn(15)
        restart_holding(pair, "boot-2", a.ReadJournal)
        pair.far.run(pair.far.core.stop())
        assert not pair.far.core.stopped
        pair.far.let_all()
        assert pair.far.core.stopped
        assert pair.far.header.clean
        assert pair.far.disk.safe == {1: bytes(pair.near.disk.seen[1])}

    def test_a_stop_during_a_replay_for_which_there_is_no_room_ends_unclean(self) -> None:
        pair = journaled()
        pair.write(0)
        pair.turn(15)
        restart_holding(pair, "boot-2", a.ReadJournal)
        pair.far.run(pair.far.core.stop())
        pair.far.errors[a.ApplyFrames] = [errno.ENOSPC]
        pair.far.let_all()
        assert pair.far.core.stopped
        assert not pair.far.header.clean

    def test_nobody_is_met_before_the_replay_has_ended(self) -> None:
        pair = journaled()
        pair.write(0)
        pair.turn(15)
        restart_holding(pair, "boot-2", a.ReadJournal)
        pair.turn(20)
        assert pair.far.core.session is None
        assert not pair.far.core.consistent
        pair.far.let_all()
        assert pair.far.core.consistent
        pair.replicating()

    @pytest.mark.parametrize("what", ["missing", "front", "hole", "end"])
    def test_a_damaged_journal_is_told_and_the_copy_doubts_until_it_is_resynced(self, what: str) -> None:
        pair = journaled()
        for n in range(6):
            pair.write(n * 512)
        pair.turn(15)
        far = pair.far
        far.header = replace(far.header, history=far.header.history.extended_to(6 if what == "end" else 0))
        pair.cut()
        pair.near.forget()
        far.forget()
        start, damaged = far.journal_start, ""
        if what == "missing":
            start, far.journal = None, []
        elif what == "front":
            start = Position(far.core.generation, 3)
        elif what == "hole":
            far.journal, damaged = far.journal[:2], "entries are missing"
        else:
            far.journal = far.journal[:2]
        far.journal_start = start
        far.start("boot-1")
        far.core.setup = replace(far.core.setup, journal=JournalImage(start, damaged))
        far.run(far.core.start())
        assert len(far.noted("journal-damaged")) == 1
        assert far.core.applied == (0 if what in ("missing", "front") else 2)
        assert far.header.doubtful_until == FOREVER
        assert not far.core.consistent

    def test_a_clean_stop_leaves_everything_in_the_volumes(self) -> None:
        pair = journaled()
        for n in range(5):
            pair.write(n * 512)
        pair.turn()
        pair.far.run(pair.far.core.stop())
        assert pair.far.core.stopped
        assert pair.far.header.clean
        assert pair.far.disk.safe == {1: bytes(pair.near.disk.seen[1])}
        assert pair.far.header.history.head is not None
        assert pair.far.header.history.head.sequence == 5


class TestResync:
    """Rule E1: no journal while the image is out of order."""

    def test_e1_before_the_first_fill_everything_journaled_is_in_the_volumes(self) -> None:
        pair = journaled()
        pair.far.hold |= {a.ApplyFrames}
        pair.write(0, 512)
        pair.turn(15)
        pair.cut()
        pair.write(REGION)
        pair.mend()
        pair.turn(60)
        assert not pair.far.carried(a.ApplyFill)
        assert pair.far.header.resync is None
        pair.far.let_all()
        pair.replicating()
        kinds = [type(each) for each in pair.far.done if isinstance(each, a.ApplyFrames | a.ApplyFill)]
        assert kinds[0] is a.ApplyFrames
        assert a.ApplyFill in kinds
        assert pair.far.core.journal.active
        assert pair.equal()

    def test_e1_an_inconsistent_copy_applies_nothing_from_a_journal(self) -> None:
        pair = journaled()
        pair.far.hold.add(a.ApplyFill)
        pair.cut()
        pair.write(*range(0, 32 * KIB, REGION))
        pair.line.room = 2
        pair.mend()
        pair.until(lambda: pair.far.header.resync is not None)
        assert not pair.far.header.journaling
        pair.restart_far("boot-2")
        assert pair.far.core.started
        assert not pair.far.carried(a.ReadJournal)
        pair.line.room = None
        pair.replicating()
        assert pair.equal()

    def test_the_journal_begins_anew_at_the_completion_cut(self) -> None:
        pair = running(JOURNALED)
        begun = pair.far.carried(a.BeginJournal)
        assert [each.position.sequence for each in begun] == [0]
        pair.write(0)
        pair.turn(15)
        assert [each.position.sequence for each in pair.far.journal] == [1]
