"""The node as a process: its API, what it remembers, and every reason not to start."""

import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from farshore.client import Node as Client
from farshore.errors import FarshoreError
from tests.processes import Processes
from tests.waiting import wait_until

COMMAND = (sys.executable, "-m", "farshore.api.process")


def start(processes: Processes, state: Path, *options: str, api: str | None = None) -> Client:
    """A node that answers, with a client for it."""
    log = state.with_suffix(".log")
    process = processes.start(
        [*COMMAND, "--state", str(state), "--listen", "127.0.0.1:0", *options], output=log
    )
    client = Client(api=api) if api is not None else Client(state=str(state))

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return client.show().pid == process.pid
        except FarshoreError:
            return False

    wait_until(answers, 30, what="the node's API answers")
    return client


def refusal(state: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the error of a node that does not start."""
    run = subprocess.run(
        [*COMMAND, "--state", str(state), *options], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode != 0, run.stderr
    error: dict[str, Any] = json.loads(run.stderr.splitlines()[-1])
    assert error["what"]
    assert error["next"]
    return run.returncode, error


def test_a_node_starts_answers_stops_and_remembers(tmp_path: Path, processes: Processes) -> None:
    state = tmp_path / "a"
    client = start(processes, state, "--name", "berlin")
    info = client.show()
    assert (info.node.name, info.engines, info.peers) == ("berlin", (), ())
    assert len(bytes.fromhex(info.node.id)) == 32
    assert info.api == client.address
    assert client.status().groups == ()
    checks = {check.name: check.result for check in client.doctor().checks}
    assert checks["peer port"] == "ok"
    for secret in (state / "identity" / "key.pem", state / "node.json"):
        assert secret.stat().st_mode & 0o077 == 0
    assert state.stat().st_mode & 0o077 == 0
    client.stop()
    wait_until(lambda: not processes.alive(info.pid), 20, what="the node has ended")
    assert not Path(info.api.removeprefix("unix:")).exists()
    again = start(processes, state)
    assert again.show().node == info.node
    kinds = [event.kind for event in again.events().events]
    assert kinds[:3] == ["node-started", "node-stopped", "node-started"]


def test_a_second_node_on_the_same_state_is_refused(tmp_path: Path, processes: Processes) -> None:
    client = start(processes, tmp_path / "a")
    code, error = refusal(tmp_path / "a")
    assert (code, error["code"]) == (4, "state-locked")
    assert str(client.show().pid) in error["what"]


def test_a_killed_node_can_be_started_again(tmp_path: Path, processes: Processes) -> None:
    client = start(processes, tmp_path / "a")
    before = client.show()
    processes.kill(before.pid)
    assert start(processes, tmp_path / "a").show().node == before.node


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert refusal(tmp_path / "a", "--listen", address)[1]["code"] == "address-in-use"
        free = ("--listen", "127.0.0.1:0")
        assert refusal(tmp_path / "a", *free, "--api", address)[1]["code"] == "address-in-use"
    assert not (tmp_path / "a" / "node.json").exists()


@pytest.mark.parametrize("file", ["node.json", "peers.json", "invitations.json", "copies/g/c/copy.json"])
def test_a_state_directory_of_a_newer_version(tmp_path: Path, file: str) -> None:
    path = tmp_path / "a" / file
    path.parent.mkdir(parents=True)
    path.write_text('{"version": 2}')
    code, error = refusal(tmp_path / "a", "--listen", "127.0.0.1:0")
    assert (code, error["code"]) == (4, "state-newer")
    assert path.read_text() == '{"version": 2}'


@pytest.mark.parametrize("file", ["node.json", "peers.json", "invitations.json"])
def test_a_damaged_record(tmp_path: Path, file: str) -> None:
    path = tmp_path / "a" / file
    path.parent.mkdir(parents=True)
    path.write_text('{"versio')
    assert refusal(tmp_path / "a", "--listen", "127.0.0.1:0")[1]["code"] == "state-damaged"


def test_a_lost_key_is_not_silently_replaced(tmp_path: Path, processes: Processes) -> None:
    client = start(processes, tmp_path / "a")
    processes.kill(client.show().pid)
    (tmp_path / "a" / "identity" / "key.pem").unlink()
    assert refusal(tmp_path / "a")[1]["code"] == "state-damaged"


def test_the_api_listens_on_loopback_only(tmp_path: Path) -> None:
    listen = ("--listen", "127.0.0.1:0")
    code, error = refusal(tmp_path / "a", *listen, "--api", "0.0.0.0:8080")
    assert (code, error["code"]) == (2, "usage")
    assert refusal(tmp_path / "a", *listen, "--api", "unix:" + "/x" * 60)[1]["code"] == "usage"
    assert refusal(tmp_path / "a", "--listen", "nonsense")[1]["code"] == "usage"
    assert refusal(tmp_path / "a", *listen, "--name", "No Name")[1]["code"] == "usage"


def test_the_api_on_tcp_refuses_what_a_browser_was_tricked_into(tmp_path: Path, processes: Processes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    client = start(processes, tmp_path / "a", "--api", address, api=address)
    assert client.show().api == address

    def status_of(head: str) -> str:
        host, port = address.split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(f"GET /v1/node HTTP/1.0\r\n{head}\r\n".encode())
            return connection.makefile().readline().split()[1]

    assert status_of("Host: localhost\r\n") == "200"
    assert status_of("Host: evil.example\r\n") == "403"
    assert status_of(f"Host: {address}\r\nOrigin: http://evil.example\r\n") == "403"


def test_errors_are_problem_documents(tmp_path: Path, processes: Processes) -> None:
    client = start(processes, tmp_path / "a")
    for method, path, body, code in (
        ("GET", "/v1/groups/none", None, "not-found"),
        ("GET", "/v1/nowhere", None, "not-found"),
        ("PUT", "/v1/node", None, "usage"),
        ("POST", "/v1/groups", {"name": "g"}, "usage"),
        ("POST", "/v1/groups", {"name": "g", "volumes": [], "colour": "red"}, "usage"),
        ("POST", "/v1/node/invite", {"ttl": 0}, "usage"),
        ("POST", "/v1/node/join", {"address": "127.0.0.1:1", "token": "x"}, "bad-token"),
        ("GET", "/v1/events?since=-1", None, "usage"),
    ):
        with pytest.raises(FarshoreError) as caught:
            client.call(method, path, body)
        assert caught.value.code.name == code, (path, caught.value)


def test_an_unwritable_state_directory(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    try:
        assert refusal(tmp_path / "a")[1]["code"] == "permission"
    finally:
        tmp_path.chmod(0o700)


def test_two_processes_pair_over_the_api(tmp_path: Path, processes: Processes) -> None:
    a = start(processes, tmp_path / "a", "--name", "a")
    b = start(processes, tmp_path / "b", "--name", "b")
    invitation = b.invite(60)
    assert a.join(invitation.address, invitation.token).name == "b"
    assert [(peer.name, peer.connected) for peer in a.peers().nodes] == [("b", True)]
    assert [(peer.name, peer.connected) for peer in b.show().peers] == [("a", True)]
    b.allow("a", "/srv/*")
    assert b.peers().nodes[0].grants == ("/srv/*",)
    b.disallow("a", "/srv/*")
    processes.kill(b.show().pid)
    assert [peer.connected for peer in a.peers().nodes] == [False]
    failed = [check.name for check in a.doctor().checks if check.result == "fail"]
    assert failed == ["peer b"]
    a.forget("b")
    assert a.peers().nodes == ()


def test_the_node_raises_its_own_limit_of_open_files(tmp_path: Path, processes: Processes) -> None:
    pid = start(processes, tmp_path / "a").show().pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    assert soft == min(hard, 65536) or soft >= 65536


@pytest.mark.parametrize("engines", [False, True])
def test_a_stop_answers_those_who_wait_for_events(
    tmp_path: Path, processes: Processes, *, engines: bool
) -> None:
    client = start(processes, tmp_path / "a")
    newest = client.events().next
    answers: list[object] = []

    def poll(number: int) -> None:
        # Some wait already when the stop comes, others come back for more in the middle of it.
        for _ in range(number):
            try:
                answers.append(client.events(newest, wait=20.0).events)
            except FarshoreError as error:
                answers.append(error.code.name)

    waiting = [threading.Thread(target=poll, args=(1 + number % 3,)) for number in range(6)]
    for each in waiting:
        each.start()
    pid = client.show().pid
    wait_until(lambda: len(_connections(pid)) >= len(waiting), 20, what="all of them wait")
    began = time.monotonic()
    client.stop(engines=engines)
    for each in waiting:
        each.join(20)
    assert time.monotonic() - began < 10
    assert answers.count(()) >= len(waiting)
    assert set(answers) <= {(), "unreachable"}


def _connections(pid: int) -> list[str]:
    """The established connections of a process's Unix sockets."""
    own = {
        target.name
        for entry in Path(f"/proc/{pid}/fd").iterdir()
        if (target := _target(entry)).name.startswith("socket:")
    }
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return [words[6] for words in lines if words[5] == "03" and f"socket:[{words[6]}]" in own]


def _target(entry: Path) -> Path:
    try:
        return entry.readlink()
    except FileNotFoundError:  # closed meanwhile
        return Path()
