"""What one direction of a line does to bytes: when each of them may be delivered, and how many may wait.

Pure: the clock is an argument. A line's two directions have a `Shape` each, shared by all its
connections as a real line is; each connection has a `Flow` in each direction. Bytes leave in the
order in which they came, also when the delay is shortened while some are under way.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum

LARGEST_READ = 256 * 1024
MOST_PIECES = 64
"""Pieces that are handed over in one call."""
_SMALLEST_READ = 1500
_READ_S = 0.002
"""A shaped line is fed in pieces that take it this long: small messages pass between large ones."""
_BACKLOG_S = 0.05
"""A shaped line takes in no more than it sends in this time; the rest waits at the sender."""
_PIECE_COST = 128
"""What keeping a piece costs beside its bytes, so that a flood of tiny ones is bounded too."""


class Way(Enum):
    """What happens to bytes of one direction."""

    OPEN = "open"
    STALLED = "stalled"
    """They wait and go on after healing, as a short outage that TCP survives."""
    SWALLOWED = "swallowed"
    """They vanish, and nobody is told: a half-open connection."""


@dataclass(slots=True)
class Shape:
    """One direction of a line. Delay in seconds; rate in bytes per second, None for no bound."""

    delay: float = 0.0
    rate: float | None = None
    way: Way = Way.OPEN
    busy_until: float = 0.0
    delivered: int = 0

    def schedule(self, size: int, now: float) -> float:
        """Put `size` bytes on the line at `now`; when the last of them arrives."""
        if self.rate is None:
            return now + self.delay
        self.busy_until = max(now, self.busy_until) + size / self.rate
        return self.busy_until + self.delay

    def free_at(self) -> float:
        """From when on the line takes more; 0 for at once."""
        return 0.0 if self.rate is None else self.busy_until - _BACKLOG_S

    def largest(self) -> int:
        """The most bytes to take at once."""
        if self.rate is None:
            return LARGEST_READ
        return min(LARGEST_READ, max(_SMALLEST_READ, int(self.rate * _READ_S)))


class Flow:
    """The bytes of one connection that are under way in one direction, at most `limit` of them."""

    __slots__ = ("_held", "_limit", "_pieces", "ended", "shape", "told")

    def __init__(self, shape: Shape, limit: int) -> None:
        self.shape = shape
        self._limit = limit
        self._held = 0
        self._pieces: deque[tuple[float, memoryview]] = deque()
        self.ended = False
        """The sender has said that no more comes."""
        self.told = False
        """The receiver knows that."""

    def room(self, now: float) -> int:
        """How many bytes may be taken from the sender now."""
        if self.ended or self.shape.way is Way.STALLED:
            return 0
        if self.shape.way is Way.SWALLOWED:
            return LARGEST_READ
        if self._held >= self._limit or now < self.shape.free_at():
            return 0
        return min(self.shape.largest(), self._limit - self._held)

    def take(self, data: bytes, now: float) -> None:
        """Accept what the sender sent. Swallowed bytes are not to be given here."""
        arrival = self.shape.schedule(len(data), now)
        if self._pieces:
            arrival = max(arrival, self._pieces[-1][0])
        self._pieces.append((arrival, memoryview(data)))
        self._held += len(data) + _PIECE_COST

    def arrived(self, now: float) -> list[memoryview]:
        """What the receiver may have now, oldest first; it stays here until `delivered` is told."""
        found: list[memoryview] = []
        if self.shape.way is not Way.OPEN:
            return found
        for arrival, piece in self._pieces:
            if arrival > now or len(found) == MOST_PIECES:
                break
            found.append(piece)
        return found

    def delivered(self, count: int) -> None:
        """The receiver has taken the first `count` bytes of what had arrived."""
        self.shape.delivered += count
        while count:
            arrival, piece = self._pieces[0]
            if count < len(piece):
                self._pieces[0] = (arrival, piece[count:])
                self._held -= count
                return
            count -= len(piece)
            self._held -= len(piece) + _PIECE_COST
            self._pieces.popleft()

    def discard(self) -> bool:
        """Lose everything under way; whether there was anything."""
        lost = bool(self._pieces)
        self._pieces.clear()
        self._held = 0
        return lost

    @property
    def empty(self) -> bool:
        """Nothing is under way."""
        return not self._pieces

    def wakes_at(self, now: float) -> float | None:
        """When to look again if nothing happens meanwhile; None for never."""
        times = []
        if self.shape.way is Way.OPEN:
            if self._pieces:
                times.append(self._pieces[0][0])
            if not self.ended and self._held < self._limit and self.shape.free_at() > now:
                times.append(self.shape.free_at())
        return min(times, default=None)
