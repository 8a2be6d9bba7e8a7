"""`farshore verify` waits for what it began, says what differs, and repairs nothing without a plan."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from farshore.cli import status_text
from tests import replay
from tests.replay import Replay
from tests.unit.cli.conftest import Outcome

Run = Callable[..., Outcome]
_VERIFY = "/v1/groups/orders/verify"
_REPAIR = "/v1/groups/orders/verify/repair"


def verified(state: str | None, found: int = 0, **more: Any) -> dict[str, Any]:
    """A verify in the status document."""
    return {
        "state": state,
        "why": "",
        "progress": None,
        "found_bytes": found,
        "begun": "2026-11-23T09:00:00.000Z",
        "ended": None,
        "at": None,
        "every_seconds": None,
        "next": None,
        "halt": False,
        "max_rate": None,
        **more,
    }


def seen(verify: dict[str, Any] | None, **link: Any) -> dict[str, Any]:
    return replay.status(replay.group(links=[replay.link(verify=verify, **link)]))


def plan(**changes: Any) -> dict[str, Any]:
    return {
        "id": "abcdef012345",
        "kind": "repair",
        "group": "orders",
        "goal": "site-b over link b",
        "title": "copy 64 KiB",
        "steps": ["mark", "resync"],
        "lost": ["what site-b holds in data: 64 KiB at byte 0"],
        "warnings": [],
        "accepts": [],
        "refusals": [],
        **changes,
    }


@pytest.fixture
def begun(api: Replay) -> Replay:
    """A node that begins a verify of link b."""
    api.on("POST", _VERIFY, {"links": ["b"]})
    return api


def test_it_returns_when_the_copies_were_compared(begun: Replay, farshore: Run) -> None:
    steps = [seen(verified("running", progress=0.3)), seen(verified("waiting", progress=0.3))]
    begun.on("GET", "/v1/status", *steps, seen(verified("finished")))
    done = farshore("verify", "orders", "--link", "b", "--max-rate", "10MiB/s")
    assert done.code == 0
    assert "equal at site-b" in done.err
    assert begun.asked[0].body == {"link": "b", "halt": False, "max_rate": 10 << 20}


def test_what_differs_is_exit_1(begun: Replay, farshore: Run) -> None:
    begun.on("GET", "/v1/status", seen(verified("finished", 65536)))
    differs = farshore("verify", "orders", "--halt")
    assert differs.code == 1
    assert "64 KiB differ" in differs.err
    assert "nothing was copied" in differs.err
    assert begun.asked[0].body == {"link": None, "halt": True, "max_rate": 0}


def test_a_script_gets_each_links_verify(begun: Replay, farshore: Run) -> None:
    begun.on("GET", "/v1/status", seen(verified("running", progress=0.5)), seen(verified("halted", 4096)))
    ended = farshore("verify", "orders", "--json")
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert [each["progress"]["links"][0]["verify_progress"] for each in lines[:-1]] == [0.5, None]
    assert lines[-1]["links"] == [{"name": "b", "verify": verified("halted", 4096)}]
    assert ended.code == 1
    assert json.loads(ended.err)["error"]["code"] == "differences"


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (seen(verified("stopped")), 4, "was stopped"),
        (seen(verified("failed", why="volume 1 cannot be read here")), 4, "cannot be read"),
        (seen(verified("waiting"), state="logging", reason="operator"), 4, "nothing can be compared"),
        (
            seen(verified("waiting"), state="diverged", reason="histories-conflict"),
            4,
            "nothing can be compared",
        ),
        (replay.status(replay.group(links=[])), 3, "deleted"),
        (seen(verified("running")), 7, "it goes on"),
    ],
)
def test_what_cannot_end_is_said(
    begun: Replay, farshore: Run, status: dict[str, Any], code: int, said: str
) -> None:
    begun.on("GET", "/v1/status", status)
    ended = farshore("verify", "orders", "--timeout", "100ms")
    assert (ended.code, said in ended.err) == (code, True), ended.err


def test_it_is_begun_stopped_and_given_a_rhythm_without_waiting(begun: Replay, farshore: Run) -> None:
    begun.on("POST", f"{_VERIFY}/stop", {"links": ["b"]})
    begun.on("POST", f"{_VERIFY}/schedule", {"links": ["b"]})
    assert farshore("verify", "orders", "--no-wait").code == 0
    assert farshore("verify", "orders", "--stop", "--json").json == {"schema": 1, "links": ["b"]}
    assert farshore("verify", "orders", "--every", "7d").code == 0
    assert "only when it is asked for" in farshore("verify", "orders", "--every", "never").err
    assert [each.body for each in begun.asked[1:]] == [
        {"link": None},
        {"link": None, "every": 7 * 86400.0},
        {"link": None, "every": 0.0},
    ]


def test_a_repair_is_shown_and_carried_out_by_whoever_accepts_it(api: Replay, farshore: Run) -> None:
    shown, done = {"plan": plan(), "done": False}, {"plan": plan(), "done": True}
    api.on("POST", _REPAIR, shown, shown, done)
    refused = farshore("verify", "orders", "--repair")
    assert refused.code == 4
    assert "--accept abcdef012345" in refused.err
    assert "64 KiB at byte 0" in refused.out
    dry = farshore("verify", "orders", "--link", "b", "--repair", "--dry-run", "--json")
    assert (dry.code, dry.json["plan"]["id"]) == (0, "abcdef012345")
    assert farshore("verify", "orders", "--repair", "--accept", "abcdef012345").code == 0
    assert [each.body for each in api.asked] == [
        {"link": None, "accept": None},
        {"link": "b", "accept": None},
        {"link": None, "accept": "abcdef012345"},
    ]


@pytest.mark.parametrize(
    "words",
    [
        ("--repair", "--stop"),
        ("--every", "1h", "--halt"),
        ("--stop", "--max-rate", "1MiB/s"),
        ("--accept", "x"),
        ("--dry-run",),
        ("--stop", "--timeout", "5s"),
        ("--no-wait", "--timeout", "5s"),
    ],
)
def test_what_does_not_go_together_is_usage(farshore: Run, words: tuple[str, ...]) -> None:
    assert farshore("verify", "orders", *words).code == 2


@pytest.mark.parametrize(
    ("verify", "line"),
    [
        (verified(None, next="2026-11-24T09:00:00.000Z"), "verify of b: not yet, next at 2026-11-24"),
        (verified("running", progress=0.25), "verify of b: running, 25 %"),
        (verified("finished", ended="2026-11-23T09:01:00.000Z"), "09:01:00.000Z, the copies were equal"),
        (verified("halted", 8192), "verify of b: halted, 8 KiB differ at the peer"),
        (verified("failed", why="EIO"), "verify of b: failed, EIO"),
    ],
)
def test_status_says_how_the_last_one_stands(verify: dict[str, Any], line: str) -> None:
    assert line in status_text.render(seen(verify), colour=False)
