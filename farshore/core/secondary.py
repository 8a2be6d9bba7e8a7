"""A copy as secondary: one feeder at a time, frames applied in order (rules B3, B4, B7, B8, D2).

It accepts or refuses sessions, and keeps what outlives them: the header, how far the volumes have
come, the fault. What arrives within a session is the business of `stream`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from farshore.core import fed_until, greeting, growing, leaving, objections, snapping, starting, undoing
from farshore.core.actions import Action, Close, Relayable, Send
from farshore.core.broken_layers import found
from farshore.core.durability import Durability
from farshore.core.fault_record import FaultRecord
from farshore.core.fault_texts import RECORDS, fault_of
from farshore.core.fed_until import FedUntil
from farshore.core.journaling import Journaling
from farshore.core.liveness import Liveness
from farshore.core.lookups import Lookups
from farshore.core.outbox import GroupSync, HeaderKeeper, Outbox
from farshore.core.preserve import Lacks, Preserving
from farshore.core.relaying import Relay
from farshore.core.secondary_setup import SecondarySetup
from farshore.core.stream import Stream
from farshore.core.turning import pointed
from farshore.model import messages as m
from farshore.model.header import Upstream
from farshore.model.layers import LayerKind, Run
from farshore.model.positions import History


class Secondary:
    """See the module. Every public method is an input and returns the actions that it causes."""

    def __init__(self, setup: SecondarySetup) -> None:
        self.setup = setup = replace(setup, header=found(setup.header, setup.preserve))
        self.geometry = setup.geometry
        self.outbox = Outbox()
        self.keeper = HeaderKeeper(self.outbox, setup.header, self.fail)
        self.standing = Durability(self.outbox, self.keeper, GroupSync(self.outbox), self.fail)
        self.new_id = setup.new_id
        self.preserve = Preserving(self.outbox, setup.geometry, setup.preserve, self.fail)
        undoing.attend(self)
        self.journal = Journaling(self, setup.limits)
        self.journal.said = self._say_durable
        self.relay = Relay(self)
        self.lookups = Lookups(self)
        self.snapping = snapping.Snapping(self)
        self.session: Stream | None = None
        self.started = self.left = False
        self.replaying = False
        """The volumes do not hold yet what the journal has."""
        self.fault = ""
        self.fault_record = FaultRecord(self.outbox, self.keeper)
        self.since = 0.0
        """When a feeder came or went last, wall seconds."""
        self.newest_write = 0
        """When the newest frame that came was made, by the primary's clock; nanoseconds since the epoch."""
        self.fed = FedUntil()
        self.room = growing.Room(self)
        self.stopping = False
        self.pointing: int | None = None
        """The epoch of a new upstream that is not durable yet."""

    # -- start and stop ---------------------------------------------------------------------

    def start(self) -> list[Action]:
        """Find the last position that is certain and make the start durable (rules B2, B3, D2)."""
        starting.start(self)
        return self.outbox.take()

    def has_started(self) -> None:
        """The start is durable."""
        self.started = True
        if self.setup.upstream is not None and self.pointing == self.setup.upstream.epoch:
            self.pointing = None
        self.preserve.sweep(self.keeper.header.undo)
        self.outbox.note("secondary-started", sequence=self.applied)
        if self.stopping and not self.fault:
            leaving.leave(self)

    def stop(self) -> list[Action]:
        """A clean stop, which is complete with `stopped`."""
        leaving.begin(self)
        return self.outbox.take()

    def out_of_room(self) -> None:
        """A disk is full: what is journaled cannot be applied now. A stop is not clean then."""
        self.left = self.stopping

    @property
    def stopped(self) -> bool:
        """Whether a stop has ended, with everything durable or with a fault that is recorded by now."""
        return self.stopping and self.fault_record.settled and (self.left or bool(self.fault))

    # -- facts ------------------------------------------------------------------------------

    @property
    def applied(self) -> int:
        """The newest sequence that is written to the volumes, or to the journal."""
        return self.standing.applied

    @property
    def durable(self) -> int:
        """The newest sequence that would survive a power loss."""
        return self.standing.durable

    @property
    def generation(self) -> bytes:
        """The generation that the volumes stand in."""
        return self.standing.generation

    @property
    def holding(self) -> bool:
        """True while the shell must not hand over anything more of the stream."""
        return self.session is not None and self.session.holding

    @property
    def keeping(self) -> bool:
        """Whether what is handed over may be used after the call: its bytes have to stay what they are."""
        return self.journal.active or (self.session is not None and self.session.guarded)

    @property
    def consistent(self) -> bool:
        """True while the image is one state that the primary once had."""
        header = self.keeper.header
        whole = header.resync is None and not self.replaying and not self.fault
        return whole and not header.history.blank and not self.standing.doubtful

    def age(self, sequence: int) -> float | None:
        """How old a copy is that has everything up to `sequence`: the seconds for which the primary has had
        what it lacks, never too few. None where nobody knows."""
        moment = self.fed.at(sequence)
        return None if moment is None else max(0.0, self.outbox.now - moment)

    def history(self) -> History:
        """What this copy certainly holds; while inconsistent, what it held before."""
        history = self.keeper.header.history
        if self.keeper.header.resync is not None or history.blank:
            return history
        return history.extended_to(self.applied)

    # -- sessions (B7, B8) ------------------------------------------------------------------

    def accepted(self, channel: bytes, hello: m.Hello) -> list[Action]:
        """A channel whose peer proved its identity says what it is."""
        refusal = objections.to(self, hello)
        if refusal is not None:
            code, text = refusal
            self.outbox.emit(Send(channel, m.Refusal(code, text)))
            self.outbox.emit(Close(channel, code, text))
            return self.outbox.take()
        self.end_session("", "the same feeder connected again")
        growing.follow(self, dict(hello.volumes), hello.history.head)
        header, settled = self.keeper.header, self.keeper.idle
        nonce = int.from_bytes(self.setup.new_id()[:8], "little") >> 1
        liveness = Liveness(self.setup.timing, self.outbox.now)
        self.session = Stream(self, channel, nonce, hello, liveness)
        self.standing.heed(hello.queue)
        self.journal.heed(hello.queue)
        self.relay.chain = (hello.copy, *hello.chain)[: m.MAX_CHAIN]
        upstream = header.upstream
        if upstream is not None and upstream.copy is None:
            self.keeper.put(replace(header, upstream=replace(upstream, copy=hello.copy)))
        greeting.greet(self, self.session, settled)
        return self.outbox.take()

    def point_at(self, link: bytes, epoch: int) -> list[Action]:
        """Rule B8: another feeder from now on, or the same one anew. Whoever feeds under a lower epoch is
        cut off at once, and nobody is met under the raised one before it is durable."""
        header = self.keeper.header
        if header.upstream is not None and epoch <= header.upstream.epoch:
            return self.outbox.take()

        def durable() -> None:
            if self.pointing == epoch:  # else it was pointed elsewhere once more meanwhile
                self.pointing = None

        self.end_session("wrong-feeder", "this copy was pointed at another feeder")
        self.pointing = epoch
        self.keeper.put(pointed(self.keeper.header, Upstream(link, epoch)), durable)
        return self.outbox.take()

    def end_session(self, code: str, text: str) -> None:
        """End the session, if there is one; with a code the feeder is told why."""
        session = self.session
        if session is None:
            return
        if code:
            session.send(m.Refusal(code, text))
        self.outbox.emit(Close(session.channel, code, text))
        self._lost(session, text)

    def _lost(self, session: Stream, why: str) -> None:
        session.over()
        self.session = None
        self.journal.forget_drains()
        if session.ready:  # a primary may merely have asked what this copy is (rule D6)
            self.since = self.outbox.wall
            self.outbox.note("feeder-lost", why=why, sequence=self.applied)

    def disconnected(self, channel: bytes, why: str) -> list[Action]:
        """The channel is gone."""
        session = self._current(channel)
        if session is not None:
            self._lost(session, why)
        return self.outbox.take()

    def _current(self, channel: bytes) -> Stream | None:
        session = self.session
        return session if session is not None and session.channel == channel else None

    # -- the stream -------------------------------------------------------------------------

    def heard(self, channel: bytes) -> None:
        """Bytes arrived on the channel."""
        session = self._current(channel)
        if session is not None:
            session.liveness.heard(self.outbox.now)

    def frame(self, channel: bytes, head: m.FrameHead, frame: Relayable) -> list[Action]:
        """A frame of the stream."""
        session = self._current(channel)
        if session is not None:
            self.newest_write = head.timestamp
            session.frame(head, frame)
        return self.outbox.take()

    def received(self, channel: bytes, message: m.Message) -> list[Action]:
        """A message of the stream."""
        session = self._current(channel)
        if session is not None:
            if isinstance(message, m.ReadQuery):
                session.in_turn(partial(self.lookups.take, session, message))
            session.received(message)
            if isinstance(message, m.Heartbeat):
                fed_until.hear(self, message)
        return self.outbox.take()

    def applied_frame(self, errno: int) -> list[Action]:
        """The frame in hand was written to the volumes, or could not be."""
        if self.session is not None:
            self.session.frame_applied(errno)
        return self._go_on()

    def appended(self, errno: int) -> list[Action]:
        """The frames that were handed over are in the journal, or none of them is."""
        if self.session is not None:
            self.session.ack_due = True
        self.journal.appended(errno)
        return self._go_on()

    def _say_durable(self) -> None:
        if self.session is not None:
            self.session.ack_due = True

    def filled(self, errno: int) -> list[Action]:
        """The fill in hand was written, or could not be."""
        if self.session is not None:
            self.session.filled(errno)
        return self._go_on()

    # -- tickets, time ----------------------------------------------------------------------

    def synced(self, ticket: int, errno: int) -> list[Action]:
        """The volumes were fdatasynced."""
        return self._settle(ticket, errno)

    def durable_written(self, ticket: int, errno: int) -> list[Action]:
        """The durable position was recorded."""
        return self._settle(ticket, errno)

    def journal_done(self, ticket: int, errno: int) -> list[Action]:
        """Something was done to or from the journal."""
        return self._settle(ticket, errno)

    def journal_read(
        self, ticket: int, frames: Sequence[tuple[m.FrameHead, Relayable]], errno: int
    ) -> list[Action]:
        """A piece of the journal was read."""
        return self._settle(ticket, frames, errno)

    def header_written(self, ticket: int, errno: int) -> list[Action]:
        """The header was replaced."""
        return self._settle(ticket, errno)

    def compared(self, ticket: int, differing: bytes, errno: int) -> list[Action]:
        """Digests were compared."""
        return self._settle(ticket, differing, errno)

    def preserved(self, ticket: int, errno: int, lacks: Lacks | None = None) -> list[Action]:
        """Something was done in the preserve store, or from it."""
        return self._settle(ticket, errno, *((lacks,) if lacks else ()))

    def layer_dropped(self, ticket: int, errno: int, saved: tuple[Run, ...]) -> list[Action]:
        """A layer was given up."""
        return self._settle(ticket, errno, saved)

    def drop_layer(self, layer: bytes, then: Callable[[int], None]) -> list[Action]:
        """Nobody needs this layer of the preserve store any more (see `Preserving.drop`)."""
        self.preserve.drop(layer, then)
        return self.outbox.take()

    def take_layer(self, kind: LayerKind, name: str, then: snapping.Then) -> list[Action]:
        """Begin a layer at exactly where the copy stands (see `snapping.take`)."""
        snapping.take(self, kind, name, then)
        return self.outbox.take()

    def _settle(self, ticket: int, *result: object) -> list[Action]:
        self.outbox.settle(ticket, *result)
        self.lookups.go_on()
        return self._go_on()

    def _go_on(self) -> list[Action]:
        """Units of the stream that wait may go on now."""
        self.snapping.go_on()
        if self.session is not None:
            self.session.guard.advance()
        return self.outbox.take()

    def clock(self, now: float, wall: float) -> None:
        """The time of this turn; monotonic and wall seconds."""
        gap = now - self.outbox.now
        if self.session is not None and gap > self.setup.timing.beat:
            self.session.liveness.stalled(gap)
        self.relay.clock(gap)
        self.outbox.now, self.outbox.wall = now, wall

    def turn_end(self) -> list[Action]:
        """At most one acknowledgement for everything that this turn has brought."""
        if self.session is not None:
            self.session.acknowledge()
        return self.outbox.take()

    def tick(self) -> list[Action]:
        """Timers; to be called ten times a second or so."""
        now, timing, session = self.outbox.now, self.setup.timing, self.session
        if session is not None:
            if self.holding:
                session.liveness.heard(now)  # we do not read just now
            if session.liveness.silent(now):
                self.end_session("", f"no sign of life for {timing.limit:g} s")
            elif (beat := session.liveness.beat(now)) is not None:
                session.send(beat)
        if self.replaying and self.journal.take_room_due():
            starting.again(self)
        self.journal.tick()
        self.preserve.tick()
        self.relay.tick()
        self.snapping.go_on()
        self.fault_record.tick()
        standing = self.standing
        due = standing.overdue or now - standing.since >= timing.durable_every
        if standing.unsynced and standing.sync.idle and due:
            (self.session or standing).make_durable(lambda: None)
        return self.outbox.take()

    def fail(self, errno: int, what: str = RECORDS) -> None:
        """Rule C3: a disk failed; this copy takes nothing more and says so."""
        if self.fault:
            return
        self.fault_record.fault = fault = fault_of(what, errno)
        self.fault = fault.text
        self.outbox.note("faulted", why=self.fault, sequence=self.applied)
        self.end_session("io-error", self.fault)
        self.relay.fail(self.fault)
        self.snapping.fail()
        self.fault_record.write()

    def repair(self) -> list[Action]:
        """What ails this copy is to end, with its next start (see `fault_record`)."""

        def told() -> None:
            self.outbox.note("repairable", fault=self.fault, id="", doubtful=False)

        if self.fault:
            self.fault_record.repair(told)
        return self.outbox.take()
