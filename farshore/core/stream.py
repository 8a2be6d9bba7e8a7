"""One session at the follower: its stream of frames and link messages, unit by unit (B3, B7, E1).

While `holding` is True nothing more of the stream may be handed over: without a journal a flush is a
barrier until everything before it is durable, and what must be durable before it is answered (an adopted
history, a resync's begin and end) holds the stream as well. While the preserve store collects, units wait
in a `Guard` until what they overwrite is saved. What is out of its place ends the session; what belongs to
another session is ignored.
"""

from __future__ import annotations

import errno as errnos
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from farshore.core import cutting, growing, resynced, undoing
from farshore.core.actions import ApplyFill, ApplyFrame, Relayable, Send
from farshore.core.broken_layers import overwriting
from farshore.core.comparing import Comparing
from farshore.core.guard import Guard, Waiting
from farshore.core.journaling import FULL
from farshore.core.liveness import Liveness
from farshore.core.preserve import ranges_of
from farshore.core.turning import with_history
from farshore.model import messages as m
from farshore.model.positions import Position
from farshore.model.volumes import WRITE

if TYPE_CHECKING:
    from farshore.core.follower import Follower


_SMALL = 64
"""Bytes that a message without content counts for."""


class Stream:
    """See the module. `nonce` names the session in every link message."""

    def __init__(
        self, copy: Follower, channel: bytes, nonce: int, hello: m.Hello, liveness: Liveness
    ) -> None:
        self.channel = channel
        self.nonce = nonce
        self.instance = hello.instance
        self.feeder = hello.copy
        self._journal_asked = hello.journal
        self.liveness = liveness
        self.ready = False
        self.fills_applied = 0
        self.fills_durable = 0
        self.ack_due = False
        self.resyncing = False
        """From the moment at which a resync is announced until its end is durable."""
        self.terms: m.ResyncBegin | None = None
        """How the last resync of this session was announced."""
        self._resyncs = 0
        self._copy = copy
        self.comparing = copy.journal.comparing = Comparing(copy, self)
        self._holds = 0
        self._frame: m.FrameHead | None = None
        self._fill: m.Fill | None = None
        self.ended = False
        self.guard = Guard(copy.preserve, self._blocked)

    @property
    def journal_wanted(self) -> bool:
        """Rule B6: what is relayed has to be in the journal first."""
        return self._journal_asked or self._copy.relay.active

    @property
    def holding(self) -> bool:
        """True while the shell must not hand over anything more."""
        return self.guard.full if self.guarded else self._blocked(False)

    @property
    def guarded(self) -> bool:
        """Whether what is handed over may have to wait."""
        return self.guard.waiting or (self._copy.preserve.collecting and not self._copy.journal.active)

    @property
    def busy(self) -> bool:
        """Whether it is held, or a unit of it is in hand."""
        return self._holds > 0 or self._frame is not None or self._fill is not None

    def _blocked(self, message: bool) -> bool:
        """Whether the next unit has to wait for the one before; a message also until the journal has the
        frames before it."""
        journal = self._copy.journal
        held = self.busy or self._copy.snapping.holding
        ahead = message and journal.active and journal.taken != self._copy.standing.applied
        return held or journal.full or ahead

    def over(self) -> None:
        """The session has ended: what is still under way changes nothing of the next one."""
        self.ended = True
        self.guard.clear()
        self.comparing.give_up()

    def send(self, message: m.Message) -> None:
        """Queue a message for the feeder."""
        self._copy.outbox.emit(Send(self.channel, message))

    def protocol_error(self, text: str) -> None:
        """The feeder breaks the protocol: end this session."""
        self._copy.end_session("protocol", text)

    def hold_until(self, begin: Callable[[Callable[[], None]], None], then: Callable[[], None]) -> None:
        """Hold the stream, `begin` something, and when it has ended release and run `then`."""
        self._holds += 1

        def done() -> None:
            self._holds -= 1
            if not self.ended:
                then()

        begin(done)

    def if_current(self, step: Callable[[], None]) -> Callable[[], None]:
        """`step`, unless the session has ended by then: a later session may have begun something that a
        late step of this one must not undo."""

        def guarded() -> None:
            if not self.ended:
                step()

        return guarded

    # -- frames -----------------------------------------------------------------------------

    def frame(self, head: m.FrameHead, frame: Relayable) -> None:
        """A frame: ignored at or below the position, applied when it is the next, else refused."""
        resize = growing.record_in(head, frame)
        if resize is not None and (why := growing.take_record(self._copy, resize)):
            self.protocol_error(why)
            return
        if self.guarded:
            self.guard.take(Waiting(ranges_of(frame), head.size, lambda: self._in_order(head, frame)))
        else:
            self._in_order(head, frame)

    def _in_order(self, head: m.FrameHead, frame: Relayable) -> None:
        copy, journal = self._copy, self._copy.journal
        here = journal.expected if journal.active else copy.standing.position
        if not self.ready or head.group != copy.keeper.header.group:
            self.protocol_error("a frame of another group, or too early")
        elif head.generation != here.generation:
            self.protocol_error("a frame of another generation")
        elif head.last <= here.sequence:
            self.ack_due = True
        elif head.first != here.sequence + 1 or head.follows != here:
            self.protocol_error(f"frame {head.first} does not follow {here.sequence}")
        elif growing.unsettled(copy, head, frame):
            put = copy.keeper.put
            self.hold_until(lambda done: put(copy.keeper.header, done), lambda: self._in_order(head, frame))
        else:
            growing.passes(copy, head, frame)
            self._next(head, frame)

    def _next(self, head: m.FrameHead, frame: Relayable) -> None:
        copy = self._copy
        if copy.journal.active:
            copy.journal.take(head, frame)
        elif head.snapshot:
            self.hold_until(partial(copy.snapping.at_cut, head), lambda: self._apply(head, frame))
        else:
            self._apply(head, frame)

    def _apply(self, head: m.FrameHead, frame: Relayable) -> None:
        copy = self._copy
        self._frame = head
        if self.comparing.open:
            self.comparing.changes(head.last, frame.operations)
        if copy.relay.active:
            copy.relay.changes(frame.operations)
        copy.outbox.emit(ApplyFrame(frame, Position(head.generation, head.last)))

    def frame_applied(self, errno: int) -> None:
        """The frame in hand was written, or could not be (rule C3: then it never counts)."""
        head, self._frame = self._frame, None
        if errno or head is None:
            self._write_failed(errno)
            return
        self._copy.standing.reached(head.last, head.size)
        self.ack_due = True
        if head.cut:
            missed = self._copy.keeper.header.resync is not None
            cutting.note(self._copy.outbox, missed, Position(head.generation, head.last))
        if head.flush:
            self.hold_until(self.make_durable, lambda: None)
        elif self._copy.standing.overdue:
            self.make_durable(lambda: None)

    def _write_failed(self, errno: int) -> None:
        """A full disk ends the session and may be tried again once there is room; what was written in part
        is in doubt until then (B3). Any other error is a fault."""
        if errno not in FULL:
            self._copy.fail(errno or errnos.EIO, "a volume cannot be written")
            return
        header, applied = self._copy.keeper.header, self._copy.standing.applied
        doubtful = max(header.doubtful_until, applied + 1)
        self._copy.keeper.put(replace(header, doubtful_until=doubtful))
        self._copy.end_session("disk-full", "no space is left for the copy's volumes")

    def make_durable(self, then: Callable[[], None]) -> None:
        """Make everything applied so far durable, fills included, and acknowledge it."""
        if self._copy.journal.active:
            self._copy.journal.sync(self._durable_to_say(then))
            return
        fills, resync = self.fills_applied, self._resyncs

        def durable() -> None:
            if resync == self._resyncs:  # ordinals begin anew with each resync
                self.fills_durable = max(self.fills_durable, fills)
            self.ack_due = True
            then()

        self._copy.standing.make_durable(durable)

    def _durable_to_say(self, then: Callable[[], None]) -> Callable[[], None]:
        def durable() -> None:
            self.ack_due = True
            then()

        return durable

    # -- link messages ----------------------------------------------------------------------

    def received(self, message: m.Message) -> None:
        """A link message."""
        match message:
            case m.Heartbeat():
                outbox = self._copy.outbox
                echo = self.liveness.take(message, outbox.now, outbox.wall)
                if echo is not None:
                    self.send(echo)
            case m.Refusal(text=text):
                self._copy.end_session("", text)
            case m.Fill(volume=volume, offset=offset, length=length) if self.guarded:
                ranges = [(volume, offset, length)]
                self.guard.take(Waiting(ranges, length, lambda: self._take(message), message=True))
            case _:
                self.in_turn(lambda: self._take(message))

    def in_turn(self, step: Callable[[], None]) -> None:
        """Runs `step` behind everything that was handed over before it."""
        if self.guarded:
            self.guard.take(Waiting((), _SMALL, step, message=True))
        else:
            step()

    def _take(self, message: m.Message) -> None:
        """A message of the stream, in its turn."""
        match message:
            case m.Resume(session=nonce) if nonce == self.nonce:
                self._resume(message)
            case m.ResyncBegin(session=nonce) if nonce == self.nonce:
                self._begin(message)
            case m.Skip(session=nonce, position=position) if nonce == self.nonce:
                self._skip(position)
            case m.Fill(session=nonce) if nonce == self.nonce:
                self._fill_received(message)
            case m.DigestQuery(session=nonce) if nonce == self.nonce:
                self.comparing.take(message)
            case m.ResyncEnd(session=nonce) if nonce == self.nonce:
                self._end(message)
            case m.SyncNow(session=nonce) if nonce == self.nonce:
                self.make_durable(lambda: None)

    def _resume(self, message: m.Resume) -> None:
        """Adopt the feeder's history; the volumes, or the journal, are synced first, since a head in the
        header is a promise that outlives a power loss."""
        copy, position = self._copy, message.position
        adopts = message.history.holds(copy.standing.position) and message.history.head == position
        moved = position.sequence != copy.standing.applied
        if copy.keeper.header.resync is not None or not adopts or moved:
            self.protocol_error("the feeder resumes where this copy is not")
            return

        def begin(done: Callable[[], None]) -> None:
            def adopt() -> None:
                fresh = overwriting(copy, with_history(copy.keeper.header, message.history))
                copy.keeper.put(replace(fresh, journaling=self.journal_wanted), record)

            def record() -> None:
                """Before a frame comes: a start looks for its mark in the generation of the header's head."""
                kept = self.ended or copy.journal.active or not self.journal_wanted
                done() if kept else copy.standing.record(position, done)

            self._prepare(position, self.if_current(adopt))

        def adopted() -> None:
            copy.standing.move_to(position, position.sequence)
            if self.journal_wanted:
                copy.journal.activate(position)
            self.say_ready()

        self.hold_until(begin, adopted)

    def _prepare(self, position: Position, adopt: Callable[[], None]) -> None:
        """What stands at `position`, under whatever generation, becomes durable, and the journal ready for
        what follows if one is wanted; then `adopt`."""
        copy, journal, current = self._copy, self._copy.journal, self.if_current
        if not self.journal_wanted:
            journal.leave(adopt)
        elif journal.active and position.generation == copy.standing.generation:
            journal.sync(adopt)
        else:
            if copy.keeper.header.journaling:
                # It is whole, and goes on: a hop may have to read in it still.
                journal.leave(current(lambda: journal.go_on_at(position, adopt)))
            else:
                # A journal that begins behind the recorded position would have lost its front, to a start.
                copy.standing.make_durable(current(lambda: journal.begin(position, adopt)))

    def _begin(self, message: m.ResyncBegin) -> None:
        self.comparing.give_up()
        resynced.begin(self, self._copy, message)

    def begins(self) -> None:
        """The resync is durably open."""
        self._resyncs += 1
        self.fills_applied = self.fills_durable = 0
        self.say_ready()

    def say_ready(self) -> None:
        """What `Resume` or `ResyncBegin` asked for is durable."""
        self.ready = self.ack_due = True
        self.liveness.hasten()  # how old this copy is, is asked at once
        self._copy.since = self._copy.outbox.wall
        self.send(m.Ready(self.nonce, undoing.whole(self._copy)))

    def _skip(self, position: Position) -> None:
        standing = self._copy.standing
        if self._copy.keeper.header.resync is None or position.generation != standing.generation:
            self.protocol_error("a gap was announced outside of a resync")
        elif position.sequence > standing.applied:
            standing.reached(position.sequence, 0)
            self.ack_due = True

    def resyncing_at(self, sequence: int) -> bool:
        """Whether fills and a resync's queries of this position are in their place."""
        open_here = self.ready and self._copy.keeper.header.resync is not None
        return open_here and sequence == self._copy.standing.applied

    def _inside(self, volume: int, offset: int, length: int) -> bool:
        size = self._copy.geometry.sizes.get(volume, -1)
        return length > 0 and offset >= 0 and offset + length <= size

    def _fill_received(self, fill: m.Fill) -> None:
        if not self.resyncing_at(fill.sequence) or fill.ordinal != self.fills_applied + 1:
            self.protocol_error("a fill is out of its place")
        elif not self._inside(fill.volume, fill.offset, fill.length):
            self.protocol_error("a fill lies outside its volume")
        else:
            self._fill = fill
            self._copy.relay.changes([(fill.volume, WRITE, fill.offset, fill.length)])
            self._copy.outbox.emit(ApplyFill(fill))

    def filled(self, errno: int) -> None:
        """The fill in hand was written, or could not be."""
        fill, self._fill = self._fill, None
        if errno or fill is None:
            self._write_failed(errno)
            return
        self.fills_applied = fill.ordinal
        self._copy.standing.unsynced += fill.length
        if self._copy.standing.overdue:
            self.make_durable(lambda: None)

    def _end(self, message: m.ResyncEnd) -> None:
        resynced.end(self, self._copy, message)

    def completed(self, resync: bytes) -> None:
        """The completion cut is durable."""
        self.ack_due = True
        self.send(m.ResyncDone(self.nonce, resync))

    # -- time -------------------------------------------------------------------------------

    def acknowledge(self) -> None:
        """One acknowledgement for everything that this turn has brought."""
        if self.ack_due and self.ready:
            self.ack_due = False
            standing = self._copy.standing
            applied = standing.applied
            self.send(m.Ack(self.nonce, applied, applied, standing.durable, self.fills_durable))
