"""What a stream, and what happens within it, needs of the copy that it feeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from farshore.core.durability import Durability
from farshore.core.geometry import Geometry
from farshore.core.journaling import Journaling
from farshore.core.outbox import HeaderKeeper, Outbox
from farshore.core.preserve import Preserving
from farshore.model.positions import History

if TYPE_CHECKING:
    from farshore.core.relaying import Relay
    from farshore.core.snapping import Snapping


class Follower(Protocol):
    """What a stream needs of the copy that it feeds."""

    outbox: Outbox
    keeper: HeaderKeeper
    geometry: Geometry
    standing: Durability
    journal: Journaling
    preserve: Preserving
    snapping: Snapping
    since: float

    @property
    def relay(self) -> Relay:
        """The copy's own links."""
        ...

    def history(self) -> History:
        """What this copy certainly holds."""
        ...

    def new_id(self) -> bytes:
        """128 random bits."""
        ...

    def end_session(self, code: str, text: str) -> None:
        """End the session; with a code the feeder is told why."""
        ...

    def fail(self, errno: int, what: str = ...) -> None:
        """A disk failed (rule C3)."""
        ...
