"""Nodes with groups under load, and what can be asked of them at a moment that nobody chose.

A `Subject` is one link of a group: the load on the group, what its writers know, and where its images lie
at both ends. Whether the link replicated throughout is read from its engine's own log, which is written
before anything is acknowledged that a change of the link's state permits.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from farshore.client.answers import Volume
from tests.cluster import Cluster, Host
from tests.fault.connection import Connection
from tests.fault.load import Habits, Load
from tests.stamps import SECTOR, Application, Ticks, sequences

NODE, ENGINE = "farshore.api.process", "farshore.engine.process"
"""What the command lines of the product's processes name."""
_READ = 1 << 20


@dataclass(slots=True)
class Subject:
    """See the module. `freeze`: its link holds acknowledgements back while the peer is away."""

    name: str
    cluster: Cluster
    application: Application
    sync: bool
    freeze: bool
    volumes: Sequence[Volume]
    """At a, numbered from 0 in this order."""
    files: Sequence[Path]
    """Of the copy."""
    peer: str = "b"
    """The node that has the copy; the link is named after it."""
    journaled: bool = False
    """Whether the copy has an apply journal: its files are an image only when that was replayed."""
    load: Load | None = None
    _log_seen: int = field(default=0)

    @property
    def under_load(self) -> Load:
        """The load that was begun last."""
        assert self.load is not None, "no load was begun"
        return self.load

    @property
    def log(self) -> Path:
        """Of the engine at a."""
        state = self.cluster.a.state
        return state / "copies" / self.name / self.cluster.a.name / "engine.log"

    def begin(self, seed: int, connections: int = 2) -> None:
        """Lets the writers loose. The link replicates, so that from here on its log is watched."""
        self.watch()
        self.load = Load(self.application, dict(enumerate(self.places)), Habits(seed, connections))

    @property
    def places(self) -> list[tuple[str, int]]:
        """Of each volume, what a client opens and how many sectors it has."""
        return [(str(volume.uri), (volume.size or 0) // SECTOR) for volume in self.volumes]

    def watch(self) -> None:
        """The link replicates now; `replicated` tells whether it went on doing so."""
        self._log_seen = self.log.stat().st_size
        assert self.cluster.a.link(self.name, self.peer).state == "replicating"
        assert self.replicated, "the link changed its state while we looked"

    @property
    def replicated(self) -> bool:
        """Whether the engine at a, which must be the same one, had no other link state since `watch`."""
        with self.log.open("rb") as file:
            file.seek(self._log_seen)
            events = [json.loads(line) for line in file.read().splitlines() if line[:1] == b"{"]
        return not any(
            each.get("kind") == "link-state" and each["fields"]["link"] == self.peer for each in events
        )

    def starts(self) -> int:
        """How often an engine of the copy has come up: it has replayed its journal then."""
        (log,) = (self.cluster.hosts[self.peer].state / "copies" / self.name).glob("*/engine.log")
        lines = [line for line in log.read_bytes().splitlines() if line[:1] == b"{"]
        return sum(json.loads(line).get("kind") == "secondary-started" for line in lines)

    def read_copy(self) -> dict[int, bytes]:
        """The copy's images as they are."""
        return {number: path.read_bytes() for number, path in enumerate(self.files)}

    def read_a(self) -> dict[int, bytes]:
        """The volumes at a as an application reads them."""
        found = {}
        for number, volume in enumerate(self.volumes):
            connection = Connection(str(volume.uri))
            size = volume.size or 0
            pieces = range(0, size, _READ)
            found[number] = b"".join(connection.read(at, min(_READ, size - at)) for at in pieces)
            connection.close()
        return found

    def parse(self, images: Mapping[int, bytes]) -> dict[int, list[int]]:
        """Which write each sector comes from."""
        return {number: sequences(self.application.group, number, image) for number, image in images.items()}


def subject(
    cluster: Cluster, name: str, volumes: Mapping[str, str], ticks: Ticks, **options: str | bool
) -> Subject:
    """A group with a link to b, which is protected on return."""
    cluster.group(name, volumes)
    application = Application(name.encode().ljust(8, b"\0")[:8], ticks)
    return linked(cluster, name, application, cluster.b, **options)


def linked(
    cluster: Cluster, name: str, application: Application, peer: Host, /, **options: str | bool
) -> Subject:
    """A further link of a group that there is; the group is protected on return."""
    cluster.link(name, peer, **options)
    cluster.wait(name)
    here = cluster.a.group(name).volumes
    there = {each.name: Path(each.path) for each in peer.group(name).volumes}
    sync, freeze = options.get("mode") == "sync", options.get("on_outage") == "freeze"
    files = [there[each.name] for each in here]
    journaled = options.get("apply") == "journal"
    return Subject(name, cluster, application, sync, freeze, here, files, peer.name, journaled)


def both_policies(cluster: Cluster) -> list[Subject]:
    """`trade`: two volumes, goes on alone when its peer is lost. `vault`: one volume, waits for its peer."""
    ticks = Ticks()
    volumes = {"log": "8MiB", "data": "8MiB"}
    return [
        subject(cluster, "trade", volumes, ticks, mode="sync"),
        subject(cluster, "vault", {"data": "8MiB"}, ticks, mode="sync", on_outage="freeze"),
    ]


def prefix_subjects(cluster: Cluster) -> list[Subject]:
    """`four`: a database's four volumes, whose order among themselves counts. `one`: async."""
    ticks = Ticks()
    volumes = {"wal": "2MiB", "tables": "2MiB", "index": "2MiB", "blobs": "2MiB"}
    return [
        subject(cluster, "four", volumes, ticks, mode="sync"),
        subject(cluster, "one", {"data": "2MiB"}, ticks, mode="async", apply="direct"),
    ]
