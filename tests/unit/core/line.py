"""A line between two ends in memory: what was sent and not yet taken, in both directions."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from farshore.core import actions as a
from farshore.model import messages as m
from farshore.model.options import LinkSpec


@dataclass(frozen=True)
class End:
    """A connection ends."""


Unit = a.Issue | m.Message | End


class Line:
    """One link's connection. Units that `stops` returns True for stay where they are."""

    def __init__(self, spec: LinkSpec) -> None:
        self.spec = spec
        self.up = True
        self.protocol = m.PROTOCOL
        """What the feeder's build speaks, as far as the one at the far end can tell."""
        self.refusal = ""
        """With which code a node at its far end answers in place of the peer, while the line is not up."""
        self.room: int | None = None
        """How many units the peer's end takes in a turn; None is all."""
        self.rate: int | None = None
        """How many bytes the line carries in a turn; None is all."""
        self.credit = 0
        """What is left of that; below zero while a unit is longer."""
        self.stops: Callable[[Unit], bool] = lambda unit: False
        self.key = b""
        self.open = False
        self.connecting = False
        self.to_far: deque[tuple[bytes, Unit, int]] = deque()
        self.to_near: deque[tuple[bytes, Unit]] = deque()
        self.sent: list[Unit] = []
        """Everything that the feeder sent."""
        self.heard: list[Unit] = []
        """Everything that the follower sent."""
        self.reported: int | None = None

    def queue(self, unit: Unit, size: int) -> None:
        """From the feeder."""
        if self.open:
            self.to_far.append((self.key, unit, size))
            self.sent.append(unit)
            self.reported = None

    def end(self) -> None:
        """The feeder closes: what was sent last still goes, queued frames do not."""
        if self.open:
            last = [each for each in list(self.to_far)[-1:] if not isinstance(each[1], a.Issue)]
            self.to_far = deque((*last, (self.key, End(), 0)))
        self.open = self.connecting = False

    @property
    def backlog(self) -> int:
        """Bytes that the line has not taken."""
        return sum(size for _, _, size in self.to_far)

    def fills(self) -> list[m.Fill]:
        """The fills that were sent."""
        return [unit for unit in self.sent if isinstance(unit, m.Fill)]
