"""The disk queue of one link: what keeps the order of writes that the line cannot take (F1, D4, A4, G).

While a queue is *live* it keeps, without a gap, every frame behind `base` up to the newest one, the
oldest on disk and the newest in memory; what the peer has made durable is given back from the front.
In step every frame goes to the channel as well. *Behind*, because the channel is full or the peer is
lost, frames only enter the queue, and `draining` reads them back and sends them in order; once nothing
is left on disk the rest follows from memory and the link is in step again.

A *sealed* queue is one that an earlier process left without a clean stop: it is drained as far as it
reaches, for the sake of order, and tells nothing of what is marked. Every frame that is not followed
in the ledger has its marks in `Scoreboard.spooled`, so that a queue may be lost at any moment.
"""

from __future__ import annotations

import errno as errnos
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farshore.core.actions import (
    QueueAppend,
    QueueDrop,
    QueueSync,
    QueueTrim,
)
from farshore.core.draining import Draining
from farshore.core.gate import Acknowledged
from farshore.core.link import LinkEvent, Standing
from farshore.model.options import LinkState, OnFull, Reason
from farshore.model.positions import Position
from farshore.model.volumes import Operation

if TYPE_CHECKING:
    from farshore.core.feeder import Feeder

WRITING = 32 << 20
"""Bytes that may be on their way to the disk, if the memory queue is not larger: a stall of the disk that
lasts longer is a full queue."""
ROOM = 16
"""Writes that were held for a full queue go on once 1/ROOM of it is free."""

Then = Callable[[int], None]

_OUTAGES = (LinkEvent.LOST, LinkEvent.PEER_ERROR, LinkEvent.REFUSED)


@dataclass(frozen=True, slots=True)
class QueueImage:
    """What an earlier process left on disk: frames behind `start` up to `end`. Nothing behind a damage."""

    start: Position
    end: Position
    size: int
    """Bytes on disk."""
    damaged: str | None = None


class LinkQueue:
    """See the module. All numbers named after a place in the row of frames are sequences."""

    def __init__(self, feeder: Feeder) -> None:
        self._feeder = feeder
        self.draining = Draining(feeder, self)
        self.live = False
        self.sealed = False
        self.behind = False
        self.base = self.end = 0
        self.on_disk = 0
        """The newest frame that was given to the disk."""
        self.read = 0
        """The newest frame that was given to the channel."""
        self.disk_bytes = 0
        self.memory_bytes = 0
        self._memory: deque[tuple[int, int]] = deque()
        """(last sequence, bytes) of the frames in memory only."""
        self._writing: deque[tuple[int, int]] = deque()
        self._writing_bytes = 0
        self.appending = False
        """New frames go to the disk at once."""
        self._kept = 0
        """The frame that was kept last."""
        self._unsynced = False
        self._synced_at = 0.0
        self.spoiled = False
        """The queue could not be made durable at the stop."""

    # -- facts ------------------------------------------------------------------------------

    @property
    def configured(self) -> bool:
        """Whether the operator wants a disk queue."""
        return self._feeder.spec.options.queue_disk > 0

    @property
    def whole(self) -> bool:
        """A clean stop may say that every mark is one of a frame that lies here."""
        queuing = self.live and self._feeder.state is LinkState.QUEUING and not self.spoiled
        return queuing and not self._writing and not self._feeder.board.dirty.any()

    def placed(self, last: int) -> tuple[tuple[bytes, bool], ...]:
        """Where the frame that was just issued is kept, as `Issue` says it."""
        if self.live and self._kept == last:
            return ((self._feeder.id, self.on_disk == last),)
        return ()

    def _full(self, size: int) -> bool:
        """No room on disk, or a disk that is slower than the application (rule F1)."""
        options = self._feeder.spec.options
        writing = self._writing_bytes
        if writing and writing + size > max(options.queue_memory, WRITING):
            return True
        return self.disk_bytes + writing + self.memory_bytes + size > options.queue_disk

    def survives(self, event: LinkEvent) -> bool:
        """Whether the queue goes on through the end of a session."""
        feeder = self._feeder
        if event not in _OUTAGES or not self.configured or feeder.record.paused or feeder.pause is not None:
            return False
        if self.sealed:
            return True
        blocks = feeder.spec.options.on_full is OnFull.BLOCK
        return self.live and feeder.acked.durable >= self.base and (blocks or not self._full(0))

    # -- life -------------------------------------------------------------------------------

    def restore(self, image: QueueImage | None, head: Position | None, *, whole: bool) -> None:
        """What an earlier process left, whose history ended at `head`; `whole` if its clean stop said so."""
        feeder, board = self._feeder, self._feeder.board
        quiet = feeder.record.paused or feeder.spec.resting  # nothing is kept for a link that does not send
        if image is None or head is None or quiet or not self.configured:
            self._drop_disk(image is not None)
            return
        self.base, self.end = image.start.sequence, image.end.sequence
        self.on_disk, self.disk_bytes = self.end, image.size
        reaches = image.end.sequence == head.sequence and not image.damaged
        others = board.suspect.any() or board.second.any() or feeder.record.open_resync is not None
        if whole and reaches and not others and board.base is not None and self.base <= board.base.sequence:
            here = board.base.sequence
            board.adopt_spooled(self.end)
            feeder.acked = Acknowledged(here, here, here, here)
            feeder.counted = True
            self.live = self.behind = self.appending = True
            feeder.standing = Standing(LinkState.QUEUING, Reason.RESTARTED)
        else:
            self.sealed = self.behind = True
        if image.damaged:
            feeder.shared.outbox.note("queue-damaged", link=feeder.spec.name, why=image.damaged)

    def begin(self) -> None:
        """The link is in step: keep every frame from here on."""
        feeder = self._feeder
        if self.configured and not self.live:
            self.drop()
            self._drop_disk(True)  # also makes it ready
            self.live = True
            self.draining.generation = feeder.shared.path.generation
            self._rebase(feeder.shared.path.sequence)

    def _rebase(self, sequence: int) -> None:
        self.base = self.end = self.on_disk = self.read = sequence
        self._memory.clear()
        self._writing.clear()
        self.memory_bytes = self._writing_bytes = self.disk_bytes = 0
        self.behind = self.appending = self._unsynced = False
        self.draining.ended()

    def drop(self) -> None:
        """Nothing is kept any more; whoever drops it has made ordinary marks of its marks."""
        feeder = self._feeder
        feeder.shared.path.blocked.discard(feeder.id)
        if self.live or self.sealed:
            self.live = self.sealed = False
            self._rebase(0)
            self._drop_disk(True)

    def retire(self) -> None:
        """The link was removed: the shell removes the files, and nothing more is asked of it."""
        self._feeder.shared.path.blocked.discard(self._feeder.id)
        self.live = self.sealed = False
        self._rebase(0)

    def abandon(self, why: str) -> None:
        """Marks take over from the queue, which is of no use for what comes (rule A4)."""
        feeder = self._feeder
        if self.live:
            feeder.board.keep_queued()
            if feeder.state is LinkState.QUEUING:
                feeder.why = why
                feeder.enter(LinkEvent.LOST)
        self.drop()

    def _drop_disk(self, needed: bool) -> None:
        if needed:
            self._feeder.shared.outbox.emit(QueueDrop(self._feeder.id))

    def changed(self) -> None:
        """The operator changed the link's options."""
        feeder = self._feeder
        if feeder.spec.options.on_full is OnFull.LOG:
            feeder.shared.path.blocked.discard(feeder.id)
        if self.configured:
            if feeder.replicating and feeder.streaming:
                self.begin()
            if self.live and feeder.pause is None and self._full(0):
                self._too_long()
        elif self.live and not self.behind and feeder.pause is None:
            self.drop()  # the ledger has what is under way; older marks fall with their acknowledgement
        elif self.live or self.sealed:
            feeder.close("", "the disk queue was switched off")
            feeder.stop(LinkEvent.LOST, "the disk queue was switched off")

    def _too_long(self) -> None:
        """The operator made the bound smaller than what is kept: as if the next write had met it."""
        feeder = self._feeder
        if not self.behind:
            self._drop_disk(True)
            self._rebase(feeder.shared.path.sequence)
        elif feeder.spec.options.on_full is OnFull.LOG:
            feeder.stop(LinkEvent.OVERFLOW, "the disk queue is longer than its new limit")
        else:
            self.block()

    # -- frames -----------------------------------------------------------------------------

    def keep(self, last: int, size: int) -> None:
        """A frame that goes to the channel as well."""
        self.end = self.read = last
        self._memory.append((last, size))
        self.memory_bytes += size
        if self.memory_bytes > self._feeder.spec.options.queue_memory:
            if self._full(0):
                # Nothing is lost: should the peer be lost before it has this durable, marks will do.
                self._drop_disk(True)
                self._rebase(last)
                return
            self._to_disk(last)
        self._kept = last

    def take(self, operations: list[Operation], last: int, size: int) -> bool:
        """A frame that cannot go to the channel now: whether the queue has it (rule F1)."""
        feeder = self._feeder
        if not self.live or feeder.pause is not None:
            return False
        if self._full(size):
            if feeder.spec.options.on_full is OnFull.LOG:
                feeder.stop(LinkEvent.OVERFLOW, "the disk queue is full")
                return False
            self.block()
        feeder.board.spooled.mark(operations, last)
        self._enter(last, size)
        return True

    def _enter(self, last: int, size: int) -> None:
        """A frame that only the queue has."""
        self.end = self._kept = last
        self._memory.append((last, size))
        self.memory_bytes += size
        if self.appending or self.memory_bytes > self._feeder.spec.options.queue_memory:
            self.appending = True
            self._to_disk(last)

    def _to_disk(self, last: int) -> None:
        self._writing.append((last, self.memory_bytes))
        self._writing_bytes += self.memory_bytes
        self._memory.clear()
        self.memory_bytes = 0
        self.on_disk = last

    def fall_behind(self) -> bool:
        """The channel is full: frames only enter the queue from here on. False without a queue."""
        if not self.live:
            return False
        self._mark_followed()
        self._feeder.streaming = False
        self.behind = self.appending = True
        return True

    def _mark_followed(self) -> None:
        """What the ledger follows will not be followed any more (rule A1)."""
        feeder = self._feeder
        if feeder.following:
            for entry in feeder.shared.ledger.after(feeder.acked.durable):
                feeder.board.spooled.mark(entry.operations, entry.last)

    def spool(self) -> None:
        """The session is over: all that is kept goes to the disk, and what follows as well."""
        self.draining.ended()
        if self.live:
            self._mark_followed()
            self.behind = self.appending = True
            if self._memory:
                self._to_disk(self._memory[-1][0])
                self._feeder.shared.outbox.emit(QueueAppend(self._feeder.id))

    def written(self, last: int, disk_bytes: int, errno: int) -> None:
        """Frames up to `last` are on disk; with an errno the newest append is not (rule F1)."""
        if not self.live and not self.sealed:
            return
        self.disk_bytes = disk_bytes
        while self._writing and self._writing[0][0] <= last:
            self._writing_bytes -= self._writing.popleft()[1]
        self._unsynced = True
        if errno:
            why = errnos.errorcode.get(errno, str(errno))
            self.lost(LinkEvent.OVERFLOW, f"the disk queue cannot be written: {why}")
        else:
            self.go_on()

    def lost(self, event: LinkEvent, why: str) -> None:
        """The next tier: marks. In step nothing is missing but the queue itself."""
        feeder = self._feeder
        feeder.shared.outbox.note("queue-lost", link=feeder.spec.name, why=why)
        if self.live and not self.behind and feeder.pause is None:
            self._drop_disk(True)
            self._rebase(feeder.shared.path.sequence)
        else:
            if event is not LinkEvent.OVERFLOW:
                feeder.close("", why)
            feeder.stop(event, why)

    def block(self) -> None:
        """Hold writes until there is room; those under way are still taken."""
        self._feeder.shared.path.blocked.add(self._feeder.id)

    def _make_room(self) -> None:
        feeder = self._feeder
        if feeder.id in feeder.shared.path.blocked:
            options = feeder.spec.options
            full = feeder.queue > options.queue_memory // 2
            if not (self._full(options.queue_disk // ROOM) if self.live else full):
                feeder.shared.path.blocked.discard(feeder.id)

    # -- draining ---------------------------------------------------------------------------

    def pump(self) -> None:
        """Read on, if the channel has room for it."""
        if self.behind:
            self.draining.pump()

    def acknowledged(self, durable: int) -> None:
        """The peer has everything up to here durable."""
        memory, before = self._memory, len(self._memory)
        while memory and memory[0][0] <= durable:
            self.memory_bytes -= memory.popleft()[1]
        if len(memory) != before or self.disk_bytes or self._writing:
            self._feeder.shared.outbox.emit(QueueTrim(self._feeder.id, durable))
        self.go_on()

    def go_on(self) -> None:
        """Whatever the levels allow by now: held writes, the next read."""
        self._make_room()
        self.pump()

    def tick(self) -> None:
        """Time passes: what was appended becomes durable now and then (rule D4)."""
        outbox = self._feeder.shared.outbox
        if self._unsynced and outbox.now - self._synced_at >= self._feeder.shared.timing.durable_every:
            self.sync(self._made_durable)
        if self.live and self.disk_bytes:
            # A shell that was busy with the files let the last one pass, and no acknowledgement may follow.
            outbox.emit(QueueTrim(self._feeder.id, self._feeder.acked.durable))
        self.go_on()

    def _made_durable(self, errno: int) -> None:
        """Rule C3: after a failed sync nobody knows what of it is on the disk."""
        if errno and self.live:
            why = errnos.errorcode.get(errno, str(errno))
            self.lost(LinkEvent.OVERFLOW, f"the disk queue cannot be made durable: {why}")

    def sync(self, then: Then) -> None:
        """Make what is on disk durable, then run `then` with the errno."""
        outbox = self._feeder.shared.outbox
        self._unsynced, self._synced_at = False, outbox.now
        outbox.emit(QueueSync(outbox.ticket(then), self._feeder.id))
