"""`farshore snapshot` says what became of one at each copy; `--everywhere` exits 0 only if all have it."""

from collections.abc import Callable
from typing import Any

import pytest

from farshore.cli import status_text
from tests.replay import Replay
from tests.unit.cli.conftest import Outcome

Run = Callable[..., Outcome]
_SNAPSHOTS = "/v1/groups/orders/snapshots"


def found(*states: str) -> dict[str, Any]:
    copies = [
        {"copy": f"site-{number}", "state": state, "why": "" if state == "done" else "so it is"}
        for number, state in enumerate(states)
    ]
    return {"group": "orders", "name": "noon", "generation": "ab" * 16, "sequence": 7, "copies": copies}


@pytest.mark.parametrize(
    ("states", "code"),
    [
        (("done", "done"), 0),
        (("done", "missed"), 4),
        (("done", "pending"), 7),
        (("missed", "pending"), 7),
        ((), 4),
    ],
)
def test_everywhere_means_every_copy(states: tuple[str, ...], code: int, api: Replay, farshore: Run) -> None:
    api.on("POST", _SNAPSHOTS, found(*["pending"] * len(states)))
    api.on("GET", f"{_SNAPSHOTS}/noon", found(*states))
    words = ("snapshot", "create", "orders", "noon", "--everywhere", "--timeout", "500ms")
    outcome = farshore(*words)
    assert outcome.code == code
    for number, state in enumerate(states):
        assert f"site-{number}: {state}" in outcome.err


def test_without_it_what_is_known_is_said_and_the_command_returns(api: Replay, farshore: Run) -> None:
    api.on("POST", _SNAPSHOTS, found("pending", "missed"))
    outcome = farshore("snapshot", "create", "orders")
    assert (outcome.code, outcome.out) == (0, "noon\n")
    assert "site-1: missed (so it is)" in outcome.err


def test_the_list_says_who_keeps_what_and_of_whom_nothing_is_known(api: Replay, farshore: Run) -> None:
    kept: dict[str, Any] = {"copy": "site-0", "bytes": 3 << 20, "time": "2026-11-23T09:00:00.000Z"}
    holed = {**kept, "copy": "site-2", "unreadable_bytes": 32 << 10}
    one = {"name": "noon", "generation": "ab", "sequence": 7, "time": kept["time"], "copies": [kept, holed]}
    stores = [{"copy": "site-0", "used_bytes": 3 << 20, "limit_bytes": 1 << 30}]
    silent = [{"copy": "site-1", "why": "no answer"}]
    api.on("GET", _SNAPSHOTS, {"group": "orders", "snapshots": [one], "stores": stores, "silent": silent})
    outcome = farshore("snapshot", "list", "orders")
    assert "site-0 (3 MiB)" in outcome.out
    assert "site-2 (3 MiB, lacks 32 KiB that its disk did not show)" in outcome.out
    assert "site-0 keeps 3 MiB of at most 1 GiB" in outcome.err
    assert "nothing is known of site-1: no answer" in outcome.err


def test_the_list_says_what_is_broken_and_which_store_cannot_be_used(api: Replay, farshore: Run) -> None:
    copies: list[dict[str, Any]] = [
        {"copy": "site-0", "bytes": 1 << 20, "time": "2026-11-23T09:00:00.000Z", "broken": True},
        {"copy": "site-1", "bytes": None, "time": None},
    ]
    one = {"name": "noon", "generation": "ab", "sequence": 7, "time": copies[0]["time"], "copies": copies}
    stores = [{"copy": "site-2", "used_bytes": None, "limit_bytes": None, "unusable": "list: damaged"}]
    api.on("GET", _SNAPSHOTS, {"group": "orders", "snapshots": [one], "stores": stores, "silent": []})
    outcome = farshore("snapshot", "list", "orders")
    assert "site-0 (1 MiB, broken: it cannot be read)" in outcome.out
    assert "site-1 (-)" in outcome.out
    assert "site-2 cannot use its preserve store: list: damaged" in outcome.err


def test_a_delete_says_where_it_may_still_be(api: Replay, farshore: Run) -> None:
    left = [{"copy": "site-1", "why": "no answer"}]
    api.on(
        "DELETE",
        f"{_SNAPSHOTS}/noon",
        {"group": "orders", "name": "noon", "deleted": ["site-0"], "left": left},
    )
    outcome = farshore("snapshot", "delete", "orders", "noon")
    assert outcome.code == 0
    assert "deleted at site-0" in outcome.err
    assert "not at site-1: no answer" in outcome.err


def test_status_counts_what_a_copy_keeps() -> None:
    layers = [{"kind": "snapshot"}, {"kind": "undo"}, {"kind": "snapshot"}]
    preserve = {"used_bytes": 3 << 20, "limit_bytes": 1 << 30, "layers": layers}
    group = {"name": "orders", "health": "protected", "role": "secondary", "preserve": preserve}
    text = status_text.render({"node": {"name": "a"}, "groups": [group]}, colour=False)
    assert "keeps  3 MiB of at most 1 GiB: 2 snapshot, 1 undo\n" in text


def test_status_says_what_is_broken_and_why_a_store_cannot_be_used() -> None:
    layers = [{"kind": "rescue", "name": "mine", "broken": True}, {"kind": "rescue", "broken": False}]
    preserve: dict[str, Any] = {"used_bytes": 3 << 20, "limit_bytes": 1 << 30, "layers": layers}
    group = {"name": "orders", "health": "protected", "role": "primary", "preserve": preserve}
    document = {"node": {"name": "a"}, "groups": [group]}
    assert "1 GiB: 2 rescue; broken: rescue mine\n" in status_text.render(document, colour=False)
    preserve |= {"layers": [], "used_bytes": None, "unusable": "list: damaged"}
    assert "keeps  nothing that can be read: list: damaged" in status_text.render(document, colour=False)
