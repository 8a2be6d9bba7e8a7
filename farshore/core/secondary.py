"""A copy as secondary: one feeder at a time, frames applied in order, acknowledgements that mean
what they say (rules B3, B4, B7, B8, C2, E1).

The stream is handled unit by unit. While `holding` is True the shell hands over nothing more: a
flush in the stream is a barrier until everything before it is durable, and what must be durable
before it is answered (a resync's begin, its end, an adopted history) holds the stream as well.

Always true: what is acknowledged `applied` was written to the volumes; what is acknowledged
`durable` was fdatasynced and, unless this copy is inconsistent, so was the record of its position.
"""

from __future__ import annotations

import errno as errnos
from collections.abc import Callable
from dataclasses import dataclass, replace

from farshore.core.actions import Action, ApplyFill, ApplyFrame, Close, CompareDigests, Send, WriteDurable
from farshore.core.geometry import Geometry
from farshore.core.liveness import Liveness
from farshore.core.outbox import GroupSync, HeaderKeeper, Outbox
from farshore.model import messages as m
from farshore.model.header import Header, OpenResync, Upstream
from farshore.model.options import Timing
from farshore.model.positions import History, Position

SYNC_BYTES = 16 << 20
"""Bytes applied since the last fdatasync at which the next one begins (rule B4)."""


@dataclass(frozen=True, slots=True)
class SecondarySetup:
    """What a secondary starts from. `durable` and `applied` are the position file's records."""

    header: Header
    geometry: Geometry
    durable: Position | None
    applied: Position | None
    """None when it was recorded under another boot id."""
    boot: str
    instance: bytes
    new_id: Callable[[], bytes]
    timing: Timing
    empty: bool = True


@dataclass(slots=True)
class Session:
    """One accepted channel. `ready` once the feeder's Resume or ResyncBegin is durable here."""

    channel: bytes
    nonce: int
    instance: bytes
    liveness: Liveness
    ready: bool = False
    fills_applied: int = 0
    fills_durable: int = 0


class Secondary:
    """See the module."""

    def __init__(self, setup: SecondarySetup) -> None:
        self.setup = setup
        self.geometry = setup.geometry
        self.outbox = Outbox()
        self.keeper = HeaderKeeper(self.outbox, setup.header, self._fault)
        self.sync = GroupSync(self.outbox)
        self.session: Session | None = None
        self.generation = b""
        self.applied = 0
        self.durable = 0
        self.unsynced = 0
        """Bytes applied since the last fdatasync began."""
        self.started = False
        self.stopped = False
        self.fault = ""
        self.since = 0.0
        """When a feeder came or went last, wall seconds."""
        self._holds = 0
        self._applying: m.FrameHead | None = None
        self._filling: m.Fill | None = None
        self._syncing = False
        self._synced_at = 0.0
        self._ack_due = False
        self._stopping = False

    # -- start and stop ---------------------------------------------------------------------

    def start(self) -> list[Action]:
        """Find the last position that is certain and make the start durable (rules B3, D2)."""
        header, setup = self.setup.header, self.setup
        history = header.history
        doubtful = header.doubtful_until
        if header.resync is None:
            certain = setup.applied or setup.durable
            same_boot = header.boot == setup.boot and setup.applied is not None
            history = _reaching(history, certain)
            if not header.clean and not same_boot and history.head is not None:
                doubtful = max(doubtful, history.head.sequence + 1, header.highest_seen)
        head = history.head
        if head is not None:
            self.generation, self.applied = head.generation, head.sequence
        durable = setup.durable
        self.durable = durable.sequence if durable and durable.generation == self.generation else 0
        self.keeper.put(
            replace(
                header,
                clean=False,
                boot=setup.boot,
                doubtful_until=doubtful,
                fault="",
            ),
            self._started,
        )
        return self.outbox.take()

    def _started(self) -> None:
        self.started = True
        self.outbox.note("secondary-started", sequence=self.applied)

    def stop(self) -> list[Action]:
        """A clean stop: end the session, make everything durable, say so in the header."""
        if not self._stopping:
            self._stopping = True
            self._end_session("", "the engine stops")
            if self.fault or not self.started:
                self.stopped = True
            else:
                self.sync.request(self._stop_synced)
        return self.outbox.take()

    def _stop_synced(self, errno: int) -> None:
        if errno:
            self._fault(errno)
            return
        if self.keeper.header.resync is None and self.generation:
            position = Position(self.generation, self.applied)
            self.outbox.emit(WriteDurable(self.outbox.ticket(self._stop_recorded), position))
        else:
            self._stop_recorded(0)

    def _stop_recorded(self, errno: int) -> None:
        if errno:
            self._fault(errno)
            return

        def done() -> None:
            self.stopped = True

        self.keeper.put(replace(self.keeper.header, history=self.history(), clean=True), done)

    # -- facts ------------------------------------------------------------------------------

    @property
    def holding(self) -> bool:
        """True while the shell must not hand over anything more of the stream."""
        return self._holds > 0 or self._applying is not None or self._filling is not None

    @property
    def consistent(self) -> bool:
        """True while the image is one state that the primary once had."""
        header = self.keeper.header
        return header.resync is None and not header.history.blank and not self._doubtful

    @property
    def _doubtful(self) -> bool:
        return self.applied < self.keeper.header.doubtful_until

    def history(self) -> History:
        """What this copy certainly holds; while inconsistent, what it held before."""
        history = self.keeper.header.history
        if self.keeper.header.resync is not None or history.blank:
            return history
        return history.extended_to(self.applied)

    def clock(self, now: float, wall: float) -> None:
        """The time of this turn; monotonic and wall seconds."""
        gap = now - self.outbox.now
        if self.session is not None and gap > self.setup.timing.beat:
            self.session.liveness.stalled(gap)
        self.outbox.now, self.outbox.wall = now, wall

    # -- sessions (B7, B8) ------------------------------------------------------------------

    def accepted(self, channel: bytes, hello: m.Hello) -> list[Action]:
        """A channel whose peer proved its identity says what it is."""
        refusal = self._objection(hello)
        if refusal is not None:
            self._refuse(channel, *refusal)
            return self.outbox.take()
        if self.session is not None:
            self._end_session("", "the same feeder connected again")
        header = self.keeper.header
        nonce = int.from_bytes(self.setup.new_id()[:8], "little") >> 1
        liveness = Liveness(self.setup.timing, self.outbox.now)
        self.session = Session(channel, nonce, hello.instance, liveness)
        upstream = header.upstream
        if upstream is not None and upstream.copy is None:
            self.keeper.put(replace(header, upstream=replace(upstream, copy=hello.copy)))
        welcome = m.Welcome(
            nonce,
            header.copy,
            self.setup.instance,
            self.history(),
            header.resync,
            self._doubtful,
            self.setup.empty,
        )
        self.outbox.emit(Send(channel, welcome))
        return self.outbox.take()

    def _objection(self, hello: m.Hello) -> tuple[str, str] | None:
        header = self.keeper.header
        upstream: Upstream | None = header.upstream
        if hello.protocol != m.PROTOCOL:
            return "protocol", f"protocol {hello.protocol} is not known here, {m.PROTOCOL} is"
        if self.fault:
            return "faulted", self.fault
        if not self.started or self._stopping:
            return "session-live", "the copy is starting or stopping"
        if hello.group != header.group or upstream is None or upstream.link != hello.link:
            return "wrong-feeder", "this copy follows another link"
        if hello.epoch != upstream.epoch or upstream.copy not in (None, hello.copy):
            return "wrong-feeder", "this copy was pointed at another feeder"
        if hello.peer_copy not in (None, header.copy):
            return "identity-changed", "the feeder expects another copy than this one"
        if dict(hello.volumes) != self.geometry.sizes:
            return "size-mismatch", "the volumes have other sizes here"
        other = self.session is not None and self.session.instance != hello.instance
        if other and self.session is not None and not self.session.liveness.silent(self.outbox.now):
            self.outbox.note("second-feeder-refused", instance=hello.instance.hex())
            return "session-live", "another instance of the feeder holds the session"
        return None

    def _refuse(self, channel: bytes, code: str, text: str) -> None:
        self.outbox.emit(Send(channel, m.Refusal(code, text)))
        self.outbox.emit(Close(channel, code, text))

    def _end_session(self, code: str, text: str) -> None:
        session, self.session = self.session, None
        if session is None:
            return
        self._holds = 0
        if code:
            self.outbox.emit(Send(session.channel, m.Refusal(code, text)))
        self.outbox.emit(Close(session.channel, code, text))
        self._lost(text)

    def _lost(self, why: str) -> None:
        self.since = self.outbox.wall
        self.outbox.note("feeder-lost", why=why, sequence=self.applied)

    def disconnected(self, channel: bytes, why: str) -> list[Action]:
        """The channel is gone."""
        if self.session is not None and self.session.channel == channel:
            self.session = None
            self._holds = 0
            self._lost(why)
        return self.outbox.take()

    def heard(self, channel: bytes) -> None:
        """Bytes arrived on the channel."""
        if self.session is not None and self.session.channel == channel:
            self.session.liveness.heard(self.outbox.now)

    # -- the stream -------------------------------------------------------------------------

    def frame(self, channel: bytes, head: m.FrameHead, frame: object) -> list[Action]:
        """A frame: ignored at or below the position, applied when it is the next, else refused."""
        session = self._current(channel)
        if session is None:
            return self.outbox.take()
        if not session.ready or head.group != self.keeper.header.group or head.generation != self.generation:
            self._end_session("protocol", "a frame of another generation, or before the session began")
        elif head.last <= self.applied:
            self._ack_due = True
        elif head.first != self.applied + 1 or head.follows != Position(self.generation, self.applied):
            self._end_session("protocol", f"frame {head.first} does not follow {self.applied}")
        else:
            self._applying = head
            self.outbox.emit(ApplyFrame(frame, Position(self.generation, head.last)))
        return self.outbox.take()

    def applied_frame(self, errno: int) -> list[Action]:
        """The frame in hand was written to the volumes, or could not be."""
        head, self._applying = self._applying, None
        if errno or head is None:
            self._fault(errno or errnos.EIO)
            return self.outbox.take()
        self.applied = head.last
        self.unsynced += head.size
        self._ack_due = True
        if head.flush:
            self._barrier()
        elif self.unsynced >= SYNC_BYTES and not self._syncing:
            self.make_durable(lambda: None)
        return self.outbox.take()

    def received(self, channel: bytes, message: m.Message) -> list[Action]:
        """A link message; of another session, or out of its place, it changes nothing or ends the session."""
        session = self._current(channel)
        if session is not None:
            self._handle(session, message)
        return self.outbox.take()

    def _handle(self, session: Session, message: m.Message) -> None:
        match message:
            case m.Heartbeat():
                session.liveness.take(message, self.outbox.now)
            case m.Refusal(text=text):
                self._end_session("", text)
            case m.Resume(session=nonce) if nonce == session.nonce:
                self._resume(session, message)
            case m.ResyncBegin(session=nonce) if nonce == session.nonce:
                self._begin(session, message)
            case m.Skip(session=nonce, position=position) if nonce == session.nonce:
                self._skip(position)
            case m.Fill(session=nonce) if nonce == session.nonce:
                self._fill(session, message)
            case m.DigestQuery(session=nonce) if nonce == session.nonce:
                self._compare(session, message)
            case m.ResyncEnd(session=nonce) if nonce == session.nonce:
                self._end(session, message)
            case m.SyncNow(session=nonce) if nonce == session.nonce:
                self.make_durable(lambda: None)

    def _current(self, channel: bytes) -> Session | None:
        session = self.session
        return session if session is not None and session.channel == channel else None

    def _resume(self, session: Session, message: m.Resume) -> None:
        header = self.keeper.header
        here = Position(self.generation, self.applied)
        adopts = message.history.holds(here) and message.history.head == message.position
        if header.resync is not None or not adopts or message.position.sequence != self.applied:
            self._end_session("protocol", "the feeder resumes where this copy is not")
            return
        self._adopt(session, message.history, message.position)

    def _adopt(self, session: Session, history: History, position: Position) -> None:
        """Make the feeder's history ours up to `position`, durably, then say that we are ready.

        The volumes are synced first: a head in the header is a promise that outlives a power loss.
        """

        def recorded() -> None:
            self._release(session)
            if self.session is session:
                self.generation, self.applied = position.generation, position.sequence
                self.durable = position.sequence
                self._say_ready(session)

        def synced(errno: int) -> None:
            if errno:
                self._fault(errno)
            else:
                self.keeper.put(replace(self.keeper.header, history=history), recorded)

        self._hold()
        self.sync.request(synced)

    def _begin(self, session: Session, message: m.ResyncBegin) -> None:
        """Rule E1: durably inconsistent, and everything before it synced, before the first fill."""
        position = message.position

        def marked() -> None:
            self._release(session)
            if self.session is session:
                self.generation, self.applied = position.generation, position.sequence
                self.durable = 0
                session.fills_applied = session.fills_durable = 0
                self._say_ready(session)

        def synced(errno: int) -> None:
            if errno:
                self._fault(errno)
                return
            resync = OpenResync(message.resync, message.kind, position)
            header = self.keeper.header
            self.keeper.put(
                replace(header, history=self.history(), resync=resync, highest_seen=position.sequence), marked
            )

        self._hold()
        self.sync.request(synced)

    def _say_ready(self, session: Session) -> None:
        session.ready = True
        self.since = self.outbox.wall
        self._ack_due = True
        self.outbox.emit(Send(session.channel, m.Ready(session.nonce)))

    def _skip(self, position: Position) -> None:
        if self.keeper.header.resync is None or position.generation != self.generation:
            self._end_session("protocol", "a gap was announced outside of a resync")
        elif position.sequence > self.applied:
            self.applied = position.sequence
            self._ack_due = True

    def _fill(self, session: Session, fill: m.Fill) -> None:
        in_place = fill.sequence == self.applied and fill.ordinal == session.fills_applied + 1
        if self.keeper.header.resync is None or not session.ready or not in_place:
            self._end_session("protocol", "a fill is out of its place")
        elif not self._inside(fill.volume, fill.offset, fill.length):
            self._end_session("protocol", "a fill lies outside its volume")
        else:
            self._filling = fill
            self.outbox.emit(ApplyFill(fill))

    def _inside(self, volume: int, offset: int, length: int) -> bool:
        return length > 0 and offset >= 0 and offset + length <= self.geometry.sizes.get(volume, -1)

    def filled(self, errno: int) -> list[Action]:
        """The fill in hand was written, or could not be."""
        fill, self._filling = self._filling, None
        if errno or fill is None:
            self._fault(errno or errnos.EIO)
        elif self.session is not None:
            self.session.fills_applied = fill.ordinal
            self.unsynced += fill.length
            if self.unsynced >= SYNC_BYTES and not self._syncing:
                self.make_durable(lambda: None)
        return self.outbox.take()

    def _compare(self, session: Session, query: m.DigestQuery) -> None:
        if self.keeper.header.resync is None or not session.ready or query.sequence != self.applied:
            self._end_session("protocol", "a digest query is out of its place")
            return
        if not self._inside(query.volume, query.offset, query.length):
            self._end_session("protocol", "a digest query lies outside its volume")
            return

        def compared(differing: bytes, errno: int) -> None:
            if errno:
                self._fault(errno)
            elif self.session is session:
                reply = m.DigestReply(session.nonce, query.ordinal, differing)
                self.outbox.emit(Send(session.channel, reply))

        self.outbox.emit(CompareDigests(self.outbox.ticket(compared), query))

    def _end(self, session: Session, message: m.ResyncEnd) -> None:
        """The completion cut: all durable, then the position, then the history without the mark (D4)."""
        header, position = self.keeper.header, message.position
        here = Position(self.generation, self.applied)
        known = header.resync is not None and header.resync.id == message.resync
        if not known or position != here or message.history.head != here:
            self._end_session("protocol", "the completion cut is not where this copy is")
            return

        def installed() -> None:
            self._release(session)
            self.durable = max(self.durable, position.sequence)
            self.outbox.note("resync-complete", sequence=position.sequence)
            if self.session is session:
                self._ack_due = True
                self.outbox.emit(Send(session.channel, m.ResyncDone(session.nonce, message.resync)))

        def recorded(errno: int) -> None:
            if errno:
                self._fault(errno)
                return
            current = self.keeper.header
            self.keeper.put(
                replace(current, history=message.history, resync=None, doubtful_until=0), installed
            )

        def synced(errno: int) -> None:
            if errno:
                self._fault(errno)
                return
            self.outbox.emit(WriteDurable(self.outbox.ticket(recorded), position))

        self._hold()
        self.sync.request(synced)

    # -- durability (B3, B4) ----------------------------------------------------------------

    def _barrier(self) -> None:
        """Rule B3: nothing after a flush is applied before everything up to it is durable."""
        session = self.session
        self._hold()
        self.make_durable(lambda: self._release(session))

    def make_durable(self, then: Callable[[], None]) -> None:
        """fdatasync, record the position, then count all of it durable and run `then`."""
        self._syncing = True
        self.unsynced = 0
        self._synced_at = self.outbox.now
        session, generation = self.session, self.generation
        applied, fills = self.applied, session.fills_applied if session is not None else 0

        def durable() -> None:
            self._syncing = False
            if generation == self.generation:
                self.durable = max(self.durable, applied)
            if session is not None:
                session.fills_durable = max(session.fills_durable, fills)
            self._ack_due = True
            self._clear_doubt()
            then()

        def recorded(errno: int) -> None:
            if errno:
                self._fault(errno)
            else:
                durable()

        def synced(errno: int) -> None:
            if errno:
                self._fault(errno)
            elif self.keeper.header.resync is None and generation:
                position = Position(generation, applied)
                self.outbox.emit(WriteDurable(self.outbox.ticket(recorded), position))
            else:
                durable()

        self.sync.request(synced)

    def _clear_doubt(self) -> None:
        header = self.keeper.header
        if header.doubtful_until and header.resync is None and self.durable >= header.doubtful_until:
            self.keeper.put(replace(header, doubtful_until=0))

    def _hold(self) -> None:
        self._holds += 1

    def _release(self, session: Session | None) -> None:
        """End one hold, unless its session ended it already."""
        if self.session is session and self._holds:
            self._holds -= 1

    # -- tickets, time ----------------------------------------------------------------------

    def synced(self, ticket: int, errno: int) -> list[Action]:
        """The volumes were fdatasynced."""
        return self._settle(ticket, errno)

    def durable_written(self, ticket: int, errno: int) -> list[Action]:
        """The durable position was recorded."""
        return self._settle(ticket, errno)

    def header_written(self, ticket: int, errno: int) -> list[Action]:
        """The header was replaced."""
        return self._settle(ticket, errno)

    def compared(self, ticket: int, differing: bytes, errno: int) -> list[Action]:
        """Digests were compared."""
        return self._settle(ticket, differing, errno)

    def _settle(self, ticket: int, *result: object) -> list[Action]:
        self.outbox.settle(ticket, *result)
        return self.outbox.take()

    def turn_end(self) -> list[Action]:
        """At most one acknowledgement for everything that this turn has brought."""
        session = self.session
        if self._ack_due and session is not None and session.ready:
            self._ack_due = False
            ack = m.Ack(session.nonce, self.applied, self.applied, self.durable, session.fills_durable)
            self.outbox.emit(Send(session.channel, ack))
        return self.outbox.take()

    def tick(self) -> list[Action]:
        """Timers; to be called ten times a second or so."""
        now, timing, session = self.outbox.now, self.setup.timing, self.session
        if session is not None:
            if self.holding:
                session.liveness.heard(now)  # we do not read just now
            if session.liveness.silent(now):
                self._end_session("", f"no sign of life for {timing.limit:g} s")
            elif (beat := session.liveness.beat(now)) is not None:
                self.outbox.emit(Send(session.channel, beat))
        if self.unsynced and not self._syncing and now - self._synced_at >= timing.durable_every:
            self.make_durable(lambda: None)
        return self.outbox.take()

    def _fault(self, errno: int) -> None:
        """Rule C3: a disk failed; this copy takes nothing more and says so."""
        if self.fault:
            return
        self.fault = f"disk error {errnos.errorcode.get(errno, errno)}"
        self.outbox.note("faulted", why=self.fault, sequence=self.applied)
        self._end_session("io-error", self.fault)
        self.keeper.header = replace(self.keeper.header, fault=self.fault)
        if self._stopping:
            self.stopped = True


def _reaching(history: History, certain: Position | None) -> History:
    """`history` with its newest generation reaching to what the position file knows."""
    head = history.head
    if head is None or certain is None or certain.generation != head.generation:
        return history
    return history.extended_to(max(head.sequence, certain.sequence))
