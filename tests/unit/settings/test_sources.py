"""Who decides a setting: a flag, then the environment, then the file; and whose file it is."""

import json
from pathlib import Path

import pytest

from farshore.config import Target, file_of, state_of
from farshore.errors import FarshoreError
from farshore.settings import file, sources
from farshore.settings.sources import Chosen


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "farshore.toml"
    path.write_text('[node]\nname = "c"\nlisten = "0.0.0.0:3"\nmax-rate = "0"\n')
    path.chmod(0o644)
    return path


def test_a_flag_before_the_environment_before_the_file(path: Path) -> None:
    environ = {"FARSHORE_NAME": "b", "FARSHORE_LISTEN": "0.0.0.0:2", "FARSHORE_LOG_LEVEL": ""}
    chosen = sources.choose({"node.name": "a", "node.listen": None}, environ, file.read(path))
    assert chosen == {
        "node.name": Chosen("a", "--name"),
        "node.listen": Chosen("0.0.0.0:2", "FARSHORE_LISTEN"),
        "node.max-rate": Chosen("0", f"{path}, line 4"),
    }


@pytest.mark.parametrize(
    ("flags", "environ", "who"),
    [({"node.listen": "x"}, {}, "--listen: "), ({}, {"FARSHORE_LOG_LEVEL": "loud"}, "FARSHORE_LOG_LEVEL: ")],
)
def test_a_value_that_cannot_be_is_refused_wherever_it_comes_from(
    path: Path, flags: dict[str, str | None], environ: dict[str, str], who: str
) -> None:
    with pytest.raises(FarshoreError) as caught:
        sources.choose(flags, environ, file.read(path))
    assert caught.value.code.name == "usage"
    assert caught.value.what.startswith(who)
    assert caught.value.next_step


def test_each_user_has_a_file_and_root_has_the_systems() -> None:
    assert file_of(Target(), {"HOME": "/home/o"}, 0) == "/etc/farshore/farshore.toml"
    assert file_of(Target(), {"HOME": "/home/o"}, 7) == "/home/o/.config/farshore/farshore.toml"
    assert file_of(Target(), {"HOME": "/h", "XDG_CONFIG_HOME": "/x"}, 7) == "/x/farshore/farshore.toml"
    assert file_of(Target("/s"), {"FARSHORE_CONFIG": "/f"}, 7) == "/f"


def test_a_node_elsewhere_does_not_obey_the_file_of_another(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    own = tmp_path / ".config/farshore/farshore.toml"
    own.parent.mkdir(parents=True)
    own.write_text(f'[node]\nstate = "{tmp_path}/here"\n')
    assert state_of(Target(), environ, 7) == f"{tmp_path}/here"
    assert file_of(Target(), environ, 7) == str(own)
    assert file_of(Target(f"{tmp_path}/here"), environ, 7) == str(own), "the same node, said another way"
    assert file_of(Target(f"{tmp_path}/there"), environ, 7) == f"{tmp_path}/there/farshore.toml"
    assert file_of(Target(), {**environ, "FARSHORE_STATE": "/t"}, 7) == "/t/farshore.toml"
    assert state_of(Target(), {**environ, "FARSHORE_STATE": "/t"}, 7) == "/t"


@pytest.mark.parametrize(
    "text",
    [
        'state = "/x"',  # in no table
        '[log]\nstate = "/x"',
        '[node]\n#state = "/x"',
        '[node]\nstate = "x"',
        "[node]\nstate = /x",
        '[node]\nstate.x = "/x"',
        '[node]\nstated = "/x"',
    ],
)
def test_what_is_no_state_directory_in_a_file_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "f"
    path.write_text(text)
    environ = {"HOME": "/home/o", "FARSHORE_CONFIG": str(path)}
    assert state_of(Target(), environ, 7) == "/home/o/.local/state/farshore"


@pytest.mark.parametrize(
    "text", ['[node]\nstate = "/x" # y', ' [ node ] # z\n\tstate="/x"', "[node]\r\nstate = '/x'"]
)
def test_the_short_look_at_a_file_agrees_with_the_whole_one(tmp_path: Path, text: str) -> None:
    path = tmp_path / "f"
    path.write_text(text, newline="")
    path.chmod(0o644)
    assert state_of(Target(), {"FARSHORE_CONFIG": str(path)}, 7) == "/x"
    assert json.dumps(file.read(path).values["node.state"].text) == '"/x"'
