"""The units of a stream that wait until what they overwrite is saved (rules B1, E1, F1).

They go on in their order and within a bound; what a later one overwrites is saved together with what an
earlier one does. What is saved, and when, is decided in `preserve`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from farshore.core.preserve import Preserving, Range

MOST_WAITING: Final = 32 << 20
"""Bytes of a stream that may wait for saves; beyond it the line is not read (rule F1)."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A unit of a stream: what it overwrites, its bytes, what to do in its turn; whether it is no frame."""

    ranges: Sequence[Range]
    size: int
    go_on: Callable[[], None]
    message: bool = False


class Guard:
    """Units of one stream, in order, each until what it overwrites is saved. `blocked` says whether the next
    one may not go on for a reason of the stream's own: it is asked with True for one that is no frame."""

    def __init__(self, preserve: Preserving, blocked: Callable[[bool], bool]) -> None:
        self._preserve = preserve
        self._blocked = blocked
        self._units: deque[Waiting] = deque()
        self._advancing = False
        self.size = 0
        """Bytes of the units that wait."""

    @property
    def waiting(self) -> bool:
        """Whether units wait."""
        return bool(self._units)

    @property
    def full(self) -> bool:
        """Whether no more may be taken."""
        return self.size >= MOST_WAITING

    def take(self, unit: Waiting) -> None:
        """One more unit."""
        self._preserve.spare(unit.ranges)
        self._units.append(unit)
        self.size += unit.size
        self.advance()

    def advance(self) -> None:
        """Lets go on whatever may."""
        if self._advancing:
            return
        self._advancing = True
        while self._units:
            unit = self._units[0]
            if self._blocked(unit.message) or not self._preserve.spare(unit.ranges):
                break
            self._units.popleft()
            self.size -= unit.size
            unit.go_on()
        self._advancing = False

    def clear(self) -> None:
        """The stream has ended."""
        self._units.clear()
        self.size = 0
