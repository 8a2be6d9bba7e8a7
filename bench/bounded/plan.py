"""When an application that writes in bursts wants to write, and how well a line was used meanwhile. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Bursts:
    """Every second `per_second` writes, evenly within its first third: three times the mean, then silence."""

    per_second: int

    def due(self, elapsed: float) -> int:
        """How many writes are due `elapsed` seconds after the beginning."""
        whole, part = divmod(elapsed, 1.0)
        begun = math.floor(part * 3 * self.per_second) + 1
        return int(whole) * self.per_second + min(begun, self.per_second)

    def at(self, number: int) -> float:
        """When the write of this number (from 0) becomes due."""
        whole, part = divmod(number, self.per_second)
        return whole + part / (3 * self.per_second)


@dataclass(frozen=True, slots=True)
class Sample:
    """A moment of a run: bytes that the application had written, bytes that had arrived at the far end."""

    time: float
    written: float
    arrived: int


def used_while_queued(samples: Sequence[Sample], rate: float, under_way: float) -> float | None:
    """The share of the line's capacity that was used while there was a queue; None if there never was one.

    There is a queue while more was written than has arrived and `under_way`, the bytes that are on the line
    itself, together. `rate` in bytes per second.
    """
    carried = seconds = 0.0
    for before, after in pairwise(samples):
        if all(each.written - each.arrived > under_way for each in (before, after)):
            carried += after.arrived - before.arrived
            seconds += after.time - before.time
    return carried / (rate * seconds) if seconds else None


def written_at(timeline: Sequence[tuple[float, int]], moment: float) -> float:
    """Bytes written by then, between the points of a writer's timeline (time, bytes), which is in order."""
    last_time, last_bytes = timeline[0]
    if moment <= last_time:
        return last_bytes
    for time, size in timeline[1:]:
        if time >= moment:
            return last_bytes + (size - last_bytes) * (moment - last_time) / (time - last_time)
        last_time, last_bytes = time, size
    return last_bytes
