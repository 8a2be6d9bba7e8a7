"""A drill at a time while it is being begun: shown as that, opened by nobody, and gone without a trace where
it is stopped or its snapshot goes (rule H)."""

import errno
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any, Final

import pytest

from farshore.core.geometry import Geometry
from farshore.engine.drill import LANE
from farshore.engine.drills import Drills, DrillWish
from farshore.engine.secondary_copy import SecondaryCopy
from farshore.errors import FarshoreError
from farshore.model.copy_config import CopyConfig
from farshore.model.layers import Layer
from tests.unit.engine.journal_bench import LAYER, Bench, looked_at
from tests.unit.engine.test_laying import Below
from tests.unit.engine.turning import turn_until

SIZE: Final = 1 << 20


class Begun:
    """Drills on a copy whose journal is the bench's, and what was told, lent and noted."""

    def __init__(self, bench: Bench, directory: Path) -> None:
        self.told: list[dict[str, Any] | FarshoreError] = []
        self.lent: list[dict[Any, Any]] = []
        self.notes: list[str] = []
        self.layers: list[Layer] = [LAYER]
        self.bench = bench
        self.held = Event()
        role = object.__new__(SecondaryCopy)
        seen = looked_at(bench)
        seen.core.consistent, seen.core.geometry = True, Geometry({1: SIZE}, 4096)
        role.core, role.frames, role.carrier = seen.core, seen.frames, SimpleNamespace()  # type: ignore[assignment]
        store = SimpleNamespace(layers=self.layers, broken=())
        stored = SimpleNamespace(directory=str(directory), preserve=store)
        shop: Any = SimpleNamespace(
            stored=stored, journal=SimpleNamespace(note=lambda kind, _: self.notes.append(kind))
        )
        views: Any = SimpleNamespace(
            pool=bench.pool,
            layer_view=lambda *_: Below(),
            lend=lambda exports, _: self.lent.append(dict(exports)),
        )
        self.views = views
        self.drills = Drills(shop, views, role, lambda: 100.0)

    def start(self, seconds: float, *more: object) -> None:
        volumes = [SimpleNamespace(id=1, name="data", size=SIZE), *more]
        config: Any = SimpleNamespace(group=b"g" * 16, group_name="orders", volumes=volumes)
        found: CopyConfig = config
        self.drills.start(found, DrillWish("/d", time=seconds), self.told.append)

    def shown(self) -> dict[str, Any]:
        return self.drills.document() or {}

    def turn_until(self, predicate: Callable[[], object]) -> None:
        turn_until(self.bench.reactor, predicate)


@pytest.fixture
def begun(bench: Bench, tmp_path: Path) -> Iterator[Begun]:
    """One at second 20, which is about to be laid in."""
    made = Begun(bench, tmp_path)
    bench.pool.submit(LANE, partial(made.held.wait, 10), lambda _: None)
    made.start(20.0)
    made.turn_until(lambda: made.shown().get("snapshot") or made.told)
    yield made
    made.held.set()


def test_it_is_shown_and_opened_by_nobody_until_all_of_it_is_there(begun: Begun) -> None:
    shown = begun.shown()
    assert (shown["state"], shown["exports"], shown["sequence"]) == ("beginning", [], 20)
    assert (shown["at"], shown["snapshot"]) == ("1970-01-01T00:00:20.000Z", "noon")
    assert (shown["data_as_of"], shown["data_age_seconds"]) == ("1970-01-01T00:00:19.000Z", 81.0)
    assert begun.lent == begun.told == []
    with pytest.raises(FarshoreError, match="already"):
        begun.start(20.0)
    begun.held.set()
    begun.turn_until(lambda: begun.told)
    (told,) = begun.told
    assert isinstance(told, dict)
    assert (told["state"], [each["volume"] for each in told["exports"]]) == ("running", ["data"])
    assert (len(begun.lent), begun.notes) == (1, ["drill-began"])
    ((offered,),) = begun.lent[0].values()
    assert [bool(any(offered.volume.read(512 * at, 512))) for at in (17, 19, 21)] == [True, True, False]


def _looking(bench: Bench, directory: Path) -> Begun:
    """One at second 20, of which the first look is held up."""
    made = Begun(bench, directory)
    bench.segments.gate.clear()
    made.start(20.0)
    return made


def test_it_is_shown_while_its_time_is_looked_for(bench: Bench, tmp_path: Path) -> None:
    made = _looking(bench, tmp_path)
    shown = made.shown()
    assert (shown["state"], shown["at"], shown["snapshot"]) == ("beginning", "1970-01-01T00:00:20.000Z", None)
    with pytest.raises(FarshoreError, match="already"):
        made.start(20.0)
    bench.segments.gate.set()
    made.turn_until(lambda: made.told)
    (told,) = made.told
    assert isinstance(told, dict)
    assert (told["state"], told["id"], told.keys()) == ("running", shown["id"], shown.keys())


def test_it_is_stopped_while_its_time_is_looked_for_and_another_begins_at_once(
    bench: Bench, tmp_path: Path
) -> None:
    made = _looking(bench, tmp_path)
    ended: list[Any] = []
    made.drills.stop(ended.append)
    assert [(each["state"], each["why"]) for each in ended] == [("ended", "it was stopped")]
    assert made.drills.document() is None
    with pytest.raises(FarshoreError, match="no drill"):
        made.drills.stop(ended.append)
    made.start(10.0)
    bench.segments.gate.set()
    made.turn_until(lambda: len(made.told) == 2)
    refused, other = made.told
    assert isinstance(refused, FarshoreError)
    assert ("it was stopped" in refused.what, refused.code.name) == (True, "wrong-state")
    assert isinstance(other, dict)
    assert (other["state"], other["sequence"], made.shown()["id"]) == ("running", 10, other["id"])
    assert made.notes == ["drill-began"]


def test_a_stop_is_for_the_one_that_begins_and_not_for_one_that_has_ended(
    bench: Bench, tmp_path: Path
) -> None:
    made = Begun(bench, tmp_path)
    made.start(20.0)
    made.turn_until(lambda: made.told)
    made.layers.clear()
    made.drills.tick()
    made.layers.append(LAYER)
    first = made.shown()
    bench.segments.gate.clear()
    made.start(10.0)
    assert made.shown()["id"] != first["id"]
    ended: list[Any] = []
    made.drills.stop(ended.append)
    assert ended[0]["id"] != first["id"]
    assert made.drills.document() is None
    bench.segments.gate.set()
    made.turn_until(lambda: len(made.told) == 2)
    assert isinstance(made.told[1], FarshoreError)


def test_another_begins_while_one_that_was_stopped_is_still_being_laid(begun: Begun) -> None:
    begun.drills.stop(lambda _: None)
    begun.start(10.0)
    begun.held.set()
    begun.turn_until(lambda: len(begun.told) == 2)
    states = [each["sequence"] if isinstance(each, dict) else each.code.name for each in begun.told]
    assert states == ["wrong-state", 10]
    assert begun.shown()["state"] == "running"


def _never_was(begun: Begun, code: str, why: str) -> None:
    begun.held.set()
    begun.turn_until(lambda: begun.told)
    (told,) = begun.told
    assert isinstance(told, FarshoreError)
    assert (told.code.name, why in told.what) == (code, True)
    assert begun.drills.document() is None
    assert begun.drills.running is None
    assert not any(begun.lent)
    assert begun.notes == []
    begun.start(20.0)  # nothing stands in the way of another one
    begun.turn_until(lambda: len(begun.told) == 2)


def test_it_is_stopped_before_it_has_begun(begun: Begun) -> None:
    ended: list[object] = []
    begun.drills.stop(ended.append)
    assert len(ended) == 1
    _never_was(begun, "wrong-state", "it was stopped")


def test_its_snapshot_goes_before_it_has_begun(begun: Begun) -> None:
    begun.layers.clear()
    begun.drills.tick()
    begun.layers.append(LAYER)
    _never_was(begun, "not-rewindable", "its snapshot is gone")


def test_its_snapshot_goes_between_the_look_and_the_laying(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Begun(bench, tmp_path)

    def gone(*_: object) -> None:
        raise OSError(errno.ESTALE, "this layer has gone")

    monkeypatch.setattr(made.views, "layer_view", gone)
    made.start(20.0)
    made.turn_until(lambda: made.told)
    (told,) = made.told
    assert isinstance(told, FarshoreError)
    assert told.code.name == "not-rewindable"
    assert made.drills.document() is None


def test_a_volume_that_the_group_did_not_have_then_is_a_refusal(bench: Bench, tmp_path: Path) -> None:
    made = Begun(bench, tmp_path)
    made.start(20.0, SimpleNamespace(id=2, name="later", size=SIZE))
    made.turn_until(lambda: made.told)
    (told,) = made.told
    assert isinstance(told, FarshoreError)
    assert (told.code.name, "did not have then" in told.what) == ("not-rewindable", True)
    assert made.drills.document() is None
