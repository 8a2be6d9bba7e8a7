"""What a secondary's journal needs of its copy, and what a start finds of it on the disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from farshore.core.durability import Durability
from farshore.core.outbox import Outbox
from farshore.core.preserve import Preserving
from farshore.model.positions import Position

if TYPE_CHECKING:
    from farshore.core.relaying import Relay
    from farshore.core.snapping import Snapping


@dataclass(frozen=True, slots=True)
class JournalImage:
    """What a start found: the position that the first entry follows, None where there is no journal."""

    start: Position | None = None
    damaged: str = ""

    def lost_before(self, mark: Position) -> str:
        """Why nothing can be replayed behind the mark; empty when it can."""
        if self.start is None:
            return self.damaged or "the journal is missing"
        return "the front of the journal is missing" if self.start.sequence > mark.sequence else ""


class Journaled(Protocol):
    """What the journal needs of its copy."""

    outbox: Outbox
    standing: Durability
    preserve: Preserving
    snapping: Snapping

    @property
    def relay(self) -> Relay:
        """Told of every frame on its way, and asked what may be written to the volumes."""
        ...

    def end_session(self, code: str, text: str) -> None:
        """End the session; with a code the feeder is told why."""
        ...

    def fail(self, errno: int, what: str) -> None:
        """A disk failed (rule C3)."""
        ...

    def out_of_room(self) -> None:
        """What is journaled cannot be applied now, since a disk is full."""
        ...
