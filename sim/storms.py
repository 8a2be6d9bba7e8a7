"""Small storms: runs of one link in which only some kinds of faults strike, in quick succession.

A run of all faults (`sim.options.drawn`) meets a given order of events once in many seeds. A storm of
the faults that lead there, on a link with the options that it takes, meets it once in a few, and each
costs a fraction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any, Final

from farshore.core.geometry import Geometry
from farshore.model.options import AckLevel, Apply, LinkOptions, LinkSpec, Mode, OnOutage
from sim.app import Habits
from sim.cluster import Cluster
from sim.options import Hop, Options, drawn

_KIB: Final = 1 << 10
_SIZES: Final = {1: 64 * _KIB}
_PLAIN: Final[dict[str, Any]] = {
    "mode": Mode.SYNC,
    "ack": AckLevel.APPLIED,
    "on_outage": OnOutage.CONTINUE,
    "apply": Apply.DIRECT,
    "queue_disk": 0,
    "queue_memory": 256 * _KIB,
}
DEATHS: Final = "kill crash crash_all doom"


def storm(
    faults: str, *, cuts: bool = False, layers: bool = False, snapshots: bool = False, **how: Any
) -> Callable[[int], Cluster]:
    """Makes the run of a seed. `faults`: names of methods of `sim.faults.Faults`; `cuts`: somebody asks for
    cuts; `layers`: and for layers of the primary; `snapshots`: most cuts ask for one; `how`: `ignored`,
    changes of the volume are not logged in an outage, and options of the link."""
    plain = _options(faults, cuts=cuts or snapshots, **how)

    def options(seed: int) -> Options:
        return replace(plain(seed), layers=layers, snapshots=0.8 if snapshots else 0.0)

    return lambda seed: Cluster(options(seed))


def chained_storm(faults: str, **hop: Any) -> Callable[[int], Cluster]:
    """The same with a second copy behind the first one; `hop`: options of the link between the two."""
    options = _options(faults, mode=Mode.ASYNC)

    def chained(seed: int) -> Options:
        life = options(seed)
        spec = LinkSpec(Random(f"hop {seed}").randbytes(16), "hop0", "1" * 64, LinkOptions(**hop))
        return replace(life, hops=(Hop(life.links[0].id, spec),))

    return lambda seed: Cluster(chained(seed))


def _options(
    faults: str, *, ignored: bool = False, cuts: bool = False, **link: Any
) -> Callable[[int], Options]:
    def options(seed: int) -> Options:
        life = drawn(seed)
        spec = replace(life.links[0], options=replace(life.links[0].options, **(_PLAIN | link)))
        return replace(
            life,
            geometry=Geometry(_SIZES, region=4 * _KIB, extent=16 * _KIB),
            links=(spec,),
            hot_capacity=3,
            reserve=20,
            on_start="alone",
            habits=Habits(_SIZES, connections=3, depth=3, pause=0.2, hot=0.5),
            writes=100,
            faults=10,
            ignored=frozenset(_SIZES) if ignored else frozenset(),
            cuts=cuts,
            layers=False,
            tampering=False,
            only=frozenset(faults.split()),
            between=1.0,
            hops=(),
        )

    return options
