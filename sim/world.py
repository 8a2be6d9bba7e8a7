"""One run's world: virtual time, the heap of what happens next, the one random number generator.

Everything that happens in a run happens in the order of this heap, and every choice is drawn from
`World.random`, so that a run follows from its seed alone: no wall clock, no threads, nothing that
depends on the order of a set or on the hash of a string. What belongs to a process is scheduled
under its `Life` and does not happen any more once that has ended.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable
from random import Random
from typing import Any
from zlib import crc32

_TRACE_LINES = 400


class BrokenRule(AssertionError):
    """The oracle found a rule of the law broken; `rule` is its number."""

    def __init__(self, rule: str, what: str) -> None:
        super().__init__(f"{rule}: {what}")
        self.rule = rule


class Life:
    """One run of a process (or of whatever can end): what is scheduled under it ends with it."""

    __slots__ = ("alive", "name", "stalled_until")

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.stalled_until = 0.0
        """A stopped process or suspended machine: its events wait until then, in their order."""


class World:
    """See the module. Times are virtual seconds since the start of the run."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.now = 0.0
        self.reached: Counter[str] = Counter()
        """Named events, counted: what this run has been through."""
        self.steps = 0
        self.fingerprint = 0
        """Of everything noted so far: equal for two runs of a seed, or something is not of the seed."""
        self._heap: list[tuple[float, int, Life, Callable[..., object], tuple[Any, ...]]] = []
        self._count = 0
        self._trace: deque[tuple[float, str, str, tuple[object, ...]]] = deque(maxlen=_TRACE_LINES)

    def after(self, delay: float, life: Life, do: Callable[..., object], *arguments: Any) -> None:
        """Calls `do(*arguments)` in `delay` seconds if `life` is still alive then."""
        self._count += 1
        heapq.heappush(self._heap, (self.now + delay, self._count, life, do, arguments))

    def between(self, low: float, high: float) -> float:
        """A random duration, more often short than long."""
        share = self.random.random()
        return low + (high - low) * share * share * share

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.random.random() < probability

    def reach(self, event: str) -> None:
        """A named event has happened."""
        self.reached[event] += 1
        self.note("*", event)

    def note(self, where: str, what: str, *details: object) -> None:
        """A line of the trace; the details are only formatted when somebody reads them."""
        self.fingerprint = crc32(f"{self.now!r}{where}{what}".encode(), self.fingerprint)
        self._trace.append((self.now, where, what, details))

    def step(self) -> bool:
        """Lets the next thing happen; False when nothing is left to happen."""
        while self._heap:
            time, _, life, do, arguments = heapq.heappop(self._heap)
            if not life.alive:
                continue
            if life.stalled_until > time:
                self._count += 1
                heapq.heappush(self._heap, (life.stalled_until, self._count, life, do, arguments))
                continue
            self.now = time
            self.steps += 1
            do(*arguments)
            return True
        return False

    def trace(self) -> list[str]:
        """The last lines of what happened, oldest first."""
        return [
            f"{time:10.6f} {where:<10} {what} {' '.join(_short(each) for each in details)}".rstrip()
            for time, where, what, details in self._trace
        ]


def _short(value: object) -> str:
    text = value.hex()[:8] if isinstance(value, bytes) else str(value)
    return text if len(text) <= 300 else text[:300] + "…"
