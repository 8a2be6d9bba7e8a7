"""The apply journal of a secondary (rules B2, B4, E1): what may be written to the volumes, and when.

A frame is appended to the journal, which counts as *applied*, since it survives the process; one
fdatasync covers all that was appended meanwhile, which makes them *durable*; only then are they written
to the volumes. So the volumes never hold anything that a replay would not repeat, and after any
crash the image is a prefix. The replay mark moves only behind an fdatasync of the volumes. There is
no journal while the copy is being resynced.
"""

from __future__ import annotations

import errno as errnos
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farshore.core import cutting
from farshore.core.actions import (
    AppendFrame,
    ApplyFrames,
    BeginJournal,
    ContinueJournal,
    Relayable,
    SyncJournal,
)
from farshore.core.durability import gathered
from farshore.core.outbox import GroupSync
from farshore.core.preserve import Range, ranges_of
from farshore.model.messages import FrameHead
from farshore.model.positions import Position
from farshore.model.volumes import Operation

if TYPE_CHECKING:
    from farshore.core.comparing import Comparing
    from farshore.core.journaled import Journaled

FULL = (errnos.ENOSPC, errnos.EDQUOT)
NOWHERE = 1 << 63
"""No sequence comes so far."""


@dataclass(frozen=True, slots=True)
class JournalLimits:
    """Bounds of a journal (rule F1). Bytes, seconds."""

    sync: int = 1 << 20
    """Appended bytes at which an fdatasync of the journal begins at the latest."""
    waiting: int = 32 << 20
    """Frames in memory that are not written to the volumes; beyond it the line is not read."""
    mark: int = 64 << 20
    """Bytes written to the volumes at which they are synced and the mark moves."""
    size: int = 256 << 20
    """Bytes of frames behind the mark; beyond it the line is not read."""
    mark_every: float = 5.0
    retry_every: float = 1.0
    """How soon a full disk is tried again."""


def _nobody() -> None:
    """Nobody is to be told."""


class Journaling:
    """See the module. While `active`, `standing.applied` is what was appended, `standing.durable` what
    of it is durable."""

    def __init__(self, copy: Journaled, limits: JournalLimits) -> None:
        self._copy = copy
        self._outbox = copy.outbox
        self._standing = copy.standing
        self.limits = limits
        self.sync_group = GroupSync(copy.outbox, SyncJournal)
        self.sync_bytes = limits.sync
        """Appended bytes at which an fdatasync of the journal begins (rule B4)."""
        self.active = False
        self.taken = 0
        """The newest sequence that was handed to the shell."""
        self.written = 0
        """The newest sequence that is written to the volumes."""
        self.marked = 0
        """The newest sequence that is durable in the volumes themselves."""
        self.waiting = 0
        """Bytes of the frames that are held in memory."""
        self.size = 0
        """Bytes of the frames behind the mark."""
        self.stuck = 0.0
        """When a full disk is tried again; 0 while none is full."""
        self._frames: deque[tuple[int, int, Relayable]] = deque()
        """(last sequence, bytes, frame) of what is not written to the volumes."""
        self._cuts: list[Position] = []
        """Cuts that are being appended."""
        self._unsynced = 0
        self._asked = False
        """Somebody waits for the next fdatasync of the journal."""
        self._writing = False
        self._marking = False
        self._written_bytes = 0
        self._drains: list[Callable[[], None]] = []
        self.halt = NOWHERE
        """The newest sequence that may be written to the volumes for now."""
        self.said: Callable[[], None] = _nobody
        """Told when more has become durable."""
        self.comparing: Comparing | None = None
        """Of the newest session; told of each frame before the volumes show it, and when they do."""

    # -- frames -----------------------------------------------------------------------------

    @property
    def expected(self) -> Position:
        """What the next frame has to follow."""
        return Position(self._standing.generation, self.taken)

    @property
    def full(self) -> bool:
        """Whether a bound is reached (F1): nothing more of the stream is taken until it is not."""
        return self.active and (self.waiting >= self.limits.waiting or self.size >= self.limits.size)

    def heed(self, queue: int) -> None:
        """A feeder has said what its queue may hold in memory (rule B4)."""
        self.sync_bytes = gathered(self.limits.sync, queue)

    def take(self, head: FrameHead, frame: Relayable) -> None:
        """The next frame of the stream."""
        self.taken = head.last
        self._copy.relay.taken(head, frame)
        if self._copy.preserve.collecting:
            self._copy.preserve.spare(ranges_of(frame))  # saved by the time it is durable here
        self._frames.append((head.last, head.size, frame))
        if head.cut:
            self._cuts.append(Position(head.generation, head.last))
            self._copy.snapping.comes(head)
        self.waiting += head.size
        self.size += head.size
        self._unsynced += head.size
        self._asked |= head.flush or bool(head.snapshot)
        self._outbox.emit(AppendFrame(frame, Position(head.generation, head.last)))

    def appended(self, errno: int) -> None:
        """What was handed over is in the journal, or none of it is."""
        standing = self._standing
        if not errno:
            standing.reached(self.taken, 0)
            for cut in self._cuts:
                cutting.note(self._outbox, False, cut)
            self._cuts.clear()
            self._advance()
            return
        self._cuts.clear()
        while self._frames and self._frames[-1][0] > standing.applied:
            _, size, _ = self._frames.pop()
            self.waiting -= size
            self.size -= size
        self.taken = standing.applied
        self._copy.relay.forgotten(standing.applied)
        self._copy.snapping.forgotten(standing.applied)
        self._unwritable(errno)

    # -- the three steps --------------------------------------------------------------------

    def sync(self, then: Callable[[], None] | None = None) -> None:
        """Make everything appended so far durable, then run `then`."""
        sequence = self._standing.applied
        if self.taken == sequence:  # what is being appended just now is not covered, and still waits
            self._unsynced, self._asked = 0, False

        def synced(errno: int) -> None:
            if errno:
                self._copy.fail(errno, "the journal cannot be made durable")
                return
            standing = self._standing
            standing.durable = max(standing.durable, sequence)
            standing.clear_doubt()
            self.said()
            if then is not None:
                then()
            self._advance()

        self.sync_group.request(synced)

    def go_on(self) -> None:
        """Something that frames had to wait for may be over."""
        self._advance()

    def _advance(self) -> None:
        """Begin whatever is due."""
        if not self.active:
            return
        due = self._asked or self._unsynced >= self.sync_bytes or self.full or bool(self._drains)
        if due and self.sync_group.idle and self._standing.durable < self._standing.applied:
            self.sync()
        self._copy.relay.advance()
        self._write()
        self._mark_if_due()
        if self._drains and self.drained:
            waiting, self._drains = self._drains, []
            for then in waiting:
                then()

    @property
    def drained(self) -> bool:
        """Whether the volumes themselves durably hold everything."""
        here = self.taken == self._standing.applied == self.written == self.marked
        return here and self.halt == NOWHERE and not self._marking

    def halt_at(self, sequence: int) -> None:
        """The volumes get everything up to `sequence`, durably, the mark with them, and nothing behind it
        before another sequence, or NOWHERE, is named. Nothing behind it has been written."""
        self.halt = sequence
        self._asked |= self._unsynced > 0
        self._advance()

    @property
    def halted(self) -> bool:
        """Whether the volumes durably stand where they were to stop."""
        return self.written == self.marked == self.halt and not self._marking

    def _write(self) -> None:
        """Rule B2: only what is durable in the journal goes to the volumes, and the hops hear of it first."""
        if self._writing or self.stuck:
            return
        durable, last, size = min(self.releasable, self.halt), 0, 0
        frames, ranges = list[object](), list[Range]()
        collecting = self._copy.preserve.collecting
        for sequence, length, frame in self._frames:
            if sequence > durable or size >= self.limits.sync:
                break
            frames.append(frame)
            if collecting:
                ranges += ranges_of(frame)
            if self.comparing is not None and self.comparing.open:
                self.comparing.changes(sequence, frame.operations)
            last, size = sequence, size + length
        if not frames:
            return
        self._writing = True
        count = len(frames)

        def write() -> None:
            ticket = self._outbox.ticket(lambda errno: self._wrote(errno, last, count))
            self._outbox.emit(ApplyFrames(ticket, frames))

        self._copy.preserve.when_spare(ranges, write)

    @property
    def releasable(self) -> int:
        """The newest sequence that may be written to the volumes."""
        return self._copy.relay.path.sequence

    def unwritten(self, relayed: int) -> Iterator[tuple[int, list[Operation]]]:
        """(last sequence, operations) of the frames up to `relayed` that the volumes do not show yet."""
        for last, _, frame in self._frames:
            if last <= relayed:
                yield last, frame.operations

    def wait_for_room(self) -> None:
        """The volumes are full: what could not be written is tried again later."""
        self.stuck = self._outbox.now + self.limits.retry_every

    def take_room_due(self) -> bool:
        """Whether a full disk is to be tried again; true once for each wait."""
        due = bool(self.stuck) and self._outbox.now >= self.stuck
        if due:
            self.stuck = 0.0
        return due

    def _wrote(self, errno: int, last: int, count: int) -> None:
        self._writing = False
        if errno in FULL:
            # It stays first in line: written in part now, whole once there is room, or at a replay.
            self.wait_for_room()
            self._copy.end_session("disk-full", "no space is left for the copy's volumes")
            self._copy.out_of_room()
            return
        if errno:
            self._copy.fail(errno, "a volume cannot be written")
            return
        for _ in range(count):
            size = self._frames.popleft()[1]
            self.waiting -= size
            self._written_bytes += size
        self.written = last
        self._copy.relay.written(last)
        if self.comparing is not None:
            self.comparing.advance()
        self._advance()

    def _mark_if_due(self) -> None:
        if self._marking or self.written == self.marked:
            return
        if self.written == self.halt:
            due = True
        elif self._drains:
            due = self.written == self._standing.applied
        else:
            late = self._outbox.now - self._standing.since >= self.limits.mark_every
            due = late or self._written_bytes >= self.limits.mark or self.size >= self.limits.size
        if due:
            self._mark()

    def _mark(self) -> None:
        """Rule B2: the volumes are synced before the mark moves."""
        standing = self._standing
        position, size = Position(standing.generation, self.written), self._written_bytes
        self._marking, self._written_bytes = True, 0

        def recorded() -> None:
            self._marking = False
            self.marked = position.sequence
            self.size -= size
            self._copy.relay.trim(position)
            self._advance()

        self.sync_volumes(lambda: standing.record(position, recorded))

    def sync_volumes(self, then: Callable[[], None]) -> None:
        """fdatasync the volumes, then run `then`."""
        self._standing.sync_volumes(then)

    # -- beginning and ending -----------------------------------------------------------------

    def drain(self, then: Callable[[], None]) -> None:
        """Everything journaled applied, the volumes synced, the mark moved; then run `then`."""
        self._drains.append(then)
        self._advance()

    def forget_drains(self) -> None:
        """Whoever asked for them is gone."""
        self._drains.clear()

    def leave(self, then: Callable[[], None]) -> None:
        """Rule E1: all of it in the volumes, durably; from `then` on frames are applied directly."""

        def left() -> None:
            self.active = False
            then()

        if self.active:
            self.drain(left)
        else:
            self._standing.sync_volumes(then)

    def begin(self, position: Position, then: Callable[[], None]) -> None:
        """An empty journal at `position`, which the volumes durably hold. The header does not say that there
        is one: for a moment there is none."""
        self._outbox.emit(BeginJournal(self._outbox.ticket(self._if_written(then)), position))

    def go_on_at(self, position: Position, then: Callable[[], None]) -> None:
        """The same for a journal that is there and whole, and that hops may still need: it is kept."""
        self._outbox.emit(ContinueJournal(self._outbox.ticket(self._if_written(then)), position))

    def _if_written(self, then: Callable[[], None]) -> Callable[[int], None]:
        """Goes on with `then` unless the journal could not be written."""

        def written(errno: int) -> None:
            if errno:
                self._unwritable(errno)
            else:
                then()

        return written

    def _unwritable(self, errno: int) -> None:
        """A full disk ends the session, and is tried again with the next one; anything else is a fault."""
        if errno in FULL:
            self._copy.relay.no_room()
            self._copy.end_session("disk-full", "no space is left for the copy's journal")
        else:
            self._copy.fail(errno, "the journal cannot be written")

    def activate(self, position: Position) -> None:
        """From now on frames go to the journal, which the header durably says."""
        if self.active:
            return
        self.active = True
        self.taken = self.written = self.marked = position.sequence
        self.waiting = self.size = self._unsynced = self._written_bytes = 0
        self._asked = False
        self.stuck = 0.0
        self._frames.clear()
        self._standing.since = self._outbox.now
        self._copy.relay.stand_at(position)

    # -- time -------------------------------------------------------------------------------

    def tick(self) -> None:
        """Ten times a second or so: what was appended does not wait longer than that (rule B4)."""
        if not self.active:
            return
        if self.take_room_due():
            self._write()
        self._asked |= self._unsynced > 0
        self._advance()
