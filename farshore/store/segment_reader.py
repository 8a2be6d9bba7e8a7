"""One reader's way through segments, in reads that go on where the last one ended.

The owner of the segments begins a read; it is done on whatever thread, beside appends. Nobody may give
segments back meanwhile. Whoever asks for something else than what comes next begins at a segment's start.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial

from farshore.errors import FarshoreError
from farshore.model.messages import Buffer
from farshore.model.positions import Position
from farshore.store.segments import Cursor, Segments


class SegmentReader:
    """See the module."""

    def __init__(self, segments: Segments) -> None:
        self._segments = segments
        self._reached: tuple[int, Cursor] | None = None
        """The sequence of the last entry that was read, and the place behind it."""

    def begin(self, after: int, through: int | None, most: int) -> Callable[[], list[Buffer]]:
        """What reads the entries with bytes behind `after` and up to `through`, two sequences (None: to the
        end): about `most` bytes of them but at least one, none where there is none. It raises OSError, also
        where an entry is not whole any more."""
        cursor, reached = self._segments.cursor_at(Position(b"", after)), self._reached
        if reached is not None and reached[0] == after:
            cursor = max(cursor, reached[1])  # segments may have gone since
        return partial(self._read, cursor, (after, through), most)

    def _read(self, cursor: Cursor, between: tuple[int, int | None], most: int) -> list[Buffer]:
        after, through = between
        found: list[Buffer] = []
        last = after
        try:
            while not found:
                entries, cursor = self._segments.read(cursor, most, through)
                if not entries:
                    break
                found = [data for position, data in entries if len(data) and position.sequence > after]
                last = max(last, entries[-1][0].sequence)
        except FarshoreError as error:
            raise OSError(errno.EIO, error.what) from error
        self._reached = (last, cursor)
        return found
