"""Whether a resync gains on the application, and by how much (rule E4).

What is left to copy is looked at every second; what was copied in between is known. The difference is
what writes have marked anew, so that two figures in bytes per second tell whether there will be an end.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

SPACING: Final = 1.0
"""Seconds between two looks at least."""
WINDOW: Final = 10
"""Looks that the figures are taken over."""
LEAST: Final = 3.0
"""Seconds before which there are no figures."""

LITTLE: Final = 0.1
"""A part of what is copied: a gain below it is none to speak of."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Bytes per second: copied or compared, and marked anew by the application."""

    copied: float
    marked: float

    @property
    def loses(self) -> bool:
        """Whether the resync hardly comes nearer to its end."""
        return self.marked > 0 and self.copied - self.marked < LITTLE * self.copied


class Headway:
    """Looks at one resync."""

    __slots__ = ("_looks",)

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int, int]] = deque(maxlen=WINDOW)
        """(monotonic seconds, bytes left, bytes settled so far)."""

    def due(self, now: float) -> bool:
        """Whether it is time for another look."""
        return not self._looks or now - self._looks[-1][0] >= SPACING

    def look(self, now: float, left: int, settled: int) -> None:
        """What is left, and how much was settled in all."""
        self._looks.append((now, left, settled))

    @property
    def rates(self) -> Rates | None:
        """None before there is anything to compare."""
        if len(self._looks) < 2:
            return None
        (began, had, before), (now, left, settled) = self._looks[0], self._looks[-1]
        if now - began < LEAST:
            return None
        copied = settled - before
        return Rates(copied / (now - began), max(0.0, (left - had + copied) / (now - began)))
