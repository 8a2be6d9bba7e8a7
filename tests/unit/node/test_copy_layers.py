"""What an engine says of its layers is read in one place, and what is broken is said to be by all who ask."""

from typing import Any

import pytest

from farshore.errors import FarshoreError
from farshore.model.layers import LayerKind
from farshore.node import copy_layers
from farshore.node.group_layers import CopyLayers
from farshore.node.snapshots import Cut, state_at

GENERATION = "ab" * 16
CUT = Cut("noon", GENERATION, 7)


def layer(**more: object) -> dict[str, Any]:
    """As an engine tells of it."""
    found = {
        "id": "11" * 16,
        "kind": "snapshot",
        "name": "noon",
        "generation": GENERATION,
        "sequence": 7,
        "time": "2026-11-23T12:00:00.000Z",
        "bytes": 4096,
        "broken": False,
        "open": False,
    }
    return {**found, **more}


def copy(*layers: dict[str, Any], **more: object) -> CopyLayers:
    said = {"role": "secondary", "layers": list(layers), "missed": [], **more}
    return CopyLayers(node="b", node_name="b", role="secondary", said=said)


def test_all_that_is_said_of_a_layer_is_read() -> None:
    (found,) = copy_layers.read({"layers": [layer(broken=True, open=True, unreadable_bytes=32768)]})
    assert (found.kind, found.name, found.sequence, found.bytes) == (LayerKind.SNAPSHOT, "noon", 7, 4096)
    assert found.unreadable_bytes == 32768
    assert found.broken
    assert found.open


def test_an_engine_of_before_does_not_say_what_is_broken_and_a_newer_one_may_know_more_kinds() -> None:
    old = {name: value for name, value in layer().items() if name not in ("broken", "open")}
    (found,) = copy_layers.read({"layers": [old, layer(kind="archive")]})
    assert (found.broken, found.open) == (False, False)
    assert copy_layers.read({}) == ()


@pytest.mark.parametrize("wrong", [{"id": "xy"}, {"sequence": "many"}, {"bytes": []}])
def test_what_is_malformed_is_said_to_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(FarshoreError, match="malformed"):
        copy_layers.read({"layers": [layer(**wrong)]})
    with pytest.raises(FarshoreError, match="malformed"):
        copy_layers.read({"layers": "none"})


def test_a_snapshot_is_done_only_where_it_can_be_read() -> None:
    assert state_at(copy(layer()), CUT) == ("done", "")
    state, why = state_at(copy(layer(broken=True)), CUT)
    assert (state, "broken" in why) == ("missed", True)


def test_a_copy_whose_store_cannot_be_used_says_why() -> None:
    found = copy(unusable="preserve/list: damaged")
    assert found.store["unusable"] == "preserve/list: damaged"
    assert found.of(LayerKind.SNAPSHOT) == []
