"""What every feeder of a copy works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from farshore.core.ledger import Ledger
from farshore.core.outbox import HeaderKeeper, Outbox
from farshore.core.write_path import WritePath
from farshore.model.options import Timing
from farshore.model.positions import History, Position


@dataclass(slots=True)
class Shared:
    """One per copy; the callables are the copy's."""

    outbox: Outbox
    keeper: HeaderKeeper
    ledger: Ledger
    path: WritePath
    timing: Timing
    instance: bytes
    new_id: Callable[[], bytes]
    history: Callable[[], History]
    """Our history, exactly to the newest sequence."""
    progressed: Callable[[], None]
    """A peer acknowledged something, or a link stopped."""
    fence: Callable[[str], None]
    """Rule D6: a newer copy exists; refuse writes from now on."""
    persist: Callable[[bytes, Callable[[], None]], None]
    """Write the scoreboard of this link, then go on."""
    opening: Callable[[], bool]
    """Whether writes have not flowed yet since the start (rule D5); a stop that holds them is none."""
    ignored: frozenset[int] = frozenset()
    """Volumes with `outage=ignore` (rule A6)."""

    def position(self) -> Position:
        """Our newest position."""
        return Position(self.path.generation, self.path.sequence)
