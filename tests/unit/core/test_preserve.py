"""What has to be saved before it is overwritten, and in which order units of a stream go on (E1, E2)."""

import pytest

from farshore.core import actions as a
from farshore.core.geometry import Geometry
from farshore.core.guard import MOST_WAITING, Guard, Waiting
from farshore.core.outbox import Outbox
from farshore.core.preserve import PreserveImage, Preserving
from farshore.model.layers import Layer, LayerKind

KIB = 1 << 10
REGION = 4 * KIB
ENOSPC, EIO = 28, 5


def layer(number: int, kind: LayerKind = LayerKind.UNDO) -> Layer:
    return Layer(bytes([number]) * 16, kind, ((1, 16 * REGION),), f"n{number}")


class Scene:
    """The decisions about one store, and what they ask for."""

    def __init__(self, *layers: Layer) -> None:
        self.outbox = Outbox()
        self.failed: list[int] = []
        self.full = 0
        geometry = Geometry({1: 16 * REGION}, REGION, REGION)
        image = PreserveImage(layers, ((1, 0, 2),) if layers else ())
        self.preserve = Preserving(self.outbox, geometry, image, self.failed.append)
        self.preserve.full = self._full
        self.blocked = self.behind = False
        self.guard = Guard(self.preserve, lambda message: self.blocked or (message and self.behind))
        self.went: list[str] = []

    def _full(self) -> None:
        self.full += 1

    def unit(self, name: str, *regions: int, message: bool = False, size: int = 10) -> None:
        ranges = [(1, region * REGION, 10) for region in regions]
        self.guard.take(Waiting(ranges, size, lambda: self.went.append(name), message))

    def asked(self) -> a.Action | None:
        """What was asked for since, notes aside; one thing at a time."""
        found = [each for each in self.outbox.take() if not isinstance(each, a.Note)]
        assert len(found) <= 1
        return found[0] if found else None

    def saves(self) -> tuple[int, tuple[tuple[int, int, int], ...]]:
        action = self.asked()
        assert isinstance(action, a.SaveRegions)
        return action.ticket, action.runs

    def done(self, ticket: int, *result: object) -> None:
        self.outbox.settle(ticket, *result)
        self.guard.advance()


def test_without_a_layer_nothing_is_saved_and_nothing_waits() -> None:
    scene = Scene()
    scene.unit("a", 3)
    assert scene.went == ["a"]
    assert scene.asked() is None


def test_units_go_on_in_order_and_later_ones_share_the_next_save() -> None:
    scene = Scene(layer(1))
    scene.unit("saved before", 0, 1)
    assert scene.went == ["saved before"]
    scene.unit("a", 3)
    first, runs = scene.saves()
    assert runs == ((1, 3, 4),)
    scene.unit("b", 5, 6)
    scene.unit("c", 1)
    scene.unit("d", 3, 9)
    assert scene.asked() is None
    scene.done(first, 0)
    assert scene.went == ["saved before", "a"]
    second, runs = scene.saves()
    assert runs == ((1, 5, 7), (1, 9, 10))
    scene.done(second, 0)
    assert scene.went == ["saved before", "a", "b", "c", "d"]
    assert scene.guard.size == 0


def test_a_message_waits_for_the_frames_before_it_and_a_frame_does_not() -> None:
    scene = Scene(layer(1))
    scene.behind = True
    scene.unit("frame", 0)
    scene.unit("message", message=True)
    scene.unit("next", 1)
    assert scene.went == ["frame"]
    scene.behind = False
    scene.guard.advance()
    assert scene.went == ["frame", "message", "next"]


def test_f1_what_waits_has_a_bound() -> None:
    scene = Scene(layer(1))
    scene.unit("a", 4, size=MOST_WAITING)
    assert scene.guard.full
    scene.done(scene.saves()[0], 0)
    assert not scene.guard.full


def test_nothing_goes_on_while_a_layer_begins_and_it_begins_with_nothing_saved() -> None:
    scene = Scene(layer(1))
    scene.preserve.begin(layer(2), 0, lambda errno: None)
    begin = scene.asked()
    assert isinstance(begin, a.BeginLayer)
    scene.unit("a", 0)
    assert scene.went == []
    scene.done(begin.ticket, 0)
    ticket, runs = scene.saves()
    assert runs == ((1, 0, 1),)
    scene.done(ticket, 0)
    assert scene.went == ["a"]


def test_a_save_that_went_into_an_older_layer_is_asked_for_again() -> None:
    scene = Scene(layer(1))
    scene.unit("a", 4)
    save = scene.saves()[0]
    scene.preserve.begin(layer(2), 0, lambda errno: None)
    begin = scene.asked()
    assert isinstance(begin, a.BeginLayer)
    scene.outbox.settle(begin.ticket, 0)
    scene.outbox.settle(save, 0)
    assert scene.went == []
    ticket, runs = scene.saves()
    assert runs == ((1, 4, 5),)
    scene.done(ticket, 0)
    assert scene.went == ["a"]


@pytest.mark.parametrize("kind", [LayerKind.UNDO, LayerKind.RESCUE])
def test_e2_an_undo_or_a_rescue_never_gives_way(kind: LayerKind) -> None:
    scene = Scene(layer(1, kind), layer(2))
    scene.unit("a", 4)
    scene.done(scene.saves()[0], ENOSPC)
    assert scene.full == 1
    assert scene.went == []


def test_e2_drills_and_then_the_oldest_snapshots_give_way() -> None:
    kinds = (LayerKind.SNAPSHOT, LayerKind.DRILL, LayerKind.SNAPSHOT, LayerKind.UNDO)
    scene = Scene(*[layer(number, kind) for number, kind in enumerate(kinds, 1)])
    scene.unit("a", 4)
    gone = []
    for _ in range(3):
        scene.done(scene.saves()[0], ENOSPC)
        drop = scene.asked()
        assert isinstance(drop, a.DropLayer)
        gone.append(drop.layer[0])
        scene.done(drop.ticket, 0, ())
    assert gone == [2, 1, 3]
    scene.done(scene.saves()[0], ENOSPC)
    assert scene.full == 1


def test_e2_a_layer_that_there_is_no_room_to_give_up_is_not_asked_for_twice() -> None:
    scene = Scene(layer(1, LayerKind.RESCUE), layer(2, LayerKind.SNAPSHOT), layer(3))
    scene.unit("a", 4)
    scene.done(scene.saves()[0], ENOSPC)
    drop = scene.asked()
    assert isinstance(drop, a.DropLayer)
    scene.done(drop.ticket, ENOSPC, ())
    scene.done(scene.saves()[0], ENOSPC)
    assert scene.full == 1


def test_whoever_waits_for_the_store_to_rest_is_told_when_all_is_done() -> None:
    scene = Scene(layer(1))
    rested: list[bool] = []
    scene.unit("a", 4)
    scene.preserve.when_idle(lambda: rested.append(True))
    save = scene.saves()[0]
    scene.preserve.drop(layer(1).id)
    drop = scene.asked()
    assert isinstance(drop, a.DropLayer)
    scene.outbox.settle(save, 0)
    assert not rested
    scene.outbox.settle(drop.ticket, 0, ())
    assert rested == [True]
    assert not scene.preserve.collecting


def test_c3_after_any_other_error_nothing_goes_on_and_nothing_is_tried_again() -> None:
    scene = Scene(layer(1))
    scene.unit("a", 4)
    scene.done(scene.saves()[0], EIO)
    scene.unit("b", 5)
    assert scene.asked() is None
    assert scene.failed == [EIO]
    assert scene.went == []


def test_c3_a_layer_that_cannot_be_given_up_is_a_fault() -> None:
    scene = Scene(layer(1))
    scene.preserve.drop(layer(1).id)
    drop = scene.asked()
    assert isinstance(drop, a.DropLayer)
    scene.done(drop.ticket, EIO, ())
    assert scene.failed == [EIO]


def test_a_start_sweeps_what_is_of_no_use_to_anybody_and_leaves_a_broken_rescue() -> None:
    kinds = (LayerKind.RESCUE, LayerKind.SNAPSHOT, LayerKind.UNDO, LayerKind.UNDO, LayerKind.SNAPSHOT)
    scene = Scene(*[layer(number, kind) for number, kind in enumerate(kinds, 1)], layer(6, LayerKind.DRILL))
    scene.preserve.broken |= {bytes([number]) * 16 for number in (1, 2, 3)}
    scene.preserve.sweep(bytes([4]) * 16)
    while (action := scene.asked()) is not None:
        assert isinstance(action, a.DropLayer)
        scene.outbox.settle(action.ticket, 0, ())
    assert [each.id[0] for each in scene.preserve.layers] == [1, 4, 5]
    assert scene.preserve.broken == {bytes([1]) * 16}
