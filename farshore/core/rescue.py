"""What a primary's own disk cannot read is read at a peer that has the same (rule C3).

A peer whose link replicates holds, at the place in the stream where the question comes, all that was given
a sequence before: the question goes behind those frames on the same channel. So its content is what a read
here should have shown; a write that nobody has answered yet may be in it or not, as in any read beside a
write. A peer that fails, leaves or takes too long gives way to the next; with none left the one request
gets its error. The regions are remembered: they are shown, and a repair writes them anew (see `mending`).
"""

from __future__ import annotations

import errno as errnos
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from farshore.core.actions import Action, AnswerRead
from farshore.model import messages as m
from farshore.model.options import Mode

if TYPE_CHECKING:
    from farshore.core.feeder import Feeder
    from farshore.core.primary import Primary

PIECE: Final = 1 << 20
"""The most that is asked for at once, bytes."""
AT_ONCE: Final = 8
"""Questions under way."""
PATIENCE: Final = 10.0
"""Seconds for an answer."""
MOST_BAD: Final = 1 << 16
"""Regions that are remembered by their place."""

Span: TypeAlias = tuple[int, int, int]
"""(volume, offset, length)."""
Found: TypeAlias = list[tuple[Span, m.Buffer]]


@dataclass(slots=True, eq=False)
class _Wish:
    """One request; `then` gets what was found, or None."""

    then: Callable[[Found | None], None]
    left: int
    found: Found = field(default_factory=list)
    over: bool = False


@dataclass(slots=True, eq=False)
class _Question:
    """One piece of a wish, at the peer that is asked for it at present."""

    wish: _Wish
    span: Span
    tried: set[bytes] = field(default_factory=set)
    link: bytes = b""
    nonce: int = 0
    since: float = 0.0


class Rescue:
    """See the module."""

    def __init__(self, primary: Primary) -> None:
        self._primary = primary
        self.bad: dict[tuple[int, int], int] = {}
        """(volume, region) that the disk refused -> errno."""
        self._waiting: deque[_Question] = deque()
        self._asked: dict[int, _Question] = {}
        self._ordinal = 0

    # -- what is bad ------------------------------------------------------------------------

    def remember(self, span: Span, errno: int) -> None:
        """The disk refused this range."""
        volume, offset, length = span
        news = False
        for region in self._primary.geometry.regions_of(offset, length):
            if (volume, region) not in self.bad and len(self.bad) < MOST_BAD:
                self.bad[volume, region] = errno
                news = True
        if news:
            self._primary.outbox.note(
                "read-error", volume=volume, offset=offset, length=length, why=errnos.errorcode.get(errno)
            )

    @property
    def trouble(self) -> str:
        """What the disk refuses, in words; empty where nothing is known."""
        if not self.bad:
            return ""
        (volume, region), errno = next(iter(self.bad.items()))
        geometry = self._primary.geometry
        what = f"{len(self.bad)} regions" if len(self.bad) > 1 else "a region"
        where = f"volume {volume} at byte {region * geometry.region}"
        return f"read error {errnos.errorcode.get(errno, errno)}: {what}, the first in {where}"

    # -- inputs -----------------------------------------------------------------------------

    def read_failed(self, token: object, spans: Sequence[Span], errno: int) -> list[Action]:
        """The local disk cannot read these ranges of a request, which `AnswerRead` answers."""
        outbox = self._primary.outbox
        for span in spans:
            self.remember(span, errno)

        def read(found: Found | None) -> None:
            outbox.emit(AnswerRead(token, found or [], errno if found is None else 0))

        self.fetch(spans, read)
        return outbox.take()

    # -- questions --------------------------------------------------------------------------

    def fetch(self, spans: Sequence[Span], then: Callable[[Found | None], None]) -> None:
        """Read these ranges at a peer; `then` gets each piece with its place, or None."""
        pieces = [
            (volume, at, min(PIECE, offset + length - at))
            for volume, offset, length in spans
            for at in range(offset, offset + length, PIECE)
        ]
        wish = _Wish(then, len(pieces))
        self._waiting.extend([_Question(wish, piece) for piece in pieces])
        self._go_on()

    def _go_on(self) -> None:
        while self._waiting and len(self._asked) < AT_ONCE:
            question = self._waiting.popleft()
            if not question.wish.over:
                self._ask(question)

    def _ask(self, question: _Question) -> None:
        feeder = self._source(question.tried, question.span)
        if feeder is None:
            self._end(question.wish, None)
            return
        self._ordinal += 1
        question.tried.add(feeder.id)
        question.link, question.nonce = feeder.id, feeder.session.nonce
        question.since = self._primary.outbox.now
        self._asked[self._ordinal] = question
        feeder.send(m.ReadQuery(question.nonce, self._ordinal, *question.span))

    def _source(self, tried: set[bytes], span: Span) -> Feeder | None:
        """A peer that has all that was given a sequence by now, and is not known to hold something else
        there (rule E7); a sync one is quicker."""
        able = [
            each
            for each in self._primary.feeders.values()
            if each.id not in tried and each.replicating and each.streaming and each.live
            if not self._found_to_differ(each, span)
        ]
        able.sort(key=lambda each: each.spec.options.mode is not Mode.SYNC)
        return next((each for each in able if not each.session.doubtful), None)

    def _found_to_differ(self, feeder: Feeder, span: Span) -> bool:
        volume, offset, length = span
        regions = self._primary.geometry.regions_of(offset, length)
        return bool(feeder.board.found.bits[volume][regions.start : regions.stop].any())

    def heard(self, link: bytes, reply: m.ReadReply) -> None:
        """A peer has answered. What nobody waits for any more changes nothing (rule B7)."""
        question = self._asked.get(reply.ordinal)
        if question is None or (question.link, question.nonce) != (link, reply.session):
            return
        del self._asked[reply.ordinal]
        if reply.errno or len(reply.data) != question.span[2]:
            self._waiting.append(question)
        elif not question.wish.over:
            question.wish.found.append((question.span, reply.data))
            question.wish.left -= 1
            if not question.wish.left:
                self._end(question.wish, question.wish.found)
        self._go_on()

    def tick(self) -> None:
        """Who left, or takes too long, is not waited for."""
        now = self._primary.outbox.now
        for ordinal, question in list(self._asked.items()):
            feeder = self._primary.feeders.get(question.link)
            gone = feeder is None or feeder.session.nonce != question.nonce
            if gone or now - question.since >= PATIENCE:
                del self._asked[ordinal]
                self._waiting.append(question)
        self._go_on()

    def _end(self, wish: _Wish, found: Found | None) -> None:
        if not wish.over:
            wish.over = True
            wish.then(found)
