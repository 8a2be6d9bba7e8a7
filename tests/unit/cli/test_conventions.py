"""What holds for every command: exit codes, where output goes, JSON, no prompts, the choice of the node."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from farshore.cli import root
from farshore.errors import CODES
from tests import replay
from tests.replay import Replay
from tests.unit.cli.conftest import Outcome

Run = Callable[..., Outcome]


def _commands(
    command: click.Command, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _commands(found, (*words, name))
    else:
        yield words, command


_ALL = dict(_commands(root.root))
_NO_NODE = {("demo",), ("completion",)}
_SHOWS_NOTHING = {
    ("completion",),  # but a script for a shell
    ("node", "stop"),
    ("node", "set"),
    ("node", "forget"),
    ("node", "network-changed"),
    ("node", "allow"),
    ("node", "disallow"),
    ("group", "delete"),
    ("link", "delete"),
    ("export", "delete"),
    ("export", "disallow"),
}


@pytest.mark.parametrize("words", _ALL, ids=" ".join)
def test_every_command_explains_itself(words: tuple[str, ...], farshore: Run) -> None:
    shown = farshore(*words, "--help")
    assert shown.code == 0
    assert shown.out.startswith(f"Usage: farshore {' '.join(words)}")
    assert _ALL[words].help


@pytest.mark.parametrize("words", [words for words in _ALL if words not in _NO_NODE], ids=" ".join)
def test_every_command_lets_the_node_be_chosen(words: tuple[str, ...]) -> None:
    options = {option for each in _ALL[words].params for option in each.opts}
    assert {"--state", "--api"} <= options


@pytest.mark.parametrize("words", [words for words in _ALL if words not in _SHOWS_NOTHING], ids=" ".join)
def test_every_command_that_shows_something_has_json(words: tuple[str, ...]) -> None:
    assert "--json" in {option for each in _ALL[words].params for option in each.opts}


def test_no_command_takes_a_secret_as_an_argument() -> None:
    for words, command in _ALL.items():
        for each in command.params:
            assert not any(part in (each.name or "") for part in ("secret", "password")), words
            assert each.name != "token", words


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_nodes_error_becomes_its_exit_code(code: str, api: Replay, farshore: Run) -> None:
    api.refuse("GET", "/v1/status", 400, code=code, detail="what", means="the data", next="a command")
    refused = farshore("status")
    assert (refused.code, refused.out) == (CODES[code].exit_code, "")
    assert refused.err == f"farshore: what ({code})\n  means  the data\n  next   a command\n"


def test_with_json_an_error_is_json_on_stderr(api: Replay, farshore: Run) -> None:
    api.refuse("GET", "/v1/status", 409, code="diverged", detail="what", means="m", next="n")
    refused = farshore("status", "--json")
    assert (refused.code, refused.out) == (8, "")
    assert json.loads(refused.err) == {
        "schema": 1,
        "error": {"code": "diverged", "what": "what", "means": "m", "next": "n"},
    }


@pytest.mark.parametrize(
    "words",
    [
        ("unheard-of",),
        ("status", "a", "b"),
        ("wait", "g", "--for", "fame"),
        ("wait", "g", "--timeout", "30"),
        ("node", "join", "nowhere"),
        ("node", "join", "host:70000"),
        ("node", "set", "b", "colour=red"),
        ("node", "allow", "b", "--path", "relative/*"),
        ("group", "create", "g"),
        ("group", "create", "g", "--volume", "d=/x,size=3q"),
        ("group", "create", "g", "--volume", "d=/x", "--region", "3KiB"),
        ("group", "create", "g", "--volume", "d=/x,outage=never"),
        ("link", "create", "g", "n", "--place", "data"),
        ("link", "create", "g", "n", "--place", "data=relative"),
        ("link", "create", "g", "n", "--max-rate", "10"),
        ("link", "set", "g", "l"),
        ("link", "set", "g", "l", "mode=fast"),
        ("link", "set", "g", "l", "colour=red"),
        ("export", "g/"),
        ("export", "g/v/w"),
        ("resync", "g", "--full", "--digest"),
        ("resync", "g", "--timeout", "5s"),
        ("events", "--since", "-1"),
        ("status", "--state", ""),
    ],
    ids=" ".join,
)
def test_a_mistyped_command_is_refused_before_any_node_is_asked(
    words: tuple[str, ...], api: Replay, farshore: Run
) -> None:
    refused = farshore(*words)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err
    assert api.asked == []


@pytest.mark.parametrize("before", [True, False])
def test_the_node_can_be_named_before_and_after_the_command(
    before: bool, api: Replay, farshore: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.on("GET", "/v1/status", replay.status())
    monkeypatch.delenv("FARSHORE_API")
    words = ("--api", api.address)
    shown = farshore(*words, "group", "list") if before else farshore("group", "list", *words)
    assert shown.code == 0
    assert "orders" in shown.out


def test_a_state_directory_that_is_named_comes_before_the_environments_address(
    api: Replay, farshore: Run, tmp_path: Path
) -> None:
    refused = farshore("status", "--state", str(tmp_path))
    assert refused.code == 6
    assert str(tmp_path) in refused.err
    assert api.asked == []


def test_a_token_is_never_asked_for_without_a_terminal(
    api: Replay, farshore: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    refused = farshore("node", "join", "host:7411")
    assert refused.code == 2
    assert "--token-file" in refused.err
    assert api.asked == []


def test_colour_stays_off_outside_a_terminal(api: Replay, farshore: Run) -> None:
    api.on("GET", "/v1/status", replay.status(replay.group(health="diverged")))
    assert "\x1b" not in farshore("status").out
