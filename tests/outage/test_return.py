"""A line that is back is used at once: the peer says so, the operator says so, the host's network says so.

Attempts to connect grow rare while nobody answers. What is watched here is a port that answers nobody: two
attempts in quick succession, after a long silence between attempts, are made by a link that was told.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.cluster import Host
from tests.outage.conftest import MakePair
from tests.waiting import wait_until

_HOOK = Path(__file__).parents[2] / "packaging" / "network" / "90-farshore"
_RARE_S = 1.5
"""A link that waits so long between two attempts waits twice as long before the next."""
_SOON_S = 1.0


class Door:
    """A port that closes each connection at once and remembers when it came."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._times: list[float] = []
        self._forgotten = 0
        threading.Thread(target=self._run, daemon=True).start()

    def rare(self) -> bool:
        """Whether the last two attempts lie far apart; forgets them then."""
        times = self._times[self._forgotten :]
        if len(times) < 2 or times[-1] - times[-2] < _RARE_S:
            return False
        self._forgotten += len(times) - 1
        return True

    def soon(self) -> bool:
        """Whether two attempts since then followed each other closely."""
        times = self._times[self._forgotten :]
        return any(after - before < _SOON_S for before, after in pairwise(times))

    def close(self) -> None:
        """Nobody listens any more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            self._times.append(time.monotonic())
            caller.close()


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door()
    yield made
    made.close()


def _network(host: Host, event: str) -> int:
    """What a host's network manager does when something happened to an interface; the exit code."""
    environ = {
        "FARSHORE_STATE": str(host.state),
        "FARSHORE_COMMAND": str(Path(sys.executable).with_name("farshore")),
    }
    return subprocess.run([_HOOK, "eth0", event], env={**os.environ, **environ}, timeout=30).returncode


def test_a_hook_is_no_error_of_the_network_where_no_node_runs(tmp_path: Path) -> None:
    environ = {"FARSHORE_STATE": str(tmp_path), "FARSHORE_COMMAND": str(tmp_path / "nothing")}
    assert subprocess.run([_HOOK], env={**os.environ, **environ}, timeout=30).returncode == 0


def test_whoever_says_that_the_line_is_back_is_believed_at_once(pair: MakePair, door: Door) -> None:
    made = pair(mode="async")
    made.farshore("node", "set", "b", f"address={door.address}")
    made.line.cut()
    made.wait("logging")

    def told(who: str) -> None:
        wait_until(door.soon, 12.0, what=f"an attempt because {who}")

    def silent() -> None:
        wait_until(door.rare, 20.0, what="attempts to have become rare")

    silent()
    assert _network(made.b, "down") == 0
    assert not door.soon()
    assert _network(made.b, "up") == 0
    told("b's network has changed, and b says so")
    silent()
    made.a.node.network_changed()
    told("a's network has changed")
    silent()
    made.a.node.resync(made.group)
    told("the operator asks for a resync")
    silent()
    made.b.kill(made.b.engine(made.group))
    made.b.kill_node()
    made.b.start()
    told("b's node was started")
    made.line.heal()
    made.farshore("node", "set", "b", f"address={made.line.address}")
    made.equal()
