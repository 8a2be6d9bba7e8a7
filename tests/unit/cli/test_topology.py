"""The tree on the terminal: one line per copy, with what feeds it."""

from collections.abc import Callable
from typing import Any

from tests.replay import Replay
from tests.unit.cli.conftest import Outcome


def _branch(node: str, *below: dict[str, Any], **said: Any) -> dict[str, Any]:
    known = {"node_id": "ff", "copy": "x", "role": "secondary", "health": None, "seen": True, "via": None}
    return {"node": node, **known, **said, "copies": list(below)}


def _link(name: str, **said: Any) -> dict[str, Any]:
    return {"id": "00", "name": name, "mode": "sync", "state": "replicating", "lag_seconds": 0.0, **said}


def test_a_chain_is_drawn_as_a_tree(api: Replay, farshore: Callable[..., Outcome]) -> None:
    far = _branch("c", seen=False, via=_link("c", mode="async", state="logging", lag_seconds=None))
    near = _branch("b", far, health="protected", via=_link("b"))
    twice = [_branch("d", via=_link(name), copy=name) for name in ("d", "d-2")]
    root = _branch("a", near, *twice, role="primary", health="unprotected")
    document = {
        "groups": [{"name": "orders", "id": "00", "roots": [root]}],
        "silent": [{"node": "c", "why": "connection refused"}],
    }
    api.on("GET", "/v1/topology", document)
    shown = farshore("topology")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.splitlines() == [
        "orders",
        "  a  primary, unprotected",
        "  ├─ b  secondary, protected  by link b: sync, replicating, lag 0 s",
        "  │  └─ c  secondary, not asked  by link c: async, logging",
        "  ├─ d/d  secondary  by link d: sync, replicating, lag 0 s",
        "  └─ d/d-2  secondary  by link d-2: sync, replicating, lag 0 s",
        "",
        "c did not answer: connection refused",
    ]
    assert farshore("topology", "--json").json == {"schema": 1, **document}


def test_a_link_that_is_only_remembered_has_no_state(api: Replay, farshore: Callable[..., Outcome]) -> None:
    far = _branch("c", seen=False, via=_link("c", mode="async", state=None, lag_seconds=None))
    stray = _branch("d", via={**dict.fromkeys(_link("x")), "id": "11"})
    root = _branch("a", _branch("b", far, seen=False, via=_link("b")), stray, role="primary")
    groups = [{"name": "orders", "id": "00", "roots": [root]}]
    api.on("GET", "/v1/topology", {"groups": groups, "silent": []})
    assert farshore("topology").out.splitlines()[3:] == [
        "  │  └─ c  secondary, not asked  by link c: async, state unknown",
        "  └─ d  secondary  by a link of which nothing is known here",
    ]


def test_one_group_is_asked_for_by_name(api: Replay, farshore: Callable[..., Outcome]) -> None:
    api.on("GET", "/v1/topology", {"groups": [], "silent": []})
    assert "no groups yet" in farshore("topology", "orders").out
    assert api.asked[-1].target == "/v1/topology?group=orders"
