"""Volumes whose changes are not logged in an outage (rule A6), for one link.

While there is no session with the peer, writes to such a volume set no marks. Before the first of them
all of the volume is made suspect, durably: until it has been compared as a whole, within the one resync
of its group, it counts as dirty, and the peer can neither be resumed nor updated around it. That a
volume is unknown is what its suspect map says, and recorded nowhere else; a start finds it there.

Always true: the region of a write that was not logged is suspect in the scoreboard on disk, and no resync
has begun since.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from farshore.core.feeder_session import Phase
from farshore.model.volumes import Operation

if TYPE_CHECKING:
    from farshore.core.feeder import Feeder

_APART = (Phase.IDLE, Phase.CONNECTING)


class Unlogged:
    """See the module."""

    __slots__ = ("_asked", "_feeder", "_ignored", "unknown")

    def __init__(self, feeder: Feeder, ignored: frozenset[int]) -> None:
        self._feeder = feeder
        self._ignored = ignored
        suspect = feeder.board.suspect.bits
        self.unknown = {volume for volume in ignored if suspect[volume].all()}
        """Volumes that are suspect as a whole, durably."""
        self._asked: set[int] = set()
        """Volumes that become so, unless a resync begins first."""

    def logged(self, operations: list[Operation]) -> Iterable[Operation]:
        """What of these operations, which are not sent, has to be marked."""
        if not self._ignored or self._feeder.session.phase not in _APART:
            return operations
        for volume in {operation[0] for operation in operations if operation[3]} & self._ignored:
            if volume not in self.unknown and volume not in self._asked:
                self._give_up(volume)
        return [operation for operation in operations if operation[0] not in self.unknown]

    def _give_up(self, volume: int) -> None:
        feeder, asked = self._feeder, self._asked
        asked.add(volume)
        feeder.board.suspect.set(volume, 0, feeder.board.geometry.regions(volume), 1)

        def durable() -> None:
            if asked is self._asked and not feeder.retired:
                asked.discard(volume)
                self.unknown.add(volume)
                feeder.shared.outbox.note("unlogged", link=feeder.spec.name, volume=volume)

        feeder.shared.persist(feeder.id, durable)

    def resync_begins(self) -> None:
        """The suspects are compared from now on, so that every change counts again."""
        self.unknown.clear()
        self._asked = set()
