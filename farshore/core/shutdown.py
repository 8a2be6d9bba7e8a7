"""A primary's clean stop, step by step: no write in flight, peers told, volumes synced, maps exact,
and last the header that says `clean` with the exact head of the history (rule D1).

Each step begins when the one before has ended; a crash in between is an unclean stop like any.
"""

from __future__ import annotations

import errno as errnos
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from farshore.core.link import LinkEvent
from farshore.core.outbox import after
from farshore.model import messages as m

if TYPE_CHECKING:
    from collections.abc import Callable

    from farshore.core.primary import Primary
    from farshore.core.queueing import LinkQueue

DRAIN = 2.0
"""Seconds to wait for peers to make durable what they were sent."""


class Shutdown:
    """See the module; `advance` is called whenever something may have moved."""

    def __init__(self, primary: Primary) -> None:
        self._primary = primary
        self._deadline = primary.outbox.now + DRAIN
        self.closing = False
        self.complete = False
        self._opened = primary.opened
        primary.path.held = True
        primary.opened = True
        for feeder in primary.feeders.values():
            if feeder.live:
                feeder.send(m.SyncNow(feeder.session.nonce))

    def advance(self) -> None:
        """Go on as far as possible."""
        primary = self._primary
        if self.closing or primary.path.unwritten:
            return
        behind = any(
            feeder.live and feeder.replicating and feeder.acked.durable < primary.path.sequence
            for feeder in primary.feeders.values()
        )
        if behind and primary.outbox.now < self._deadline and not primary.path.fault:
            return
        self.closing = True
        primary.path.release()
        for feeder in primary.feeders.values():
            feeder.close("", "the engine stops")
            if feeder.following or feeder.disk.live:
                feeder.stop(LinkEvent.LOST, "the engine stopped")
        if primary.faulting.record.fault is None:  # a fault ends the stop here, once it is recorded
            primary.path.sync_now(self._synced)

    def _synced(self) -> None:
        """Flushes that waited for this sync are answered by it; what still waits for a peer is refused."""
        self._primary.path.release()
        self._primary.path.fail(errnos.ESHUTDOWN)
        self._primary.boards.write_exactly(self._sync_queues)

    def _sync_queues(self) -> None:
        """A queue that is whole by now lets the next start go on in order; any other one is sealed there."""
        queues = [feeder.disk for feeder in self._primary.feeders.values() if feeder.disk.live]
        done = after(len(queues), self._boards_written)
        for queue in queues:
            queue.sync(partial(self._queue_synced, queue, done))

    def _queue_synced(self, queue: LinkQueue, then: Callable[[], None], errno: int) -> None:
        queue.spoiled = queue.spoiled or bool(errno)
        then()

    def _boards_written(self) -> None:
        keeper, path = self._primary.keeper, self._primary.path
        if self._primary.faulting.record.fault is not None:
            return  # something failed on the way: the stop is not a clean one
        for feeder in self._primary.feeders.values():
            record = replace(feeder.record, queue_whole=feeder.disk.whole)
            keeper.header = replace(keeper.header, links=keeper.header.with_link(record))
        exact = keeper.header.history.extended_to(path.sequence)
        keeper.put(replace(keeper.header, history=exact, ceiling=path.sequence, clean=True), self._done)

    def _done(self) -> None:
        self._primary.keeping.preserve.when_idle(self._complete)

    def _complete(self) -> None:
        self.complete = True
