"""The queues of a primary's links: carries out what the core says of them.

Whichever link has no disk queue has no entry here, and the core never speaks of it. A queue that an
operator switches on is opened by its first append.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from farshore.core import actions as a
from farshore.core.links import Links
from farshore.core.queueing import QueueImage
from farshore.engine.carrier import Carrier
from farshore.engine.disk_queue import DiskQueue
from farshore.engine.link_runner import LinkRunner
from farshore.engine.pool import Pool
from farshore.engine.stored_copy import StoredCopy
from farshore.model.messages import Buffer
from farshore.model.options import LinkSpec
from farshore.model.positions import Position
from farshore.store.queue_files import Kept, QueueFiles, Shelf
from farshore.wire import session


def directory_of(stored: StoredCopy, link: bytes) -> str:
    """Where a link's disk queue lies."""
    return f"{stored.directory}/links/{link.hex()}.queue"


def left_on_disk(stored: StoredCopy, spec: LinkSpec) -> QueueImage | None:
    """What an earlier process left in a link's disk queue, which stays open for its use: opening it means
    reading all of it. One that cannot be read holds nothing: its marks are in the scoreboard, and the first
    append will tell what is wrong."""
    shelf = _shelf(stored, spec)
    if not shelf.exists:
        return None
    try:
        segments = shelf.open()
    except OSError:
        return None
    stored.queues[spec.id] = segments
    if segments.start is None or segments.end is None:
        return None
    return QueueImage(segments.start, segments.end, segments.bytes_used, segments.damaged)


def _shelf(stored: StoredCopy, spec: LinkSpec) -> Shelf:
    return Shelf.for_bound(stored.layer, directory_of(stored, spec.id), spec.id, spec.options.queue_disk)


class LinkQueues:
    """See the module."""

    def __init__(
        self, core: Links, stored: StoredCopy, pool: Pool, carrier: Carrier, links: dict[bytes, LinkRunner]
    ) -> None:
        self._core = core
        self._stored = stored
        self._pool = pool
        self._links = links
        self._queues: dict[bytes, DiskQueue] = {}
        self._report_written = carrier.reporting(core.queue_written)
        self._report_read = carrier.reporting(core.queue_read)
        self._report_synced = carrier.reporting(core.queue_synced)
        self.table: dict[type, Callable[[Any], None]] = {
            a.QueueAppend: lambda action: self._of(action.link).append(),
            a.QueueRead: self._read,
            a.SendFrames: lambda action: self._send(action.channel, action.frames),
            a.QueueSend: self._send_kept,
            a.QueueTrim: lambda action: self._of(action.link).trim(action.durable),
            a.QueueDrop: lambda action: self._of(action.link).drop(),
            a.QueueSync: lambda action: self._of(action.link).sync(self._synced(action.ticket)),
        }

    def _of(self, link: bytes) -> DiskQueue:
        queue = self._queues.get(link)
        if queue is None:
            spec = self._core.feeders[link].spec

            def written(last: int, disk_bytes: int, errno: int) -> None:
                self._report_written(link, last, disk_bytes, errno)

            queue = self._queues[link] = DiskQueue(
                QueueFiles(_shelf(self._stored, spec), self._stored.queues.pop(link, None)),
                self._pool,
                written,
            )
        return queue

    def keep(self, action: a.Issue, body: Buffer) -> None:
        """A frame that was issued just now."""
        last = action.first + len(action.operations) - 1
        kept = Kept(Position(action.follows.generation, last), action.follows, body)
        for link, to_disk in action.queues:
            queue = self._of(link)
            queue.keep(kept)
            if to_disk:
                queue.append()

    def _read(self, action: a.QueueRead) -> None:
        def done(frames: object, why: str) -> None:
            self._report_read(action.ticket, frames, why)

        self._of(action.link).read(action.after, action.most, done)

    def _synced(self, ticket: int) -> Callable[[int], None]:
        return lambda errno: self._report_synced(ticket, errno)

    def _send_kept(self, action: a.QueueSend) -> None:
        self._send(action.channel, self._of(action.channel).kept_after(action.after))

    def _send(self, link: bytes, frames: list[Any]) -> None:
        runner = self._links[link]
        for body in frames:
            runner.send_frame(session.frame_prefix(len(body)), body)

    @property
    def memory_bytes(self) -> int:
        """Bytes of frames that are kept in memory for the disk queues of all links."""
        return sum(queue.memory_bytes for queue in self._queues.values())

    def remove(self, link: bytes) -> None:
        """The link is gone: its queue goes too, also one that nobody has used since the start."""
        left = self._stored.queues.pop(link, None)
        queue = self._queues.pop(link, None)
        if queue is None and left is not None:
            shelf = Shelf(self._stored.layer, left.directory, link, left.segment_bytes)
            queue = DiskQueue(QueueFiles(shelf, left), self._pool, lambda *_: None)
        if queue is not None:
            queue.close(remove=True)

    def close(self) -> None:
        """Ends the use of all files."""
        for queue in self._queues.values():
            queue.close()
