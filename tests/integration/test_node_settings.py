"""A node obeys its configuration file, and does not start with one that has mistakes."""

import json
from pathlib import Path

import pytest

from farshore.errors import FarshoreError
from tests.integration.test_node_process import refusal, start
from tests.processes import Processes


def write(state: Path, text: str) -> Path:
    state.mkdir(exist_ok=True)
    path = state / "farshore.toml"
    path.write_text(text)
    path.chmod(0o644)
    return path


def test_what_the_file_says_holds_and_a_flag_comes_before_it(tmp_path: Path, processes: Processes) -> None:
    state = tmp_path / "a"
    path = write(state, '[node]\nname = "berlin"\nmax-rate = "1MiB/s"\n[log]\nlevel = "warning"\n')
    client = start(processes, state, "--listen", "127.0.0.1:0")
    assert client.show().node.name == "berlin"
    assert client.show().max_rate == 1 << 20
    with pytest.raises(FarshoreError) as caught:
        client.set_peer("berlin", max_rate=1 << 21)
    assert caught.value.code.name == "wrong-state"
    assert f"{path}, line 3" in caught.value.what
    assert "node berlin started" not in state.with_suffix(".log").read_text(), "the log is quieter"
    processes.kill(client.show().pid)
    assert start(processes, state, "--name", "paris").show().node.name == "paris"


def test_a_bound_that_is_taken_out_of_the_file_is_gone(tmp_path: Path, processes: Processes) -> None:
    state = tmp_path / "a"
    path = write(state, '[node]\nmax-rate = "1MiB/s"\n')
    client = start(processes, state)
    name = client.show().node.name
    processes.kill(client.show().pid)
    # Engines that run on may still have a share of it, and have to be told.
    assert json.loads((state / "rates.json").read_text())["max_rate"] == {}
    path.unlink()
    client = start(processes, state)
    assert client.show().max_rate is None
    client.set_peer(name, max_rate=1 << 21)
    assert client.show().max_rate == 1 << 21


def test_a_file_with_mistakes_keeps_a_node_from_starting(tmp_path: Path) -> None:
    path = write(tmp_path / "a", '[node]\nname = "A"\nlistn = "x"\n')
    code, error = refusal(tmp_path / "a", "--listen", "127.0.0.1:0")
    assert (code, error["code"]) == (2, "usage")
    assert "line 2: name" in error["what"]
    assert "line 3: there is no setting 'listn'" in error["what"]
    assert error["next"] == f"farshore config check {path}"
    assert not (tmp_path / "a/node.json").exists()
