"""Copies that are frozen by kill -9 under load, and what their images must be (rules B1 to B3; C2).

At b, at c or at both every engine is killed, at times together with its node, so that nothing runs there
while the images are read; writers at a never stop. Then what was killed starts again, its links catch up
beside the load, and the next moment is drawn. Only images of links that replicated at the kill are judged:
during a resync there is none to judge, and the copy says so. Links to a peer that lives must not notice.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster import Cluster, Host, clusters
from tests.fault.bench import ENGINE, NODE, Subject, linked, subject
from tests.fault.prefixes import Look, Looks, compare
from tests.fault.still import still
from tests.network.line import Line
from tests.order.steps import Steps
from tests.processes import running
from tests.stamps import Ticks
from tests.waiting import wait_until

VOLUMES = {"wal": "2MiB", "tables": "2MiB", "index": "2MiB", "blobs": "2MiB"}
"""There are as many writers."""
GROUPS: dict[str, dict[str, dict[str, str | bool]]] = {
    "bank": {"b": {"mode": "sync", "apply": "direct"}, "c": {"mode": "async", "apply": "journal"}},
    "shop": {"b": {"mode": "async", "apply": "direct"}, "c": {"mode": "sync", "apply": "journal"}},
}
"""Groups by name, with the options of their links by peer."""
COPIES = sorted(f"{name}@{peer}" for name, peers in GROUPS.items() for peer in peers)
_REST_S = 0.04
"""Between two steps of a writer, at most: others have to start and to catch up beside the load."""
_NEAR_MS, _FAR_MS = 1, 8
"""From a to b and to c, one way."""
_MOST_BETWEEN = 400
_KILLS_A_LOAD = 5
"""After so many the writers stop, all sites have to be equal, and what was written may be forgotten."""
_CATCH_UP_S = 60.0


_Due = tuple[Subject, int, int]
"""A link that replicated at the kill, the tick before it, and how often its copy had started by then."""


@dataclass(slots=True)
class Frozen(Looks):
    """What was looked at; `kills` counts processes."""

    kills: int = 0
    by_copy: dict[str, int] = field(default_factory=dict)
    """Images of each copy, named GROUP@PEER."""


@dataclass(frozen=True, slots=True)
class FarSites:
    """Nodes a, b and c. `lines` lead from a to the node that they are named after."""

    cluster: Cluster
    lines: Mapping[str, Line]


@contextmanager
def far_sites(directory: Path) -> Iterator[FarSites]:
    """Three nodes; b is near a, c is far away, so that something is always on its way."""
    with clusters(directory) as make:
        made = make(("a", "b", "c"))
        with Line(made.hosts["c"].listen) as line_to_c:
            made.a.done("node", "set", "c", f"address={line_to_c.address}")
            made.line.delay(_NEAR_MS)
            line_to_c.delay(_FAR_MS)
            yield FarSites(made, {"b": made.line, "c": line_to_c})


def groups_of_four(sites: FarSites) -> list[list[Subject]]:
    """The groups, each as the list of its links."""
    cluster, ticks, groups = sites.cluster, Ticks(), []
    for name, peers in GROUPS.items():
        links: list[Subject] = []
        for peer, options in peers.items():
            if links:
                links.append(linked(cluster, name, links[0].application, cluster.hosts[peer], **options))
            else:
                links.append(subject(cluster, name, VOLUMES, ticks, **options))
        groups.append(links)
    return groups


def freeze(sites: FarSites, groups: Sequence[Sequence[Subject]], *, kills: int, seed: int) -> Frozen:
    """Kills so many times under load; every image that was found then has been judged on return."""
    frozen, chosen = Frozen(), random.Random(seed)
    every = [link for links in groups for link in links]
    firsts = [links[0] for links in groups]
    for done in range(0, kills, _KILLS_A_LOAD):
        for each in every:
            each.watch()
        loads = [Steps(each.application, each.places, chosen.getrandbits(32), _REST_S) for each in firsts]
        siege = _Siege(sites, every, loads, chosen)
        for _ in range(min(_KILLS_A_LOAD, kills - done)):
            siege.round()
        for load in loads:
            load.stop()
            frozen.answered += load.answered
        frozen.kills += siege.kills
        _judge(siege.looks, frozen)
        for each in every:
            sites.cluster.equal(each.name, sites.cluster.hosts[each.peer])
        for each in firsts:
            each.application.settle(each.parse(each.read_copy()))
    return frozen


@dataclass(slots=True)
class _Siege:
    """Rounds beside loads that go on throughout."""

    sites: FarSites
    every: Sequence[Subject]
    loads: Sequence[Steps]
    chosen: random.Random
    looks: list[Look] = field(default_factory=list)
    kills: int = 0

    def round(self) -> None:
        """Kills at a moment under full load, looks, and lets everything catch up beside a lighter one."""
        names = self.chosen.choice([["b"], ["c"], ["b", "c"]])
        victims = [self.sites.cluster.hosts[name] for name in names]
        struck = [each for each in self.every if each.peer in names]
        lines = [self.sites.lines[name] for name in names]
        for load in self.loads:
            load.hurry.set()
        self.chosen.choice(self.loads).until_answered(self.chosen.randint(1, _MOST_BETWEEN))
        with ExitStack() as held:
            due = self._strike(victims, struck, held)
            for load in self.loads:
                load.hurry.clear()
            for line in lines:
                line.cut()
        self._replay(victims, due)
        for line in lines:
            line.heal()
        _catch_up(struck)
        stopped = [f"{each.name}@{each.peer}" for each in self.every if not each.replicated]
        assert not stopped, f"links stopped although nobody died there: {stopped}"

    def _strike(self, victims: Sequence[Host], struck: Sequence[Subject], held: ExitStack) -> list[_Due]:
        """Kills the victims' engines at this moment; their nodes die, too, or stand still as long as `held`.

        Direct copies are looked at; links whose copies have a journal to be replayed first are returned.
        """
        with_nodes = self.chosen.random() < 0.5
        engines = [(host, pid) for host in victims for pid in running(host.state, ENGINE)]
        nodes = [(host, pid) for host in victims for pid in running(host.state, NODE)]
        for host, pid in nodes:
            if with_nodes:
                host.kill(pid)
            else:
                held.enter_context(still(host.processes, [pid]))
        cuts = [(each, each.application.tick()) for each in struck]
        judged = [(each, cut) for each, cut in cuts if each.replicated]
        for host, pid in self.chosen.sample(engines, len(engines)):
            host.kill(pid)
        self.kills += len(engines) + len(nodes) * with_nodes
        self.looks += [Look(each, cut, each.read_copy()) for each, cut in judged if not each.journaled]
        return [(each, cut, each.starts()) for each, cut in judged if each.journaled]

    def _replay(self, victims: Sequence[Host], due: Sequence[_Due]) -> None:
        """The victims start again, fed by nobody. What a journal holds belongs to the image."""
        for host in victims:
            if not running(host.state, NODE):
                host.start()
        for each, cut, starts in due:
            wait_until(lambda each=each, than=starts: each.starts() > than, _CATCH_UP_S, what="a replay")  # type: ignore[misc]
            self.looks.append(Look(each, cut, each.read_copy()))


def _catch_up(struck: Sequence[Subject]) -> None:
    """Every link that was struck replicates on return, beside the load."""
    for each in struck:
        wait_until(lambda each=each: not each.replicated, _CATCH_UP_S, what="the kill to be noticed at a")  # type: ignore[misc]
        each.cluster.a.until(
            each.name,
            lambda seen, each=each: any(  # type: ignore[misc]
                link.name == each.peer and link.state == "replicating" for link in seen.links
            ),
            f"{each.name} to replicate to {each.peer}",
            _CATCH_UP_S,
        )
        each.watch()


def _judge(looks: Sequence[Look], frozen: Frozen) -> None:
    youngest: dict[str, int] = {}
    for look in looks:
        name = f"{look.subject.name}@{look.subject.peer}"
        newest = compare(look, frozen)
        frozen.distinct += newest > youngest.get(name, 0)
        youngest[name] = newest
        frozen.by_copy[name] = frozen.by_copy.get(name, 0) + 1
