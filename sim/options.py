"""What a run is like: drawn from its seed, small enough that everything happens all the time.

Volumes are tiny, extents few and the activity log too short for them, queues overflow, clocks are
quick: what takes an hour on a real line takes seconds here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

from farshore.core.geometry import Geometry
from farshore.core.journaling import JournalLimits
from farshore.model.options import (
    AckLevel,
    Apply,
    LinkOptions,
    LinkSpec,
    Mode,
    OnFull,
    OnOutage,
    ResyncKind,
    Timing,
)
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
class Hop:
    """A link of a secondary."""

    via: bytes
    """The link, or hop, whose peer it starts from."""
    spec: LinkSpec
    late: bool = False
    """It is made while everything runs."""


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
    journals: JournalLimits = field(default_factory=JournalLimits)
    cuts: bool = False
    """Somebody asks for a cut every now and then."""
    layers: bool = False
    """Somebody takes a snapshot of the primary every now and then, and gives one up."""
    snapshots: float = 0.0
    """How many of the cuts ask for a snapshot."""
    tampering: bool = False
    """One of the faults rolls back or wipes a peer."""
    hops: tuple[Hop, ...] = ()
    """Each one behind the link, or the hop, that leads to it."""
    only: frozenset[str] = frozenset()
    """The faults that strike, by the names of their methods; all of them when it is empty."""
    between: float = 1.5
    """The longest time from one fault to the next, in seconds."""


def drawn(seed: int) -> Options:
    """The options of a seed."""
    random = Random(f"options {seed}")
    sizes = {
        volume + 1: random.choice((64, 128, 192, 256, 250)) * _KIB
        for volume in range(random.choice((1, 1, 2)))
    }
    extent = random.choice((16, 32, 64)) * _KIB
    links = tuple(_link(random, number) for number in range(random.choice((1, 1, 1, 2))))
    links = _journaled(seed, links + _more_links(seed, len(links)))
    habits = Habits(
        sizes=sizes,
        connections=random.randint(2, 4),
        depth=random.randint(1, 4),
        pause=random.choice((0.2, 0.4, 0.8)),
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
        cuts=Random(f"cuts {seed}").random() < 0.25,
        layers=Random(f"layers {seed}").random() < 0.3,
        snapshots=Random(f"snapshots {seed}").choice((0.0, 0.5)),
        journals=_journals(seed),
        tampering=random.random() < 0.1,
        hops=_hops(seed, links),
    )


def _more_links(seed: int, number: int) -> tuple[LinkSpec, ...]:
    """One to many, with each its own mode, queue and faults; drawn by itself, as what follows."""
    random = Random(f"more links {seed}")
    return tuple(_link(random, number + more) for more in range(random.choice((0,) * 9 + (1, 2))))


def _journaled(seed: int, links: tuple[LinkSpec, ...]) -> tuple[LinkSpec, ...]:
    """How each peer applies frames."""
    random = Random(f"journaled {seed}")
    return tuple(
        replace(link, options=replace(link.options, apply=random.choice(list(Apply)))) for link in links
    )


def _journals(seed: int) -> JournalLimits:
    """Bounds that are reached all the time."""
    random = Random(f"journals {seed}")
    return JournalLimits(
        sync=random.choice((1, 4, 24)) * _KIB,
        waiting=random.choice((8, 24, 96)) * _KIB,
        mark=random.choice((8, 24, 96)) * _KIB,
        size=random.choice((16, 48, 256)) * _KIB,
        mark_every=random.choice((0.3, 1.5)),
        retry_every=0.3,
    )


def _ignored(seed: int, sizes: dict[int, int]) -> frozenset[int]:
    """Drawn by itself, so that the rest of a seed's options is what it was."""
    random = Random(f"ignored {seed}")
    if random.random() >= 0.25:
        return frozenset()
    return frozenset(volume for volume in sizes if random.random() < 0.7)


def chained(seed: int) -> Options:
    """The options of a seed, with a chain in any case."""
    options = drawn(seed)
    if options.hops:
        return options
    return replace(options, hops=_chain(Random(f"chain {seed}"), options.links))


def _hops(seed: int, links: tuple[LinkSpec, ...]) -> tuple[Hop, ...]:
    """Chains, in a part of the seeds; drawn by itself, so that all other options are what they were."""
    random = Random(f"hops {seed}")
    return _chain(random, links) if random.random() < 0.2 else ()


def _chain(random: Random, links: tuple[LinkSpec, ...]) -> tuple[Hop, ...]:
    """One hop, two beside each other, or one behind the other."""
    first = Hop(random.choice(links).id, _hop(random, 0))
    shape = random.choice(("one", "one", "one", "beside", "behind"))
    second = Hop(first.spec.id if shape == "behind" else first.via, _hop(random, 1))
    hops = (first,) if shape == "one" else (first, second)
    return tuple([replace(hop, late=random.random() < 0.3) for hop in hops])


def _hop(random: Random, number: int) -> LinkSpec:
    link = _link(random, number)
    options = replace(
        link.options,
        mode=Mode.ASYNC,
        on_outage=OnOutage.CONTINUE,
        apply=random.choice(list(Apply)),
        queue_disk=random.choice((0, 16, 64, 64, 512)) * _KIB,
    )
    return replace(link, name=f"hop{number}", options=options)


def _queue_disk(name: bytes) -> tuple[int, OnFull]:
    """Drawn by itself, so that the rest of a seed's options is what it was."""
    random = Random(b"queue " + name)
    disk = random.choice((0, 0, 16, 64, 512)) * _KIB
    return disk, OnFull.BLOCK if disk and random.random() < 0.2 else OnFull.LOG


def _verify_every(link: bytes) -> float:
    """Drawn by itself, so that the rest of a seed's options is what it was."""
    return Random(b"verify " + link).choice((0.0, 0.0, 0.3, 2.0))


def _link(random: Random, number: int) -> LinkSpec:
    mode = random.choice((Mode.SYNC, Mode.SYNC, Mode.ASYNC))
    options = LinkOptions(
        mode=mode,
        ack=random.choice((AckLevel.RECEIVED, AckLevel.APPLIED, AckLevel.APPLIED, AckLevel.DURABLE)),
        on_outage=OnOutage.FREEZE if random.random() < 0.25 else OnOutage.CONTINUE,
        queue_memory=random.choice((12, 48, 256)) * _KIB,
        first=random.choice((ResyncKind.FULL, ResyncKind.FULL, ResyncKind.DIGEST)),
    )
    link = random.randbytes(16)
    queue_disk, on_full = _queue_disk(link)
    return LinkSpec(
        id=link,
        name=f"link{number}",
        peer=f"{number:064x}",
        options=replace(options, queue_disk=queue_disk, on_full=on_full, verify_every=_verify_every(link)),
    )
