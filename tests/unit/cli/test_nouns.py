"""Each noun's commands ask the node for what was typed, and show what it answered."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from farshore.cli.export import split
from farshore.cli.group import parse_volume
from farshore.cli.link import parse_setting
from tests import replay
from tests.replay import Replay
from tests.unit.cli.conftest import Outcome

Run = Callable[..., Outcome]


@pytest.mark.parametrize(
    ("text", "volume"),
    [
        ("/srv/Data 1.img", {"name": "data-1", "path": "/srv/Data 1.img", "outage": "log"}),
        ("wal=/dev/vg0/wal", {"name": "wal", "path": "/dev/vg0/wal", "outage": "log"}),
        ("d=/x,size=64M", {"name": "d", "path": "/x", "outage": "log", "size": 64 << 20}),
        ("d=/x,outage=ignore,size=1GiB", {"name": "d", "path": "/x", "outage": "ignore", "size": 1 << 30}),
        ("/srv/a=b,c.img", {"name": "a-b-c", "path": "/srv/a=b,c.img", "outage": "log"}),
        ("d=rel.img", {"name": "d", "path": str(Path.cwd() / "rel.img"), "outage": "log"}),
    ],
)
def test_a_volume_is_a_path_with_what_was_said_about_it(text: str, volume: dict[str, Any]) -> None:
    assert parse_volume(text) == volume


@pytest.mark.parametrize("text", ["", "d=", "/", "d=/x,size=1,size=2", "d=/x,size=", "d=/x,outage=sometimes"])
def test_a_volume_without_path_or_with_nonsense_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        parse_volume(text)


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("mode=async", ("mode", "async")),
        ("on-outage=freeze", ("on_outage", "freeze")),
        ("on_outage=freeze", ("on_outage", "freeze")),
        ("queue-memory=128MiB", ("queue_memory", 128 << 20)),
        ("rpo=5m", ("rpo", 300.0)),
        ("max-rate=100Mbit/s", ("max_rate", 12_500_000)),
        ("max-rate=0", ("max_rate", 0)),
        ("compress=zstd", ("compress", "zstd")),
        ("dscp=af21", ("dscp", 18)),
        ("autosync=no", ("autosync", False)),
    ],
)
def test_a_links_option_is_set_by_its_name(text: str, setting: tuple[str, object]) -> None:
    assert parse_setting(text) == setting


@pytest.mark.parametrize(("text", "parts"), [("g", ("g", None)), ("g/v", ("g", "v"))])
def test_an_export_names_a_group_or_one_volume(text: str, parts: tuple[str, str | None]) -> None:
    assert split(text) == parts


def test_a_group_is_created_from_its_volumes(api: Replay, farshore: Run) -> None:
    api.on("POST", "/v1/groups", {"schema": 1, "name": "g"}, status=201)
    words = ("--volume", "d=/x,size=1M", "--volume", "/y", "--region", "64KiB", "--on-start", "alone")
    made = farshore("group", "create", "g", *words, "--json")
    assert (made.code, made.json) == (0, {"schema": 1, "name": "g"})
    assert api.asked[0].body == {
        "name": "g",
        "volumes": [
            {"name": "d", "path": "/x", "size": 1 << 20, "outage": "log"},
            {"name": "y", "path": "/y", "outage": "log"},
        ],
        "region": 65536,
        "on_start": "alone",
    }


def test_a_group_gets_more_volumes_and_their_places(api: Replay, farshore: Run) -> None:
    api.on("POST", "/v1/groups/g/volumes", {"schema": 1, "name": "g", "volumes": [{}, {}]})
    words = ("--volume", "d=/x,outage=ignore", "--place", "far:d=/copies/d", "--place", "d=/near/d")
    added = farshore("group", "add", "g", *words)
    assert added.code == 0
    assert "next: farshore resync g" in added.err
    assert api.asked[0].body == {
        "volumes": [{"name": "d", "path": "/x", "outage": "ignore"}],
        "places": {"far:d": "/copies/d", "d": "/near/d"},
    }
    for wrong in ("d", "d=", "d=relative", "=/x"):
        assert farshore("group", "add", "g", "--volume", "d=/x", "--place", wrong).code == 2
    assert len(api.asked) == 1


@pytest.mark.parametrize(("told", "said"), [(True, "belongs to g no more; next"), (False, "told later")])
def test_a_volume_is_taken_out_of_its_group(told: bool, said: str, api: Replay, farshore: Run) -> None:
    api.on("DELETE", "/v1/groups/g/volumes/d", {"schema": 1, "peers_told": told})
    removed = farshore("group", "remove", "g", "d")
    assert removed.code == 0
    assert said in removed.err


def test_a_link_carries_only_the_options_that_were_said(api: Replay, farshore: Run) -> None:
    api.on("POST", "/v1/groups/g/links", {"name": "b"}, status=201)
    words = (
        "--mode",
        "sync",
        "--max-rate",
        "10MiB/s",
        "--rpo",
        "1m",
        "--no-autosync",
        "--place",
        "d=/copies/d",
    )
    assert farshore("link", "create", "g", "site-b", *words).code == 0
    assert api.asked[0].body == {
        "peer": "site-b",
        "places": {"d": "/copies/d"},
        "options": {"mode": "sync", "max_rate": 10 << 20, "rpo": 60.0, "autosync": False},
    }


def test_a_links_options_are_changed_together(api: Replay, farshore: Run) -> None:
    api.on("PATCH", "/v1/groups/g/links/b", {"name": "b"})
    assert farshore("link", "set", "g", "b", "mode=async", "queue-memory=8M").code == 0
    assert api.asked[0].body == {"options": {"mode": "async", "queue_memory": 8 << 20}}


def test_a_link_is_shown_with_units(api: Replay, farshore: Run) -> None:
    options = {"mode": "sync", "queue_memory": 64 << 20, "max_rate": 0, "autosync": True, "rpo": 30.0}
    api.on("GET", "/v1/groups/g/links/b", {"schema": 1, "name": "b", "options": options})
    shown = dict(line.split(maxsplit=1) for line in farshore("link", "show", "g", "b").out.splitlines())
    assert shown["options.queue-memory"] == "64 MiB"
    assert (shown["options.max-rate"], shown["options.autosync"], shown["options.rpo"]) == (
        "no bound",
        "yes",
        "30 s",
    )


def test_links_of_all_groups_are_listed(api: Replay, farshore: Run) -> None:
    api.on("GET", "/v1/status", replay.status(replay.group(), replay.group(name="ledger", links=[])))
    api.on("GET", "/v1/groups/orders/links", {"links": [{"name": "b"}]})
    api.on("GET", "/v1/groups/ledger/links", {"links": []})
    assert farshore("link", "list").out.splitlines()[1].split() == [
        "orders",
        "b",
        "site-b",
        "sync",
        "replicating",
    ]
    assert farshore("link", "list", "--json").json == {
        "schema": 1,
        "links": [{"group": "orders", "name": "b"}],
    }


def test_a_link_that_is_made_via_another_node(api: Replay, farshore: Run) -> None:
    api.on("POST", "/v1/groups/orders/links", {"schema": 1, "name": "c", "via": "b"})
    made = farshore("link", "create", "orders", "c", "--via", "b/m1", "--mode", "async", "--place", "data=/x")
    assert made.code == 0
    assert made.out == ""
    assert "link orders/c from b to c is made" in made.err
    assert api.asked[-1].body == {
        "peer": "c",
        "via": "b/m1",
        "places": {"data": "/x"},
        "options": {"mode": "async"},
    }


def test_hops_are_listed_with_the_node_where_they_begin(api: Replay, farshore: Run) -> None:
    api.on("GET", "/v1/status", replay.status(replay.group()))
    hop = {"name": "c", "peer": "c", "via": "b", "state": None, "options": {"mode": "async"}}
    left = {"name": "b", "peer": "site-b", "via": None, "left_for": "e", "options": {"mode": "sync"}}
    api.on("GET", "/v1/groups/orders/links", {"links": [left, hop]})
    shown = [line.split() for line in farshore("link", "list").out.splitlines()]
    assert shown[0][-1] == "VIA"
    assert shown[1][4:] == ["replicating,", "rerouted:", "fed", "by", "e", "-"]
    assert shown[2] == ["orders", "c", "c", "async", "-", "b"]
    left["left_for"], left["rerouting"] = None, "e"
    hop["rerouting"] = "site-a"
    api.on("GET", "/v1/groups/orders/links", {"links": [left, hop]})
    shown = [line.split() for line in farshore("link", "list").out.splitlines()]
    assert shown[1][4:] == ["replicating,", "being", "rerouted", "to", "e", "-"]
    assert shown[2][4:] == ["-,", "being", "rerouted", "to", "site-a", "b"]


def test_a_link_is_rerouted(api: Replay, farshore: Run) -> None:
    path = "/v1/groups/orders/links/c/reroute"
    answer = {"group": "orders", "name": "c", "via": "a", "epoch": 2, "old_feeder_told": False}
    api.on("POST", path, {"schema": 1, **answer})
    done = farshore("link", "reroute", "orders", "c", "--via", "a")
    assert (done.code, done.out) == (0, "")
    assert "begins at a now" in done.err
    assert "could not be told" in done.err
    assert api.asked[-1].body == {"via": "a"}
    assert farshore("link", "reroute", "orders", "c", "--via", "a", "--json").json == {"schema": 1, **answer}
    assert farshore("link", "reroute", "orders", "c").code == 2
    api.refuse("POST", path, 409, code="wrong-state", detail="the link would close a ring", next="topology")
    refused = farshore("link", "reroute", "orders", "c", "--via", "b")
    assert refused.code == 4
    assert "(wrong-state)" in refused.err


def test_an_invitation_prints_the_token_alone_on_stdout(api: Replay, farshore: Run) -> None:
    document = {"token": "t0k3n", "address": "a:7411", "fingerprint": "ab", "expires": "2026-01-01T00:00:00Z"}
    api.on("POST", "/v1/node/invite", document)
    invited = farshore("node", "invite", "--ttl", "2h")
    assert invited.out == "t0k3n\n"
    assert "farshore node join a:7411" in invited.err
    assert "t0k3n" not in invited.err
    assert api.asked[0].body == {"ttl": 7200.0}
    assert farshore("node", "invite", "--json").json == {"schema": 1, **document}


@pytest.mark.parametrize("source", ["file", "stdin", "environment"])
def test_a_token_comes_from_a_file_stdin_or_the_environment(
    source: str, api: Replay, farshore: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.on("POST", "/v1/node/join", {"name": "site-b", "id": "cd"})
    words: tuple[str, ...] = ()
    if source == "file":
        (tmp_path / "token").write_text("t0k3n\n")
        words = ("--token-file", str(tmp_path / "token"))
    elif source == "stdin":
        monkeypatch.setattr("sys.stdin", io.StringIO("t0k3n\n"))
        words = ("--token-file", "-")
    else:
        monkeypatch.setenv("FARSHORE_TOKEN", "t0k3n")
    joined = farshore("node", "join", "[2001:db8::7]:7411", *words)
    assert (joined.code, joined.out) == (0, "")
    assert "site-b" in joined.err
    assert api.asked[0].body == {"address": "[2001:db8::7]:7411", "token": "t0k3n"}


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_a_missing_or_empty_token_is_refused(
    content: str | None, api: Replay, farshore: Run, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "token").write_text(content)
    assert farshore("node", "join", "h:1", "--token-file", str(tmp_path / "token")).code == 2
    assert api.asked == []


def test_peers_are_managed_by_name(api: Replay, farshore: Run) -> None:
    for method, path in (
        ("PATCH", "/v1/nodes/b"),
        ("POST", "/v1/nodes/b/grants"),
        ("DELETE", "/v1/nodes/b/grants"),
        ("DELETE", "/v1/nodes/b"),
    ):
        api.on(method, path, {})
    assert farshore("node", "set", "b", "address=h:7411").code == 0
    assert farshore("node", "allow", "b", "--path", "/srv/*").code == 0
    assert farshore("node", "disallow", "b", "--path", "/srv/*").code == 0
    assert farshore("node", "forget", "b").code == 0
    assert [(each.method, each.target, each.body) for each in api.asked] == [
        ("PATCH", "/v1/nodes/b", {"address": "h:7411"}),
        ("POST", "/v1/nodes/b/grants", {"path": "/srv/*"}),
        ("DELETE", "/v1/nodes/b/grants?path=%2Fsrv%2F%2A", None),
        ("DELETE", "/v1/nodes/b", None),
    ]


def test_a_pause_reports_the_sequence_at_which_the_group_stopped(api: Replay, farshore: Run) -> None:
    link = {
        "name": "b",
        "position": {"generation": "0f", "sequence": 42},
        "time": "2026-01-01T00:00:00Z",
        "drained": True,
    }
    api.on("POST", "/v1/groups/orders/pause", {"links": [link]})
    paused = farshore("pause", "orders", "--now", "--link", "b")
    assert paused.out.splitlines()[1].split() == ["b", "42", "2026-01-01T00:00:00Z", "yes"]
    assert api.asked[0].body == {"link": "b", "drain": False, "timeout": 30.0}


def test_events_are_lines_for_people_and_documents_for_scripts(api: Replay, farshore: Run) -> None:
    event = {"id": 7, "time": "2026-01-01T00:00:00Z", "kind": "link-lost", "text": "b is gone", "fields": {}}
    api.on("GET", "/v1/events", {"schema": 1, "events": [event], "next": 7})
    assert farshore("events", "--since", "3").out.split() == [
        "7",
        event["time"],
        "link-lost",
        "b",
        "is",
        "gone",
    ]
    assert api.asked[0].target == "/v1/events?since=3&wait=0"
    assert farshore("events", "--json").json["events"] == [event]


@pytest.mark.parametrize(
    ("group", "code", "word"),
    [
        (replay.group(), 0, "OK"),
        (replay.group(health="behind"), 1, "WARNING"),
        (replay.group(health="catching-up"), 1, "WARNING"),
        (replay.group(health="unprotected"), 2, "CRITICAL"),
        (replay.group(health="diverged"), 2, "CRITICAL"),
        (replay.group(health="stopped"), 2, "CRITICAL"),
        (replay.group(writes="held"), 2, "CRITICAL"),
        (replay.group(links=[replay.link(lag_seconds=31.0)]), 2, "CRITICAL"),
        (replay.group(links=[replay.link(lag_seconds=None)]), 0, "OK"),
        (replay.group(health="of a newer node"), 3, "UNKNOWN"),
        (replay.group(health=None, links=[replay.link(state=None, reason=None)]), 3, "UNKNOWN"),
    ],
    ids=str,
)
def test_a_check_speaks_to_monitoring_systems(
    group: dict[str, Any], code: int, word: str, api: Replay, farshore: Run
) -> None:
    api.on("GET", "/v1/status", replay.status(group))
    checked = farshore("check", "orders")
    assert checked.code == code
    assert checked.out.startswith(f"FARSHORE {word} - orders ")


def test_a_check_reports_the_worst_group(api: Replay, farshore: Run) -> None:
    groups = [
        replay.group(),
        replay.group(name="x", health="unprotected"),
        replay.group(name="y", health="?"),
    ]
    api.on("GET", "/v1/status", replay.status(*groups))
    assert farshore("check", "--json").json["code"] == 2


@pytest.mark.parametrize("words", [("check", "--max-lag", "soon"), ("check", "--what"), ("check", "a", "b")])
def test_a_check_that_cannot_be_made_is_unknown(words: tuple[str, ...], api: Replay, farshore: Run) -> None:
    assert farshore(*words).code == 3
    api.refuse("GET", "/v1/status", 404, code="not-found", detail="no such group")
    assert farshore("check", "nope").code == 3
    assert farshore("check", "--api", "unix:/nowhere").code == 3
