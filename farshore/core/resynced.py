"""A resync at the follower: how it begins, and how it counts as complete (rules B6, D4, E1).

What `completing` is to the feeder. The stream is held in both cases until everything is durable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from farshore.core import undoing
from farshore.core.actions import TrimJournal
from farshore.core.broken_layers import overwriting
from farshore.core.turning import with_history
from farshore.model import messages as m
from farshore.model.header import OpenResync
from farshore.model.positions import Position

if TYPE_CHECKING:
    from farshore.core.follower import Follower
    from farshore.core.stream import Stream


def begin(stream: Stream, copy: Follower, message: m.ResyncBegin) -> None:
    """Rule E1: everything so far synced, an undo begun, then durably inconsistent, before the first fill."""
    position = message.position
    stream.resyncing = True
    stream.terms = message
    copy.relay.suspend(message.history)

    def mark(undo: bytes, done: Callable[[], None]) -> None:
        header = copy.keeper.header
        resync = OpenResync(message.resync, message.kind, position)
        seen = max(header.highest_seen, position.sequence)
        marked = replace(header, history=copy.history(), resync=resync, undo=undo, highest_seen=seen)
        copy.keeper.put(overwriting(copy, replace(marked, journaling=False)), done)

    def prepare(done: Callable[[], None]) -> None:
        def protect() -> None:
            undoing.protect(copy, message, lambda: stream.ended, lambda undo: mark(undo, done))

        copy.journal.leave(stream.if_current(protect))

    def marked() -> None:
        copy.outbox.emit(TrimJournal(Position(position.generation, 0)))  # nothing leads on over a resync (H)
        copy.standing.move_to(position, 0)
        copy.snapping.sizes.level()
        stream.begins()

    stream.hold_until(prepare, marked)


def end(stream: Stream, copy: Follower, message: m.ResyncEnd) -> None:
    """The completion cut: all durable, then the position, then the history without the mark and without the
    undo (D4)."""
    position, here = message.position, copy.standing.position
    resync, undo = copy.keeper.header.resync, copy.keeper.header.undo
    known = resync is not None and resync.id == message.resync
    if not known or position != here or message.history.head != here:
        stream.protocol_error("the completion cut is not where this copy is")
        return
    wanted = stream.journal_wanted

    def install(done: Callable[[], None]) -> None:
        def durable() -> None:
            undoing.release(copy, undo)  # also where the session has ended meanwhile
            done()

        def marked() -> None:
            adopted = with_history(copy.keeper.header, message.history)
            header = replace(adopted, resync=None, undo=b"", doubtful_until=0, journaling=wanted)
            copy.keeper.put(replace(header, loose_until=0), durable)

        # Rule B6: what was written meanwhile is marked for the hops before nothing says that it was.
        copy.relay.persist(stream.if_current(marked))

    def prepare(done: Callable[[], None]) -> None:
        last = stream.if_current(lambda: install(done))
        before = stream.if_current(lambda: copy.journal.begin(position, last)) if wanted else last

        def record() -> None:
            copy.standing.record(position, before)

        copy.standing.sync_volumes(stream.if_current(record))

    def installed() -> None:
        stream.resyncing = False
        copy.standing.durable = max(copy.standing.durable, position.sequence)
        if wanted:
            copy.journal.activate(position)
        copy.outbox.note("resync-complete", sequence=position.sequence)
        stream.completed(message.resync)

    stream.hold_until(prepare, installed)
