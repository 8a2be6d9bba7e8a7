"""What nodes and engines leave behind in the directory of their sockets: nothing, once the last has gone."""

import json
import signal
from pathlib import Path

from tests.cluster import MakeCluster
from tests.waiting import wait_until


def _run(state: Path) -> Path:
    return Path(json.loads((state / "node.json").read_text())["run"])


def test_whoever_is_last_takes_the_directory_along(cluster: MakeCluster) -> None:
    made = cluster(("a", "b"), through_line=False)
    made.group("g", {"v": "4MiB"})
    a, b = _run(made.a.state), _run(made.b.state)

    made.b.done("node", "stop")
    assert not b.exists(), "a node without engines is the last by itself"

    engine = made.a.engine("g")
    made.a.done("node", "stop")
    assert {each.suffix for each in a.iterdir()} == {".ctl", ".nbd"}, "its engine runs on"
    made.a.kill(engine, signal.SIGTERM)
    wait_until(lambda: not a.exists(), what="the engine has taken the directory along")

    made.a.start()
    made.a.engine("g")
    made.a.done("node", "stop", "--engines")
    assert not a.exists()


def test_what_killed_processes_left_goes_at_the_next_start_of_any_node(cluster: MakeCluster) -> None:
    made = cluster(("a", "b"), through_line=False)
    made.group("g", {"v": "4MiB"})
    a = _run(made.a.state)
    made.b.done("node", "stop")
    engine = made.a.engine("g")
    made.a.kill_node()
    made.b.start()
    assert any(a.glob("*.ctl")), "an engine still listens there"
    made.a.kill(engine)
    made.b.done("node", "stop")
    made.b.start()
    assert not a.exists()
