"""How far the peer of a link is behind, and whether that is more than its operator can bear (RPO).

The lag of a link is the age of the oldest write that its peer has not applied. Both ends of that span
are read from one clock, the primary's, so clocks that differ between the sites change nothing; where a
figure does compare two clocks, `Liveness` has measured by how much they differ. Figures are never too
small: what lies between two samples counts from the earlier one. While writes are not sent in order
there is no lag to speak of, and it is None.

One timeline serves all links of a copy. It is bounded: the older a sample, the fewer neighbours it has.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from farshore.model.options import LinkState

if TYPE_CHECKING:
    from farshore.core.feeder import Feeder
    from farshore.core.outbox import Outbox

SPACING: Final = 0.01
"""Seconds between two samples at least."""
MOST_SAMPLES: Final = 4096


@dataclass(frozen=True, slots=True)
class Lag:
    """What the peer lacks. `seconds` is None where nobody knows when the oldest of it was written."""

    seconds: float | None
    writes: int
    size: int
    """Payload bytes."""


class Timeline:
    """When which sequences were written."""

    __slots__ = ("_before", "_now", "_size", "_total", "_wall")

    def __init__(self) -> None:
        self._before: list[int] = []
        """The newest sequence before each sample."""
        self._now: list[float] = []
        self._wall: list[float] = []
        self._size: list[int] = []
        """Payload bytes before each sample."""
        self._total = 0

    def issued(self, before: int, size: int, now: float, wall: float) -> None:
        """A frame was made that begins behind the sequence `before`; monotonic and wall seconds."""
        if not self._now or now - self._now[-1] >= SPACING:
            if len(self._now) >= MOST_SAMPLES:
                self._thin()
            self._before.append(before)
            self._now.append(now)
            self._wall.append(wall)
            self._size.append(self._total)
        self._total += size

    def behind(self, applied: int, newest: int, now: float, wall: float) -> Lag:
        """What a peer lacks that has applied this much of `newest`."""
        if applied >= newest:
            return Lag(0.0, 0, 0)
        place = bisect_right(self._before, applied) - 1
        if place < 0:
            return Lag(None, newest - applied, self._total)
        # A clock that was set meanwhile must not make the lag smaller, nor a machine that stood still.
        age = max(now - self._now[place], wall - self._wall[place], 0.0)
        return Lag(age, newest - applied, self._bytes_behind(place, applied, newest))

    def written_before(self, sequence: int) -> float | None:
        """A time at or before which everything behind `sequence` was not written yet, wall seconds; None
        where that was before the first sample."""
        place = bisect_right(self._before, sequence) - 1
        return self._wall[place] if place >= 0 else None

    def _bytes_behind(self, place: int, applied: int, newest: int) -> int:
        """Within a sample writes count as if they were equally long."""
        last = place + 1 == len(self._before)
        stop, until = (newest, self._total) if last else (self._before[place + 1], self._size[place + 1])
        left = (stop - applied) / max(1, stop - self._before[place])
        return self._total - until + round((until - self._size[place]) * left)

    def _thin(self) -> None:
        """Takes every second sample of the older half away."""
        half = MOST_SAMPLES // 2
        for samples in (self._before, self._now, self._wall, self._size):
            del samples[1:half:2]


def of_link(timeline: Timeline, outbox: Outbox, feeder: Feeder) -> Lag | None:
    """A link's lag now, None while its writes are not sent in order."""
    if feeder.state not in (LinkState.REPLICATING, LinkState.QUEUING):
        return None
    newest = feeder.shared.path.sequence
    found = timeline.behind(feeder.acked.applied, newest, outbox.now, outbox.wall)
    if found.seconds is None:
        # Written before this run began: nobody knows when. What lies in the queue is known.
        return Lag(None, found.writes, max(found.size, feeder.disk.disk_bytes + feeder.disk.memory_bytes))
    return found


class Watch:
    """Tells the operator's journal when a link falls behind its RPO, and when it has caught up."""

    __slots__ = ("_behind",)

    def __init__(self) -> None:
        self._behind: set[bytes] = set()

    def look(self, timeline: Timeline, outbox: Outbox, feeders: dict[bytes, Feeder]) -> None:
        """To be called now and then."""
        self._behind &= feeders.keys()
        for link, feeder in feeders.items():
            lag, rpo = of_link(timeline, outbox, feeder), feeder.spec.options.rpo
            if lag is None or lag.seconds is None:
                self._behind.discard(link)
            elif lag.seconds > rpo and link not in self._behind:
                self._behind.add(link)
                outbox.note(
                    "link-behind",
                    link=feeder.spec.name,
                    lag_seconds=round(lag.seconds, 3),
                    lag_bytes=lag.size,
                    rpo_seconds=rpo,
                )
            elif lag.seconds <= rpo and link in self._behind:
                self._behind.discard(link)
                outbox.note("link-within-rpo", link=feeder.spec.name, lag_seconds=round(lag.seconds, 3))
