"""Draining a link's disk queue: frames go back to the channel in the order in which they were kept (B1, D4).

One read is under way at a time; what it brings is checked against our own history and sent, and where
a generation ended the follower is asked to adopt the next one first. When nothing is left on disk the
rest follows from memory and the link is in step; a sealed queue ends in an update instead. A frame
that does not follow the one before it is never sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from farshore.core import completing
from farshore.core.actions import QueueRead, QueueSend, SendFrames
from farshore.core.gate import Acknowledged
from farshore.core.handshake import Course, told_of_differences
from farshore.core.link import LinkEvent
from farshore.model import messages as m
from farshore.model.options import LinkState, ResyncKind
from farshore.model.positions import Position

if TYPE_CHECKING:
    from farshore.core.feeder import Feeder
    from farshore.core.queueing import LinkQueue

READ_BYTES = 1 << 20
"""Bytes that are read back at once, if the memory queue is not smaller."""
AHEAD = 8 << 20
"""Bytes on the channel beyond which nothing is read back, if the memory queue is not smaller."""


class Draining:
    """See the module."""

    def __init__(self, feeder: Feeder, queue: LinkQueue) -> None:
        self._feeder = feeder
        self._queue = queue
        self._reading: int | None = None
        self.generation = b""
        """In which the peer's stream stands."""

    def ended(self) -> None:
        """The session is over, or the queue is: what is being read is of no use."""
        self._reading = None

    def possible(self, course: Course, peer: m.Welcome) -> bool:
        """Whether what this peer lacks lies here, from its position on (rules D2, D4)."""
        feeder, queue, head = self._feeder, self._queue, peer.history.head
        if not (queue.live or queue.sealed) or head is None or course not in (Course.UPDATE, Course.RESUME):
            return False
        if feeder.wanted not in (None, ResyncKind.UPDATE) or feeder.once:
            return False
        if peer.resync is not None or peer.doubtful or feeder.record.open_resync is not None:
            return False
        if told_of_differences(peer):
            return False  # what is to be compared first is in no frame
        if queue.live and not feeder.board.clean:
            return False  # marks that no frame of the queue accounts for: only a resync settles them
        if not self._queue.live and (head.sequence >= self._queue.end or not feeder.session.wanted):
            return False
        inside = self._queue.base <= head.sequence <= self._queue.end
        return inside and feeder.shared.history().holds(head)

    def begin(self, head: Position) -> None:
        """The peer stands at `head`: frames follow from there, in order."""
        feeder = self._feeder
        feeder.wanted = None
        here, durable = head.sequence, min(feeder.acked.durable, head.sequence)
        feeder.acked = Acknowledged(here, here, here, durable)
        feeder.counted = True
        feeder.streaming = False
        self._queue.read, self.generation = here, head.generation
        self._queue.behind = True
        feeder.shared.outbox.note(
            "queue-drains",
            link=feeder.spec.name,
            after=here,
            sequence=self._queue.end,
            before="order" if self._queue.live else "update",
        )
        feeder.session.prepare(self._resume(head))

    def _resume(self, position: Position) -> m.Resume:
        shared, nonce = self._feeder.shared, self._feeder.session.nonce
        return m.Resume(nonce, shared.history().cut_at(position), position)

    def pump(self) -> None:
        """Read on, if the channel has room for it."""
        feeder = self._feeder
        if not self._queue.behind or self._reading is not None or not feeder.live:
            return
        if self._queue.read < self._queue.on_disk:
            if feeder.queue <= min(AHEAD, feeder.spec.options.queue_memory // 2):
                self._read_on()
        elif self._queue.sealed:
            if feeder.acked.durable >= self._queue.end:
                completing.begin(feeder, Course.UPDATE)
        else:
            self._catch_up()

    def _read_on(self) -> None:
        outbox, goal = self._feeder.shared.outbox, self._queue.on_disk

        def done(frames: Sequence[tuple[m.FrameHead, object]], why: str) -> None:
            if self._reading == ticket:  # else the session that it was read for is over
                self._reading = None
                self._read_back(frames, why, goal)

        most = min(READ_BYTES, self._feeder.spec.options.queue_memory // 2)
        ticket = self._reading = outbox.ticket(done)
        outbox.emit(QueueRead(ticket, self._feeder.id, self._queue.read, most))

    def _read_back(self, frames: Sequence[tuple[m.FrameHead, object]], why: str, goal: int) -> None:
        """What was read, or why it could not be; `goal` was the newest frame on disk when it began."""
        before = self._queue.read
        if not why:
            why = self._send(frames)
        if not why and self._queue.read == before:
            why = "frames are missing in the disk queue"
        if why:
            self._queue.lost(LinkEvent.LOCAL_ERROR, why)
            return
        if self._queue.read >= goal:
            self._queue.appending = False  # what comes now waits in memory, so that the end comes nearer
        self.pump()

    def _send(self, frames: Sequence[tuple[m.FrameHead, object]]) -> str:
        """Put frames on the channel; why that may not be done, or nothing."""
        feeder, history = self._feeder, self._feeder.shared.history()
        run: list[object] = []
        for head, frame in frames:
            if head.last <= self._queue.read:
                continue
            if head.last > self._queue.end:
                break  # it lies in the journal, and is not relayed yet (rule B6)
            if head.first != self._queue.read + 1 or not history.holds(Position(head.generation, head.last)):
                return f"the disk queue holds frame {head.first} behind {self._queue.read}"
            if head.generation != self.generation:
                self._flush(run)
                run = []
                self._turn_to(head.generation)
            run.append(frame)
            self._queue.read = feeder.acked.sent = head.last
            feeder.queue += head.size
        self._flush(run)
        return ""

    def _flush(self, run: list[object]) -> None:
        if run:
            self._feeder.shared.outbox.emit(SendFrames(self._feeder.id, run))

    def turn(self, position: Position) -> None:
        """A link that is in step: a generation ends at `position`, and the next one begins there."""
        self.generation = position.generation
        self._feeder.send(self._resume(position))

    def _turn_to(self, generation: bytes) -> None:
        """A generation ended here with a clean stop; the peer adopts the next one before it goes on."""
        if generation != self.generation:
            self.generation = generation
            self._feeder.send(self._resume(Position(generation, self._queue.read)))

    def _catch_up(self) -> None:
        """Nothing is left on disk: the rest follows from memory, and everything new at once."""
        feeder = self._feeder
        self._turn_to(feeder.shared.path.generation)
        if self._queue.read < self._queue.end:
            feeder.shared.outbox.emit(QueueSend(feeder.id, self._queue.read))
            feeder.queue += self._queue.memory_bytes
        self._queue.read = feeder.acked.sent = self._queue.end
        self._queue.behind = self._queue.appending = False
        if feeder.pause is None:
            feeder.streaming = True
            if feeder.state is LinkState.QUEUING:
                feeder.enter(LinkEvent.RESUME)
                feeder.replicates()
