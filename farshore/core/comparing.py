"""The follower's answers to digest queries (rules A4, E7): of exactly the position that a query names.

A resync's query is answered with what the volumes show while they are digested: frames that come
meanwhile bring what the feeder has, so an answer `equal` stays true, and a needless `differs` costs a fill.
A verify's query is about one position only. With a journal the volumes are behind: it is looked
at once they show everything up to there in its range; and a frame from behind that position which is
about to be written into the range voids the answer, so that a write in flight is never reported. A
query that was voided again and again asks to hold the stream meanwhile, for one region. What cannot be
read differs: a repair writes it anew.
"""

from __future__ import annotations

import errno as errnos
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from farshore.core.actions import CompareDigests
from farshore.model import messages as m
from farshore.model.volumes import Operation

if TYPE_CHECKING:
    from farshore.core.follower import Follower
    from farshore.core.stream import Stream

MOST = 64
"""Queries of a verify that may be open at once: a feeder never asks as many."""
DIFFERS, CHANGED = b"\1", b"\2"


class _Open:
    """A verify's query that is not answered. `ready` is the sequence that the volumes have to reach first."""

    __slots__ = ("asked", "query", "ready", "release")

    def __init__(self, query: m.DigestQuery, ready: int) -> None:
        self.query = query
        self.ready = ready
        self.asked = False
        self.release = _nothing

    def touched_by(self, operations: Iterable[Operation]) -> bool:
        """Whether any of them changes its range."""
        query = self.query
        end = query.offset + query.length
        return any(
            volume == query.volume and offset < end and query.offset < offset + length
            for volume, _, offset, length in operations
        )


class Comparing:
    """See the module. One per session."""

    def __init__(self, copy: Follower, stream: Stream) -> None:
        self._copy = copy
        self._stream = stream
        self.open: list[_Open] = []

    def take(self, query: m.DigestQuery) -> None:
        """A query, which ends the session where it does not fit this place in the stream."""
        size, stream = self._copy.geometry.sizes.get(query.volume, -1), self._stream
        resync = query.purpose is m.Purpose.RESYNC
        if not (query.length > 0 and query.offset >= 0 and query.offset + query.length <= size):
            stream.protocol_error("a digest query lies outside its volume")
        elif not (stream.resyncing_at(query.sequence) if resync else self._verifiable(query.sequence)):
            stream.protocol_error("a digest query is out of its place")
        elif resync:
            self._ask(query, lambda differing, errno: self._compared(query, differing, errno))
        else:
            self._open(query)

    def _verifiable(self, sequence: int) -> bool:
        journal, standing = self._copy.journal, self._copy.standing
        here = journal.taken if journal.active else standing.applied
        in_order = self._stream.ready and self._copy.keeper.header.resync is None
        return in_order and sequence == here and len(self.open) < MOST

    def _open(self, query: m.DigestQuery) -> None:
        entry = _Open(query, 0)
        journal = self._copy.journal
        for last, operations in journal.unwritten(query.sequence) if journal.active else ():
            if entry.touched_by(operations):
                entry.ready = last
        self.open.append(entry)
        if query.purpose is m.Purpose.VERIFY_HELD:
            released: list[Callable[[], None]] = []
            self._stream.hold_until(released.append, _nothing)
            entry.release = released[0]
            if entry.ready:
                journal.sync(journal.go_on)  # nothing more comes that would make it durable
        self.advance()

    def advance(self) -> None:
        """The volumes show more than they did."""
        written = self._copy.journal.written
        for entry in [each for each in self.open if not each.asked and each.ready <= written]:
            entry.asked = True
            self._digest(entry)

    def _digest(self, entry: _Open) -> None:
        query = entry.query

        def compared(differing: bytes, errno: int) -> None:
            if entry not in self.open:
                return
            if errno and query.length > query.region:
                self._void(entry)  # the others of its regions can be read: one by one then
                return
            if errno:
                name = errnos.errorcode.get(errno, str(errno))
                self._copy.outbox.note("verify-unreadable", volume=query.volume, at=query.offset, why=name)
            self._close(entry, DIFFERS if errno else differing)

        self._ask(query, compared)

    def changes(self, last: int, operations: Iterable[Operation]) -> None:
        """A frame is about to be written to the volumes: what it touches is not of an earlier position any
        more."""
        for entry in [each for each in self.open if last > each.query.sequence]:
            if entry.touched_by(operations):
                self._void(entry)

    def give_up(self) -> None:
        """The order of frames ends here: a resync begins, or the session is over."""
        for entry in list(self.open):
            self._void(entry)

    def _void(self, entry: _Open) -> None:
        query = entry.query
        self._close(entry, CHANGED * -(-query.length // query.region))

    def _close(self, entry: _Open, differing: bytes) -> None:
        self.open.remove(entry)
        self._answer(entry.query, differing)
        entry.release()

    def _ask(self, query: m.DigestQuery, then: Callable[[bytes, int], None]) -> None:
        self._copy.outbox.emit(CompareDigests(self._copy.outbox.ticket(then), query))

    def _compared(self, query: m.DigestQuery, differing: bytes, errno: int) -> None:
        if errno:
            self._copy.fail(errno, "a volume cannot be read")
        else:
            self._answer(query, differing)

    def _answer(self, query: m.DigestQuery, differing: bytes) -> None:
        if not self._stream.ended:
            self._stream.send(m.DigestReply(self._stream.nonce, query.ordinal, differing))


def _nothing() -> None:
    """The stream is not held."""
