"""What a follower's volumes hold, for a feeder whose own disk cannot read it (rule C3).

An answer shows every frame that went before the question on its channel, and never part of one that went
before. With a journal it waits until those are in the volumes. What this copy's own disk refuses, or what it
cannot vouch for, is answered with an errno: the feeder asks somebody else. Nothing outlives the session.
"""

from __future__ import annotations

import errno as errnos
from collections import deque
from typing import TYPE_CHECKING, Final

from farshore.core.actions import Action, ReadRange
from farshore.model import messages as m

if TYPE_CHECKING:
    from farshore.core.secondary import Secondary
    from farshore.core.stream import Stream

MOST: Final = 64
"""Questions of a session that wait for the journal; a feeder asks a few at a time."""


class Lookups:
    """See the module."""

    def __init__(self, copy: Secondary) -> None:
        self._copy = copy
        self._waiting: deque[tuple[Stream, int, m.ReadQuery]] = deque()

    def take(self, session: Stream, query: m.ReadQuery) -> None:
        """A question of this session's feeder."""
        copy = self._copy
        size = copy.geometry.sizes.get(query.volume, -1)
        if query.session != session.nonce:
            return  # of another session (rule B7)
        if not 0 < query.length <= size - query.offset or len(self._waiting) >= MOST:
            copy.end_session("protocol", "a read lies outside its volume, or is one too many")
        elif not session.ready or not copy.consistent:
            session.send(m.ReadReply(session.nonce, query.ordinal, errnos.ESTALE, b""))
        else:
            self._waiting.append((session, copy.journal.taken if copy.journal.active else 0, query))
            if copy.journal.active:
                copy.journal.sync()
            self.go_on()

    def go_on(self) -> None:
        """The volumes may show more by now."""
        copy, waiting = self._copy, self._waiting
        while waiting:
            session, upto, query = waiting[0]
            alive = session is copy.session
            if alive and copy.journal.active and copy.journal.written < upto:
                return
            waiting.popleft()
            if alive:
                self._read(session, query)

    def looked_up(self, ticket: int, data: m.Buffer, errno: int) -> list[Action]:
        """A range was read."""
        self._copy.outbox.settle(ticket, data, errno)
        return self._copy.outbox.take()

    def _read(self, session: Stream, query: m.ReadQuery) -> None:
        copy = self._copy

        def found(data: m.Buffer, errno: int) -> None:
            if errno:
                copy.outbox.note(
                    "read-error",
                    volume=query.volume,
                    offset=query.offset,
                    length=query.length,
                    why=errnos.errorcode.get(errno),
                )
            if session is copy.session:
                session.send(m.ReadReply(session.nonce, query.ordinal, errno, b"" if errno else data))

        ticket = copy.outbox.ticket(found)
        copy.outbox.emit(ReadRange(ticket, query.volume, query.offset, query.length))
