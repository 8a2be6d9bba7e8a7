"""Crash points: one small life without any other fault, and one death at a chosen durable step.

Every step that makes something durable, from the first start on, is a place where the process or its
machine may die: before it, in the middle of it, or after it with nobody told. Afterwards everything
has to mend by itself, as in any other run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from farshore.core.geometry import Geometry
from farshore.model.options import Apply, LinkOptions, LinkSpec, Mode
from sim.app import Habits
from sim.cluster import Cluster, Report
from sim.options import Hop, Options, drawn
from sim.steps import Doom, Phase

_SIZES = {1: 64 << 10}
_WRITES = 28
"""The time for a death at each step of each life grows with the square of this."""


@dataclass(frozen=True, slots=True)
class Point:
    """The `step`-th durable step of one site's first process."""

    site: int
    """0 is the primary, 1 its peer, 2 the copy behind that, if there is one."""
    step: int
    phase: Phase
    machine: bool


def small_life(seed: int) -> Options:
    """A first copy, a few writes with everything in them, cooling extents, a clean stop and start."""
    apply = Apply.DIRECT if seed % 2 else Apply.JOURNAL
    options = LinkOptions(mode=Mode.SYNC, apply=apply)
    link = LinkSpec(Random(f"link {seed}").randbytes(16), "link0", "0" * 64, options)
    return replace(
        drawn(seed),
        geometry=Geometry(_SIZES, region=4 << 10, extent=16 << 10),
        links=(link,),
        hot_capacity=3,
        reserve=20,
        on_start="wait",
        habits=Habits(_SIZES, connections=2, depth=3, pause=0.05, hot=0.3),
        slow_line=0.002,
        slow_disk=0.002,
        prefilled=True,
        writes=_WRITES,
        faults=0,
        tampering=False,
        hops=(),
    )


def small_chain(seed: int) -> Options:
    """The same, with a copy behind the peer."""
    life = small_life(seed)
    apply = Apply.JOURNAL if seed % 2 else Apply.DIRECT
    queue = 0 if seed % 3 == 0 else 1 << 20
    options = LinkOptions(apply=apply, queue_disk=queue)
    hop = LinkSpec(Random(f"hop {seed}").randbytes(16), "hop0", "1" * 64, options)
    return replace(life, hops=(Hop(life.links[0].id, hop),))


def run_point(life: Options, point: Point) -> Report | None:
    """A whole life with this death in it; None when it has no so-manieth step. Raises BrokenRule."""
    cluster = Cluster(life)
    doom = cluster.sites[point.site].next_doom = Doom("", point.step, point.phase, point.machine)
    report = cluster.run()
    return report if doom.countdown <= 0 else None
