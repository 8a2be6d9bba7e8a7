"""The feeder: the near end of one outgoing link (rules A1, A4, A5, B5, C4, D2, G).

It streams frames, keeps the link's state and gate, and folds what was not acknowledged durable into
the scoreboard when the link stops. How a session comes about is in `feeder_session`, what is said in it
in `hearing`, how a resync begins and ends in `completing`, what it does in between in `filling`, a pause
in `pausing`; other reasons to stop are in `endings`, the states in `link`.

Always true: a write that this link's peer may lack is in the ledger (streamed, not acknowledged
durable), in one of the scoreboard's maps, or both.
"""

from __future__ import annotations

import errno as errnos
from collections.abc import Callable, Iterator
from dataclasses import replace

from farshore.core import completing, hearing
from farshore.core.actions import Close, Send
from farshore.core.feeder_session import FeederSession, Phase
from farshore.core.filling import Filling
from farshore.core.gate import Acknowledged, LinkGate
from farshore.core.handshake import Course
from farshore.core.journal_queue import JournalQueue
from farshore.core.link import LinkEvent, Standing, step
from farshore.core.pausing import Pause
from farshore.core.queueing import LinkQueue
from farshore.core.scoreboard import Scoreboard
from farshore.core.shared import Shared
from farshore.core.unlogged import Unlogged
from farshore.core.verifying import Verifying
from farshore.core.write_path import NO_LIMIT
from farshore.model import messages as m
from farshore.model.header import LinkRecord, VerifyState
from farshore.model.options import (
    LinkOptions,
    LinkSpec,
    LinkState,
    Mode,
    OnFull,
    OnOutage,
    Reason,
    ResyncKind,
)
from farshore.model.positions import Position
from farshore.model.volumes import Operation

_ASKED_IN_VAIN = (LinkEvent.LOST, LinkEvent.REFUSED, LinkEvent.PEER_ERROR, LinkEvent.STORE_FULL)


class Feeder:
    """One outgoing link. `spec` may be replaced by the owner; the id never changes."""

    def __init__(self, shared: Shared, spec: LinkSpec, board: Scoreboard) -> None:
        self.shared = shared
        self.spec = spec
        self.board = board
        self.filling: Filling | None = None
        self.standing = Standing(LinkState.LOGGING, self._first_reason())
        self.since = shared.outbox.wall
        self.why = self.next_step = ""
        sequence = shared.path.sequence
        self.acked = Acknowledged(sequence, sequence, sequence, sequence)
        self.counted = False
        """Whether `acked` tells of the peer, which has been met in this run or was known when it began."""
        self.streaming = False
        self.queue = 0
        """Bytes on the channel that the socket has not taken."""
        self.fill_bytes = 0
        self.wanted: ResyncKind | None = ResyncKind.UPDATE if self.once else None
        self.unprotected = False
        """The operator accepts that the next resync cannot be taken back (rule E1)."""
        self.undo_at: int | None = None
        """While a resync is open: the sequence to which the peer could go back; None where it cannot."""
        self.unanswered_cut: Position | None = None
        """The completion cut that was sent and whose answer has not come."""
        self.pause: Pause | None = None
        self.retired = False
        """True once the link was removed."""
        self.disk = JournalQueue(self) if shared.relaying else LinkQueue(self)
        self.session = FeederSession(self)
        self.unlogged = Unlogged(self, shared.ignored)
        self.gate = LinkGate(spec.id, shared.path, self._gate_facts, self._remember_alone)
        self.verify = Verifying(self)

    def _first_reason(self) -> Reason:
        record = self.record
        if self.spec.resting:
            return Reason.REROUTED
        if record.paused:
            return step(LinkState.LOGGING, self.paused_by[0]).reason
        return Reason.NEW if record.peer_copy is None else Reason.RESTARTED

    # -- facts ------------------------------------------------------------------------------

    @property
    def paused_by(self) -> tuple[LinkEvent, str]:
        """What stopped a link that is paused."""
        verify = self.record.verify
        if verify is not None and verify.state is VerifyState.HALTED:
            return LinkEvent.HALT, "a verify found that the two copies differ"
        return LinkEvent.STOP, "paused by the operator"

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
    def once(self) -> bool:
        """Whether the link is to log again at the next completion cut."""
        return self.record.once

    @property
    def sync(self) -> bool:
        """Whether acknowledgements wait for this link's peer."""
        return self.spec.options.mode is Mode.SYNC and not self.shared.relaying

    @property
    def freezing(self) -> bool:
        """Rule C4: a freeze link that has replicated once."""
        return self.gate.freezing

    def _gate_facts(self) -> tuple[LinkRecord, LinkOptions, Acknowledged]:
        options = self.spec.options
        if not self.sync:
            options = replace(options, mode=Mode.ASYNC)
        elif self.spec.resting:
            options = replace(options, on_outage=OnOutage.CONTINUE)  # the operator sent its peer elsewhere
        return self.record, options, self.acked

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
        return self.session.live

    @property
    def owed(self) -> int:
        """Frames up to here need not stay in the ledger for this link; NO_LIMIT when it has no use for it."""
        return self.acked.durable if self.following else NO_LIMIT

    @property
    def following(self) -> bool:
        """True while frames that the peer has not made durable are followed in the ledger."""
        ending = self.filling is not None and self.filling.cursor.ending
        return self.streaming or self.pause is not None or ending

    def remember(self, then: Callable[[], None] | None = None, **changes: object) -> None:
        """Change this link's durable record."""
        if self.retired:
            return
        header = self.shared.keeper.header
        record = replace(self.record, **changes)  # type: ignore[arg-type]
        self.shared.keeper.put(replace(header, links=header.with_link(record)), then)

    def send(self, message: m.Message) -> None:
        """Queue a message on this link's channel."""
        self.shared.outbox.emit(Send(self.id, message))

    # -- writes -----------------------------------------------------------------------------

    def issued(self, operations: list[Operation], last: int, size: int) -> bool:
        """A frame is about to be made; True when it shall be queued on this link's channel."""
        if self.verify.cursor is not None:
            self.verify.cursor.live(operations)
        if self.streaming and not self._overflows(size):
            if self.filling is not None:
                self.filling.cursor.live(operations, True)
            self.queue += size
            self.acked.sent = last
            if self.disk.live:
                self.disk.keep(last, size)
            return True
        if self.disk.take(operations, last, size):
            return False
        self.board.dirty.mark_operations(self.unlogged.logged(operations))
        if self.filling is not None:
            self.filling.cursor.live(operations, False)
        return False

    def _overflows(self, size: int) -> bool:
        """Rule F1: a full queue turns writes into marks, for the whole group at one sequence."""
        if self.gate.closed or self.queue + size <= self.spec.options.queue_memory or not self.queue:
            return False
        if self.filling is not None and not self.filling.cursor.ending:
            self.filling.order_lost()
            self._fold()
            self.streaming = False
            return True
        if self.filling is None and self.disk.fall_behind():
            return True
        if self.spec.options.on_full is OnFull.BLOCK:
            self.disk.block()
            return False
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

    def start_stream(self, position: Position) -> None:
        """Frames follow from `position`."""
        sequence = position.sequence
        self.acked = Acknowledged(sequence, sequence, sequence, sequence)
        self.counted = self.streaming = True

    def restart_stream(self, position: Position) -> None:
        """Frames follow again from `position`; what lies before it was marked (rule E4)."""
        self.acked.sent = position.sequence
        self.streaming = True

    def protocol_error(self, text: str) -> None:
        """The peer breaks the protocol: end this session."""
        self.close("protocol", text)
        self.stop(LinkEvent.PEER_ERROR, text)
        self.session.retry.slow(self.shared.outbox.now)

    def local_read_failed(self, errno: int) -> None:
        """A local disk cannot be read: the resync cannot go on, the link stops (rule C3)."""
        self.close("io-error", "a volume at the feeder cannot be read")
        self.stop(
            LinkEvent.LOCAL_ERROR, f"reading a local volume failed: {errnos.errorcode.get(errno, errno)}"
        )
        self.session.retry.slow(self.shared.outbox.now)

    def went_live(self) -> None:
        """The peer has made durable what we asked for."""
        if self.filling is None:
            if self.streaming:  # else the queue overflowed meanwhile: back to order by an update
                self.enter(LinkEvent.RESUME)
                self.replicates()
            self.disk.pump()
        else:
            self.enter(LinkEvent.BEGIN, Reason(self.filling.cursor.resync.kind.value))
            self.filling.pump()

    def completed(self, cut: Position) -> None:
        """The peer says that the completion cut is durable there."""
        completing.complete(self, cut)

    def replicates(self) -> None:
        """Everything goes in order and nothing else is owed."""
        record, epoch = self.record, self.spec.epoch
        if not record.ever_replicated or record.unmet or record.epoch != epoch:
            self.remember(ever_replicated=True, epoch=epoch, unmet=False)
        self.disk.begin()
        self.gate.close(replicating=True)
        self.shared.progressed()

    def dirty_extents(self, volume: int, offset: int, length: int) -> Iterator[tuple[int, bool]]:
        """(length in bytes, dirty) runs of a byte range, by all that rule A1 counts."""
        entries = self.shared.ledger.after(self.acked.durable) if self.following else iter(())
        operations = (operation for entry in entries for operation in entry.operations)
        return self.board.dirty_extents((volume, offset, length), operations)

    def settle_base(self) -> None:
        """Rule A5: the scoreboard is complete from what the peer has durable. Called whenever the base is
        about to count, so that an acknowledgement need not touch it."""
        if self.replicating or self.pause is not None or self.disk.live:
            self.board.base = self.shared.history().position_of(self.acked.durable)

    # -- stopping ---------------------------------------------------------------------------

    def close(self, code: str, text: str) -> None:
        """End the channel, with a reason for the peer unless `code` is empty."""
        if self.session.phase is not Phase.IDLE:
            if code:
                self.send(m.Refusal(code, text))
            self.shared.outbox.emit(Close(self.id, code, text))

    def stop(self, event: LinkEvent, why: str, at: Position | None = None) -> None:
        """Stop sending at the present sequence (rules A1, B5, C4) and fall to logging or worse."""
        session_goes_on = event is LinkEvent.OVERFLOW and self.filling is None
        survives = self.disk.survives(event)
        if survives:
            self.disk.spool()
        elif self.following or self.board.spooled:
            self._fold()
        self.settle_base()
        if not survives:
            self.disk.drop()
        was, cut = self.standing, self.record.stopped_at
        self.streaming = False
        self.pause = None
        self.verify.interrupted()
        if self.filling is not None:
            self.filling.abandon()
            self.filling = None
        if not session_goes_on:
            self.queue = 0
            self.session.ended()
        if self.state not in (LinkState.DIVERGED, LinkState.FAILED):
            self._fall(event, why, self.disk.live)
        told = at is not None and at != cut and self.record.peer_copy is not None
        if told or was.state in (LinkState.REPLICATING, LinkState.RESYNCING):
            self.remember(stopped_at=at or self.shared.position(), stopped_time=self.shared.outbox.wall)
        self.gate.open()
        self.shared.progressed()

    def _fall(self, event: LinkEvent, why: str, queues: bool) -> None:
        if self.record.paused and event in _ASKED_IN_VAIN:
            self.enter(self.paused_by[0])  # a paused link whose peer was only asked (D5) stays what it was
            return
        if self.session.only_asks and event in _ASKED_IN_VAIN:
            return
        self.why, self.next_step = why, ""
        if queues:
            self.enter(LinkEvent.QUEUE, step(LinkState.LOGGING, event).reason)
        else:
            self.enter(event)

    def enter(self, event: LinkEvent, reason: Reason | None = None) -> None:
        """Take the transition of the table and tell the operator when the state is another."""
        before = self.standing
        after = step(before.state, event)
        self.standing = Standing(after.state, reason) if reason is not None else after
        if before == self.standing:
            return
        self.since = self.shared.outbox.wall
        if after.state in (LinkState.REPLICATING, LinkState.RESYNCING):
            self.why = self.next_step = ""
        self.shared.outbox.note(
            "link-state",
            link=self.spec.name,
            state=self.standing.state.value,
            reason=self.standing.reason.value,
            why=self.why,
            sequence=self.shared.path.sequence,
        )

    # -- operator ---------------------------------------------------------------------------

    def peer_back(self) -> None:
        """The peer, or the host's network, says that the line is back: try at once."""
        self.session.retry.at_once()
        self.session.connect()

    # -- time -------------------------------------------------------------------------------

    def backlog(self, size: int) -> None:
        """The shell says how many bytes wait on the channel."""
        self.queue = size
        if self.disk.behind or self.shared.path.blocked:
            self.disk.go_on()
        self._go_on()

    def _go_on(self) -> None:
        """Whatever the queue's level may allow: more fills, or the return to order after an overflow."""
        if self.filling is not None:
            self.filling.pump()
        elif (
            self.standing.reason is Reason.QUEUE_FULL and self.live and not self.queue and self.session.wanted
        ):
            self.board.base = self.shared.history().position_of(self.acked.durable)
            completing.begin(self, Course.UPDATE)

    def tick(self) -> None:
        """Heartbeats, limits, retries."""
        silence = self.session.tick()
        if silence:
            self.close("", "silent")
            hearing.disconnected(self, silence)
            return
        if self.pause is not None:
            self.pause.advance()
        self.disk.tick()
        self.verify.tick()
        self._go_on()
        if self.filling is not None:
            self.filling.look()
