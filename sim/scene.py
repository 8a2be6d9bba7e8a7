"""Directed runs: a small life in which chosen things happen at chosen moments, and a seed all the rest.

A scene replaces the storm of a run by a script that acts on what it sees. How long lines and disks take
is drawn as in any run, so the script meets its moment a little differently with each seed. What a scene
has to survive is what any run has to: no rule broken, and everything mends by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from farshore.core.feeder import Feeder
from farshore.core.geometry import Geometry
from farshore.model.options import Apply, LinkState
from sim.app import Request
from sim.cluster import Cluster
from sim.options import Options
from sim.oracle import Follower
from sim.points import small_life
from sim.secondary_site import SecondarySite
from sim.site import STATE
from sim.volume import DIRECTORY

REGION = 4 << 10
REGIONS = 16
EXTENTS = [range(first, first + 4) for first in range(0, REGIONS, 4)]
"""The regions of each."""
_PATIENCE = 30.0
_STEPS_BETWEEN_CHECKS = 40


class MomentMissedError(Exception):
    """What a script waits for did not come: nothing about the rules follows from it."""


class Scene(Cluster):
    """One primary, one secondary in step with it by a sync link, and an application that writes when told."""

    def __init__(self, options: Options, script: Callable[[Scene], None]) -> None:
        super().__init__(options)
        self.link = options.links[0].id
        self.app.stop()
        self._script = script

    @property
    def peer(self) -> SecondarySite:
        """The secondary."""
        return self.secondaries[self.link]

    @property
    def follower(self) -> Follower:
        """What the oracle knows of it."""
        return self.oracle.followers[self.link]

    @property
    def feeder(self) -> Feeder:
        """The primary's end of the link."""
        return self.primary.core.feeders[self.link]

    def storm(self) -> None:
        """The script, from when both sites are in step."""
        self.in_step()
        self._script(self)

    def until(self, condition: Callable[[], object]) -> None:
        """Looks after every single event. Raises MomentMissedError."""
        deadline = self.world.now + _PATIENCE
        while not condition():
            if not self.world.step() or self.world.now > deadline:
                raise MomentMissedError(f"seed {self.options.seed}: {self.why() or 'nothing is amiss'}")
            if self.world.steps % _STEPS_BETWEEN_CHECKS == 0:
                self.oracle.check()

    def let_pass(self, seconds: float) -> None:
        """Time, and whatever happens in it."""
        later = self.world.now + seconds
        self.until(lambda: self.world.now >= later)

    def in_step(self) -> None:
        """Until every site runs and nothing is dirty; a peer that was tampered with may have diverged."""
        self.pass_time(lambda: self.settled, self.options.calm, "convergence")

    def write(self, count: int = 4, among: Sequence[int] = range(REGIONS)) -> None:
        """One write into each of some regions. They need not have been answered on return."""
        for region in self.world.random.sample(among, count):
            self.app.write(1, region * REGION, 512 * self.world.random.randint(1, 8))

    def answered(self) -> None:
        """Until nothing is in flight, or nobody is there to answer."""
        self.until(lambda: self.app.idle)

    def written(self, count: int = 4, among: Sequence[int] = range(REGIONS)) -> None:
        """`write`, and all is answered."""
        self.write(count, among)
        self.answered()

    def flush(self) -> Request:
        """A flush, when it was answered or can no longer be."""
        request = self.app.flush()
        self.answered()
        return request

    def set_link(self, **options: Any) -> None:
        """The operator's `link set`."""
        (old,) = self.primary.plan.links
        new = replace(old, options=replace(old.options, **options))
        self.change(new)
        self.primary.plan = replace(self.primary.plan, links=(new,))

    def cut(self) -> None:
        """The line breaks, and the primary has noticed."""
        self.net.cut(self.link)
        self.until(lambda: self.feeder.state is LinkState.LOGGING)

    def written_apart(self, count: int) -> None:
        """Writes that the peer lacks, and that were answered."""
        self.cut()
        self.written(count)

    def resyncing(self) -> None:
        """The line is back; until a resync has settled something of what is marked now, or was too quick."""
        marked = self.feeder.board.dirty.count()
        self.net.heal(self.link)
        self.until(lambda: self.feeder.state is LinkState.RESYNCING)
        self.write(2)  # whose acknowledgement says how much of the resync is durable
        self.until(
            lambda: self.feeder.state is not LinkState.RESYNCING or self.feeder.board.dirty.count() < marked
        )

    def back_up(self) -> dict[str, bytes | None]:
        """The peer's state and volumes."""
        return self.peer.disk.copy_of(STATE) | self.peer.disk.copy_of(DIRECTORY)

    def roll_back(self, backup: dict[str, bytes | None]) -> None:
        """The peer's machine comes back as it was then."""
        self.follower.tampered = True
        self.peer.preserve.moments.clear()
        self.peer.die(True)
        for directory in (STATE, DIRECTORY):
            kept = {name: data for name, data in backup.items() if name.startswith(f"{directory}/")}
            self.peer.disk.restore(directory, kept)


Script = Callable[[Scene], None]


def directed(script: Script, **link: Any) -> Callable[[int], Scene]:
    """Makes the run of a seed; `link`: options in which the link is not as by default."""

    def make(seed: int) -> Scene:
        life = small_life(seed)
        options = replace(life.links[0].options, **({"apply": Apply.DIRECT} | link))
        geometry = Geometry({1: REGIONS * REGION}, region=REGION, extent=4 * REGION)
        links = (replace(life.links[0], options=options),)
        return Scene(replace(life, links=links, geometry=geometry, cuts=False), script)

    return make
