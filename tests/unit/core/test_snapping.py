"""A layer begins at exactly one position of the stream, with a journal and without (rules E2, E3, H)."""

import errno

import pytest

from farshore.core import actions as a
from farshore.model.layers import LayerKind
from farshore.model.options import LinkOptions
from tests.unit.core.pair import REGION
from tests.unit.core.scenes import running
from tests.unit.core.snapshot_scenes import BOTH, DIRECT, JOURNAL, keeps, refusal, settle, take, taken
from tests.unit.core.undo_scenes import apart, open_resync


class TestThePosition:
    @BOTH
    def test_e3_a_layer_shows_exactly_what_its_mark_says(self, options: LinkOptions) -> None:
        pair = running(options)
        pair.write(0, REGION)
        settle(pair)
        before = pair.far.safe()
        told = take(pair)
        pair.write(0, 2 * REGION)
        settle(pair)
        layer = taken(told)
        assert layer.mark is not None
        assert layer.mark.sequence == 2
        assert pair.far.store.images[layer.id] == before
        assert pair.far.store.view(layer.id, pair.far.disk.seen) == before

    @BOTH
    def test_h_what_comes_meanwhile_waits_until_the_layer_has_begun(self, options: LinkOptions) -> None:
        pair = running(options)
        pair.write(0)
        settle(pair)
        before = bytes(pair.far.disk.seen[1])
        pair.far.hold.add(a.BeginLayer)
        told = take(pair)
        pair.write(0)
        pair.turn(40)
        assert told == []
        assert bytes(pair.far.disk.seen[1]) == before
        pair.far.let_all()
        settle(pair)
        assert taken(told).mark == pair.far.core.preserve.layers[0].mark

    def test_e3_the_mark_of_the_journal_is_durable_before_the_layer_begins(self) -> None:
        pair = running(JOURNAL)
        pair.far.hold.add(a.WriteDurable)
        pair.write(0)
        pair.turn(20)
        told = take(pair)
        pair.write(REGION)
        pair.turn(20)
        assert pair.far.carried(a.BeginLayer) == []
        pair.far.let_all()
        settle(pair)
        assert pair.far.durable is not None
        mark = taken(told).mark
        assert mark is not None
        assert pair.far.durable.sequence >= mark.sequence

    def test_h_frames_that_are_only_in_memory_yet_belong_to_it_or_wait(self) -> None:
        pair = running(JOURNAL)
        pair.far.hold.add(a.SyncJournal)
        for n in range(4):
            pair.write(n * REGION)
            pair.turn(10)
        told = take(pair)
        for n in range(4):
            pair.write(n * REGION)
            pair.turn(10)
        pair.far.let_all()
        settle(pair)
        mark = taken(told).mark
        assert mark is not None
        assert mark.sequence == 4

    @BOTH
    def test_h_layers_are_begun_one_after_the_other_and_each_keeps_its_own(
        self, options: LinkOptions
    ) -> None:
        pair = running(options)
        several = [take(pair, name) for name in ("one", "two")]
        for n in range(5):
            pair.write(0, n * REGION)
            pair.turn(7)
            several.append(take(pair, f"later {n}"))
        settle(pair)
        marks = [taken(each).mark for each in several]
        assert None not in marks
        assert [each.sequence for each in marks if each] == sorted(each.sequence for each in marks if each)
        assert len(keeps(pair)) == 7
        while keeps(pair):
            middle = keeps(pair)[len(keeps(pair)) // 2]
            pair.far.run(pair.far.core.drop_layer(middle, lambda _: None))
            pair.write(0, REGION)
            settle(pair)

    @BOTH
    def test_h_with_nobody_feeding_it_a_copy_takes_one_where_it_stands(self, options: LinkOptions) -> None:
        pair = running(options)
        pair.write(0)
        settle(pair)
        pair.cut(silent=True)
        pair.restart_far("boot-1")
        told = take(pair)
        if options is DIRECT:  # part of the frame that it died with may be in the volumes
            assert "doubt" in refusal(told).what
        else:
            assert taken(told).mark == pair.far.core.standing.position
        pair.mend()
        pair.replicating()
        pair.write(0)
        settle(pair)
        taken(take(pair, "later"))


class TestJournal:
    def test_e3_what_is_journaled_is_saved_before_the_volumes_get_it(self) -> None:
        pair = running(JOURNAL)
        pair.write(0)
        settle(pair)
        taken(take(pair))
        pair.far.hold.add(a.SaveRegions)
        before = bytes(pair.far.disk.seen[1])
        pair.write(0)
        pair.turn(20)
        assert pair.far.core.durable == 2
        assert bytes(pair.far.disk.seen[1]) == before
        pair.far.let_all()
        settle(pair)

    def test_e3_one_save_is_for_all_that_waits(self) -> None:
        pair = running(JOURNAL)
        taken(take(pair))
        pair.far.hold.add(a.SaveRegions)
        for n in range(8):
            pair.write(n * REGION)
            pair.turn(10)
        pair.far.let(a.SaveRegions)
        pair.far.let(a.SaveRegions)
        assert pair.far.carried(a.SaveRegions)[1].runs == ((1, 1, 8),)
        pair.far.let_all()
        settle(pair)

    @pytest.mark.parametrize("machine", [False, True])
    def test_e3_a_replay_saves_what_it_overwrites(self, machine: bool) -> None:
        pair = running(JOURNAL)
        pair.write(0, REGION)
        settle(pair)
        layer = taken(take(pair))
        pair.far.hold.add(a.SaveRegions)
        for n in range(6):
            pair.write(n * REGION)
            pair.turn(15)
        assert pair.far.core.durable == 8
        pair.cut(silent=True)
        pair.far.forget()
        if machine:
            pair.far.lose_power()
        pair.far.start("boot-2" if machine else "boot-1")
        pair.far.core.clock(pair.now, pair.now)
        pair.far.run(pair.far.core.start())
        assert pair.far.core.applied == 8
        pair.far.store.check()
        assert keeps(pair) == [layer.id]
        pair.near.run(pair.near.core.disconnected(pair.link, "reset"))
        pair.mend()
        pair.replicating()
        settle(pair)


class TestRefusals:
    def test_h_a_copy_that_is_being_resynced_takes_none(self) -> None:
        pair = apart()
        open_resync(pair, 2)
        assert refusal(take(pair)).code.name == "wrong-state"
        assert [each.kind for each in pair.far.store.layers] == [LayerKind.UNDO]

    @BOTH
    def test_e2_without_room_nothing_has_moved(self, options: LinkOptions) -> None:
        pair = running(options)
        pair.far.errors[a.BeginLayer] = [errno.ENOSPC]
        assert refusal(take(pair)).code.name == "store-full"
        pair.write(0)
        settle(pair)
        assert keeps(pair) == []
        taken(take(pair))

    def test_h_a_name_is_used_once(self) -> None:
        pair = running(DIRECT)
        taken(take(pair))
        assert refusal(take(pair)).code.name == "exists"

    def test_c3_a_copy_whose_disk_fails_tells_whoever_waits(self) -> None:
        pair = running(JOURNAL)
        pair.far.hold.add(a.SyncVolumes)
        pair.write(0)
        pair.turn(20)
        told, later = take(pair), take(pair, "two")
        pair.far.errors[a.SyncVolumes] = [errno.EIO]
        pair.far.let_all()
        assert refusal(told).code.name == refusal(later).code.name == "wrong-state"

    @BOTH
    def test_h_a_stop_lets_the_one_that_has_begun_end(self, options: LinkOptions) -> None:
        pair = running(options)
        pair.write(0)
        pair.turn(20)
        pair.far.hold.add(a.BeginLayer)
        told, later = take(pair), take(pair, "two")
        pair.far.run(pair.far.core.stop())
        assert not pair.far.core.stopped
        pair.far.let_all()
        assert pair.far.core.stopped
        taken(told)
        assert refusal(later).code.name == "wrong-state"


class TestGivingWay:
    """Rule E2: a store that is full holds up nobody who is only to be snapshotted."""

    @BOTH
    def test_e2_the_oldest_snapshot_goes_first_and_the_newest_last(self, options: LinkOptions) -> None:
        pair = running(options)
        layers = [taken(take(pair, name)) for name in ("one", "two", "three")]
        pair.far.errors[a.SaveRegions] = [errno.ENOSPC] * 3
        pair.write(0)
        settle(pair)
        assert keeps(pair) == []
        assert [each.id for each in pair.far.store.dropped] == [each.id for each in layers]
        pair.replicating()

    @BOTH
    def test_e2_a_rescue_never_does(self, options: LinkOptions) -> None:
        pair = running(options)
        pair.write(0)
        settle(pair)
        rescue = taken(take(pair, "old data", LayerKind.RESCUE))
        before = bytes(pair.far.disk.seen[1])
        pair.far.errors[a.SaveRegions] = [errno.ENOSPC] * 3
        pair.write(0)
        pair.turn(30)
        assert bytes(pair.far.disk.seen[1]) == before
        assert keeps(pair) == [rescue.id]
        pair.far.errors.clear()
        pair.turn(3000)
        pair.far.store.check()

    @BOTH
    def test_c3_a_snapshot_stays_but_for_what_cannot_be_read(self, options: LinkOptions) -> None:
        pair = running(options)
        snapshot = taken(take(pair))
        pair.far.store.bad.add((1, 0))
        pair.write(0, 5 * REGION)
        settle(pair)
        assert keeps(pair) == [snapshot.id]
        assert pair.far.core.preserve.incomplete == {snapshot.id}
        assert pair.far.noted("layer-incomplete")
        assert not pair.far.core.fault
        pair.far.store.check()
        assert pair.equal()
