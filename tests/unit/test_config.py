"""Which node a command speaks to: arguments before environment, an address before a directory."""

import json
from pathlib import Path

import pytest

from farshore.config import Target, api_of, default_state, state_of


def test_root_and_others_have_their_own_places() -> None:
    assert default_state({"HOME": "/home/o"}, 0) == "/var/lib/farshore"
    assert default_state({"HOME": "/home/o"}, 1000) == "/home/o/.local/state/farshore"
    assert default_state({"HOME": "/home/o", "XDG_STATE_HOME": "/x"}, 1000) == "/x/farshore"
    assert default_state({"HOME": "/home/o", "XDG_STATE_HOME": "x"}, 1000) == "/home/o/.local/state/farshore"


def test_the_argument_comes_before_the_environment() -> None:
    environ = {"FARSHORE_STATE": "/env"}
    assert state_of(Target(), environ, 1000) == "/env"
    assert state_of(Target("/said"), environ, 1000) == "/said"
    assert state_of(Target("relative"), environ, 1000) == str(Path.cwd() / "relative")


def test_a_state_directory_leads_to_the_address_that_its_node_wrote(tmp_path: Path) -> None:
    (tmp_path / "node.json").write_text(json.dumps({"version": 1, "api": "unix:/run/x/api.sock"}))
    assert api_of(Target(str(tmp_path)), {"FARSHORE_API": "127.0.0.1:1"}, 1000) == "unix:/run/x/api.sock"
    assert api_of(Target(), {"FARSHORE_STATE": str(tmp_path)}, 1000) == "unix:/run/x/api.sock"


def test_an_address_comes_before_a_directory(tmp_path: Path) -> None:
    assert api_of(Target(str(tmp_path), "127.0.0.1:1"), {}, 1000) == "127.0.0.1:1"
    environ = {"FARSHORE_API": "127.0.0.1:2", "FARSHORE_STATE": str(tmp_path)}
    assert api_of(Target(), environ, 1000) == "127.0.0.1:2"


def test_no_node_there_is_not_the_same_as_a_damaged_record(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        api_of(Target(str(tmp_path)), {}, 1000)
    for damaged in ("", "{", "[]", '{"version": 1}', '{"api": 7}'):
        (tmp_path / "node.json").write_text(damaged)
        with pytest.raises(ValueError):
            api_of(Target(str(tmp_path)), {}, 1000)
