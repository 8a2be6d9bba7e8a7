"""A layer at a cut of the primary's own: what it shows, whom it holds, and for how long (section H)."""

import pytest

from farshore.core import actions as a
from farshore.core.moment import AHEAD, LONGEST, Wish
from farshore.core.snapshot_refusals import MOST_LAYERS
from farshore.errors import FarshoreError
from farshore.model.layers import Layer, LayerKind
from farshore.model.options import LinkOptions, Writes
from farshore.model.positions import Position
from tests.unit.core.pair import REGION, Pair
from tests.unit.core.scenes import running
from tests.unit.core.snapshot_scenes import BOTH, settle

EIO, ENOSPC = 5, 28


class Taken:
    """A layer that is being taken at a pair's primary."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self.ends: list[tuple[Layer | None, str]] = []
        self.cuts: list[Position] = []
        wish = Wish(LayerKind.SNAPSHOT, "s", 7, self.cuts.append)
        pair.near.run(pair.near.core.keeping.moment.take(wish, self._end))

    def _end(self, layer: Layer | None, why: str) -> None:
        self.ends.append((layer, why))


def test_h_it_shows_what_had_a_sequence_at_its_cut_and_nothing_later() -> None:
    pair = running()
    pair.write(0, fill=b"1")
    pair.near.hold.add(a.Issue)
    pair.write(REGION, fill=b"2")
    taken = Taken(pair)
    late = pair.write(2 * REGION, fill=b"3")
    pair.turn(5)
    assert not taken.ends
    assert not pair.near.carried(a.BeginLayer)
    pair.near.let_all()
    pair.turn(20)
    ((layer, why),) = taken.ends
    assert layer is not None, why
    assert pair.answered(*late)
    image = pair.near.store.images[layer.id][1]
    assert [image[n * REGION : n * REGION + 1] for n in (0, 1)] == [b"1", b"2"]
    assert image[2 * REGION : 2 * REGION + 1] != b"3"
    (cut,) = pair.near.noted("cut")
    assert layer.mark is not None
    assert (layer.mark.sequence, cut["number"]) == (cut["sequence"], 7)
    pair.near.store.check()


def test_the_volumes_are_synced_once_before_anybody_is_held() -> None:
    pair = running()
    pair.write(0)
    pair.near.hold.add(a.SyncVolumes)
    taken = Taken(pair)
    (token,) = pair.write(REGION)
    pair.turn(5)
    assert pair.answered(token)
    pair.near.let(a.SyncVolumes)
    (held,) = pair.write(2 * REGION)
    pair.turn(5)
    assert not pair.answered(held)
    assert pair.near.core.writable is Writes.FLOWING, "it is over before anybody could ask"
    pair.near.let_all()
    pair.turn(5)
    assert taken.ends[0][0] is not None
    assert pair.answered(held)
    assert 0 < pair.near.core.keeping.moment.held_for < LONGEST


def test_a_slow_disk_costs_the_layer_and_not_the_writes() -> None:
    pair = running()
    pair.write(0)
    taken = Taken(pair)
    assert taken.ends
    pair.write(REGION)
    pair.near.hold.add(a.SyncVolumes)
    second = Taken(pair)
    pair.near.let(a.SyncVolumes)
    (held,) = pair.write(2 * REGION)
    pair.turn(round(LONGEST / 0.01) - 5)
    assert not pair.answered(held)
    pair.turn(10)
    assert pair.answered(held)
    ((layer, why),) = second.ends
    assert layer is None
    assert "synced" in why
    pair.near.let_all()
    pair.turn(10)
    assert len(second.ends) == 1
    assert len(pair.near.store.layers) == 1, "the late sync begins nothing"


@pytest.mark.parametrize("errno", [ENOSPC, EIO])
def test_a_store_without_room_costs_the_layer_and_not_the_writes(errno: int) -> None:
    pair = running()
    pair.near.errors[a.BeginLayer] = [errno]
    taken = Taken(pair)
    (token,) = pair.write(0)
    pair.turn(10)
    ((layer, why),) = taken.ends
    assert layer is None
    assert "preserve store" in why
    assert pair.answered(token)


def test_writes_that_stop_flowing_meanwhile_end_it() -> None:
    pair = running()
    pair.near.hold.add(a.SyncVolumes)
    taken = Taken(pair)
    pair.near.run(pair.near.core.drain(5.0))
    pair.near.let_all()
    assert taken.ends[0][0] is None
    assert taken.ends[0][1] == "writes do not flow now"


def test_c3_a_sync_that_fails_ends_it() -> None:
    pair = running()
    pair.write(0)
    pair.near.errors[a.SyncVolumes] = [EIO]
    taken = Taken(pair)
    pair.turn(5)
    assert taken.ends == [(None, "writes are refused")]
    assert not pair.near.store.layers


def test_it_is_refused_where_it_cannot_be() -> None:
    pair = running()
    pair.near.hold.add(a.SyncVolumes)
    Taken(pair)
    with pytest.raises(FarshoreError, match="already"):
        Taken(pair)
    pair.near.let_all()
    pair.turn(5)
    pair.near.run(pair.near.core.drain(5.0))
    with pytest.raises(FarshoreError, match="writes do not flow"):
        Taken(pair)
    pair.near.run(pair.near.core.resume())
    pair.near.errors[a.SaveRegions] = [EIO]
    pair.write(0)
    pair.turn(5)
    with pytest.raises(FarshoreError, match="no store"):
        Taken(pair)


def test_a_death_at_its_cut_leaves_no_layer_and_holds_nobody() -> None:
    pair = running()
    pair.near.hold.add(a.BeginLayer)
    taken = Taken(pair)
    pair.write(0)
    assert pair.near.held(a.BeginLayer) == 1
    pair.kill_near(lose_cache=True)
    pair.start_near("boot-2")
    pair.replicating()
    (token,) = pair.write(REGION)
    pair.turn(10)
    assert not taken.ends
    assert pair.answered(token)
    assert pair.equal()


class Asked:
    """A snapshot that every copy was asked for, at a pair's primary."""

    def __init__(self, pair: Pair, name: str = "noon") -> None:
        self.told: list[Position | FarshoreError] = []
        pair.near.run(pair.near.core.keeping.snapshot(name, 9, self.told.append))


def _kept(pair: Pair) -> list[tuple[str, Position | None]]:
    return [(each.name, each.mark) for each in pair.near.core.keeping.preserve.layers]


@BOTH
def test_h_a_snapshot_is_one_moment_at_both_copies(options: LinkOptions) -> None:
    pair = running(options)
    pair.write(0, REGION, fill=b"1")
    asked = Asked(pair)
    pair.write(0, 2 * REGION, fill=b"2")
    pair.until(lambda: bool(pair.far.store.layers))
    settle(pair)
    (place,) = asked.told
    assert _kept(pair) == [("noon", place)]
    assert [(each.name, each.mark) for each in pair.far.core.preserve.layers] == [("noon", place)]
    ((near,), (far,)) = pair.near.store.images.values(), pair.far.store.images.values()
    assert near == far
    assert near[1][0:1] == b"1"
    (told,) = pair.near.noted("layer")
    assert told["name"] == "noon"
    assert 0 <= pair.near.core.keeping.moment.held_for < LONGEST
    assert "held_seconds" in told
    pair.near.store.check()


def test_a_disk_too_slow_to_sync_ahead_costs_the_primary_its_layer_and_nobody_a_write() -> None:
    pair = running()
    pair.write(0)
    pair.near.hold.add(a.SyncVolumes)
    asked = Asked(pair)
    pair.turn(round(AHEAD / 0.01) - 10)
    assert not asked.told
    pair.turn(20)
    (place,) = asked.told
    assert isinstance(place, Position)
    (token,) = pair.write(REGION)
    pair.turn(5)
    assert pair.answered(token), "nobody was held"
    (missed,) = pair.near.core.keeping.missed
    assert (missed.name, missed.position) == ("noon", place)
    assert "took more than" in missed.why.what
    assert pair.near.noted("snapshot-missed")
    pair.near.let_all()
    pair.turn(10)
    assert not pair.near.store.layers, "the late sync begins nothing"
    assert [each.mark for each in pair.far.core.preserve.layers] == [place], "the other copy has it"


@pytest.mark.parametrize("errno", [ENOSPC, EIO])
def test_a_primary_that_cannot_keep_it_says_so_and_the_others_are_asked(errno: int) -> None:
    pair = running()
    pair.near.errors[a.BeginLayer] = [errno]
    asked = Asked(pair)
    pair.turn(30)
    (place,) = asked.told
    assert [each.position for each in pair.near.core.keeping.missed] == [place]
    assert [each.mark for each in pair.far.core.preserve.layers] == [place]


def test_a_store_that_has_failed_or_has_no_place_left_costs_only_this_copy_its_snapshot() -> None:
    pair = running()
    pair.near.core.keeping.preserve.well = False
    asked = Asked(pair)
    pair.near.core.keeping.preserve.well = True
    pair.turn(30)
    for number in range(MOST_LAYERS + 1):
        Asked(pair, f"n{number}")
        pair.turn(2)
    whys = [each.why.what for each in pair.near.core.keeping.missed]
    assert len(whys) == 2
    assert "cannot be used" in whys[0]
    assert "no room for another layer" in whys[1]
    assert isinstance(asked.told[0], Position)


def test_a_name_that_is_in_use_and_writes_that_are_held_are_refused_and_no_cut_is_made() -> None:
    pair = running()
    Asked(pair)
    pair.turn(5)
    before = pair.near.core.sequence
    with pytest.raises(FarshoreError, match="under the name 'noon'") as refused:
        Asked(pair)
    assert refused.value.code.name == "exists"
    pair.near.run(pair.near.core.drain(5.0))
    with pytest.raises(FarshoreError, match="writes do not flow"):
        Asked(pair, "later")
    assert pair.near.core.sequence == before


def test_writes_that_are_held_before_the_cut_leave_no_cut() -> None:
    pair = running()
    pair.near.hold.add(a.SyncVolumes)
    asked = Asked(pair)
    pair.near.run(pair.near.core.drain(5.0))
    pair.near.let_all()
    (told,) = asked.told
    assert isinstance(told, FarshoreError)
    assert told.what == "writes do not flow now"
    assert not pair.near.core.keeping.missed
    assert not pair.near.noted("cut")


def test_a_fault_while_its_layer_begins_ends_it_once_and_leaves_no_layer() -> None:
    pair = running()
    pair.near.hold.add(a.BeginLayer)
    asked = Asked(pair)
    pair.near.core.path.fail(EIO)
    pair.turn(3)
    assert len(asked.told) == 1
    pair.near.let_all()
    pair.turn(10)
    assert not pair.near.store.layers
    assert len(pair.near.core.keeping.missed) == 1
