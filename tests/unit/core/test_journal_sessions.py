"""The apply journal across sessions, and on disks that fail or are full (rules B2, C3)."""

import errno
from dataclasses import replace

import pytest

from farshore.core import actions as a
from farshore.core.journaling import JournalLimits
from farshore.model.options import Apply, LinkState, ResyncKind
from farshore.model.positions import Position
from tests.unit.core.scenes import running
from tests.unit.core.test_journaling import JOURNALED, journaled


class TestSessions:
    """A journal outlives sessions; how frames are applied may change with each."""

    def test_a_short_cut_goes_on_in_the_same_journal(self) -> None:
        pair = journaled()
        pair.write(0)
        pair.turn(15)
        pair.cut()
        pair.mend()
        pair.replicating()
        assert not pair.far.carried(a.BeginJournal)
        pair.write(512)
        pair.turn(15)
        assert pair.far.core.applied == 2

    def test_a_new_generation_goes_on_in_the_same_journal_once_all_of_the_old_one_is_applied(self) -> None:
        pair = journaled()
        pair.write(0)
        pair.turn(15)
        pair.far.hold.add(a.ApplyFrames)
        pair.write(512)
        pair.turn(15)
        pair.stop_near()
        pair.start_near("boot-1")
        pair.turn(60)
        assert not pair.far.carried(a.ContinueJournal)
        pair.far.let_all()
        pair.replicating()
        assert not pair.far.carried(a.BeginJournal)
        assert [each.position for each in pair.far.carried(a.ContinueJournal)] == [
            Position(pair.near.core.generation, 2)
        ]
        pair.write(1024)
        pair.turn(15)
        pair.restart_far("boot-2")
        pair.until(pair.equal)

    @pytest.mark.parametrize("boot", ["boot-1", "boot-2"])
    def test_a_death_while_the_journal_changes_its_generation_loses_nothing(self, boot: str) -> None:
        pair = journaled()
        pair.write(0)
        pair.write(512)
        pair.turn(15)
        pair.stop_near()
        pair.far.hold.add(a.ContinueJournal)
        pair.start_near("boot-1")
        pair.until(lambda: pair.far.held(a.ContinueJournal) == 1)
        pair.restart_far(boot)
        assert not pair.far.noted("journal-damaged")
        assert pair.far.core.applied == 2
        pair.replicating()
        assert pair.far.core.journal.active

    def test_b2_a_loss_of_power_soon_after_the_primary_began_a_generation_loses_nothing_durable(self) -> None:
        """The header's head moves on with each session; the mark of the generation is there first."""
        pair = journaled()
        pair.write(0)
        pair.turn(15)
        pair.stop_near()
        pair.start_near("boot-1")
        pair.replicating()
        pair.write(8192)
        pair.flush()
        pair.turn(15)
        assert pair.far.core.durable == pair.near.core.sequence
        pair.cut()
        pair.turn(2)
        pair.mend()
        pair.replicating()
        pair.restart_far("boot-2")
        pair.replicating()
        assert pair.equal()

    @pytest.mark.parametrize("held", [a.WriteHeader, a.WriteDurable, a.ContinueJournal])
    @pytest.mark.parametrize("boot", ["boot-1", "boot-2"])
    def test_d3_a_death_at_any_step_into_a_generation_leaves_a_copy_that_is_known(
        self, held: type, boot: str
    ) -> None:
        pair = journaled()
        pair.far.core.journal.limits = JournalLimits(mark_every=0.0)
        pair.write(0)
        pair.write(512)
        pair.turn(60)
        assert pair.far.core.journal.marked == 2  # the journal begins there, and the header's head is older
        pair.stop_near()
        pair.far.hold.add(held)
        pair.start_near("boot-1")
        pair.until(lambda: pair.far.held(held) > 0)
        pair.restart_far(boot)
        pair.replicating()
        assert not pair.far.noted("journal-damaged")
        assert pair.equal()

    def test_a_journal_that_begins_behind_unrecorded_frames_is_whole_to_a_start(self) -> None:
        pair = running(replace(JOURNALED, apply=Apply.DIRECT))
        setup = pair.far.core.setup
        pair.far.core.setup = replace(setup, timing=replace(setup.timing, durable_every=60.0))
        pair.write(0)
        pair.turn(2)
        assert pair.far.core.applied == 1
        assert pair.far.durable is not None
        assert pair.far.durable.sequence == 0
        spec = replace(pair.feeder.spec, options=JOURNALED)
        pair.near.run(pair.near.core.change_link(spec))
        pair.cut()
        pair.mend()
        pair.replicating()
        pair.restart_far("boot-1")
        pair.turn(1)
        assert not pair.far.noted("journal-damaged")
        pair.replicating()

    @pytest.mark.parametrize("first", [Apply.DIRECT, Apply.JOURNAL])
    def test_the_operator_may_change_how_frames_are_applied(self, first: Apply) -> None:
        second = Apply.JOURNAL if first is Apply.DIRECT else Apply.DIRECT
        pair = running(replace(JOURNALED, apply=first))
        pair.write(0)
        pair.turn(2)
        spec = replace(pair.feeder.spec, options=replace(pair.feeder.spec.options, apply=second))
        pair.near.run(pair.near.core.change_link(spec))
        pair.cut()
        pair.mend()
        pair.replicating()
        assert pair.far.core.journal.active is (second is Apply.JOURNAL)
        assert pair.far.header.journaling is (second is Apply.JOURNAL)
        pair.write(512)
        pair.turn(15)
        pair.restart_far("boot-1")
        pair.until(pair.equal)


class TestErrors:
    """Rule C3, and disks that are full."""

    @pytest.mark.parametrize("kind", [a.AppendFrame, a.SyncJournal, a.ApplyFrames, a.SyncVolumes])
    def test_c3_an_error_of_a_disk_is_a_fault_and_nothing_is_acknowledged_for_it(self, kind: type) -> None:
        pair = journaled()
        pair.far.core.journal.limits = JournalLimits(mark_every=0.0)
        pair.far.errors[kind] = [errno.EIO]
        pair.write(0)
        pair.turn(30)
        assert pair.far.core.fault
        assert pair.far.header.fault
        if kind in (a.AppendFrame, a.SyncJournal):
            assert pair.feeder.acked.durable == 0
        pair.restart_far("boot-2")
        if pair.is_in(LinkState.FAILED):
            pair.near.run(pair.near.core.resync(pair.link, ResyncKind.UPDATE, False))
        pair.replicating()
        pair.until(pair.equal)

    def test_a_journal_without_room_ends_the_session_and_takes_the_same_frames_later(self) -> None:
        pair = journaled()
        pair.far.errors[a.AppendFrame] = [errno.ENOSPC]
        pair.write(0)
        pair.turn(2)
        assert not pair.far.core.fault
        assert pair.far.core.applied == 0
        assert pair.far.core.journal.waiting == 0
        pair.replicating()
        pair.until(pair.equal)

    def test_volumes_without_room_are_tried_again_until_there_is(self) -> None:
        pair = journaled()
        pair.far.errors[a.ApplyFrames] = [errno.ENOSPC] * 3
        pair.write(0)
        pair.turn(15)
        assert not pair.far.core.fault
        assert pair.far.core.session is None
        pair.turn(50)
        assert pair.far.core.session is None  # it is in the journal, and cannot be looked at
        pair.replicating(turns=900)
        pair.until(pair.equal)

    def test_a_stop_with_full_volumes_ends_and_is_not_clean(self) -> None:
        pair = journaled()
        pair.far.errors[a.ApplyFrames] = [errno.ENOSPC] * 100
        pair.write(0)
        pair.turn(15)
        pair.far.run(pair.far.core.stop())
        pair.turn(150)
        assert pair.far.core.stopped
        assert not pair.far.header.clean
        pair.far.errors.clear()
        pair.restart_far("boot-1")
        assert pair.far.core.applied == 1

    def test_a_new_journal_without_room_ends_the_session(self) -> None:
        pair = running(replace(JOURNALED, apply=Apply.DIRECT))
        spec = replace(pair.feeder.spec, options=JOURNALED)
        pair.near.run(pair.near.core.change_link(spec))
        pair.far.errors[a.BeginJournal] = [errno.ENOSPC]
        pair.cut()
        pair.mend()
        pair.turn(60)
        assert not pair.far.core.fault
        pair.replicating()
        assert pair.far.core.journal.active

    def test_volumes_that_are_full_at_a_start_are_tried_again(self) -> None:
        pair = journaled()
        pair.far.hold.add(a.ApplyFrames)
        pair.write(0)
        pair.turn(15)
        pair.cut(silent=True)
        pair.far.forget()
        pair.far.errors[a.ApplyFrames] = [errno.ENOSPC]
        pair.far.start("boot-1")
        pair.far.core.clock(pair.now, pair.now)
        pair.far.run(pair.far.core.start())
        pair.near.run(pair.near.core.disconnected(pair.link, "reset"))
        pair.mend()
        pair.turn(20)
        assert not pair.far.core.started
        assert not pair.far.core.fault
        pair.replicating()
        assert pair.equal()
