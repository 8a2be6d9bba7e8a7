"""Copies that stand as a test wants them: a, the primary, feeds b and perhaps c."""

from dataclasses import asdict, replace
from typing import Any

from farshore.model.options import LinkOptions, Mode
from farshore.model.role_change import ChangeIntent
from farshore.node.placement import VolumeShape
from farshore.node.standings import Fed, LinkStanding, Scene, Silent, Standing

GROUP = "11" * 16
GENERATION = "77" * 16


def node_of(name: str) -> str:
    """A fingerprint."""
    return name * 64


def copy_of(name: str) -> str:
    """A copy's id."""
    return name * 32


def link_of(name: str) -> str:
    """The id of the link that made the copy at a node."""
    return "9" + name * 31


def link(far: str, **more: Any) -> LinkStanding:
    """From a to another node."""
    given: dict[str, Any] = {
        "id": link_of(far),
        "name": far,
        "peer": node_of(far),
        "peer_name": far,
        "epoch": 1,
        "state": "replicating",
        "mode": "sync",
        "options": asdict(LinkOptions(mode=Mode.SYNC)),
        "peer_copy": copy_of(far),
    }
    return LinkStanding(**{**given, **more})


def standing(name: str, role: str, **more: Any) -> Standing:
    """A copy that is well; nodes are paired with all others."""
    given: dict[str, Any] = {
        "node": node_of(name),
        "node_name": name,
        "copy": copy_of(name),
        "copy_name": name,
        "role": role,
        "acts": role,
        "generation": GENERATION,
        "sequence": 100,
        "durable": 100,
        "writes": "flowing" if role == "primary" else "refused",
        "volumes": (VolumeShape(0, "data", 1 << 20),),
        "paired": tuple(node_of(each) for each in "abcd" if each != name),
    }
    return Standing(**{**given, **more})


def primary(name: str = "a", far: str = "b", **more: Any) -> Standing:
    """A primary that feeds some others."""
    return standing(name, "primary", **{"links": tuple(link(each) for each in far), **more})


def secondary(name: str = "b", feeder: str = "a", **more: Any) -> Standing:
    """A secondary that could be promoted."""
    given: dict[str, Any] = {
        "fed_by": Fed(link=link_of(name), epoch=1, peer=node_of(feeder), peer_name=feeder),
        "promotable": True,
        "usable_as_of": "2026-01-01T00:00:00.000Z",
        "connected": False,
    }
    return standing(name, "secondary", **{**given, **more})


def scene(*copies: Standing, here: str = "b", silent: str = "") -> Scene:
    """All that is known."""
    missing = tuple(Silent(node_of(each), each, "no answer within 6 s") for each in silent)
    return Scene(group="orders", number=GROUP, here=node_of(here), copies=copies, silent=missing)


def change(kind: str, goal: str, other: str, **more: Any) -> ChangeIntent:
    """One that is not done."""
    made = ChangeIntent(kind, "abc", b"t" * 16, copy_of(goal), goal, copy_of(other), other, 0.0)
    return replace(made, **more)
