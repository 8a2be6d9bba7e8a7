"""Reading a copy's journal back for its hops, beside everything else that is done to it.

Each hop reads on from where it stopped. Nothing is given back from the front while somebody reads: the
trim that comes meanwhile is left out, and a later one does its work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from farshore.core import actions as a
from farshore.errors import FarshoreError
from farshore.model.messages import FrameHead
from farshore.model.positions import Position
from farshore.store.segments import Cursor
from farshore.wire import frame
from sim.steps import Step

if TYPE_CHECKING:
    from sim.relay_site import RelaySite


class JournalReading:
    """See the module; one for all processes of a site."""

    def __init__(self, site: RelaySite) -> None:
        self._site = site
        self._reads = 0
        self._left: dict[bytes, tuple[int, Cursor]] = {}
        """Link -> the sequence that it has read up to, and the place behind that."""

    def begin(self) -> None:
        """A new process."""
        self._reads = 0
        self._left.clear()

    def trim(self, action: a.TrimJournal) -> None:
        """Gives back what nobody needs."""
        if self._reads:
            self._site.world.reached["a trim is left out while a hop reads"] += 1
        else:
            self._site.journal.segments.trim(action.position)

    def read(self, action: a.QueueRead) -> None:
        """Frames behind a sequence, or none where there are none."""
        site = self._site
        found: list[tuple[FrameHead, object]] = []
        damage: list[str] = []
        self._reads += 1

        def run() -> None:
            try:
                found.extend(self._frames(action))
            except FarshoreError as error:
                damage.append(error.what)

        def done(errno: int) -> None:
            self._reads -= 1
            why = damage[0] if damage else f"errno {errno}" if errno else ""
            site.turn(site.core.relay.queue_read, action.ticket, [] if why else found, why)

        site.steps.begin(f"recall:{action.link.hex()}", Step(run, done))

    def _frames(self, action: a.QueueRead) -> list[tuple[FrameHead, frame.Frame]]:
        segments = self._site.journal.segments
        after, cursor = self._left.get(action.link, (-1, segments.front))
        if after != action.after or cursor.number < segments.front.number:
            cursor = segments.cursor_at(Position(b"", action.after))
        found: list[tuple[FrameHead, frame.Frame]] = []
        size = 0
        while size < action.most:
            entries, cursor = segments.read(cursor, action.most)
            if not entries:
                break
            for position, data in entries:
                if data and position.sequence > action.after:
                    kept = frame.check(bytes(data))
                    found.append((kept.head, kept))
                    size += len(data)
        if found:
            self._left[action.link] = (found[-1][0].last, cursor)
        return found
