"""Durable steps: every act after which something is on a disk, and every place to die around it.

A process begins steps in lanes, one for each kind and target. Within a lane steps end in order, one
at a time; between lanes anything may overtake. Each step takes effect at one moment of its time and
is reported at a later one. A death finds steps that have not happened, that happened in part, and
that happened without anybody having been told; a `Doom` puts a death exactly there (R2 of the
project's targets: before, torn, after).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sim.disk import Died, Disk
from sim.world import Life, World

_TORN_WITHIN: Final = 3
"""A torn step dies within so many operations of the disk."""


class Phase(StrEnum):
    """Where in a step a death falls."""

    BEFORE = "before"
    TORN = "torn"
    AFTER = "after"


@dataclass(slots=True)
class Doom:
    """A death that waits for a step: the `countdown`-th of lane `lane` (any lane when empty)."""

    lane: str
    countdown: int
    phase: Phase
    machine: bool
    """The whole machine dies, not only the process."""


@dataclass(slots=True)
class Step:
    """Something durable to be done. `prepare` runs when its lane reaches it, `run` when it happens."""

    run: Callable[[], None]
    report: Callable[[int], None]
    prepare: Callable[[], None] | None = None
    done: bool = False


class Steps:
    """All lanes of one process. `die(machine)` ends that process or its machine at once."""

    def __init__(self, world: World, life: Life, disk: Disk, die: Callable[[bool], None]) -> None:
        self.world = world
        self.life = life
        self.disk = disk
        self.slowest = 0.004
        """The longest ordinary step, in seconds."""
        self.doom: Doom | None = None
        self.count = 0
        """Steps so far that took effect, or were to."""
        self._die = die
        self._lanes: dict[str, deque[Step]] = {}

    def begin(self, lane: str, step: Step) -> None:
        """Queues a step in its lane."""
        queue = self._lanes.setdefault(lane, deque())
        queue.append(step)
        if len(queue) == 1:
            self._schedule(lane)

    def idle(self, lane: str) -> bool:
        """True when nothing is under way in a lane."""
        return not self._lanes.get(lane)

    def _schedule(self, lane: str) -> None:
        step = self._lanes[lane][0]
        if step.prepare is not None:
            step.prepare()
        self.world.after(self.world.between(0.00002, self.slowest), self.life, self._happen, lane)

    def _happen(self, lane: str) -> None:
        step = self._lanes[lane][0]
        errno = self.carry_out(lane, step)
        if self.life.alive:
            rest = 0.0 if self.world.chance(0.5) else self.world.between(0.0, self.slowest)
            self.world.after(rest, self.life, self._end, lane, errno)

    def _end(self, lane: str, errno: int) -> None:
        queue = self._lanes[lane]
        step = queue.popleft()
        if queue:
            self._schedule(lane)
        step.report(errno)

    def carry_out(self, lane: str, step: Step) -> int:
        """Lets a step take effect now, and returns its errno; the process may not outlive this."""
        self.count += 1
        doom = self.doom
        if doom is not None and doom.lane in ("", lane, lane.partition(":")[0]):
            doom.countdown -= 1
            if doom.countdown <= 0:
                self.doom = None
                self._meet(doom, lane, step)
                return 0
        step.done = True
        return self._run(step)

    def _meet(self, doom: Doom, lane: str, step: Step) -> None:
        self.world.reach(f"death {doom.phase} {lane.partition(':')[0]}")
        step.done = True
        if doom.phase is Phase.TORN:
            self._tear(step)
        elif doom.phase is Phase.AFTER:
            self._run(step)
        self._die(doom.machine)

    def _run(self, step: Step) -> int:
        try:
            step.run()
        except OSError as error:
            return error.errno or 5
        return 0

    def _tear(self, step: Step) -> None:
        self.disk.steps_left = self.world.random.randrange(_TORN_WITHIN)
        try:
            step.run()
        except (Died, OSError):
            pass
        finally:
            self.disk.steps_left = None

    def abandon(self) -> None:
        """The process is dying: what is under way has happened, has not, or has in part."""
        for lane in sorted(self._lanes):
            for step in list(self._lanes[lane])[:1]:
                fate = self.world.random.randrange(3)
                if step.done:
                    continue
                step.done = True
                if fate == 0:
                    self._tear(step)
                elif fate == 1:
                    self._run(step)
        self._lanes.clear()
