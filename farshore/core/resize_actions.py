"""What the core asks of its shell when a volume grows; see `actions` for how actions are reported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(slots=True)
class MakeRoom:
    """Make the file or device of this volume hold `size` bytes: those from `start` on read as zeroes,
    durably, and those before it stay what they are; it never becomes shorter. Report `made(ticket, errno)` of
    the copy's `Room`."""

    ticket: int
    volume: int
    start: int
    size: int


@dataclass(slots=True)
class VolumeGrown:
    """The volume has `size` bytes from now on, for everybody who opens it; there is room for them."""

    volume: int
    size: int


OfSizes: TypeAlias = MakeRoom | VolumeGrown
