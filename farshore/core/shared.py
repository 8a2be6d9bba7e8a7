"""What every feeder of a copy works with, and what it reads of whoever gives it frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from farshore.core.ledger import Ledger
from farshore.core.outbox import HeaderKeeper, Outbox
from farshore.core.write_path import Gate
from farshore.model.header import Successor
from farshore.model.messages import ReadReply
from farshore.model.options import Timing
from farshore.model.positions import History, Position
from farshore.model.volumes import Operation


class Issuer(Protocol):
    """Whoever gives a copy's links their frames, in order: a primary's write path, a secondary's relay."""

    generation: bytes
    sequence: int
    """Of the newest frame that the links were given."""
    held: bool
    """Nothing is acknowledged yet (rule D5)."""
    blocked: set[bytes]
    """Links whose queue is full and holds writes (rule F1)."""
    barriers: list[tuple[int, int, int]]
    """Ranges (volume, offset, end) that no frame may change before a resync's read (rule E4)."""
    unwritten: deque[tuple[int, list[Operation], list[object]]]
    """Frames that the links were given and that the local volumes do not show yet."""
    gates: dict[bytes, Gate]

    def release(self) -> None:
        """A gate has moved."""
        ...


def always() -> bool:
    """A primary may feed whenever it runs."""
    return True


def nobody() -> tuple[bytes, ...]:
    """A primary follows nobody."""
    return ()


def unasked(_link: bytes, _reply: ReadReply) -> None:
    """A secondary asks no peer what it cannot read."""


def unheeded(_span: tuple[int, int, int], _errno: int) -> None:
    """A secondary keeps no record of what it cannot read."""


@dataclass(slots=True)
class Shared:
    """One per copy; the callables are the copy's."""

    outbox: Outbox
    keeper: HeaderKeeper
    ledger: Ledger
    path: Issuer
    timing: Timing
    instance: bytes
    new_id: Callable[[], bytes]
    history: Callable[[], History]
    """Our history, exactly to the newest sequence."""
    progressed: Callable[[], None]
    """A peer acknowledged something, or a link stopped."""
    fence: Callable[[str, bool, Successor | None], None]
    """Rule D6: a newer copy exists; refuse writes from now on, where the second says so for good: also after
    a restart, until a turn."""
    persist: Callable[[bytes, Callable[[], None]], None]
    """Write the scoreboard of this link, then go on."""
    opening: Callable[[], bool]
    """Whether writes have not flowed yet since the start (rule D5); a stop that holds them is none."""
    age: Callable[[int], float | None]
    """How old a peer is that has everything up to a sequence, in seconds; None where nobody knows."""
    ignored: frozenset[int] = frozenset()
    """Volumes with `outage=ignore` (rule A6)."""
    relaying: bool = False
    """The links are the hops of a secondary (see `relaying`)."""
    feeding: Callable[[], bool] = always
    """Whether this copy may feed anybody now (rule B6)."""
    chain: Callable[[], tuple[bytes, ...]] = nobody
    """The copies upstream of this one, the nearest first."""
    unreadable: Callable[[tuple[int, int, int], int], None] = unheeded
    """The local disk refused to read this (volume, offset, length), with an errno."""
    read_elsewhere: Callable[[bytes, ReadReply], None] = unasked
    """A peer has answered what was asked of it for a read."""

    def position(self) -> Position:
        """Our newest position."""
        return Position(self.path.generation, self.path.sequence)
