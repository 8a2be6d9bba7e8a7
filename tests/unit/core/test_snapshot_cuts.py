"""A snapshot stands at its cut, wherever the copy dies around it (section H, rule E3)."""

import errno

import pytest

from farshore.core import actions as a
from farshore.model.options import LinkOptions
from tests.unit.core.pair import REGION
from tests.unit.core.scenes import running
from tests.unit.core.snapshot_scenes import BOTH, JOURNAL, cut, keeps, marks, settle
from tests.unit.core.undo_scenes import apart, open_resync


class TestCuts:
    """A snapshot stands at its cut, wherever the copy dies around it."""

    @BOTH
    def test_h_a_snapshot_shows_what_the_primary_had_at_the_cut(self, options: LinkOptions) -> None:
        pair = running(options)
        for n in range(6):
            pair.write(n * REGION)
        expected = {1: bytes(pair.near.disk.seen[1])}
        at = cut(pair)
        for n in range(6):
            pair.write(n * REGION)
        settle(pair)
        assert marks(pair) == [("noon", at)]
        assert pair.far.store.images[keeps(pair)[0]] == expected

    @BOTH
    @pytest.mark.parametrize("held", [a.BeginLayer, a.WriteDurable, a.SyncVolumes])
    @pytest.mark.parametrize("machine", [False, True])
    def test_h_a_copy_that_dies_at_a_cut_takes_it_afterwards_if_it_meets_it_again(
        self, options: LinkOptions, held: type, machine: bool
    ) -> None:
        pair = running(options)
        pair.write(0, REGION)
        settle(pair)
        pair.far.hold.add(held)
        at = cut(pair)
        expected = {1: bytes(pair.near.disk.seen[1])}
        pair.write(0, 2 * REGION)
        pair.turn(20)
        pair.cut(silent=True)
        pair.far.forget()
        if machine:
            pair.far.lose_power()
        pair.far.hold.clear()
        pair.restart_far("boot-2" if machine else "boot-1")
        pair.mend()
        pair.replicating()
        settle(pair)
        if options is JOURNAL:
            assert marks(pair) == [("noon", at)]
            assert pair.far.store.images[keeps(pair)[0]] == expected
        else:
            assert marks(pair) == []  # its feeder has brought it past the cut by an update

    @BOTH
    def test_h_it_is_not_taken_twice(self, options: LinkOptions) -> None:
        pair = running(options)
        pair.write(0, REGION)
        settle(pair)
        at = cut(pair)
        pair.until(lambda: bool(keeps(pair)))
        assert marks(pair) == [("noon", at)]
        pair.restart_far("boot-1")
        pair.replicating()
        pair.write(0)
        settle(pair)
        assert marks(pair) == [("noon", at)]
        assert not pair.far.core.snapping.missed

    @BOTH
    def test_h_one_that_finds_no_room_holds_nobody_up_and_is_not_taken_at_a_later_state(
        self, options: LinkOptions
    ) -> None:
        pair = running(options)
        pair.write(0)
        settle(pair)
        pair.far.errors[a.BeginLayer] = [errno.ENOSPC]
        at = cut(pair)
        pair.write(0, REGION)
        settle(pair)
        (missed,) = pair.far.core.snapping.missed
        assert (missed.name, missed.position.sequence, missed.why.code.name) == ("noon", at, "store-full")
        pair.restart_far("boot-1")
        pair.replicating()
        settle(pair)
        assert keeps(pair) == []

    def test_h_a_copy_that_is_being_resynced_misses_it(self) -> None:
        pair = apart()
        open_resync(pair, 2)
        cut(pair)
        pair.turn(20)
        pair.line.stops = lambda unit: False
        pair.replicating()
        settle(pair)
        assert [each.name for each in pair.far.core.snapping.missed] == ["noon"]
        assert keeps(pair) == []

    def test_h_a_clean_stop_does_not_leave_one_out(self) -> None:
        pair = running(JOURNAL)
        pair.far.hold.add(a.SyncJournal)
        pair.write(0)
        at = cut(pair)
        pair.write(0)
        pair.turn(20)
        pair.far.run(pair.far.core.stop())
        pair.far.let_all()
        assert pair.far.core.stopped
        assert marks(pair) == [("noon", at)]
        pair.far.store.check()
