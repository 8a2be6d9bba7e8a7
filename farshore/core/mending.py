"""The repair of regions that a primary's disk cannot read: written anew with what a peer has (rule C3).

One region after the other. What can be read by now is only forgotten. Else writes to the region are held,
those under way are waited for, a peer that has everything is asked, and its content is written here and
synced: the same bytes that the region should have shown, so that neither sequences nor links are concerned.
A region that no peer can give, or that the disk still refuses, stays as it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from farshore.core.actions import Action, MendRegion, ReadRegion
from farshore.core.rescue import Found

if TYPE_CHECKING:
    from farshore.core.primary import Primary


class Mending:
    """See the module."""

    def __init__(self, primary: Primary) -> None:
        self._primary = primary
        self._left: deque[tuple[int, int]] = deque()
        self._waits: Callable[[], None] | None = None
        """Goes on when no write of the region is under way."""
        self._barrier: tuple[int, int, int] | None = None
        self._mended = 0
        self.running = False

    def begin(self) -> None:
        """Try every region that is known to be bad. The event `mended` tells of the end."""
        if self.running:
            return
        self.running, self._mended = True, 0
        self._left = deque(sorted(self._primary.rescue.bad))
        self._next()

    def mended(self, ticket: int, errno: int) -> list[Action]:
        """A region was written anew, or could not be."""
        self._primary.outbox.settle(ticket, errno)
        return self._primary.outbox.take()

    def _next(self) -> None:
        primary = self._primary
        if self._barrier is not None:
            primary.path.barriers.remove(self._barrier)
            self._barrier = None
            primary.path.release_parked()
        if not self._left or primary.path.fault:
            self.running = False
            primary.outbox.note("mended", mended=self._mended, left=len(primary.rescue.bad))
            return
        self._try(*self._left.popleft())

    def _try(self, volume: int, region: int) -> None:
        primary = self._primary
        offset, length = primary.geometry.span(volume, region, 1)

        def read(_data: bytes | None, errno: int) -> None:
            if errno:
                self._hold(volume, region, length)
            else:
                self._well(volume, region)

        ticket = primary.outbox.ticket(read)
        primary.outbox.emit(ReadRegion(ticket, b"", volume, offset, length, False))

    def _well(self, volume: int, region: int) -> None:
        self._mended += self._primary.rescue.bad.pop((volume, region), 0) > 0
        self._next()

    def _hold(self, volume: int, region: int, length: int) -> None:
        primary = self._primary
        offset, _ = primary.geometry.span(volume, region, 1)
        self._barrier = (volume, offset, offset + length)
        primary.path.barriers.append(self._barrier)

        def still() -> None:
            primary.rescue.fetch([(volume, offset, length)], fetched)

        def fetched(found: Found | None) -> None:
            if found is None:
                self._next()
                return
            data = b"".join(bytes(each[1]) for each in sorted(found, key=lambda each: each[0]))
            primary.outbox.emit(MendRegion(primary.outbox.ticket(written), volume, offset, data))

        def written(errno: int) -> None:
            if errno:
                self._next()
            else:
                primary.path.sync_now(lambda: self._well(volume, region))

        self._waits = still
        self.go_on()

    def go_on(self) -> None:
        """A write may have ended that this waits for."""
        if self._waits is None or self._barrier is None:
            return
        volume, start, end = self._barrier
        unwritten = self._primary.path.unwritten
        busy = any(
            each[0] == volume and each[2] < end and start < each[2] + each[3]
            for _, operations, _ in unwritten
            for each in operations
        )
        if not busy:
            go, self._waits = self._waits, None
            go()
