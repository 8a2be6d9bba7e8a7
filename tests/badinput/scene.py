"""Three paired nodes at work, and the statement that a refused command leaves them as they were.

`orders` replicates from a to b all the time, `spare` lies at a and has no link yet. A refusal is seen through
the command line: nothing on stdout, one JSON object on stderr with the code and the next step, and the exit
code that belongs to it. Before and after, everything that is there is looked at: files and their times, what
is recorded in them, processes, states of links.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farshore.errors import CODES
from tests.cluster import Host, OnCluster
from tests.fault.bench import ENGINE, NODE
from tests.processes import running

SIZE = 40 << 20
"""Of orders/data in bytes: more than one request may have."""
_LIVE = frozenset(("events", "events.1", "node.log", "engine.log", "lock", "removed"))
"""What is written whatever happens."""
_RECORDS = frozenset(("activity", "position", "header"))
"""Records of running engines, which they may renew at any time."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A refusal. `following`: what the next step has to name."""

    code: str
    following: str


@dataclass(slots=True)
class Scene(OnCluster):
    """See the module. `room`: a directory outside of every node, for volumes."""

    room: Path

    def refused(
        self, host: Host, words: str, expected: Expected, env: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Runs a command that has to be refused and to change nothing; the error."""
        before = self.everything()
        run = host.farshore(*words.split(), "--json", env=env)
        assert run.stdout == "", words
        error: dict[str, Any] = json.loads(run.stderr)["error"]
        assert error["code"] == expected.code, (words, error)
        assert run.returncode == CODES[expected.code].exit_code, (words, run.returncode, error)
        assert error["what"], words
        assert expected.following in error["next"], (words, error)
        after = self.everything()
        changed = {
            name: (before.get(name), after.get(name))
            for name in before.keys() | after.keys()
            if before.get(name) != after.get(name)
        }
        assert not changed, (words, changed)
        return error

    def everything(self) -> dict[str, object]:
        """What must stay as it is when a command is refused."""
        found: dict[str, object] = {}
        for top in (self.room, *(host.directory for host in self.cluster.hosts.values())):
            for path in top.rglob("*"):
                if path.name not in _LIVE and not path.is_symlink():
                    found[str(path)] = _look(path)
        for host in self.cluster.hosts.values():
            found[f"processes of {host.name}"] = (
                running(host.state, NODE),
                sorted(running(host.state, ENGINE)),
            )
            for group in host.node.status().groups:
                links = [(link.name, link.state, link.since) for link in group.links]
                found[f"{group.name} at {host.name}"] = (group.health, group.writes, links)
        return found

    def unharmed(self) -> None:
        """Orders goes on: what is written now stands at b."""
        with self.a.client("orders") as client:
            content = os.urandom(4096)
            client.write(SIZE - 4096, content)
            client.flush()
            assert client.read(SIZE - 4096, 4096) == content
        self.cluster.equal("orders")


def _look(path: Path) -> object:
    found = path.stat()
    if path.is_dir():
        return oct(found.st_mode)
    if path.name in _RECORDS or path.suffix == ".board":
        return found.st_ino
    if path.suffix == ".json":
        return path.read_bytes()
    return found.st_ino, found.st_size, found.st_mtime_ns, oct(found.st_mode)
