"""The frames that a copy has applied and still has, in order: its journal, and what that has kept (rule H).

Read for a rewind: once to say where it would lead, and once more to carry it out. Every frame is checked
whole, and has to follow the one before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from farshore.core.rewinding import Span, out_of_reach
from farshore.errors import FarshoreError
from farshore.model.messages import Buffer
from farshore.model.positions import Position
from farshore.store.past_segments import PastSegment, PastSegments
from farshore.store.segments import Cursor, Segments
from farshore.wire import frame

_PIECE = 4 << 20


@dataclass(frozen=True, slots=True)
class Applied:
    """One frame, or a mere change of position."""

    position: Position
    frame: frame.Frame | None


def start_of(journal: Segments) -> Position | None:
    """The position that the first frame follows; None where there is none."""
    past = journal.past
    return (past.start if past is not None else None) or journal.start


def behind(journal: Segments, after: int, through: int | None = None) -> Iterator[Applied]:
    """Everything from the sequence `after` on, and perhaps some before it; up to `through`, or what there is
    now. It is read on whatever thread, beside appends; nobody takes anything away from the journal meanwhile.
    Reading raises OSError, or FarshoreError where something is not whole any more."""
    past, end = journal.past, journal.end
    kept = past.row if past is not None else ()
    if through is None:
        through = end.sequence if end is not None else 0
    before = _past(past, [each for each in kept if each.last >= after]) if past is not None else iter(())
    return chain(before, _present(journal, journal.cursor_at(Position(b"", after - 1)), through))


def _past(past: PastSegments, kept: Iterable[PastSegment]) -> Iterator[Applied]:
    for segment in kept:
        yield from map(_applied, past.entries(segment))


def _present(journal: Segments, cursor: Cursor, through: int) -> Iterator[Applied]:
    while True:
        entries, cursor = journal.read(cursor, _PIECE, through)
        if not entries:
            return
        yield from map(_applied, entries)


def _applied(entry: tuple[Position, Buffer]) -> Applied:
    position, data = entry
    return Applied(position, frame.check(data) if len(data) else None)


def between(journal: Segments, mark: Position, goal: Position) -> Iterator[frame.Frame]:
    """The frames that lead from one position to the other, in order. Raises FarshoreError
    `not-rewindable` where they do not, perhaps after some of them; and OSError."""
    span = Span(mark, goal)
    try:
        for each in behind(journal, mark.sequence) if not span.complete else ():
            head = each.frame.head if each.frame is not None else None
            if span.step(each.position, head) and each.frame is not None:
                yield each.frame
            if span.complete:
                break
    except FarshoreError as error:
        raise error if error.code.name == "not-rewindable" else out_of_reach(error.what) from error
    span.require()
