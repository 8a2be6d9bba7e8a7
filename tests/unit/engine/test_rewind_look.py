"""Where a rewind would lead: the frame before the first one after a time, from the newest layer before it."""

import pytest

from farshore.engine.applied_frames import Applied
from farshore.engine.rewind_look import SLICE, Found, Look
from farshore.errors import FarshoreError
from farshore.model.layers import Layer, LayerKind
from farshore.model.positions import Position
from farshore.model.volumes import WRITE
from farshore.wire import frame
from farshore.wire.frame import FrameStamp

GROUP, G, H = b"g" * 16, b"1" * 16, b"2" * 16
STAMPS = {11: 100.0, 12: 101.0, 13: 101.0, 14: 105.0, 15: 110.0}


def _applied(stamps: dict[int, float] | None = None, generation: bytes = G) -> list[Applied]:
    found = []
    for sequence, made in (STAMPS if stamps is None else stamps).items():
        stamp = FrameStamp(GROUP, generation, sequence, int(made * 1e9), Position(generation, sequence - 1))
        data = bytes(frame.encode(stamp, [(1, WRITE, 0, 512)], [bytes(512)]))
        found.append(Applied(Position(generation, sequence), frame.check(data)))
    return found


def _layer(sequence: int, time: float, name: str = "noon") -> Layer:
    return Layer(bytes([sequence]) * 16, LayerKind.SNAPSHOT, ((1, 512),), name, Position(G, sequence), time)


SLICES = pytest.mark.parametrize("most", [1, SLICE], ids=["frame by frame", "at once"])


def _found(look: Look, most: int, frames: list[Applied] | None = None) -> Found:
    """Each slice reads from some frames before what was reached on, as a segment is read."""
    frames = _applied() if frames is None else frames
    for _ in range(3 * len(frames) + 3):
        at = look.reached.sequence if look.reached is not None else 0
        found = look.go_on((each for each in frames if each.position.sequence >= at - 1), most)
        if found is not None:
            return found
    raise AssertionError("it never ends")


def _to_time(wanted: float, *layers: Layer, most: int = SLICE, frames: list[Applied] | None = None) -> Found:
    return _found(Look([(each, True) for each in reversed(layers)], wanted), most, frames)


def _at(wanted: float, *layers: Layer) -> tuple[str, int, int | None]:
    """However it is sliced."""
    at_once, one_by_one = (_to_time(wanted, *layers, most=most) for most in (SLICE, 1))
    assert at_once == one_by_one
    return at_once.layer.name, at_once.position.sequence, at_once.undone


def test_everything_up_to_the_first_later_frame_stays() -> None:
    first = _layer(10, 99.0)
    assert _at(104.0, first) == ("noon", 13, 1024)
    assert _at(105.0, first) == ("noon", 14, 512), "at that very time"
    assert _at(100.5, first) == ("noon", 11, 4 * 512)


def test_a_time_between_a_snapshot_and_the_first_frame_means_the_snapshot() -> None:
    assert _at(99.5, _layer(10, 99.0)) == ("noon", 10, 5 * 512)


def test_the_newest_layer_before_the_time_is_the_base() -> None:
    first, second = _layer(10, 99.0, "first"), _layer(13, 103.0, "second")
    assert _at(104.0, first, second) == ("second", 13, 1024)
    assert _at(102.0, first, second) == ("first", 13, 1024)
    assert _at(106.0, first, second) == ("second", 14, 512)


@pytest.mark.parametrize(("wanted", "what"), [(98.0, "no snapshot"), (110.0, "nothing"), (500.0, "nothing")])
def test_a_time_before_all_and_one_behind_the_newest_write_are_refused(wanted: float, what: str) -> None:
    with pytest.raises(FarshoreError, match=what) as refused:
        _to_time(wanted, _layer(10, 99.0), _layer(15, 600.0))
    assert refused.value.code.name == "not-rewindable"


def test_a_clock_that_was_set_back_never_lets_a_later_frame_through() -> None:
    stamps = {11: 100.0, 12: 110.0, 13: 101.0, 14: 111.0}
    found = _to_time(105.0, _layer(10, 99.0), frames=_applied(stamps))
    assert (found.position.sequence, found.undone) == (11, 3 * 512)


@SLICES
def test_a_gap_is_told(most: int) -> None:
    frames = _applied()
    del frames[2]
    with pytest.raises(FarshoreError, match="does not follow"):
        _to_time(101.0, _layer(10, 99.0), most=most, frames=frames)


@SLICES
def test_a_new_generation_of_the_primary_is_no_gap(most: int) -> None:
    frames = [*_applied({11: 100.0}), Applied(Position(H, 11), None), *_applied({12: 120.0}, H)]
    found = _to_time(110.0, _layer(10, 99.0), most=most, frames=frames)
    assert (found.position, found.undone) == (Position(G, 11), 512)


@SLICES
def test_a_layer_means_its_own_moment_and_says_what_is_known(most: int) -> None:
    known = _found(Look([(_layer(12, 101.5), True)], None), most)
    assert (known.position, known.undone, known.newest) == (Position(G, 12), 3 * 512, 110.0)
    unknown = _found(Look([(_layer(12, 101.5), False)], None), most, [])
    assert (unknown.position, unknown.undone, unknown.newest) == (Position(G, 12), None, None)
    assert unknown.document()["undone_seconds"] is None
    last = _found(Look([(_layer(15, 111.0), True)], None), most)
    assert (last.undone, last.document()["undone_seconds"]) == (0, 0.0)
    assert isinstance(last, Found)
