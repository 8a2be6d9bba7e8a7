"""Copies that are frozen by kill -9 under load, and what their images must be (rules B1 and B3; C2).

At b every engine of every group is killed, at times together with its node, so that nothing there runs while
the images are read; writers at a never stop. Then b starts again, every link catches up beside the load, and
the next moment is drawn. Only images of links that replicated at the kill are judged: during a resync there
is none to judge, and the copy says so.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster import Cluster, clusters
from tests.fault.bench import ENGINE, NODE, Subject, running, subject
from tests.fault.prefixes import Look, Looks, compare
from tests.fault.still import still
from tests.order.steps import Steps
from tests.stamps import Ticks
from tests.waiting import wait_until

VOLUMES = {"wal": "2MiB", "tables": "2MiB", "index": "2MiB", "blobs": "2MiB"}
"""There are as many writers."""
KINDS: dict[str, dict[str, str | bool]] = {
    "at-once": {"mode": "sync"},
    "later": {"mode": "async"},
}
"""Groups by name, with the options of their links."""
_REST_S = 0.04
"""Between two steps of a writer, at most: b has to start and to catch up beside the load."""
_ONE_WAY_MS = 3
_MOST_BETWEEN = 400
_KILLS_A_LOAD = 5
"""After so many the writers stop, both sites have to be equal, and what was written may be forgotten."""
_CATCH_UP_S = 60.0


@dataclass(slots=True)
class Frozen(Looks):
    """What was looked at; `kills` counts processes."""

    kills: int = 0
    by_name: dict[str, int] = field(default_factory=dict)
    """Images of each group."""


@contextmanager
def far_sites(directory: Path) -> Iterator[Cluster]:
    """Two paired nodes some milliseconds apart, so that there is always something on its way."""
    with clusters(directory) as make:
        made = make()
        made.line.delay(_ONE_WAY_MS)
        yield made


def groups_of_four(cluster: Cluster) -> list[Subject]:
    """Every kind of copy, each a group of four volumes."""
    ticks = Ticks()
    return [subject(cluster, name, VOLUMES, ticks, **options) for name, options in KINDS.items()]


def freeze(cluster: Cluster, subjects: Sequence[Subject], *, kills: int, seed: int) -> Frozen:
    """Kills b so many times under load; every image that was found then has been judged on return."""
    frozen, chosen = Frozen(), random.Random(seed)
    for done in range(0, kills, _KILLS_A_LOAD):
        for each in subjects:
            each.watch()
        loads = [Steps(each.application, each.places, chosen.getrandbits(32), _REST_S) for each in subjects]
        looks: list[Look] = []
        for _ in range(min(_KILLS_A_LOAD, kills - done)):
            for load in loads:
                load.hurry.set()
            chosen.choice(loads).until_answered(chosen.randint(1, _MOST_BETWEEN))
            looks += _strike(cluster, subjects, chosen, frozen)
            for load in loads:
                load.hurry.clear()
            _catch_up(cluster, subjects)
        for load in loads:
            load.stop()
            frozen.answered += load.answered
        _judge(looks, frozen)
        for each in subjects:
            cluster.equal(each.name)
            each.application.settle(each.parse(each.read_b()))
    return frozen


def _strike(
    cluster: Cluster, subjects: Sequence[Subject], chosen: random.Random, frozen: Frozen
) -> list[Look]:
    """Kills b's engines at this moment and returns what they left."""
    b, with_node = cluster.b, chosen.random() < 0.5
    with ExitStack() as held:
        nodes, engines = running(b.state, NODE), running(b.state, ENGINE)
        if with_node:
            for pid in nodes:
                b.kill(pid)
        else:
            held.enter_context(still(cluster.processes, nodes))
        cuts = [each.application.tick() for each in subjects]
        steady = [each.replicated for each in subjects]
        for pid in chosen.sample(engines, len(engines)):
            b.kill(pid)
        frozen.kills += len(engines) + len(nodes) * with_node
        return [
            Look(each, cut, each.read_b())
            for each, cut, replicated in zip(subjects, cuts, steady, strict=True)
            if replicated
        ]


def _catch_up(cluster: Cluster, subjects: Sequence[Subject]) -> None:
    """b runs and every link replicates on return, beside the load."""
    if not running(cluster.b.state, NODE):
        cluster.b.start()
    for each in subjects:
        wait_until(lambda each=each: not each.replicated, _CATCH_UP_S, what="the kill to be noticed at a")  # type: ignore[misc]
        cluster.wait(each.name, "replicating", _CATCH_UP_S)
        each.watch()


def _judge(looks: Sequence[Look], frozen: Frozen) -> None:
    youngest: dict[str, int] = {}
    for look in looks:
        name = look.subject.name
        newest = compare(look, frozen)
        frozen.distinct += newest > youngest.get(name, 0)
        youngest[name] = newest
        frozen.by_name[name] = frozen.by_name.get(name, 0) + 1
