"""What came out of a scenario that is held against a bound: rows of figures, one value a round.

A row without a bound is shown and not judged. What could not be measured has no row but a reason.
"""

import statistics
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one way of replicating, round by round; at least one round. The median is judged."""

    who: str
    figure: str
    """What it is, with its unit."""
    values: tuple[float, ...]
    least: float | None = None
    most: float | None = None

    @property
    def median(self) -> float:
        """Over the rounds."""
        return statistics.median(self.values)

    @property
    def bound(self) -> str:
        """The target in words; empty where there is none."""
        if self.least is not None:
            return f"≥ {self.least:g}"
        return f"≤ {self.most:g}" if self.most is not None else ""

    @property
    def met(self) -> bool | None:
        """None where there is no target."""
        if self.least is not None:
            return self.median >= self.least
        return self.median <= self.most if self.most is not None else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A scenario after its rounds."""

    name: str
    title: str
    rows: tuple[Row, ...]
    gaps: tuple[str, ...]
    """What was not measured, or failed in some round, and why."""

    @property
    def met(self) -> bool:
        """Whether everything was measured and every target reached."""
        judged = [row.met for row in self.rows if row.met is not None]
        return bool(judged) and all(judged) and not self.gaps
