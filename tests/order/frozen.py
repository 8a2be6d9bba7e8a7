"""Copies that are frozen by kill -9 under load, and what their images must be (rules B1 to B3; C2).

At b, at c or at both every engine is killed, at times together with its node, so that nothing runs there
while the images are read; writers at a never stop. Then what was killed starts again, its links catch up
beside the load, and the next moment is drawn. Only images of links that replicated at the kill are judged:
during a resync there is none to judge, and the copy says so. Links to a peer that lives must not notice.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster import Cluster, Host, clusters
from tests.fault.bench import ENGINE, NODE, Subject, linked, running, subject
from tests.fault.prefixes import Look, Looks, compare
from tests.fault.still import still
from tests.network.line import Line
from tests.order.steps import Steps
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


@dataclass(slots=True)
class Frozen(Looks):
    """What was looked at; `kills` counts processes."""

    kills: int = 0
    by_copy: dict[str, int] = field(default_factory=dict)
    """Images of each copy, named GROUP@PEER."""


@contextmanager
def far_sites(directory: Path) -> Iterator[Cluster]:
    """Nodes a, b and c; b is near a, c is far away, so that something is always on its way."""
    with clusters(directory) as make:
        made = make(("a", "b", "c"))
        with Line(made.hosts["c"].listen) as line_to_c:
            made.a.done("node", "set", "c", f"address={line_to_c.address}")
            made.line.delay(_NEAR_MS)
            line_to_c.delay(_FAR_MS)
            yield made


def groups_of_four(cluster: Cluster) -> list[list[Subject]]:
    """The groups, each as the list of its links."""
    ticks, groups = Ticks(), []
    for name, peers in GROUPS.items():
        links: list[Subject] = []
        for peer, options in peers.items():
            if links:
                links.append(linked(cluster, name, links[0].application, cluster.hosts[peer], **options))
            else:
                links.append(subject(cluster, name, VOLUMES, ticks, **options))
        groups.append(links)
    return groups


def freeze(cluster: Cluster, groups: Sequence[Sequence[Subject]], *, kills: int, seed: int) -> Frozen:
    """Kills so many times under load; every image that was found then has been judged on return."""
    frozen, chosen = Frozen(), random.Random(seed)
    every = [link for links in groups for link in links]
    peers = sorted({link.peer for link in every})
    for done in range(0, kills, _KILLS_A_LOAD):
        for each in every:
            each.watch()
        firsts = [links[0] for links in groups]
        loads = [Steps(each.application, each.places, chosen.getrandbits(32), _REST_S) for each in firsts]
        looks: list[Look] = []
        for _ in range(min(_KILLS_A_LOAD, kills - done)):
            victims = [cluster.hosts[name] for name in chosen.choice([peers, *([peer] for peer in peers)])]
            for load in loads:
                load.hurry.set()
            chosen.choice(loads).until_answered(chosen.randint(1, _MOST_BETWEEN))
            looks += _strike(victims, every, chosen, frozen)
            for load in loads:
                load.hurry.clear()
            _catch_up(victims, every)
        for load in loads:
            load.stop()
            frozen.answered += load.answered
        _judge(looks, frozen)
        for each in every:
            cluster.equal(each.name, cluster.hosts[each.peer])
        for each in firsts:
            each.application.settle(each.parse(each.read_copy()))
    return frozen


def _strike(
    victims: Sequence[Host], every: Sequence[Subject], chosen: random.Random, frozen: Frozen
) -> list[Look]:
    """Kills the victims' engines at this moment and returns what they left.

    What a journal holds belongs to the image: copies that have one are looked at when their engines have come
    up again, while a stands still and feeds nobody.
    """
    names, with_nodes = {host.name for host in victims}, chosen.random() < 0.5
    struck = [each for each in every if each.peer in names]
    with ExitStack() as fed, ExitStack() as held:
        engines = [(host, pid) for host in victims for pid in running(host.state, ENGINE)]
        nodes = [(host, pid) for host in victims for pid in running(host.state, NODE)]
        for host, pid in nodes:
            if with_nodes:
                host.kill(pid)
            else:
                held.enter_context(still(host.processes, [pid]))
        cuts = [each.application.tick() for each in struck]
        steady = [each.replicated for each in struck]
        for host, pid in chosen.sample(engines, len(engines)):
            host.kill(pid)
        frozen.kills += len(engines) + len(nodes) * with_nodes
        judged = [
            (each, cut) for each, cut, replicated in zip(struck, cuts, steady, strict=True) if replicated
        ]
        looks = [Look(each, cut, each.read_copy()) for each, cut in judged if not each.journaled]
        journaled = [(each, cut, each.starts()) for each, cut in judged if each.journaled]
        if journaled:
            a = journaled[0][0].cluster.a
            fed.enter_context(still(a.processes, running(a.state, ENGINE)))
            held.close()
            _start(victims)
        for each, cut, starts in journaled:
            wait_until(lambda each=each, than=starts: each.starts() > than, _CATCH_UP_S, what="a replay")  # type: ignore[misc]
            looks.append(Look(each, cut, each.read_copy()))
        return looks


def _start(victims: Sequence[Host]) -> None:
    for host in victims:
        if not running(host.state, NODE):
            host.start()


def _catch_up(victims: Sequence[Host], every: Sequence[Subject]) -> None:
    """The victims run and every link replicates on return, beside the load."""
    _start(victims)
    names = {host.name for host in victims}
    for each in every:
        if each.peer not in names:
            assert each.replicated, f"{each.name}: the link to {each.peer} stopped although nobody died there"
            continue
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
