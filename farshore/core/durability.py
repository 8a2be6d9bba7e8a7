"""How far a secondary has come, and how far of that would survive a power loss (rules B3, B4).

`applied` is written to the volumes; `durable` was fdatasynced and, unless the copy is inconsistent,
so was the record of its position. One fdatasync is in flight at a time; it never holds the stream
except where a flush in it asks for that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from farshore.core.actions import WriteDurable
from farshore.core.fault_texts import VOLUMES
from farshore.core.outbox import GroupSync, HeaderKeeper, Outbox
from farshore.core.record_actions import ForgetBeyond
from farshore.model.positions import History, Position

SYNC_BYTES = 16 << 20
"""Bytes applied since the last fdatasync at which the next one begins at the latest (rule B4)."""
QUEUE_SHARE = 4
"""It begins at 1/QUEUE_SHARE of what the feeder's queue may hold in memory, where that is less."""


def gathered(most: int, queue: int) -> int:
    """Bytes at which a follower makes itself durable (rule B4): `most`, or a quarter of the feeder's memory
    queue, which keeps what is not durable here; 0 where the feeder has not told it."""
    return min(most, max(1, queue // QUEUE_SHARE)) if queue else most


class Durability:
    """See the module. `fault` is told of the errno of whatever failed, and what that was."""

    def __init__(
        self, outbox: Outbox, keeper: HeaderKeeper, sync: GroupSync, fault: Callable[[int, str], None]
    ) -> None:
        self._outbox = outbox
        self._keeper = keeper
        self._fault = fault
        self.sync = sync
        self.generation = b""
        self.applied = 0
        self.durable = 0
        self.unsynced = 0
        """Bytes applied since the last fdatasync began."""
        self.since = 0.0
        """When the last fdatasync began, monotonic seconds."""
        self.sync_bytes = SYNC_BYTES
        """Bytes at which the next one begins."""

    @property
    def position(self) -> Position:
        """Where the volumes stand."""
        return Position(self.generation, self.applied)

    @property
    def doubtful(self) -> bool:
        """Rule B3: after a power loss, until everything that may be there in part was passed again."""
        return self.applied < self._keeper.header.doubtful_until

    def move_to(self, position: Position, durable: int) -> None:
        """Stand at another position: a resync begins, or a history was adopted."""
        self.generation, self.applied, self.durable = position.generation, position.sequence, durable

    def reached(self, sequence: int, size: int) -> None:
        """Everything up to `sequence` is applied; `size` more bytes are not synced."""
        self.applied = sequence
        self.unsynced += size

    @property
    def overdue(self) -> bool:
        """Whether enough has gathered for an fdatasync. While a resync is open nothing of it waits in the
        feeder's queue."""
        resyncing = self._keeper.header.resync is not None
        return self.unsynced >= (SYNC_BYTES if resyncing else self.sync_bytes) and self.sync.idle

    def heed(self, queue: int) -> None:
        """A feeder has said what its queue may hold in memory (rule B4)."""
        self.sync_bytes = gathered(SYNC_BYTES, queue)

    def sync_volumes(self, then: Callable[[], None]) -> None:
        """fdatasync the volumes, then run `then`; a failure is a fault."""
        self.unsynced = 0
        self.since = self._outbox.now

        def synced(errno: int) -> None:
            if errno:
                self._fault(errno, VOLUMES)
            else:
                then()

        self.sync.request(synced)

    def record(self, position: Position, then: Callable[[], None]) -> None:
        """Write the durable position, then run `then`; a failure is a fault."""

        def recorded(errno: int) -> None:
            if errno:
                self._fault(errno, "the position cannot be recorded")
            else:
                then()

        self._outbox.emit(WriteDurable(self._outbox.ticket(recorded), position))

    def forget_beyond(self, position: Position, then: Callable[[], None]) -> None:
        """What was applied beyond `position` counts for no later process either; then run `then`."""

        def forgotten(errno: int) -> None:
            if errno:
                self._fault(errno, "the position cannot be recorded")
            else:
                then()

        self._outbox.emit(ForgetBeyond(self._outbox.ticket(forgotten), position))

    def make_durable(self, then: Callable[[], None]) -> None:
        """Sync, record the position unless inconsistent, count it durable, run `then`."""
        position = self.position

        def durable() -> None:
            if position.generation == self.generation:
                self.durable = max(self.durable, position.sequence)
            self.clear_doubt()
            then()

        def synced() -> None:
            if self._keeper.header.resync is None and position.generation:
                self.record(position, durable)
            else:
                durable()

        self.sync_volumes(synced)

    def clear_doubt(self) -> None:
        """Drop the header's mark of doubt once it has been passed, durably."""
        header = self._keeper.header
        if header.doubtful_until and header.resync is None and self.durable >= header.doubtful_until:
            self._keeper.put(replace(header, doubtful_until=0))


def reaching(history: History, certain: Position | None) -> History:
    """`history` with its newest generation reaching to what the position file knows."""
    head = history.head
    if head is None or certain is None or certain.generation != head.generation:
        return history
    return history.extended_to(max(head.sequence, certain.sequence))
