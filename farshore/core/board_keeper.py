"""Writes the scoreboards of a copy's links, and lets extents cool once all that they need is durable
(rules A2, A4, A5).

`fault` is told of a scoreboard that could not be written; nothing that waited for it goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from farshore.core.actions import WriteBoard
from farshore.core.activity import ActivityLog
from farshore.core.feeder import Feeder
from farshore.core.ledger import Ledger
from farshore.core.outbox import Outbox, after
from farshore.core.write_path import WritePath

Then = Callable[[], None]


class BoardKeeper:
    """See the module."""

    def __init__(self, outbox: Outbox, feeders: dict[bytes, Feeder], fault: Callable[[int], None]) -> None:
        self._outbox = outbox
        self._feeders = feeders
        self._fault = fault
        self.cooling = False
        """True while a cooling is under way."""
        self.barren: int | None = None
        """What was written when a cooling ended that could let nothing go; the next one waits for more."""
        self._again: int | None = None
        """What was written when such a one was tried again all the same."""

    def write(self, feeder: Feeder, then: Then, exact: bool = False) -> None:
        """Write what has changed of one scoreboard, then run `then`."""

        def written(errno: int) -> None:
            if errno:
                self._fault(errno)
            else:
                then()

        feeder.settle_base()
        board = feeder.board
        pages = board.pages(exact)
        ticket = self._outbox.ticket(written)
        self._outbox.emit(WriteBoard(ticket, feeder.id, board.base, board.peer_copy, pages))

    def write_all(self, then: Then) -> None:
        """Write every scoreboard, then run `then`."""
        self._write_each(self._feeders.values(), then, exact=False)

    def write_exactly(self, then: Then) -> None:
        """A clean stop: first what a crash may need (A4), then open maps as they are."""

        def exactly() -> None:
            open_boards = [feeder for feeder in self._feeders.values() if feeder.board.open]
            self._write_each(open_boards, then, exact=True)

        self.write_all(exactly)

    def _write_each(self, feeders: Iterable[Feeder], then: Then, exact: bool) -> None:
        chosen = list(feeders)
        done = after(len(chosen), then)
        for feeder in chosen:
            self.write(feeder, done, exact)

    def cool(self, activity: ActivityLog, path: WritePath, ledger: Ledger) -> None:
        """Rule A2: make what the oldest hot extents need durable, then let them go.

        Frames that only wait for an acknowledgement get marks of their own (A4), so that a slow line
        does not keep an extent hot.
        """
        self.cooling = True
        activity.begin_cooling(path.sequence)
        victims, settled = set(activity.cooling), path.written
        for feeder in self._feeders.values():
            if feeder.following:
                for entry in ledger.after(feeder.acked.durable):
                    touched = [
                        each for each in entry.operations if not victims.isdisjoint(activity.keys(each))
                    ]
                    feeder.board.mark_queued(touched, entry.last)

        def cooled() -> None:
            self.cooling = False
            # What asked for extents meanwhile, and has to wait, has stamped those that it found hot: the next
            # cooling knows better than that stamp.
            waited_for = any(stamp > path.sequence for stamp in activity.hot.values())
            again = waited_for and self._again != settled  # once: what it waits for may be a local write
            self._again = settled if waited_for else None
            self.barren = None if activity.finish_cooling(settled) or again else settled
            path.admit_cold()

        done = after(2, cooled)
        self.write_all(done)
        path.sync_now(done)
