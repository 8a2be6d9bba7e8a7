"""`farshore doctor` names what is wrong and what to do about it, and fails only for what is broken."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from farshore.cli import doctor_checks
from tests.replay import Replay
from tests.unit.cli.conftest import Outcome

Run = Callable[..., Outcome]
_NODE = {
    "schema": 1,
    "node": {"name": "site-a", "id": "ab"},
    "pid": 7,
    "listen": "0.0.0.0:7411",
    "api": "unix:/run/x",
    "engines": [],
    "peers": [],
}


def _results(state: Path) -> dict[str, str]:
    return {each.name: each.result for each in doctor_checks.of_host(state)}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory as a node leaves it."""
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "node.json").write_text(json.dumps({"version": 1, "api": f"unix:{run}/api.sock"}))
    return state


def test_a_sound_state_directory_has_no_findings(state: Path) -> None:
    found = _results(state)
    assert {found[name] for name in ("python", "state directory", "state version", "run directory")} == {"ok"}


def test_a_machine_without_a_node_is_warned_not_failed(tmp_path: Path) -> None:
    found = _results(tmp_path / "none")
    assert found["state directory"] == "warn"
    assert "fail" not in found.values()


@pytest.mark.parametrize(("mode", "result"), [(0o700, "ok"), (0o750, "warn"), (0o777, "fail")])
def test_a_state_directory_belongs_to_its_user_alone(state: Path, mode: int, result: str) -> None:
    state.chmod(mode)
    assert _results(state)["state directory"] == result


@pytest.mark.parametrize("content", ['{"version": 99, "api": "x"}', "{", "[]", "{}"])
def test_a_newer_or_damaged_state_is_a_failure(state: Path, content: str) -> None:
    (state / "node.json").write_text(content)
    assert _results(state)["state version"] == "fail"


def test_a_run_directory_that_others_can_write_to_is_a_failure(state: Path) -> None:
    (state.parent / "run").chmod(0o777)
    assert _results(state)["run directory"] == "fail"
    (state.parent / "run").rmdir()
    assert _results(state)["run directory"] == "warn"


def test_every_finding_that_is_not_ok_names_a_next_step(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "none", tmp_path / "file", Path("/")):
        assert all(each.next for each in doctor_checks.of_host(place) if each.result != "ok")


def test_the_nodes_own_findings_are_part_of_it(api: Replay, farshore: Run, state: Path) -> None:
    api.on("GET", "/v1/node", _NODE)
    peer = {"name": "peer site-b", "result": "fail", "text": "no answer", "next": "see the line"}
    api.on("GET", "/v1/doctor", {"schema": 1, "checks": [peer]})
    sick = farshore("doctor")
    assert sick.code == 1
    assert "fail  peer site-b" in sick.out
    assert "next: see the line" in sick.out
    api.on("GET", "/v1/doctor", {"schema": 1, "checks": [{**peer, "result": "warn"}]})
    healthy = farshore("doctor", "--json")
    assert (healthy.code, healthy.json["result"]) == (0, "ok")
    assert healthy.json["checks"][-1]["name"] == "peer site-b"


def test_a_node_that_does_not_answer_is_a_failure_with_a_next_step(farshore: Run, state: Path) -> None:
    sick = farshore("doctor", "--state", str(state))
    assert sick.code == 1
    assert "farshore node start" in sick.out


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a directory away")
def test_a_state_directory_of_another_user_is_a_failure(state: Path) -> None:
    os.chown(state, 65534, 65534)
    assert _results(state)["state directory"] == "fail"


@pytest.mark.parametrize(
    ("sending", "fitting", "result", "text"),
    [
        (4 << 20, 1, "ok", "2 MiB under way: 20 MiB/s at 100 ms"),
        (256 << 10, 1, "warn", "128 KiB under way"),
        (4 << 20, 0, "warn", "not fitted"),
    ],
)
def test_small_or_fixed_socket_buffers_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sending: int, fitting: int, result: str, text: str
) -> None:
    (tmp_path / "tcp_wmem").write_text(f"4096\t16384\t{sending}\n")
    (tmp_path / "tcp_rmem").write_text(f"4096\t131072\t{6 << 20}\n")
    (tmp_path / "tcp_moderate_rcvbuf").write_text(f"{fitting}\n")
    monkeypatch.setattr(doctor_checks, "_TCP", tmp_path)
    (found,) = [each for each in doctor_checks.of_host(tmp_path) if each.name == "socket buffers"]
    assert found.result == result
    assert text in found.text
    assert bool(found.next) == (result == "warn")


def test_buffers_that_cannot_be_looked_at_are_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_checks, "_TCP", tmp_path)
    assert _results(tmp_path)["socket buffers"] == "warn"


def test_programs_that_only_applications_need_are_named_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_checks, "_TOOLS", {"no-such-program": "some-package"})
    (found,) = [each for each in doctor_checks.of_host(tmp_path) if each.name == "optional tools"]
    assert (found.result, found.next) == ("warn", "apt-get install some-package")
    assert "no-such-program" in found.text
    assert "Farshore itself needs none" in found.text
