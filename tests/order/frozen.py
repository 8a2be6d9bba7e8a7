"""Copies that are frozen by kill -9 under load, and what their images must be (rules B1 and B3; C2).

At b every engine of every group is killed, at times together with its node, so that nothing there runs while
the images are read; writers at a never stop. Then b starts again, every link catches up beside the load, and
the next moment is drawn. Only images of links that replicated at the kill are judged: during a resync there
is none to judge, and the copy says so.
"""

import random
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from tests.cluster import Cluster
from tests.fault.bench import ENGINE, NODE, Subject, running, subject
from tests.fault.load import Habits
from tests.fault.prefixes import Look, Looks, compare
from tests.fault.still import still
from tests.stamps import Ticks
from tests.waiting import wait_until

VOLUMES = {"wal": "2MiB", "tables": "2MiB", "index": "2MiB", "blobs": "2MiB"}
"""A writer with a connection of its own for each."""
KINDS: dict[str, dict[str, str | bool]] = {
    "at-once": {"mode": "sync"},
    "later": {"mode": "async"},
}
"""Groups by name, with the options of their links."""
_DEPTHS = (1, 2, 8)
"""Requests under way on a connection. The fewer, the more of the order is known outside."""
_REST_S = 0.01
"""Between two requests of a writer, at most: b has to start and to catch up beside the load."""
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


def groups_of_four(cluster: Cluster) -> list[Subject]:
    """Every kind of copy, each a group of four volumes."""
    ticks = Ticks()
    return [subject(cluster, name, VOLUMES, ticks, **options) for name, options in KINDS.items()]


def freeze(cluster: Cluster, subjects: Sequence[Subject], *, kills: int, seed: int) -> Frozen:
    """Kills b so many times under load; every image that was found then has been judged on return."""
    frozen, chosen = Frozen(), random.Random(seed)
    for done in range(0, kills, _KILLS_A_LOAD):
        for each in subjects:
            each.begin_with(Habits(chosen.getrandbits(32), 1, chosen.choice(_DEPTHS), _REST_S))
        looks: list[Look] = []
        for _ in range(min(_KILLS_A_LOAD, kills - done)):
            looks += _strike(cluster, subjects, chosen, frozen)
        for each in subjects:
            each.under_load.stop()
            frozen.answered += each.under_load.answered
        _judge(looks, frozen)
        for each in subjects:
            cluster.equal(each.name)
            each.application.settle(each.parse(each.read_b()))
    return frozen


def _strike(
    cluster: Cluster, subjects: Sequence[Subject], chosen: random.Random, frozen: Frozen
) -> list[Look]:
    """Kills b's engines at a moment and returns what they left; everything replicates again on return."""
    b = cluster.b
    for each in subjects:
        each.under_load.hurry.set()
    chosen.choice(subjects).under_load.until_answered(chosen.randint(1, _MOST_BETWEEN))
    with_node = chosen.random() < 0.5
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
        looks = [
            Look(each, cut, each.read_b())
            for each, cut, replicated in zip(subjects, cuts, steady, strict=True)
            if replicated
        ]
        for each in subjects:
            each.under_load.hurry.clear()
    if with_node:
        b.start()
    for each in subjects:
        wait_until(lambda each=each: not each.replicated, _CATCH_UP_S, what="the kill to be noticed at a")  # type: ignore[misc]
        cluster.wait(each.name, "replicating", _CATCH_UP_S)
        each.watch()
    return looks


def _judge(looks: Sequence[Look], frozen: Frozen) -> None:
    youngest: dict[str, int] = {}
    for look in looks:
        name = look.subject.name
        newest = compare(look, frozen)
        frozen.distinct += newest > youngest.get(name, 0)
        youngest[name] = newest
        frozen.by_name[name] = frozen.by_name.get(name, 0) + 1
