"""Frames laid into a drill's overlays: exactly the image of the position, whatever the copy does meanwhile,
and nothing where the way there is gone (rule H)."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from farshore.engine import applied_frames, laying
from farshore.engine.applied_frames import Applied
from farshore.engine.drill import Basis, Drill
from farshore.engine.layer_view import LayerView
from farshore.engine.laying import Laying, Way, lay
from farshore.engine.overlay import Overlay, Room
from farshore.engine.rewind_look import Found
from farshore.errors import FarshoreError
from farshore.model.positions import Position
from farshore.store.volume import Volume
from farshore.wire import frame
from tests.long_form import LONG
from tests.unit.engine.journal_bench import LAYER, Bench, G, looked_at
from tests.unit.engine.rewound import SIZES, Images, Life
from tests.unit.engine.turning import turn_until

SEEDS = 1500 if LONG else 60
PLENTY = 8 << 20


def _overlays(life: Life, layer: bytes, room: Room) -> dict[int, Overlay]:
    store, volumes = life.ground.preserve, life.ground.volumes
    return {each: Overlay(LayerView(store, layer, each, volumes[each]), room) for each in SIZES}


def _image(overlays: dict[int, Overlay]) -> Images:
    return {volume: bytes(overlay.read(0, overlay.size)) for volume, overlay in overlays.items()}


def _lived(seed: int, directory: Path) -> None:
    """A drill at some position of a copy's life, which goes on; what its client writes nobody else sees."""
    life = Life(seed)
    life.feed(life.random.randint(5, 40))
    goal = life.random.choice(life.goals())
    wish = life.wish(goal).rewind
    assert wish is not None
    layer = next(each for each in life.ground.preserve.layers if each.id == wish.layer)
    overlays, way = _overlays(life, layer.id, Room(str(directory), PLENTY)), Way(Found(layer, goal, 0.0))
    most = life.random.choice((1, 4096, 1 << 20))
    while not way.span.complete:
        journal = life.ground.journal
        applied = applied_frames.behind(journal, way.span.reached.sequence, goal.sequence)
        assert lay(overlays, way.take(applied, most)) is None
        if life.random.random() < 0.3:
            life.frame()
    life.frame()
    assert _image(overlays) == life.images[goal], "the drill shows another image"
    for _ in range(3):
        overlays[1].write(life.random.randbytes(700), life.random.randrange(SIZES[1] - 700))
    drilled = _image(overlays)
    life.trim()
    life.frame()
    assert _image(overlays) == drilled, "the copy is seen in the drill"
    assert life.present() == life.images[life.head], "the drill is seen in the copy"
    assert all(life.shown(each) == image for each, image in life.moments.items()), "a snapshot has changed"


def test_h_any_position_that_can_be_gone_back_to_can_be_drilled_on(tmp_path: Path) -> None:
    for seed in range(SEEDS):
        _lived(seed, tmp_path)


_TAKE = Way.take


def _all_there_is(way: Way, applied: Iterator[Applied], most: int) -> list[frame.Frame]:
    frames = _TAKE(way, applied, most)
    return frames + [each.frame for each in applied if each.frame is not None]


def _one_less(way: Way, applied: Iterator[Applied], most: int) -> list[frame.Frame]:
    return _TAKE(way, applied, most)[1:]


def _without_zeroes(whole: frame.Frame, sizes: object, *, gone: bool) -> list[frame.Step]:
    return [each for each in whole.steps if each.payloads]


def _of_now(self: LayerView, offset: int, length: int) -> bytes:
    return self._volume.read(offset, length)


BROKEN: dict[str, tuple[object, str, Callable[..., object]]] = {
    "frames are laid in past the position": (Way, "take", _all_there_is),
    "a frame is left out": (Way, "take", _one_less),
    "zeroes are left out": (laying, "steps_of", _without_zeroes),
    "the volumes of now are below": (LayerView, "read", _of_now),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    where, what, broken = BROKEN[name]
    monkeypatch.setattr(where, what, broken)
    # Read to the end, the journal has frames behind the position.
    behind = applied_frames.behind
    monkeypatch.setattr(applied_frames, "behind", lambda journal, after, _through: behind(journal, after))
    for seed in range(40):
        try:
            _lived(seed, tmp_path)
        except AssertionError:
            return
    pytest.fail(f"none of 40 lives notices that {name}")


# -- beside everything else ----------------------------------------------------------------------------


class Below:
    """A volume of zeroes."""

    size, lane = 1 << 20, "below"

    def read(self, offset: int, length: int) -> bytes:
        return bytes(length)


def _drill(directory: Path, limit: int = PLENTY) -> Drill:
    room = Room(str(directory), limit)
    overlays = {1: Overlay(cast("Volume", Below()), room)}
    basis = Basis(
        id=b"d" * 16, layer=LAYER, own_layer=False, position=None, unix="/d", as_of=None, started=0.0
    )
    return Drill(basis, overlays, room)


def _laying(bench: Bench, drill: Drill, told: list[FarshoreError | None], goal: int = 30) -> Laying:
    found = Found(LAYER, Position(G, goal), 0.0)
    made = Laying(looked_at(bench), found, drill, bench.pool, told.append)
    made.most = 1
    return made


def test_it_lets_others_in_between_its_slices_and_ends_at_the_position(bench: Bench, tmp_path: Path) -> None:
    bench.segments.gate.clear()
    drill, told, order = _drill(tmp_path), list[FarshoreError | None](), list[str]()
    _laying(bench, drill, told).go_on()

    def trim() -> None:
        order.append("trim")
        bench.reads.released()

    bench.reads.alone(trim)
    bench.segments.gate.set()
    turn_until(bench.reactor, lambda: bool(order))
    assert not told, "it waited for one slice, and not for all of it"
    turn_until(bench.reactor, lambda: bool(told))
    assert told == [None]
    written = drill.overlays[1].read(0, 41 * 512)
    assert [bool(written[at * 512]) for at in range(41)] == [at % 2 == 1 and at < 30 for at in range(41)]


def test_what_has_gone_meanwhile_is_a_refusal(bench: Bench, tmp_path: Path) -> None:
    bench.segments.gate.clear()
    told: list[FarshoreError | None] = []
    _laying(bench, _drill(tmp_path), told).go_on()
    bench.begin_anew()
    turn_until(bench.reactor, lambda: bool(told))
    (refused,) = told
    assert refused is not None
    assert (refused.code.name, "has gone" in refused.what) == ("not-rewindable", True)


def test_f1_what_does_not_fit_is_a_refusal_that_names_the_bound(bench: Bench, tmp_path: Path) -> None:
    told: list[FarshoreError | None] = []
    _laying(bench, _drill(tmp_path, limit=8192), told).go_on()
    turn_until(bench.reactor, lambda: bool(told))
    (refused,) = told
    assert refused is not None
    assert (refused.code.name, "8 KiB" in refused.what) == ("store-full", True)


def test_a_drill_that_is_stopped_meanwhile_is_let_be(bench: Bench, tmp_path: Path) -> None:
    bench.segments.gate.clear()
    drill, told = _drill(tmp_path), list[FarshoreError | None]()
    _laying(bench, drill, told).go_on()
    drill.over, drill.overlays = "it was stopped", {}
    bench.segments.gate.set()
    turn_until(bench.reactor, lambda: bool(told))
    assert told == [None]


def test_it_has_its_end_in_time_as_well(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(laying, "LONGEST", 0.0)
    told: list[FarshoreError | None] = []
    _laying(bench, _drill(tmp_path), told).go_on()
    (refused,) = told
    assert refused is not None
    assert refused.code.name == "timeout"
