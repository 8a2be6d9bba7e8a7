"""Plans are shown before anything is done, and carried out by whoever accepts them."""

import io
import sys
from collections.abc import Callable
from typing import Any

import pytest

from farshore.cli import status_text
from tests.replay import Replay
from tests.unit.cli.conftest import Outcome

Run = Callable[..., Outcome]

PLAN: dict[str, Any] = {
    "id": "0123456789ab",
    "kind": "switchover",
    "group": "g",
    "goal": "b",
    "title": "b becomes the primary of g",
    "steps": ["first", "second"],
    "lost": ["what was written"],
    "warnings": ["think"],
    "accepts": ["unprotected"],
    "refusals": [],
}
SHOWN = {"schema": 1, "plan": PLAN, "done": False}
DONE = {"schema": 1, "plan": PLAN, "done": True, "not_told": ["c"], "copies": []}


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def typing(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", _Terminal(text))
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        monkeypatch.setattr("farshore.cli.plans._asked", lambda: True)

    return typing


@pytest.mark.parametrize(
    ("words", "path", "body"),
    [
        (("switchover", "g", "b"), "switchover", {"node": "b"}),
        (("failover", "g"), "failover", {}),
        (("failover", "g", "b"), "failover", {"node": "b"}),
        (("failover", "g", "--revert"), "failover/revert", {}),
        (("failback", "g", "a"), "failback", {"node": "a"}),
        (("split-brain", "resolve", "g", "--keep", "b"), "split-brain/resolve", {"node": "b"}),
        (("repair", "g"), "repair", {}),
        (("failover", "g", "--revert", "--unprotected"), "failover/revert", {"unprotected": True}),
        (
            ("split-brain", "resolve", "g", "--keep", "b", "--unprotected"),
            "split-brain/resolve",
            {"node": "b", "unprotected": True},
        ),
        (("resync", "g", "--reverse"), "resync/reverse", {"kind": "update"}),
        (
            ("resync", "g", "--reverse", "--link", "l", "--full", "--unprotected"),
            "resync/reverse",
            {"link": "l", "kind": "full", "unprotected": True},
        ),
        (("rescue", "delete", "g", "r", "--on", "b"), "rescues/delete", {"name": "r", "on": "b"}),
        (("rewind", "g", "--on", "b", "--to", "noon"), "rewind", {"node": "b", "snapshot": "noon"}),
        (("rewind", "g", "--to", "2026-11-23t13-05-01z"), "rewind", {"snapshot": "2026-11-23t13-05-01z"}),
        (("rewind", "g", "--to", "1970-01-01T01:00:05+01:00"), "rewind", {"time": 5.0}),
    ],
)
def test_without_a_terminal_the_plan_is_printed_and_the_command_refused(
    api: Replay, farshore: Run, words: tuple[str, ...], path: str, body: dict[str, str]
) -> None:
    api.on("POST", f"/v1/groups/g/{path}", SHOWN, DONE)
    refused = farshore(*words)
    assert refused.code == 4
    assert "plan 0123456789ab" in refused.out
    assert "lost: what was written" in refused.out
    assert f"farshore {' '.join(words)} --accept 0123456789ab" in refused.err
    assert api.asked[-1].body == body
    accepted = farshore(*words, "--accept", "0123456789ab")
    assert accepted.code == 0
    assert "could not be told, and are to be looked at when they are back: c" in accepted.err
    assert api.asked[-1].body == {**body, "accept": "0123456789ab"}


def test_a_dry_run_only_shows(api: Replay, farshore: Run) -> None:
    api.on("POST", "/v1/groups/g/switchover", SHOWN)
    assert farshore("switchover", "g", "b", "--dry-run").code == 0
    assert farshore("switchover", "g", "b", "--dry-run", "--json").json == SHOWN
    assert farshore("switchover", "g", "b", "--dry-run", "--accept", "x").code == 2
    assert len(api.asked) == 2


def test_a_plan_that_is_refused_exits_with_the_code_of_its_reason(api: Replay, farshore: Run) -> None:
    refusal = {"code": "diverged", "what": "g has two primaries", "next": "farshore split-brain show g"}
    api.on("POST", "/v1/groups/g/switchover", {**SHOWN, "plan": {**PLAN, "refusals": [refusal]}})
    for more in ((), ("--dry-run",)):
        refused = farshore("switchover", "g", "b", *more)
        assert refused.code == 8
        assert "refused: g has two primaries" in refused.out
        assert "farshore split-brain show g" in refused.err
    assert len(api.asked) == 2


def test_typing_the_groups_name_accepts_what_was_shown(
    api: Replay, farshore: Run, terminal: Callable[[str], None]
) -> None:
    api.on("POST", "/v1/groups/g/switchover", SHOWN, DONE)
    terminal("g\n")
    assert farshore("switchover", "g", "b").code == 0
    assert api.asked[-1].body == {"node": "b", "accept": "0123456789ab"}


def test_another_word_is_no_acceptance(api: Replay, farshore: Run, terminal: Callable[[str], None]) -> None:
    api.on("POST", "/v1/groups/g/switchover", SHOWN)
    terminal("yes\n")
    assert farshore("switchover", "g", "b").code == 2
    assert len(api.asked) == 1


def test_a_failover_is_committed_without_a_plan(api: Replay, farshore: Run) -> None:
    api.on("POST", "/v1/groups/g/failover/commit", {"schema": 1, "done": True, "primary": "b"})
    assert farshore("failover", "g", "--commit").code == 0
    for words in (("--commit", "--revert"), ("b", "--commit"), ("--commit", "--dry-run"), ("b", "--revert")):
        assert farshore("failover", "g", *words).code == 2
    assert len(api.asked) == 1


def test_failback_waits_for_the_copy_to_catch_up(api: Replay, farshore: Run) -> None:
    waits = {**SHOWN, "waits_for": {"node": "b", "link": "a", "state": "resyncing"}}
    api.on("POST", "/v1/groups/g/failback", waits, DONE)
    link = {"name": "a", "peer": "a", "mode": "sync", "wire": "tls", "reason": None, "since": None}
    group = {"name": "g", "id": "1", "role": "primary", "health": "catching-up", "writes": "flowing"}

    def status(state: str) -> dict[str, Any]:
        found = {**group, "since": None, "links": [{**link, "state": state}]}
        return {"schema": 1, "node": {"name": "b", "id": "2"}, "groups": [found]}

    api.on("GET", "/v1/status", status("resyncing"), status("replicating"))
    back = farshore("failback", "g", "a", "--accept", "0123456789ab")
    assert back.code == 0
    assert [each.method for each in api.asked] == ["POST", "GET", "GET", "POST"]
    api.on("POST", "/v1/groups/g/failback", waits)
    api.on("GET", "/v1/status", status("diverged"))
    assert farshore("failback", "g", "a", "--accept", "0123456789ab").code == 8
    api.on("GET", "/v1/status", status("resyncing"))
    late = farshore("failback", "g", "a", "--accept", "0123456789ab", "--timeout", "500ms")
    assert (late.code, "--accept 0123456789ab" in late.err) == (7, True)


def test_a_split_brain_is_shown_with_both_sides(api: Replay, farshore: Run) -> None:
    side = {"node": "a", "role": "primary", "writes": "refused", "fenced": "b was promoted"}
    fork = {"generation": "00", "sequence": 7, "time": "2026-01-02T03:04:05.000Z"}
    other = {"node": "b", "role": "primary", "writes": "flowing", "fork": fork, "own_bytes": 3 << 20}
    exports = [{"volume": "data", "uri": "nbd+unix:///data?socket=/x"}]
    document = {
        "schema": 1,
        "group": "g",
        "split": True,
        "sides": [side, {**other, "exports": exports}],
        "silent": [{"node": "c", "why": "no answer"}],
        "next": "farshore split-brain resolve g --keep NODE",
    }
    api.on("GET", "/v1/groups/g/split-brain", document, {**document, "split": False})
    api.on("POST", "/v1/groups/g/split-brain/preview", document)
    shown = farshore("split-brain", "show", "g")
    assert "apart since 2026-01-02T03:04:05.000Z, at least 3 MiB written since" in shown.out
    assert "takes no writes: b was promoted" in shown.out
    assert "c is silent: no answer" in shown.out
    assert farshore("split-brain", "show", "g").out == ""
    assert "data: nbd+unix:///data?socket=/x" in farshore("split-brain", "preview", "g").out
    assert farshore("split-brain", "preview", "g", "--json").json == document


def test_status_shows_what_is_split_first_in_red_and_who_fenced_it() -> None:
    base = {"id": "1", "writes": "flowing", "role": "primary", "volumes": [], "links": []}
    well = {**base, "name": "a", "health": "protected"}
    split = {**base, "name": "z", "health": "diverged", "writes": "refused", "fenced": "x", "fenced_by": "b"}
    document = {"node": {"name": "n"}, "groups": [well, split]}
    text = status_text.render(document, colour=True)
    assert text.index("\nz  ") < text.index("\na  ")
    assert "\x1b[1;31mdiverged" in text
    assert "fenced off by b" in text


def test_a_repair_that_loses_nothing_is_done_at_once_and_told_copy_by_copy(
    api: Replay, farshore: Run
) -> None:
    copies = [
        {"copy": "near", "fault": "a sync failed: EIO", "mended": 0, "left": 0},
        {"copy": "far", "fault": None, "mended": 3, "left": 1},
        {"copy": "third", "fault": None, "mended": 0, "left": 0},
    ]
    api.on("POST", "/v1/groups/g/repair", {"plan": PLAN | {"lost": []}, "done": True, "copies": copies})
    done = farshore("repair", "g")
    assert (done.code, done.out) == (0, "")
    assert done.err.splitlines() == [
        "near: started anew after: a sync failed: EIO",
        "far: 3 regions can be read again, 1 cannot",
        "third: it is well",
        "next: farshore status g",
    ]


def test_a_repair_is_only_shown_where_that_is_asked_for(api: Replay, farshore: Run) -> None:
    api.on("GET", "/v1/groups/g/repair", SHOWN)
    shown = farshore("repair", "g", "--dry-run")
    assert (shown.code, shown.out.splitlines()[-1]) == (0, "plan 0123456789ab")


@pytest.mark.parametrize(
    "words",
    [
        ("resync", "g", "--reverse", "--once"),
        ("resync", "g", "--dry-run"),
        ("resync", "g", "--accept", "x"),
        ("failover", "g", "--unprotected"),
    ],
)
def test_what_does_not_belong_together_is_a_usage_error(farshore: Run, words: tuple[str, ...]) -> None:
    assert farshore(*words).code == 2


def test_rescues_are_listed_and_one_that_is_not_there_is_not_found(api: Replay, farshore: Run) -> None:
    rescue = {
        "name": "split-brain-20261123-120501",
        "node": "b",
        "copy": "b",
        "sequence": 7,
        "time": "2026-11-23T12:00:00.000Z",
        "bytes": 96 << 20,
        "open": True,
        "broken": True,
        "unreadable_bytes": 64 << 10,
    }
    document = {"schema": 1, "group": "g", "rescues": [rescue], "silent": [{"node": "c", "why": "no answer"}]}
    api.on("GET", "/v1/groups/g/rescues", document)
    shown = farshore("rescue", "list", "g")
    assert (
        "split-brain-20261123-120501  at b, as of 2026-11-23T12:00:00.000Z (sequence 7), 96 MiB" in shown.out
    )
    assert "its resync is not done; lacks 64 KiB that its disk did not show" in shown.out
    assert "broken: it lacks what was overwritten, and cannot be read" in shown.out
    assert "c does not say: no answer" in shown.err
    assert farshore("rescue", "list", "g", "--json").json == document
    assert farshore("rescue", "list", "g", "other").code == 3


def test_a_preview_is_ended(api: Replay, farshore: Run) -> None:
    document = {"schema": 1, "group": "g", "split": True, "sides": [], "silent": [], "next": ""}
    api.on("POST", "/v1/groups/g/split-brain/preview", document)
    shown = farshore("split-brain", "preview", "g")
    assert "farshore split-brain preview g --end" in shown.err
    assert farshore("split-brain", "preview", "g", "--end").code == 0
    assert api.asked[-1].body == {"end": True}


def test_a_rewind_names_a_time_with_a_zone_or_a_snapshot_and_tells_the_rescue(
    api: Replay, farshore: Run
) -> None:
    api.on("POST", "/v1/groups/g/rewind", {**DONE, "rescue": "rewind-20260101T120000Z"})
    for wrong in ("2026-01-31T12:00:00", "2026-01-31T12:00", "2026-13-31T12:00:00Z"):
        refused = farshore("rewind", "g", "--to", wrong)
        assert (refused.code, "time" in refused.err) == (2, True), wrong
    assert farshore("rewind", "g").code == 2
    assert not api.asked
    again = farshore("rewind", "g", "--accept", "0123456789ab")
    assert again.code == 0
    assert "rewind-20260101T120000Z" in again.err
    assert api.asked[-1].body == {"accept": "0123456789ab"}
