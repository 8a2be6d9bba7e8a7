"""Where in the life of a group something stands: generations, positions, histories.

A *generation* is 128 random bits that name one stretch of writing by one primary. A *sequence*
is a group-wide 64-bit write number; along a history sequences only grow, also from one
generation to the next. A *position* is a sequence within a generation. A *history* lists the
generations that led to a copy's content, each with the last sequence in it (rule D1).
What two histories mean to each other is decided in `farshore.core.history`, not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

GENERATION_BYTES = 16
MAX_STRETCHES = 512
"""Older generations are forgotten; a copy that stands in one of them counts as diverged."""


class Position(NamedTuple):
    """One point of a history: everything up to `sequence` of `generation`. (A tuple, because some are
    made for each frame and a frozen dataclass takes four times as long.)"""

    generation: bytes
    sequence: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """One generation of a history and the last sequence that lies in it."""

    generation: bytes
    last: int


@dataclass(frozen=True, slots=True)
class History:
    """The generations behind a copy's content, oldest first; empty means blank (rule D3)."""

    stretches: tuple[Stretch, ...] = ()

    @property
    def blank(self) -> bool:
        """True for a copy that never held any generation."""
        return not self.stretches

    @property
    def head(self) -> Position | None:
        """The newest position on this history, None when blank."""
        if not self.stretches:
            return None
        newest = self.stretches[-1]
        return Position(newest.generation, newest.last)

    @property
    def begun_only(self) -> bool:
        """True when the newest generation was minted and nothing has been written in it."""
        return len(self.stretches) > 1 and self.stretches[-1].last == self.stretches[-2].last

    @property
    def parent(self) -> History:
        """This history without its newest generation."""
        return History(self.stretches[:-1])

    def holds(self, position: Position) -> bool:
        """True when `position` lies on this history, its ends included."""
        floor = 0
        for stretch in self.stretches:
            if stretch.generation == position.generation:
                return floor <= position.sequence <= stretch.last
            floor = stretch.last
        return False

    def position_of(self, sequence: int) -> Position:
        """The position of a sequence, in the older generation where two meet; the history is not blank."""
        for stretch in self.stretches:
            if sequence <= stretch.last:
                return Position(stretch.generation, sequence)
        return Position(self.stretches[-1].generation, sequence)

    def cut_at(self, position: Position) -> History:
        """This history up to `position`.

        Raises ValueError when the position does not lie on it.
        """
        floor = 0
        for index, stretch in enumerate(self.stretches):
            if stretch.generation == position.generation and floor <= position.sequence <= stretch.last:
                kept = self.stretches[:index]
                return History((*kept, Stretch(position.generation, position.sequence)))
            floor = stretch.last
        raise ValueError(f"position {position} does not lie on {self}")

    def extended_to(self, sequence: int) -> History:
        """The same generations with the newest one reaching to `sequence`."""
        newest = self.stretches[-1]
        return History((*self.stretches[:-1], Stretch(newest.generation, sequence)))

    def forked(self, generation: bytes) -> History:
        """A new generation that begins where this history ends (rule D1)."""
        last = self.stretches[-1].last if self.stretches else 0
        return History((*self.stretches[1 - MAX_STRETCHES :], Stretch(generation, last)))
