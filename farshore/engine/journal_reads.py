"""Reads in the apply journal for a copy's own links: it is their disk queue, and their memory at a start.

They run off the loop, and any number of links may read beside each other and beside appends. Whatever takes
something away from the journal is done while nobody reads: it waits for the reads that were begun, and
those that come later wait for it. Frames are handed over as they came over the line.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from farshore.core import actions as a
from farshore.engine.carrier import Carrier
from farshore.engine.pool import Pool
from farshore.errors import FarshoreError
from farshore.model.messages import FrameHead
from farshore.store.segment_reader import SegmentReader
from farshore.store.segments import Segments
from farshore.wire import frame

_LANE: Final = "journal-read"
T = TypeVar("T")
_Found = list[tuple[FrameHead, frame.Frame]]


class JournalReads:
    """See the module."""

    def __init__(self, segments: Segments, carrier: Carrier, pool: Pool) -> None:
        self._segments = segments
        self._carrier = carrier
        self._pool = pool
        self._readers: dict[bytes, SegmentReader] = {}
        self._under_way = 0
        self._held: list[Callable[[], None]] = []
        self._waiting: deque[Callable[[], None]] = deque()
        self._taken = False

    def offer(
        self,
        read: Callable[[int, Sequence[tuple[FrameHead, object]], str], list[a.Action]],
        through: Callable[[], int],
    ) -> dict[type, Callable[[Any], None]]:
        """How reads are carried out and where they are reported. Nothing behind the sequence that `through`
        answers when a read begins is read: nobody may hear of it yet."""
        self._report = self._carrier.reporting(read)
        self._through = through
        return {a.QueueRead: self._begin}

    def forget(self, link: bytes) -> None:
        """The link is gone."""
        self._readers.pop(link, None)

    # -- reading ------------------------------------------------------------------------------

    def _begin(self, action: a.QueueRead) -> None:
        if self._taken or self._waiting:
            self._held.append(partial(self._begin, action))
            return
        self._under_way += 1
        reader = self._readers.setdefault(action.link, SegmentReader(self._segments))
        read = reader.begin(action.after, self._through(), action.most)
        self._pool.submit((_LANE, action.link), partial(_frames, read), partial(self._done, action.ticket))

    def _done(self, ticket: int, found: _Found | str | OSError) -> None:
        self._under_way -= 1
        self._go_on()
        if isinstance(found, OSError):
            self._report(ticket, [], f"the journal cannot be read: {found.strerror or found}")
        elif isinstance(found, str):
            self._report(ticket, [], found)
        else:
            self._report(ticket, found, "")

    def beside(self, begin: Callable[[], Callable[[], T]], then: Callable[[T | OSError], None]) -> None:
        """Another read: `begin` is called once nothing is being taken away, and what it returns reads on
        whatever thread."""
        if self._taken or self._waiting:
            self._held.append(partial(self.beside, begin, then))
            return
        self._under_way += 1

        def done(result: T | OSError) -> None:
            self._under_way -= 1
            self._go_on()
            then(result)

        self._pool.submit(object(), begin(), done)

    # -- taking something away ----------------------------------------------------------------

    def alone(self, then: Callable[[], None]) -> None:
        """Runs `then` as soon as nobody reads; from then on until `released` nobody does."""
        self._waiting.append(then)
        self._go_on()

    def released(self) -> None:
        """What `alone` has begun is done."""
        self._taken = False
        self._go_on()

    def _go_on(self) -> None:
        while self._waiting and not (self._under_way or self._taken):
            self._taken = True
            self._waiting.popleft()()
        if self._held and not (self._waiting or self._taken):
            held, self._held = self._held, []
            for begin in held:
                begin()


def _frames(read: Callable[[], Sequence[Any]]) -> _Found | str:
    """What was read, or what is wrong with it. Raises OSError."""
    try:
        whole = [frame.check(data) for data in read()]
    except FarshoreError as error:
        return error.what
    return [(each.head, each) for each in whole]
