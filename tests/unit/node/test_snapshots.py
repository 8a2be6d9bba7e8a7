"""Which copies have a snapshot, and which never will, from what they say of themselves."""

from typing import Any

import pytest

from farshore.errors import FarshoreError
from farshore.node import snapshots
from farshore.node.group_layers import CopyLayers

GENERATION = "77" * 16
LAYER = {
    "id": "1" * 32,
    "kind": "snapshot",
    "name": "s",
    "generation": GENERATION,
    "sequence": 100,
    "bytes": 5,
    "time": "t",
}


NO_ROOM = {"code": "store-full", "why": "no room for another layer"}


def copy(name: str, passed: int, role: str = "secondary", **said: Any) -> CopyLayers:
    place = {"generation": GENERATION, "sequence": passed}
    return CopyLayers(node=name, node_name=name, role=role, said={"passed": place, **said})


def test_a_copy_that_has_come_past_the_cut_without_it_has_missed_it_also_after_its_engines_restart() -> None:
    resynced, behind, kept = copy("c", 120), copy("d", 99), copy("b", 120, layers=[LAYER])
    primary = CopyLayers(node="a", node_name="a", role="primary", said={"passed": None})
    silent = CopyLayers(node="e", node_name="e", silent="its node was not reached")
    (found,) = snapshots.shown("g", [primary, kept, resynced, behind, silent])["snapshots"]
    assert [each["copy"] for each in found["copies"]] == ["b"]
    assert [each["copy"] for each in found["missed"]] == ["c"]
    assert "past the cut" in found["missed"][0]["why"]


def test_a_secondary_that_has_followed_into_another_generation_is_not_said_to_have_missed_it() -> None:
    later = CopyLayers(
        node="c",
        node_name="c",
        role="secondary",
        said={"passed": {"generation": "88" * 16, "sequence": 500}},
    )
    (found,) = snapshots.shown("g", [copy("b", 120, layers=[LAYER]), later])["snapshots"]
    assert ([each["copy"] for each in found["copies"]], found["missed"]) == (["b"], [])
    assert snapshots.state_at(later, snapshots.Cut("s", GENERATION, 100))[0] == "pending"


def test_a_copy_that_remembers_why_says_so() -> None:
    why = {"name": "s", "generation": GENERATION, "sequence": 100, "why": "it was being resynced"}
    (found,) = snapshots.shown("g", [copy("b", 120, layers=[LAYER]), copy("c", 90, missed=[why])])[
        "snapshots"
    ]
    assert found["missed"] == [{"copy": "c", "why": "it was being resynced"}]


def test_a_primary_without_room_keeps_nobody_else_from_a_snapshot() -> None:
    full = copy("a", 5, role="primary", refused=NO_ROOM)
    snapshots.require_possible("g", [full, copy("b", 5)], None)
    resyncing = copy("b", 5, refused={"code": "wrong-state", "why": "it is being resynced"})
    room = copy("a", 5, role="primary")
    for copies in ([full], [full, resyncing], [room, copy("b", 5, refused=NO_ROOM)]):
        with pytest.raises(FarshoreError) as caught:
            snapshots.require_possible("g", copies, None)
        assert caught.value.code.name == "store-full"
