"""Rules D6 and D7: what a plan allows to overwrite is kept as a rescue, whatever is cut off on the way."""

import pytest

from farshore.core import actions as a
from farshore.core.layer_actions import RetitleLayer
from farshore.model import messages as m
from farshore.model.layers import Layer, LayerKind
from farshore.model.options import LinkState, Reason, ResyncKind
from tests.unit.core.pair import REGION, SYNC, Pair
from tests.unit.core.scenes import EIO
from tests.unit.core.turners import Turners

ENOSPC = 28
HELD = (a.BeginLayer, a.SaveRegions, a.WriteHeader, a.WriteDurable, a.SyncVolumes)


def _parted() -> Turners:
    """Two copies that were both written: the far one was the primary, and is a secondary now."""
    turners = Turners(SYNC)
    turners.pair.replicating()
    turners.pair.turn(20)
    turners.pair.cut()
    turners.pair.write(*(place * REGION for place in (1, 2, 3, 7)))
    turners.pair.turn(5)
    turners.pair.kill_near()
    turners.promote()
    turners.pair.write(*(place * REGION for place in (2, 5, 9)))
    turners.pair.turn(5)
    turners.bring_back()
    turners.pair.until(lambda: turners.pair.feeder.state is LinkState.DIVERGED)
    return turners


def _overwrite(turners: Turners, rescue: str = "mine") -> Pair:
    """The plan is accepted; what stands in the way is up to the test."""
    turners.consent(rescue)
    turners.pair.near.run(turners.pair.near.core.resync(None, ResyncKind.UPDATE, False))
    return turners.pair


def _rescues(pair: Pair) -> list[tuple[str, bytes]]:
    store = pair.far.store
    kept = [each for each in store.layers if each.kind is LayerKind.RESCUE]
    return [(each.name, store.view(each.id, pair.far.disk.seen)[1]) for each in kept]


def test_d7_the_loser_is_kept_under_the_name_that_the_feeder_gave() -> None:
    turners = _parted()
    lost = bytes(turners.pair.far.disk.seen[1])
    pair = _overwrite(turners)
    pair.replicating()
    assert pair.equal()
    assert _rescues(pair) == [("mine", lost)]
    pair.write(3 * REGION, 11 * REGION)
    pair.turn(50)
    assert _rescues(pair) == [("mine", lost)]
    pair.restart_far("boot-2")
    pair.replicating()
    assert pair.equal()
    assert _rescues(pair) == [("mine", lost)]


def test_what_is_overwritten_by_a_later_resync_is_no_rescue() -> None:
    turners = _parted()
    pair = _overwrite(turners)
    pair.replicating()
    pair.cut()
    pair.write(4 * REGION)
    pair.turn(2)
    pair.mend()
    pair.replicating()
    assert [name for name, _ in _rescues(pair)] == ["mine"]
    assert len(pair.far.store.layers) == 1


@pytest.mark.parametrize("kind", HELD)
@pytest.mark.parametrize("boot", ["boot-1", "boot-2"])
def test_whatever_is_under_way_when_the_loser_dies_there_is_one_rescue_in_the_end(
    kind: type[a.Action], boot: str
) -> None:
    for count in range(3):
        turners = _parted()
        lost = bytes(turners.pair.far.disk.safe[1])
        turners.pair.restart_far("boot-2")  # so that what it holds is what is safe
        turners.pair.until(lambda made=turners: made.pair.feeder.state is LinkState.DIVERGED)  # type: ignore[misc]
        pair = _overwrite(turners)
        pair.far.hold.add(kind)
        for _ in range(count):
            pair.turn(10)
            if pair.far.held(kind):
                pair.far.let(kind)
        pair.turn(10)
        pair.cut(silent=True)
        pair.far.hold.clear()
        pair.restart_far(boot)
        pair.replicating()
        assert pair.equal()
        assert _rescues(pair) == [("mine", lost)], (kind, count)


def test_a_resync_that_is_cut_off_again_and_again_keeps_its_one_rescue() -> None:
    turners = _parted()
    lost = bytes(turners.pair.far.disk.seen[1])
    pair = _overwrite(turners)
    for fills in range(3):
        pair.line.stops = lambda unit, most=fills: isinstance(unit, m.Fill) and unit.ordinal > most  # type: ignore[misc]
        pair.turn(30)
        pair.write(6 * REGION)
        pair.cut()
        pair.turn(5)
        pair.mend()
    pair.line.stops = lambda _: False
    pair.replicating()
    assert pair.equal()
    assert _rescues(pair) == [("mine", lost)]


def test_e1_without_room_for_a_rescue_nothing_is_overwritten_whatever_is_accepted_of_undos() -> None:
    turners = _parted()
    turners.pair.far.errors[a.BeginLayer] = [ENOSPC, ENOSPC]
    lost = bytes(turners.pair.far.disk.seen[1])
    pair = _overwrite(turners)
    for _ in range(2):
        pair.until(lambda: pair.feeder.standing.reason is Reason.STORE_FULL)
        pair.turn(50)
        assert bytes(pair.far.disk.seen[1]) == lost
        pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False, True))
    pair.replicating()
    assert _rescues(pair) == [("mine", lost)]


def test_a_plan_that_says_so_does_without_a_rescue_and_without_an_undo() -> None:
    turners = _parted()
    turners.pair.far.errors[a.BeginLayer] = [ENOSPC]
    turners.consent()
    pair = turners.pair
    pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False, True))
    pair.replicating()
    assert pair.equal()
    assert pair.far.noted("resync-unprotected")
    assert pair.far.store.layers == []


def test_a_copy_without_a_store_is_not_overwritten_where_a_rescue_is_promised() -> None:
    turners = _parted()
    turners.pair.far.keeps_undo = False
    turners.pair.restart_far("boot-1")
    lost = bytes(turners.pair.far.disk.seen[1])
    pair = _overwrite(turners)
    pair.until(lambda: pair.feeder.standing.reason is Reason.STORE_FULL)
    assert bytes(pair.far.disk.seen[1]) == lost


def _open(turners: Turners, rescue: str) -> Pair:
    """The resync stands still after a few fills."""
    turners.pair.line.stops = lambda unit: isinstance(unit, m.ResyncEnd)
    pair = _overwrite(turners, rescue)
    pair.until(lambda: pair.far.core.session is not None and pair.far.core.session.fills_applied > 1)
    return pair


def test_the_undo_of_a_resync_that_is_open_already_becomes_the_rescue() -> None:
    turners = _parted()
    lost = bytes(turners.pair.far.disk.seen[1])
    pair = _open(turners, "")
    assert [each.kind for each in pair.far.store.layers] == [LayerKind.UNDO]
    pair.cut()
    turners.consent("mine")
    pair.line.stops = lambda _: False
    pair.far.hold.add(RetitleLayer)
    pair.mend()
    pair.turn(50)
    assert pair.feeder.state is not LinkState.REPLICATING
    pair.far.let_all()
    pair.replicating()
    assert pair.equal()
    assert _rescues(pair) == [("mine", lost)]


def test_a_rescue_that_cannot_be_named_stops_the_resync() -> None:
    turners = _parted()
    pair = _open(turners, "")
    pair.cut()
    turners.consent("mine")
    pair.far.errors[RetitleLayer] = [ENOSPC]
    pair.line.stops = lambda _: False
    pair.mend()
    pair.until(lambda: pair.feeder.standing.reason is Reason.STORE_FULL)
    pair.far.errors[RetitleLayer] = [EIO]
    pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False))
    pair.until(lambda: bool(pair.far.core.fault))


def test_e3_a_copy_that_goes_back_is_what_its_rescue_kept() -> None:
    turners = _parted()
    lost = bytes(turners.pair.far.disk.seen[1])
    pair = _open(turners, "mine")
    pair.restart_far("boot-1", roll_back=True)
    assert bytes(pair.far.disk.seen[1]) == lost
    pair.line.stops = lambda _: False
    pair.replicating()
    assert pair.equal()
    assert _rescues(pair) == [("mine", lost)], "it is overwritten once more, and kept once more"


def test_names_of_rescues_are_never_used_twice() -> None:
    turners = _parted()
    taken = Layer(b"s" * 16, LayerKind.SNAPSHOT, ((1, 64 << 10),), "mine")
    turners.pair.far.disk.sync()(0)
    turners.pair.restart_far("boot-1")
    turners.pair.far.store.begin(taken)
    turners.pair.restart_far("boot-1")
    pair = _overwrite(turners)
    pair.replicating()
    assert [name for name, _ in _rescues(pair)] == ["mine-2"]


def test_d7_a_rescue_lacks_what_its_disk_did_not_show_and_is_kept_but_for_that() -> None:
    turners = _parted()
    lost, store = bytes(turners.pair.far.disk.seen[1]), turners.pair.far.store
    store.bad.add((1, 2))
    pair = _overwrite(turners)
    pair.replicating()
    assert pair.equal()
    (rescue,) = store.layers
    assert (rescue.name, store.lacking(rescue.id)) == ("mine", {(1, 2)})
    assert pair.far.core.preserve.incomplete == {rescue.id}
    assert not pair.far.core.fault
    shown = store.view(rescue.id, pair.far.disk.seen)[1]
    assert shown[: 2 * REGION] + shown[3 * REGION :] == lost[: 2 * REGION] + lost[3 * REGION :]


@pytest.mark.parametrize("rescue", ["", "mine"])
def test_e2_an_operator_who_accepts_it_goes_on_without_what_the_store_has_no_room_for(rescue: str) -> None:
    turners = _parted()
    turners.pair.far.errors[a.SaveRegions] = [ENOSPC]
    pair = _overwrite(turners, rescue)
    pair.until(lambda: pair.feeder.standing.reason is Reason.STORE_FULL)
    pair.far.errors[a.SaveRegions] = [ENOSPC]
    pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False, True))
    if rescue:
        pair.turn(100)
        assert pair.feeder.standing.reason is Reason.STORE_FULL
        assert [each.name for each in pair.far.store.layers] == ["mine"]
        turners.consent()
        pair.far.errors[a.SaveRegions] = [ENOSPC]
        pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False, True))
    pair.replicating()
    assert pair.equal()
    assert pair.far.store.layers == []
