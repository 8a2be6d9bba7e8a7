"""`farshore config` explains settings without any node."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from farshore.settings.known import SETTINGS
from tests.unit.cli.conftest import Outcome

Run = Callable[..., Outcome]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that is meant; nothing else says anything."""
    for each in SETTINGS:
        monkeypatch.delenv(each.variable, raising=False)
    path = tmp_path / "farshore.toml"
    monkeypatch.setenv("FARSHORE_CONFIG", str(path))
    return path


def write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o644)


def origins(outcome: Outcome) -> dict[str, tuple[str | None, str]]:
    return {each["setting"]: (each["value"], each["origin"]) for each in outcome.json["settings"]}


def test_every_mistake_is_named_with_its_line_and_the_way_out(path: Path, farshore: Run) -> None:
    write(path, '[node]\nname = "A"\nlisten = 1\n')
    checked = farshore("config", "check")
    assert checked.code == 1
    assert checked.out.splitlines() == [
        f"{path}:2: name: 'A' cannot be the name of a node",
        "  instead  use up to 63 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit",
        f"{path}:3: listen is not in quotes",
        '  instead  write listen = "0.0.0.0:7411"',
    ]


def test_another_file_than_the_one_that_is_meant_can_be_checked(path: Path, farshore: Run) -> None:
    other = path.with_name("other.toml")
    write(other, '[log]\nlevel = "info"\n')
    checked = farshore("config", "check", str(other), "--json")
    assert (checked.code, checked.json["result"], checked.json["mistakes"]) == (0, "ok", [])
    assert farshore("config", "check", str(path)).code == 3, "it was named, and is not there"
    assert farshore("config", "check").code == 0, "nobody has to have one"


def test_each_setting_says_who_decides_it(
    path: Path, tmp_path: Path, farshore: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    document = {"version": 1, "name": "old", "listen": "0.0.0.0:1", "api": "unix:/run/x"}
    (state / "node.json").write_text(json.dumps(document))
    write(path, f'[node]\nstate = "{state}"\nname = "new"\n')
    monkeypatch.setenv("FARSHORE_LOG_LEVEL", "debug")
    assert origins(farshore("config", "show", "--json")) == {
        "node.state": (str(state), f"{path}, line 2"),
        "node.name": ("new", f"{path}, line 3"),
        "node.listen": ("0.0.0.0:1", "an earlier start"),
        "node.api": ("unix:/run/x", "an earlier start"),
        "node.max-rate": (None, "default"),
        "node.engines": (None, "default"),
        "device.hold": (None, "default"),
        "log.level": ("debug", "FARSHORE_LOG_LEVEL"),
    }
    shown = farshore("config", "show", "--state", str(tmp_path / "none"), "--api", "unix:/run/y")
    assert shown.code == 0
    assert f"node.state     {tmp_path}/none" in shown.out
    assert "unix:/run/y" in shown.out
    assert "(what farshore node set says, else 0)" in shown.out


def test_what_cannot_be_shown_is_told(
    path: Path, tmp_path: Path, farshore: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path, "[node]\nx = 1\n")
    assert farshore("config", "show").code == 2
    path.unlink()
    monkeypatch.setenv("FARSHORE_ENGINES", "threads")
    refused = farshore("config", "show")
    assert refused.code == 2
    assert "FARSHORE_ENGINES: 'threads' is none of session, units" in refused.err
    monkeypatch.delenv("FARSHORE_ENGINES")
    (tmp_path / "node.json").write_text("{")
    refused = farshore("config", "show", "--state", str(tmp_path))
    assert (refused.code, "(state-damaged)" in refused.err) == (1, True)
