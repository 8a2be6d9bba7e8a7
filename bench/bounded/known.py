"""The scenarios that are held against a bound, in the order in which they run."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.bounded import bursts, devices, distance, further
from bench.bounded.ground import Ground
from bench.bounded.outcome import Outcome
from bench.rounds import Effort


@dataclass(frozen=True, slots=True)
class Bounded:
    """One of them, not run yet."""

    name: str
    title: str
    run: Callable[[Ground, Effort, Callable[[str], None]], Outcome]

    @property
    def family(self) -> str:
        """The row of the table of targets that this belongs to."""
        return self.name


BOUNDED = (
    Bounded("S6", bursts.TITLE, bursts.run),
    Bounded("S7", distance.TITLE, distance.run),
    Bounded("S8", further.TITLE, further.run),
    Bounded("S-device", devices.TITLE, devices.run),
)
