"""What engine and node say to a service manager, told by real processes; tests/service has a real one."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.client import Node
from farshore.errors import FarshoreError
from tests.integration.conftest import Sites
from tests.integration.engines import Engine
from tests.integration.live_nodes import STANDIN
from tests.processes import Processes
from tests.unit.systemd.entries import Listening
from tests.waiting import wait_until


@pytest.fixture
def listening(socket_directory: Path) -> Iterator[Listening]:
    door = Listening(socket_directory / "notify")
    yield door
    door.close()


def environment(listening: Listening, watchdog: str) -> dict[str, str]:
    return {**os.environ, "NOTIFY_SOCKET": str(listening.path), "WATCHDOG_USEC": watchdog}


def until(listening: Listening, line: str) -> list[str]:
    """All lines up to and with this one."""
    lines: list[str] = []
    for _ in range(1000):
        lines += listening.next().decode().splitlines()
        if line in lines:
            return lines
    raise AssertionError(f"{line} was not among {lines}")


def launched(engine: Engine, processes: Processes, listening: Listening, watchdog: str) -> int:
    command = [sys.executable, "-m", "farshore.engine.process", str(engine.directory)]
    log = engine.directory / "engine.log"
    return processes.start(command, env=environment(listening, watchdog), output=log).pid


def test_an_engine_is_ready_when_it_serves_and_says_that_its_loop_turns(
    sites: Sites, processes: Processes, listening: Listening
) -> None:
    engine = sites.alone({"data": 1 << 20})
    pid = launched(engine, processes, listening, "300000")
    assert until(listening, "READY=1") == ["READY=1", "STATUS=primary of group pg"]
    assert engine.listening()
    for _ in range(3):
        until(listening, "WATCHDOG=1")
    children = Path(f"/proc/{pid}/environ").read_text()
    assert "NOTIFY_SOCKET" in children, "as it was started; what it starts itself does not get it"
    processes.kill(pid, 15)
    assert "STATUS=primary of group pg: stops" in until(listening, "STOPPING=1")
    wait_until(lambda: not processes.alive(pid), 20, what="the engine has ended")


def test_an_engine_that_cannot_start_never_says_that_it_is_ready(
    sites: Sites, processes: Processes, listening: Listening
) -> None:
    engine = sites.alone({"data": 1 << 20})
    (engine.directory / "copy.json").write_text("{")
    pid = launched(engine, processes, listening, "300000")
    wait_until(lambda: not processes.alive(pid), 20, what="the engine has ended")
    with pytest.raises(TimeoutError):
        listening.next(0.1)


@pytest.mark.parametrize("volume", ["data", "broken"])
def test_a_node_is_ready_when_its_engines_serve_or_have_said_why_not(
    volume: str, tmp_path: Path, processes: Processes, listening: Listening
) -> None:
    code = f"import sys; from farshore.api import process;sys.exit(process.main(sys.argv[1:], {STANDIN!r}))"
    state = tmp_path / "a"
    command = [sys.executable, "-c", code, "--state", str(state), "--listen", "127.0.0.1:0", "--name", "a"]
    node = processes.start(command, output=tmp_path / "node.log").pid
    client = Node(state=str(state))

    def answers() -> bool:
        try:
            return bool(client.show().pid == node)
        except FarshoreError:
            return False

    wait_until(answers, 30, what="the node's API answers")
    wanted = {"name": "data", "path": f"{tmp_path}/g.img", "size": 1 << 20}
    client.call("POST", "/v1/groups", {"name": "g", "volumes": [wanted]})
    (engine,) = client.show().engines
    assert engine.pid is not None
    processes.adopt(engine.pid)
    processes.kill(node)
    processes.kill(engine.pid)
    path = next(state.glob("copies/*/*/copy.json"))
    path.write_text(path.read_text().replace('"data"', f'"{volume}"'))
    second = processes.start(command, env=environment(listening, "300000"), output=tmp_path / "node.log").pid
    lines = until(listening, "READY=1")
    assert "STATUS=node a: waits for its engines" in lines
    until(listening, "WATCHDOG=1")
    serving = [each.pid for each in client.show().engines if each.pid is not None]
    assert len(serving) == (volume == "data")
    for pid in serving:
        processes.adopt(pid)
    client.stop()
    until(listening, "STOPPING=1")
    wait_until(lambda: not processes.alive(second), 20, what="the node has ended")
