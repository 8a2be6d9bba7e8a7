"""`farshore status`: the same text and JSON by the short way and the long way, and both quick."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from farshore.cli import quick, status_text
from tests import replay
from tests.replay import Replay
from tests.unit.cli.conftest import Outcome

Run = Callable[..., Outcome]
_RICH = replay.group(
    name="ledger",
    health="catching-up",
    why="b is being updated",
    next="farshore status ledger --watch",
    links=[
        replay.link(
            state="resyncing",
            reason="update",
            progress=0.421,
            eta_seconds=83.0,
            dirty_bytes=96 << 20,
            lag_seconds=4.5,
            lag_bytes=1 << 20,
            peer_usable=False,
            peer_usable_why="a resync is under way",
        ),
        replay.link(
            name="c",
            state="logging",
            reason="peer-lost",
            dirty_bytes=None,
            lag_seconds=None,
            peer_usable=None,
        ),
    ],
)


def test_a_group_shows_what_an_operator_asks_first(api: Replay, farshore: Run) -> None:
    api.on("GET", "/v1/status", replay.status(_RICH))
    lines = farshore("status").out.splitlines()
    assert lines[0] == "node site-a"
    assert lines[2] == "ledger  catching-up  primary, writes flowing"
    assert "  why    b is being updated" in lines
    assert "  next   farshore status ledger --watch" in lines
    (data,) = [line.split() for line in lines if line.startswith("  data ")]
    assert data == ["data", "1", "GiB", "nbd+unix:///data?socket=/run/farshore/a/orders.nbd"]
    (b,) = [line for line in lines if line.startswith("  b ")]
    for part in (
        "resyncing (update)",
        "42 %, 1m23s left",
        "96 MiB",
        "4.5 s, 1 MiB",
        "no: a resync is under way",
    ):
        assert part in b


def test_an_export_that_nobody_can_open_is_told() -> None:
    document = replay.status({**_RICH, "not_exported": [{"address": "h:1", "why": "it is not at this host"}]})
    assert (
        "  export h:1 is not served: it is not at this host"
        in status_text.render(document, colour=False).splitlines()
    )


def test_an_unknown_figure_is_a_dash_and_never_zero(api: Replay, farshore: Run) -> None:
    api.on("GET", "/v1/status", replay.status(_RICH))
    (c,) = [line for line in farshore("status").out.splitlines() if line.startswith("  c ")]
    assert c.split("(peer-lost)")[1].split() == ["-", "-", "-", "0", "B", "-"]


def test_several_copies_of_a_group_on_one_node_are_told_apart() -> None:
    copies = [
        replay.group(name="ledger", role="secondary", copy={"id": "00", "name": name})
        for name in ("near", "later")
    ]
    alone = replay.group(name="orders", role="secondary", copy={"id": "01", "name": "b"})
    titles = status_text.titles(replay.status(*copies, alone))
    assert titles == ["ledger at site-a/near", "ledger at site-a/later", "orders"]


def test_a_node_without_groups_says_what_to_do_next(api: Replay, farshore: Run) -> None:
    api.on("GET", "/v1/status", {"node": {"name": "site-a", "id": "x"}, "groups": []})
    assert "farshore group create" in farshore("status").out


def test_json_is_the_nodes_document_with_its_schema_on_top(api: Replay, farshore: Run) -> None:
    document = replay.status(_RICH)
    api.on("GET", "/v1/status", document)
    shown = farshore("status", "ledger", "--json")
    assert shown.json == document
    assert shown.out.startswith('{"schema": 1, ')
    assert api.asked[0].target == "/v1/status?group=ledger"


def test_colour_marks_words_and_moves_no_column() -> None:
    document = replay.status(_RICH)
    plain, coloured = (status_text.render(document, colour=each) for each in (False, True))
    assert "\x1b[33mresyncing\x1b[0m" in coloured
    stripped = coloured
    for code in ("\x1b[33m", "\x1b[32m", "\x1b[0m"):
        stripped = stripped.replace(code, "")
    assert stripped == plain


@pytest.mark.parametrize(
    "words", [["status"], ["status", "ledger"], ["status", "--json"], ["--api", "X", "status"]]
)
def test_the_short_way_prints_what_the_long_way_prints(
    words: list[str], api: Replay, farshore: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    api.on("GET", "/v1/status", replay.status(_RICH))
    words = [api.address if word == "X" else word for word in words]
    long = farshore(*words)
    assert quick.run(words)
    assert capsys.readouterr().out == long.out


@pytest.mark.parametrize(
    "words",
    [
        ["status", "--watch"],
        ["status", "--help"],
        ["status", "a", "b"],
        ["--json", "status"],
        ["group", "status"],
        ["status", "--state"],
        ["status", "--state", "--json"],
        ["status", ""],
    ],
    ids=" ".join,
)
def test_the_short_way_leaves_alone_what_is_unusual(words: list[str], api: Replay) -> None:
    assert not quick.run(words)
    assert api.asked == []


def test_the_short_way_leaves_failures_to_the_long_way(
    api: Replay, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not quick.run(["status", "--api", "unix:/nowhere"])
    assert not quick.run(["status"])
    api.on("GET", "/v1/status", {"groups": [{}]})
    assert not quick.run(["status"])
    assert capsys.readouterr().out == ""


def _farshore(*words: str, code: str = "") -> subprocess.CompletedProcess[str]:
    script = (
        f"import sys; sys.argv = ['farshore', *{words!r}]\n{code}from farshore.cli.main import main\nmain()"
    )
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "NO_COLOR": ""},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("words", [("status",), ("status", "--json")])
def test_a_plain_status_loads_nothing_that_is_slow(words: tuple[str, ...], api: Replay) -> None:
    api.on("GET", "/v1/status", replay.status())
    listed = _farshore(
        *words, code="import os; os._exit = lambda code: print(*sys.modules, file=sys.stderr)\n"
    )
    loaded = set(listed.stderr.split())
    assert "farshore.cli.quick" in loaded
    slow = {
        "click",
        "rich",
        "dataclasses",
        "typing",
        "inspect",
        "pathlib",
        "http.client",
        "email",
        "socket",
        "datetime",
    }
    assert loaded & slow == set()


def test_a_reader_that_has_seen_enough_is_no_error(api: Replay) -> None:
    api.on("GET", "/v1/status", replay.status(*[_RICH] * 2000))
    for words in ("status", "group list"):
        piped = subprocess.run(
            f"{sys.executable} -m farshore {words} | head -1",
            shell=True,
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert piped.stderr == ""
        assert piped.stdout


def test_watching_shows_changes_only(api: Replay) -> None:
    first, second = replay.status(), replay.status(_RICH)
    api.on("GET", "/v1/status", first, first, first, second)
    watching = subprocess.Popen(
        [sys.executable, "-m", "farshore", "status", "--watch", "--json"],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert watching.stdout is not None
        assert [json.loads(watching.stdout.readline()) for _ in range(2)] == [first, second]
    finally:
        watching.kill()
        watching.communicate()
