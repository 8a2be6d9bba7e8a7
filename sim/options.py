"""What a run is like: drawn from its seed, small enough that everything happens all the time.

Volumes are tiny, extents few and the activity log too short for them, queues overflow, clocks are
quick: what takes an hour on a real line takes seconds here.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from farshore.core.geometry import Geometry
from farshore.model.options import AckLevel, LinkOptions, LinkSpec, Mode, OnOutage, ResyncKind, Timing
from sim.app import Habits

_KIB: Final = 1 << 10
TIMING: Final = Timing(
    beat=0.2,
    limit=1.0,
    first_retry=0.05,
    last_retry=0.5,
    durable_every=0.3,
    start_grace=1.0,
)


@dataclass(frozen=True, slots=True)
class Options:
    """Everything that a run does not decide on its way."""

    seed: int
    geometry: Geometry
    links: tuple[LinkSpec, ...]
    hot_capacity: int
    reserve: int
    on_start: str
    habits: Habits
    slow_line: float
    """The longest ordinary delay of a line, in seconds."""
    window: int
    """Bytes that a line takes before they are read at its end."""
    slow_disk: float
    """The longest ordinary durable step, in seconds."""
    prefilled: bool
    """The primary's volumes hold something before the first copy."""
    writes: int = 220
    """The run goes on until the application has sent so many changes."""
    faults: int = 12
    """And until so many faults were injected."""
    calm: float = 60.0
    """Seconds within which everything has to converge once the faults stop."""
    ignored: frozenset[int] = frozenset()
    """Volumes whose changes are not logged in an outage (rule A6)."""
    tampering: bool = False
    """One of the faults rolls back or wipes a peer."""


def drawn(seed: int) -> Options:
    """The options of a seed."""
    random = Random(f"options {seed}")
    sizes = {
        volume + 1: random.choice((64, 128, 192, 256, 250)) * _KIB
        for volume in range(random.choice((1, 1, 2)))
    }
    extent = random.choice((16, 32, 64)) * _KIB
    links = tuple(_link(random, number) for number in range(random.choice((1, 1, 1, 2))))
    habits = Habits(
        sizes=sizes,
        connections=random.randint(2, 4),
        depth=random.randint(1, 4),
        pause=random.choice((0.5, 1.0, 2.0)),
        hot=random.choice((0.2, 0.5, 0.8)),
    )
    return Options(
        seed=seed,
        geometry=Geometry(sizes, region=4 * _KIB, extent=extent),
        links=links,
        hot_capacity=random.choice((3, 4, 5, 8)),
        reserve=random.choice((50, 100, 1000)),
        on_start=random.choice(("wait", "wait", "alone")),
        habits=habits,
        slow_line=random.choice((0.001, 0.005, 0.02, 0.08)),
        window=random.choice((2, 8, 192)) * _KIB,
        slow_disk=random.choice((0.0005, 0.004, 0.02)),
        prefilled=random.random() < 0.7,
        ignored=_ignored(seed, sizes),
        tampering=random.random() < 0.1,
    )


def _ignored(seed: int, sizes: dict[int, int]) -> frozenset[int]:
    """Drawn by itself, so that the rest of a seed's options is what it was."""
    random = Random(f"ignored {seed}")
    return frozenset(volume for volume in sizes if random.random() < 0.35)


def _link(random: Random, number: int) -> LinkSpec:
    mode = random.choice((Mode.SYNC, Mode.SYNC, Mode.ASYNC))
    options = LinkOptions(
        mode=mode,
        ack=random.choice((AckLevel.RECEIVED, AckLevel.APPLIED, AckLevel.APPLIED, AckLevel.DURABLE)),
        on_outage=OnOutage.FREEZE if random.random() < 0.25 else OnOutage.CONTINUE,
        queue_memory=random.choice((12, 48, 256)) * _KIB,
        first=random.choice((ResyncKind.FULL, ResyncKind.FULL, ResyncKind.DIGEST)),
    )
    return LinkSpec(
        id=random.randbytes(16),
        name=f"link{number}",
        peer=f"{number:064x}",
        options=options,
    )
