"""The layers of a primary: what it overwrites is saved first; the application comes before them (E1, E2)."""

from dataclasses import replace

import pytest

from farshore.core import actions as a
from farshore.core.moment import Wish
from farshore.model.layers import EVERY_LAYER, Layer, LayerKind
from farshore.model.volumes import TRIM, WRITE, ZERO
from tests.unit.core.pair import KIB, REGION, Pair
from tests.unit.core.scenes import running

EIO, ENOSPC = 5, 28


def begin(pair: Pair, kind: LayerKind = LayerKind.RESCUE, name: str = "kept") -> bytes:
    """A layer at the primary."""
    found: list[Layer | None] = []
    take = pair.near.core.keeping.moment.take
    pair.near.run(take(Wish(kind, name, 1), lambda layer, _: found.append(layer)))
    pair.until(lambda: bool(found))
    (layer,) = found
    assert layer is not None
    return layer.id


def broken(pair: Pair) -> tuple[bytes, ...]:
    """What the durable header says."""
    return pair.near.header.broken_layers


def saves(pair: Pair) -> list[a.SaveRegions]:
    return pair.near.carried(a.SaveRegions)


def test_without_layers_the_write_path_knows_of_nothing() -> None:
    pair = running()
    pair.write(0)
    assert pair.near.core.path.saves is None
    assert not saves(pair)


def test_e1_an_operation_waits_for_its_save_and_no_other_one_does() -> None:
    pair = running()
    begin(pair)
    pair.write(0)
    pair.near.hold.add(a.SaveRegions)
    (first,) = pair.write(REGION, fill=b"1")
    (saved_before,) = pair.write(0, fill=b"2")
    pair.turn(10)
    assert pair.answered(saved_before)
    assert not pair.answered(first)
    assert pair.near.disk.seen[1][REGION] != b"1"[0]
    pair.near.let(a.SaveRegions)
    pair.turn(10)
    assert pair.answered(first)


def test_e1_all_that_waits_shares_the_next_save() -> None:
    pair = running()
    begin(pair)
    pair.near.hold.add(a.SaveRegions)
    for place in range(6):
        pair.write(place * 2 * REGION)
    assert [each.runs for each in saves(pair)] == [((1, 0, 1),)]
    pair.near.let(a.SaveRegions)
    pair.turn(2)
    assert [each.runs for each in saves(pair)][1:] == [tuple((1, n, n + 1) for n in (2, 4, 6, 8, 10))]
    pair.near.let_all()
    pair.turn(10)
    assert all(errno == 0 for errno in pair.near.replies.values())
    assert not pair.near.core.path.waiting


@pytest.mark.parametrize("code", [WRITE, ZERO, TRIM])
def test_e1_writes_zeroes_and_trims_are_overwrites(code: int) -> None:
    pair = running()
    begin(pair)
    payload = b"x" * REGION if code == WRITE else None
    pair.near.submit([(1, code, REGION, REGION)], [payload], ["t"])
    pair.turn(10)
    assert pair.near.replies["t"] == 0
    assert [each.runs for each in saves(pair)] == [((1, 1, 2),)]
    pair.near.store.check()


def test_a2_a_cold_operation_is_saved_while_its_extent_is_logged() -> None:
    pair = running()
    begin(pair)
    pair.near.hold |= {a.WriteActivity, a.SaveRegions}
    (token,) = pair.write(32 * KIB)
    assert pair.near.held(a.WriteActivity) == pair.near.held(a.SaveRegions) == 1
    pair.near.let(a.SaveRegions)
    pair.turn(5)
    assert not pair.answered(token)
    pair.near.let_all()
    pair.turn(10)
    assert pair.answered(token)


def test_a_flush_waits_for_no_save() -> None:
    pair = running()
    begin(pair)
    pair.near.hold.add(a.SaveRegions)
    pair.write(0)
    token = pair.flush()
    pair.turn(20)
    assert pair.answered(token)


@pytest.mark.parametrize("lose_cache", [False, True])
def test_e1_a_primary_that_died_goes_on_saving(lose_cache: bool) -> None:
    pair = running()
    begin(pair)
    pair.write(0, 5 * REGION)
    pair.kill_near(lose_cache=lose_cache)
    pair.start_near("boot-2" if lose_cache else "boot-1")
    pair.replicating()
    pair.write(0, 5 * REGION, 9 * REGION, fill=b"z")
    pair.turn(20)
    pair.near.store.check()
    assert not broken(pair)


def test_an_undo_that_a_promotion_has_left_goes() -> None:
    pair = running()
    pair.stop_near()
    sizes = ((1, 64 * KIB),)
    kept = Layer(b"k" * 16, LayerKind.RESCUE, sizes, "kept")
    for each in (kept, Layer(b"u" * 16, LayerKind.UNDO, sizes)):
        pair.near.store.begin(each)
    pair.start_near("boot-1")
    pair.replicating()
    assert [each.kind for each in pair.near.store.layers] == [LayerKind.RESCUE]


# -- what cannot be kept --------------------------------------------------------------------------


def test_e2_snapshots_give_way_and_a_rescue_is_kept() -> None:
    pair = running()
    rescue = begin(pair)
    begin(pair, LayerKind.SNAPSHOT, "old")
    begin(pair, LayerKind.SNAPSHOT, "new")
    pair.near.errors[a.SaveRegions] = [ENOSPC]
    (token,) = pair.write(0)
    pair.turn(10)
    assert pair.answered(token)
    assert [each["name"] for each in pair.near.noted("layer-gave-way")] == ["old"]
    assert pair.near.core.keeping.preserve.layer(rescue) is not None
    assert not broken(pair)


@pytest.mark.parametrize("errno", [ENOSPC, EIO])
def test_e2_a_layer_that_cannot_be_kept_is_broken_durably_before_anything_is_overwritten(errno: int) -> None:
    pair = running()
    rescue = begin(pair)
    before = bytes(pair.near.disk.seen[1])
    pair.near.errors[a.SaveRegions] = [errno]
    pair.near.hold.add(a.WriteHeader)
    (token,) = pair.write(0)
    pair.turn(10)
    assert not pair.answered(token)
    assert pair.near.disk.seen[1] == before
    pair.near.let_all()
    pair.turn(10)
    assert pair.answered(token)
    assert broken(pair) == (rescue,)
    (told,) = pair.near.noted("layer-broken")
    assert (told["name"], told["layer"]) == ("kept", "rescue")
    assert pair.near.core.path.saves is None, "nothing is saved for it any more"
    assert not pair.near.core.keeper.header.fault


def test_e2_of_what_is_broken_only_a_rescue_stays_until_somebody_deletes_it() -> None:
    pair = running()
    begin(pair, LayerKind.SNAPSHOT, "s")
    rescue = begin(pair)
    begin(pair, LayerKind.SNAPSHOT, "t")
    pair.stop_near()
    every = tuple(each.id for each in pair.near.store.layers)
    pair.near.header = replace(pair.near.header, broken_layers=every)
    pair.start_near("boot-1")
    pair.replicating()
    assert [each.id for each in pair.near.store.layers] == [rescue]
    assert not any(each.needed for each in pair.near.carried(a.DropLayer)[1:]), "nothing is handed down"
    pair.near.run(pair.near.core.keeping.drop(rescue, lambda errno: None))
    pair.turn(2)
    assert not pair.near.store.layers
    pair.stop_near()
    pair.start_near("boot-1")
    pair.replicating()
    assert broken(pair) == ()


def test_c3_layers_stay_but_for_a_region_that_the_disk_refuses_to_show() -> None:
    pair = running()
    older, newer = begin(pair, LayerKind.SNAPSHOT, "s"), begin(pair)
    pair.near.store.bad.add((1, 5))
    (token,) = pair.write(5 * REGION)
    pair.turn(10)
    assert pair.answered(token)
    assert (broken(pair), pair.near.core.keeping.preserve.incomplete) == ((), {older, newer})
    told = pair.near.noted("layer-incomplete")
    assert [each["name"] for each in told] == ["s", "kept"]
    assert {each["why"] for each in told} == {
        "a volume could not be read where it was about to be overwritten: EIO"
    }
    assert [each["where"] for each in told] == ["((1, 5, 6),)"] * 2, "as the shell has said it"
    pair.near.store.check()
    pair.write(0, 5 * REGION, fill=b"l")
    pair.turn(10)
    pair.near.store.check()
    assert pair.near.store.lacking(older) == {(1, 5)}
    pair.stop_near()
    pair.start_near("boot-1")
    assert pair.near.core.keeping.preserve.incomplete == {older, newer}, "also after a start"


def test_a_layer_that_begins_behind_a_broken_one_is_kept() -> None:
    pair = running()
    lost = begin(pair)
    pair.near.errors[a.SaveRegions] = [ENOSPC]
    pair.write(0)
    pair.turn(10)
    later = begin(pair, name="later")
    pair.write(0, REGION, fill=b"l")
    pair.turn(10)
    assert broken(pair) == (lost,)
    pair.near.store.check({lost})
    pair.near.run(pair.near.core.keeping.drop(later, lambda errno: None))
    pair.turn(2)
    assert pair.near.carried(a.DropLayer)[-1].needed is False
    (token,) = pair.write(3 * REGION)
    pair.turn(5)
    assert pair.answered(token)


def test_a_broken_layer_stays_broken_through_a_restart() -> None:
    pair = running()
    rescue = begin(pair)
    pair.near.errors[a.SaveRegions] = [EIO]
    pair.write(0)
    pair.turn(10)
    pair.kill_near()
    pair.start_near("boot-1")
    pair.replicating()
    pair.write(REGION)
    pair.turn(10)
    assert broken(pair) == (rescue,)
    assert len(saves(pair)) == 1, "the one that failed"


def test_a_primary_starts_without_a_store_that_cannot_be_opened_and_nobody_believes_it_later() -> None:
    pair = running()
    rescue = begin(pair)
    pair.kill_near()
    pair.near.store_unusable = "EIO"
    pair.start_near("boot-1")
    pair.near.store_unusable = ""
    pair.replicating()
    assert broken(pair) == (EVERY_LAYER,)
    assert pair.near.noted("preserve-unusable") == [{"why": "EIO"}]
    (token,) = pair.write(0, fill=b"n")
    pair.turn(10)
    assert pair.answered(token)
    pair.kill_near()
    pair.start_near("boot-1")
    pair.replicating()
    assert broken(pair) == (rescue,)
    assert not saves(pair)


def test_c3_a_header_that_cannot_say_so_is_a_fault_and_nothing_is_overwritten() -> None:
    pair = running()
    begin(pair)
    before = bytes(pair.near.disk.seen[1])
    pair.near.errors[a.SaveRegions] = [EIO]
    pair.near.errors[a.WriteHeader] = [EIO]
    (token,) = pair.write(0)
    pair.turn(10)
    assert pair.near.replies[token] == EIO
    assert pair.near.disk.seen[1] == before


def test_a_clean_stop_waits_for_what_is_under_way_in_the_store() -> None:
    pair = running()
    rescue = begin(pair)
    pair.near.hold.add(a.DropLayer)
    pair.near.run(pair.near.core.keeping.drop(rescue, lambda errno: None))
    pair.near.run(pair.near.core.stop())
    pair.turn(50)
    assert not pair.near.core.stopped
    pair.near.let_all()
    pair.turn(5)
    assert pair.near.core.stopped
    assert pair.near.header.clean
