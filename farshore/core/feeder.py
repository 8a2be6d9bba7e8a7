"""The feeder: the near end of one outgoing link (rules A1, A4, A5, B5, C4, D2, G).

It opens sessions, decides by the histories what the peer needs, streams frames, keeps the link's
state and gate, and folds what was not acknowledged durable into the scoreboard when the link
stops. The resync that runs inside a session is in `filling`; states are in `link`.

Always true: a write that this link's peer may lack is in the ledger (streamed, not acknowledged
durable), in one of the scoreboard's maps, or both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from os import strerror as os_error

from farshore.core.actions import Close, Connect, Send
from farshore.core.filling import Filling
from farshore.core.gate import Acknowledged, LinkGate
from farshore.core.handshake import Course, decide
from farshore.core.ledger import Ledger
from farshore.core.link import LinkEvent, Standing, step
from farshore.core.outbox import HeaderKeeper, Outbox
from farshore.core.scoreboard import Scoreboard
from farshore.core.write_path import NO_LIMIT, WritePath
from farshore.model import messages as m
from farshore.model.header import LinkRecord, OpenResync
from farshore.model.options import (
    LinkOptions,
    LinkSpec,
    LinkState,
    Mode,
    Reason,
    ResyncKind,
    Timing,
)
from farshore.model.positions import History, Position
from farshore.model.volumes import Operation

LOW_WATER = 4
"""Ordered sending resumes when the queue has fallen to 1/LOW_WATER of its limit (rule E4)."""


class Phase(Enum):
    """How far a session has come."""

    IDLE = auto()
    CONNECTING = auto()
    GREETING = auto()
    """Hello sent."""
    PREPARING = auto()
    """Resume or ResyncBegin sent; frames flow behind it."""
    LIVE = auto()


@dataclass(slots=True)
class Shared:
    """What every feeder of a copy works with."""

    outbox: Outbox
    keeper: HeaderKeeper
    ledger: Ledger
    path: WritePath
    timing: Timing
    instance: bytes
    new_id: Callable[[], bytes]
    history: Callable[[], History]
    """Our history, exactly to the newest sequence."""
    progressed: Callable[[], None]
    """A peer acknowledged something, or a gate moved."""
    fence: Callable[[str], None]
    """Rule D6: a newer copy exists; refuse writes from now on."""


@dataclass(slots=True)
class Pausing:
    """A pause that drains: up to `target`, until `deadline`."""

    target: int
    deadline: float


class Feeder:
    """One outgoing link. `spec` may be replaced by the owner; the id never changes."""

    def __init__(self, shared: Shared, spec: LinkSpec, board: Scoreboard) -> None:
        self.shared = shared
        self.spec = spec
        self.board = board
        self.filling: Filling | None = None
        self.standing = Standing(LinkState.LOGGING, self._first_reason())
        self.since = shared.outbox.wall
        self.why = ""
        self.phase = Phase.IDLE
        self.session = 0
        self.acked = Acknowledged()
        self.streaming = False
        self.queue = 0
        """Bytes on the channel that the socket has not taken."""
        self.fill_bytes = 0
        self.rtt: float | None = None
        self.wanted: ResyncKind | None = None
        self.once = False
        self.pausing: Pausing | None = None
        self.met = False
        """True once the peer has answered since this engine started (rule D5)."""
        self._retry_at = 0.0
        self._backoff = shared.timing.first_retry
        self._heard_at = 0.0
        self._beat_at = 0.0
        self._peer_clock = 0
        self.gate = LinkGate(spec.id, shared.path, self._gate_facts, self._remember_alone)

    def _first_reason(self) -> Reason:
        record = self.record
        if record.paused:
            return Reason.OPERATOR
        return Reason.NEW if record.peer_copy is None else Reason.RESTARTED

    # -- facts ------------------------------------------------------------------------------

    @property
    def id(self) -> bytes:
        """The link's id, and its channel's key."""
        return self.spec.id

    @property
    def record(self) -> LinkRecord:
        """The durable record of this link."""
        header = self.shared.keeper.header
        return header.link(self.spec.id) or LinkRecord(self.spec.id, self.spec.epoch)

    @property
    def sync(self) -> bool:
        """Whether acknowledgements wait for this link's peer."""
        return self.spec.options.mode is Mode.SYNC

    @property
    def freezing(self) -> bool:
        """Rule C4: a freeze link that has replicated once."""
        return self.gate.freezing

    def _gate_facts(self) -> tuple[LinkRecord, LinkOptions, Acknowledged]:
        return self.record, self.spec.options, self.acked

    def _remember_alone(self, since: Position, then: Callable[[], None]) -> None:
        if self.record.alone_since == since and self.shared.keeper.idle:
            then()
        else:
            self.remember(then, alone_since=since)

    @property
    def state(self) -> LinkState:
        """The link's state."""
        return self.standing.state

    @property
    def replicating(self) -> bool:
        """True while every write goes to the peer in order and nothing else is owed."""
        return self.state is LinkState.REPLICATING

    @property
    def live(self) -> bool:
        """True while frames and link messages flow."""
        return self.phase is Phase.LIVE

    @property
    def owed(self) -> int:
        """Frames up to here need not stay in the ledger for this link; NO_LIMIT when it has no use for it."""
        return self.acked.durable if self.streaming or self.pausing else NO_LIMIT

    def position(self) -> Position:
        """Our newest position."""
        return Position(self.shared.path.generation, self.shared.path.sequence)

    def remember(self, then: Callable[[], None] | None = None, **changes: object) -> None:
        """Change this link's durable record."""
        header = self.shared.keeper.header
        record = replace(self.record, **changes)  # type: ignore[arg-type]
        self.shared.keeper.put(replace(header, links=header.with_link(record)), then)

    def send(self, message: m.Message) -> None:
        """Queue a message on this link's channel."""
        self.shared.outbox.emit(Send(self.id, message))

    # -- writes -----------------------------------------------------------------------------

    def issued(self, operations: list[Operation], last: int, size: int) -> bool:
        """A frame is about to be made; True when it shall be queued on this link's channel."""
        if self.streaming and not self._overflows(size):
            if self.filling is not None:
                self.filling.cursor.live(operations, True)
            self.queue += size
            self.acked.sent = last
            return True
        self.board.dirty.mark_operations(operations)
        if self.filling is not None:
            self.filling.cursor.live(operations, False)
        return False

    def _overflows(self, size: int) -> bool:
        """Rule F1: a full queue turns writes into marks, for the whole group at one sequence."""
        if self.gate.closed or self.queue + size <= self.spec.options.queue_memory or not self.queue:
            return False
        if self.filling is not None and not self.filling.cursor.ending:
            self.streaming = False
            self._fold()
            return True
        if self.filling is not None:
            self.close("", "the queue is full")
        self.stop(LinkEvent.OVERFLOW, "the memory queue is full")
        return True

    def _fold(self) -> None:
        """Rule A1: regions of frames that are not durable at the peer become marks."""
        for entry in self.shared.ledger.after(self.acked.durable):
            self.board.dirty.mark_operations(entry.operations)
        self.board.keep_queued()

    # -- session ----------------------------------------------------------------------------

    @property
    def may_connect(self) -> bool:
        """Whether a session is wanted now."""
        if self.record.paused or self.state in (LinkState.DIVERGED, LinkState.FAILED):
            return False
        return self.wanted is not None or self.spec.options.autosync or not self.met

    def connect(self) -> None:
        """Open a connection if one is wanted and due."""
        if self.phase is Phase.IDLE and self.may_connect and self.shared.outbox.now >= self._retry_at:
            self.phase = Phase.CONNECTING
            self.shared.outbox.emit(Connect(self.id))

    def peer_back(self) -> None:
        """The peer, or the host's network, says that the line is back: try at once."""
        self._retry_at = 0.0
        self._backoff = self.shared.timing.first_retry
        self.connect()

    def connected(self) -> None:
        """The channel is up: greet."""
        self._heard_at = self._beat_at = self.shared.outbox.now
        self.phase = Phase.GREETING
        header = self.shared.keeper.header
        geometry = self.board.geometry
        self.send(
            m.Hello(
                m.PROTOCOL,
                header.group,
                self.id,
                self.spec.epoch,
                header.copy,
                self.shared.instance,
                self.shared.history(),
                geometry.region,
                tuple(sorted(geometry.sizes.items())),
                self.record.peer_copy,
                self.spec.options.first,
            )
        )

    def welcome(self, peer: m.Welcome) -> None:
        """The peer has said what it holds: choose a course."""
        if self.phase is not Phase.GREETING:
            return
        self.session = peer.session
        self.met = True
        self._backoff = self.shared.timing.first_retry
        decision = decide(self.record, self.board, self.shared.history(), peer)
        course = decision.course
        if course in (Course.NEWER, Course.CONFLICT, Course.CHANGED):
            self.close("identity-changed" if course is Course.CHANGED else "diverged", decision.why)
            event = LinkEvent.IDENTITY if course is Course.CHANGED else LinkEvent.DIVERGE
            self.stop(event, decision.why)
            self.shared.outbox.note("diverged", link=self.spec.name, course=course.value, why=decision.why)
            if course is Course.NEWER:
                self.shared.fence(decision.why)
            return
        if self.record.peer_copy is None:
            self.remember(peer_copy=peer.copy)
        self.board.peer_copy = peer.copy
        if course is Course.RESUME and self.wanted in (None, ResyncKind.UPDATE) and not self.once:
            self._resume()
        else:
            self.begin_resync(course)

    def _resume(self) -> None:
        position = self.position()
        self._start_stream(position)
        self.gate.close()
        self.send(m.Resume(self.session, self.shared.history(), position))
        self.phase = Phase.PREPARING

    def _start_stream(self, position: Position) -> None:
        sequence = position.sequence
        self.acked = Acknowledged(sequence, sequence, sequence, sequence)
        self.streaming = True

    def restart_stream(self, position: Position) -> None:
        """Frames follow again from `position`; what lies before it was marked (rule E4)."""
        self.acked.sent = position.sequence
        self.streaming = True

    def local_read_failed(self, errno: int) -> None:
        """A local disk cannot be read: the resync cannot go on, the link stops (rule C3)."""
        self.close("io-error", "a volume at the feeder cannot be read")
        self.stop(LinkEvent.LOCAL_ERROR, f"reading a local volume failed: {os_error(errno)}")

    def begin_resync(self, course: Course) -> None:
        """Open a resync, or go on with the one that the peer proved to be open (rule A4)."""
        kind = self.wanted or ResyncKind.UPDATE
        board, record = self.board, self.record
        if course is Course.FIRST:
            kind = self.spec.options.first if kind is ResyncKind.UPDATE else kind
        elif course is Course.DIGEST and kind is ResyncKind.UPDATE:
            kind = ResyncKind.DIGEST
        if course is not Course.CONTINUE:
            board.or_back()
        if kind is ResyncKind.FULL:
            board.dirty.set_all(1)
        elif kind is ResyncKind.DIGEST:
            board.suspect.set_all(1)
            board.dirty.set_all(0)
        position = self.position()
        going_on = course is Course.CONTINUE and record.open_resync is not None and self.wanted is None
        resync = record.open_resync if going_on else None
        if resync is None:
            resync = OpenResync(self.shared.new_id(), kind, position)
            self.remember(open_resync=resync)
        self.wanted = None
        board.open = True
        self._start_stream(position)
        self.filling = Filling(self, resync)
        self.send(m.ResyncBegin(self.session, resync.id, resync.kind, self.shared.history(), position))
        self.phase = Phase.PREPARING

    def ready(self) -> None:
        """The peer has made durable what we asked for."""
        if self.phase is not Phase.PREPARING:
            return
        self.phase = Phase.LIVE
        if self.filling is None:
            self.enter(LinkEvent.RESUME)
            self._replicating()
        else:
            self.enter(LinkEvent.BEGIN, Reason(self.filling.cursor.resync.kind.value))
            self.filling.pump()

    def completed(self, position: Position) -> None:
        """The completion cut is durable at the peer (rules A4, A5)."""
        self.filling = None
        self.board.forget_second()
        self.board.base = position
        self.remember(open_resync=None)
        self.enter(LinkEvent.COMPLETE)
        if self.once:
            self.once = False
            self._paused(position, True)
        else:
            self._replicating()

    def _replicating(self) -> None:
        if not self.record.ever_replicated:
            self.remember(ever_replicated=True)
        self.gate.close()
        self.shared.progressed()

    # -- messages ---------------------------------------------------------------------------

    def received(self, message: m.Message) -> None:
        """One message of the peer. Anything of another session is ignored (rule B7)."""
        match message:
            case m.Heartbeat(clock=clock, echo=echo):
                self._peer_clock = clock
                if echo:
                    self.rtt = max(0.0, self.shared.outbox.now - echo / 1e9)
            case m.Welcome():
                self.welcome(message)
            case m.Refusal(code=code, text=text):
                self._refused(code, text)
            case m.Ack(session=session) if session == self.session:
                self._acknowledged(message)
            case m.Ready(session=session) if session == self.session:
                self.ready()
            case m.DigestReply(session=session, ordinal=ordinal, differing=differing) if (
                session == self.session and self.filling is not None
            ):
                self.filling.compared(ordinal, differing)
            case m.ResyncDone(session=session, resync=resync) if (
                session == self.session and self.filling is not None
            ):
                self.filling.done(resync)

    def _acknowledged(self, ack: m.Ack) -> None:
        acked, limit = self.acked, self.acked.sent
        if max(ack.received, ack.applied, ack.durable) > max(limit, self.shared.path.sequence):
            self.close("protocol", "the peer acknowledges what was never sent")
            self.stop(LinkEvent.PEER_ERROR, "the peer acknowledges what was never sent")
            return
        acked.received = max(acked.received, ack.received)
        acked.applied = max(acked.applied, ack.applied)
        acked.durable = max(acked.durable, ack.durable)
        if self.gate.closed:
            self.gate.follow()
        if self.board.queued:
            self.board.acknowledge_queued(acked.durable)
        if self.state is LinkState.REPLICATING:
            self.board.base = Position(self.shared.path.generation, acked.durable)
            if self.record.alone_since is not None and self.gate.settled(acked.durable):
                self.remember(alone_since=None)
        if self.filling is not None:
            self.filling.acknowledged(ack.fills_durable)
        if self.pausing is not None and acked.durable >= self.pausing.target:
            self._drained()
        self.shared.progressed()

    def _refused(self, code: str, text: str) -> None:
        self.close("", "")
        if code in ("identity-changed", "diverged"):
            self.stop(LinkEvent.IDENTITY if code == "identity-changed" else LinkEvent.DIVERGE, text)
        elif code in ("io-error", "faulted", "disk-full"):
            self.stop(LinkEvent.PEER_ERROR, text)
            self._retry_at = self.shared.outbox.now + self.shared.timing.last_retry
        else:
            self.stop(LinkEvent.LOST if code == "session-live" else LinkEvent.REFUSED, text)

    # -- stopping ---------------------------------------------------------------------------

    def close(self, code: str, text: str) -> None:
        """End the channel, with a reason for the peer unless `code` is empty."""
        if self.phase is not Phase.IDLE:
            if code:
                self.send(m.Refusal(code, text))
            self.shared.outbox.emit(Close(self.id, code, text))

    def stop(self, event: LinkEvent, why: str, at: Position | None = None) -> None:
        """Stop sending at the present sequence (rules A1, B5, C4) and fall to logging or worse."""
        session_goes_on = event is LinkEvent.OVERFLOW and self.filling is None
        if self.streaming or self.pausing:
            self._fold()
        was = self.standing
        self.streaming = False
        self.pausing = None
        if self.filling is not None:
            self.filling.abandon()
            self.filling = None
        if not session_goes_on:
            self.phase = Phase.IDLE
            self.queue = 0
            self._retry_at = self.shared.outbox.now + self._backoff
            self._backoff = min(self._backoff * 2, self.shared.timing.last_retry)
        self.why = why
        self.enter(event)
        if was.state in (LinkState.REPLICATING, LinkState.RESYNCING):
            self.remember(stopped_at=at or self.position(), stopped_time=self.shared.outbox.wall)
        self.gate.open()

    def enter(self, event: LinkEvent, reason: Reason | None = None) -> None:
        """Take the transition of the table and tell the operator when the state is another."""
        before = self.standing
        after = step(before.state, event)
        self.standing = Standing(after.state, reason) if reason is not None else after
        if before == self.standing:
            return
        self.since = self.shared.outbox.wall
        if after.state is LinkState.REPLICATING:
            self.why = ""
        self.shared.outbox.note(
            "link-state",
            link=self.spec.name,
            state=self.standing.state.value,
            reason=self.standing.reason.value,
            why=self.why,
            sequence=self.shared.path.sequence,
        )

    def disconnected(self, why: str) -> None:
        """The channel is gone."""
        if self.phase is Phase.IDLE:
            return
        if self.pausing is not None:
            self._drained()
            return
        self.stop(LinkEvent.LOST, why)

    # -- operator ---------------------------------------------------------------------------

    def pause(self, drain: bool, timeout: float) -> None:
        """Stop sending at the present sequence; with `drain` wait for the peer to have it durable."""
        draining = drain and self.state is LinkState.REPLICATING
        streaming = self.state in (LinkState.REPLICATING, LinkState.RESYNCING)
        cut = self.position() if streaming else self.record.stopped_at or self.position()
        self.remember(paused=True)
        self.wanted, self.once = None, False
        if not draining or self.acked.durable >= self.acked.sent:
            self._paused(cut, draining)
            return
        self.remember(stopped_at=cut, stopped_time=self.shared.outbox.wall)
        self.streaming = False
        self.pausing = Pausing(self.acked.sent, self.shared.outbox.now + timeout)
        self.enter(LinkEvent.STOP)
        self.gate.open()
        self.send(m.SyncNow(self.session))

    def _paused(self, cut: Position, drained: bool) -> None:
        """The pause is complete: `cut` is where sending stopped."""
        self.close("", "paused")
        self.remember(paused=True)
        self.stop(LinkEvent.STOP, "paused by the operator", cut)
        self.shared.outbox.note(
            "link-paused",
            link=self.spec.name,
            generation=cut.generation.hex(),
            sequence=cut.sequence,
            drained=drained,
        )

    def _drained(self) -> None:
        """A pause that drains ends: everything is durable at the peer, time is up, or the line is lost."""
        if self.pausing is not None:
            target = self.pausing.target
            self._paused(Position(self.shared.path.generation, target), self.acked.durable >= target)

    def resync(self, kind: ResyncKind, once: bool) -> None:
        """Bring the peer up to date; `once` logs again at the completion cut."""
        if self.state in (LinkState.DIVERGED, LinkState.FAILED):
            self.enter(LinkEvent.RETRY)
        self.once = once
        if self.record.paused:
            self.remember(paused=False)
        if self.phase is Phase.LIVE and kind is ResyncKind.UPDATE and not once:
            return
        self.wanted = kind
        if self.phase in (Phase.LIVE, Phase.PREPARING):
            self.close("", "a resync was asked for")
            self.stop(LinkEvent.STOP, "a resync was asked for")
        self.peer_back()

    def change(self, spec: LinkSpec) -> None:
        """Take new options; a link that becomes sync waits for its peer, or records that it is alone."""
        self.spec = spec
        self.gate.closed = False
        if self.sync and (self.replicating or (self.filling is not None and self.filling.cursor.ending)):
            self.gate.close()
        else:
            self.gate.open()

    def fail(self, why: str) -> None:
        """A local disk failed: stop at the present sequence (rule C3)."""
        if self.state in (LinkState.LOGGING, LinkState.RESYNCING, LinkState.REPLICATING):
            self.close("", why)
            self.stop(LinkEvent.LOCAL_ERROR, why)

    # -- time -------------------------------------------------------------------------------

    def heard(self) -> None:
        """Any byte counts as the peer's sign of life."""
        self._heard_at = self.shared.outbox.now

    def stalled(self, seconds: float) -> None:
        """Our own loop stood still: that does not count against the peer."""
        self._heard_at += seconds

    def backlog(self, size: int) -> None:
        """The shell says how many bytes wait on the channel."""
        self.queue = size
        if self.filling is not None:
            low = self.spec.options.queue_memory // LOW_WATER
            if (
                not self.streaming
                and size <= low
                and self.board.dirty.count() * self.board.geometry.region <= low
            ):
                self.filling.stream_again()
            self.filling.pump()
        elif self.standing.reason is Reason.QUEUE_FULL and self.live and not size and self.may_connect:
            self.board.base = Position(self.shared.path.generation, self.acked.durable)
            self.begin_resync(Course.UPDATE)

    def tick(self) -> None:
        """Heartbeats, limits, retries."""
        now, timing = self.shared.outbox.now, self.shared.timing
        if self.phase is Phase.IDLE:
            self.connect()
            return
        if self.phase is Phase.CONNECTING:
            return
        if now - self._heard_at > timing.limit:
            self.close("", "silent")
            self.disconnected(f"no sign of life for {timing.limit:g} s")
            return
        if now - self._beat_at >= timing.beat:
            self._beat_at = now
            self.send(m.Heartbeat(int(now * 1e9), self._peer_clock))
        if self.pausing is not None and now >= self.pausing.deadline:
            self._drained()
        if self.filling is not None:
            self.filling.pump()
