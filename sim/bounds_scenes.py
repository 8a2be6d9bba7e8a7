"""Directed runs about bounds, and about resyncs beside a load (rules E4, F1; see `sim.scene`)."""

from __future__ import annotations

from farshore.model.options import LinkState
from sim.net import WINDOW
from sim.scene import REGION, REGIONS, Scene
from sim.world import BrokenRule

_ROUNDS = 3
_WRITES = 60
_NARROW = 2 << 10
"""Bytes that the line takes: the rest waits at the primary."""
_QUICK = 0.005
"""The longest ordinary delay of a line that carries any load."""
_ENOUGH = 3.0
"""Seconds in which a resync of a few regions has ended, whatever is written meanwhile."""
_UNDER_WAY = 6
_APART = 0.0012
"""Seconds between two writes, so that each goes by itself."""
_AT_ONCE = 0.3
"""Seconds in which a write that waits for nobody is answered."""


def _load(scene: Scene, count: int) -> None:
    """Writes of a whole region each, one after the other."""
    for number in range(count):
        scene.app.write(1, number % REGIONS * REGION, REGION)
        scene.answered()
        scene.oracle.check()


def a_line_stands_still_under_load(scene: Scene) -> None:
    """What waits for a slow line is bounded (F1)."""
    scene.net.window = _NARROW
    for _ in range(_ROUNDS):
        scene.net.hold(scene.link, 0.5)
        _load(scene, _WRITES)
        scene.in_step()


def a_line_is_gone_for_longer_than_its_queue_lasts(scene: Scene) -> None:
    """What waits on disk for a peer that is lost is bounded (F1)."""
    for _ in range(_ROUNDS):
        scene.net.cut(scene.link)
        scene.until(lambda: scene.feeder.state is not LinkState.REPLICATING)
        _load(scene, _WRITES)
        scene.net.heal(scene.link)
        scene.in_step()


def _written_for_ever(scene: Scene, *, until: float) -> None:
    """Writes to the first region, always some of them under way, until the resync has ended."""
    while scene.feeder.state is LinkState.RESYNCING:
        if len(scene.app.in_flight[0]) < _UNDER_WAY:
            scene.write(1, [0])
        scene.let_pass(_APART)
        if scene.world.now > until:
            raise BrokenRule("E4", "a region that is written all the time keeps a resync from its end")


def one_region_is_written_all_the_time(scene: Scene) -> None:
    """A resync ends beside a load that never leaves a region alone and that the line carries (E4)."""
    scene.net.window, scene.net.slow = WINDOW, _QUICK
    for _ in range(_ROUNDS):
        scene.cut()
        scene.write(4, range(1, REGIONS))
        scene.written(1, [0])
        scene.primary.steps.slowest = 0.02
        scene.net.heal(scene.link)
        scene.until(lambda: scene.feeder.state is LinkState.RESYNCING)
        _written_for_ever(scene, until=scene.world.now + _ENOUGH)
        scene.primary.steps.slowest = scene.options.slow_disk
        scene.in_step()


def a_queue_overflows_in_a_resync(scene: Scene) -> None:
    """Order comes back although the queue was full in the middle of a resync (E4)."""
    scene.net.window = _NARROW
    for _ in range(_ROUNDS):
        scene.written_apart(12)
        scene.net.heal(scene.link)
        scene.until(lambda: scene.feeder.state is LinkState.RESYNCING)
        scene.net.hold(scene.link, 0.5)
        _load(scene, _WRITES)
        scene.in_step()


def a_line_is_late_when_a_resync_ends(scene: Scene) -> None:
    """A resync does not make an async link wait for its peer (E4)."""
    for _ in range(_ROUNDS):
        scene.written_apart(8)
        scene.net.heal(scene.link)
        scene.until(lambda: scene.feeder.filling is not None and scene.feeder.filling.cursor.ending)
        scene.net.hold(scene.link, 0.8)
        scene.write(1)
        scene.let_pass(_AT_ONCE)
        if not scene.app.idle:
            raise BrokenRule("E4", "a write beside the resync of an async link waits for its peer")
        scene.in_step()
