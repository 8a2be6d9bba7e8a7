"""A secondary's own links, the hops of a chain (rules A1, A2, B6, D4, E4).

What has become durable in this copy's journal is *relayed*: given to the hops, and then to the volumes.
Before that no hop hears of a frame, so that the next site is never ahead of what a loss of power leaves
here. The journal is also the hops' disk queue, and their memory: it is kept until every hop's peer has a
frame durable, or the frame's marks are durable in that hop's scoreboard. So a start finds in it all that
the scoreboards do not know yet, and nothing is suspect, unless the journal is damaged or the copy was
being resynced when it stopped: then each hop compares everything.

While the copy is being resynced its hops are cut off and regions are marked for them as they change;
they update afterwards. A hop holds nothing back: the feeder's acknowledgement speaks of this copy alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from farshore.core import endings
from farshore.core.actions import Action, QueueRead, Relayable, SendFrames, TrimJournal
from farshore.core.feeder import Feeder
from farshore.core.journal_queue import JournalQueue
from farshore.core.ledger import Entry
from farshore.core.link import LinkEvent
from farshore.core.links import FRAME_HEAD, RECORD, Links
from farshore.core.rewinding import trim
from farshore.core.shared import Shared
from farshore.core.write_path import Gate
from farshore.model import messages as m
from farshore.model.options import LinkSpec, LinkState, OnFull, OnOutage, ResyncKind
from farshore.model.positions import History, Position
from farshore.model.volumes import Operation

if TYPE_CHECKING:
    from farshore.core.secondary import Secondary

_RECALL_BYTES: Final = 4 << 20
"""Bytes of the journal that are looked at in one go at a start."""


class Relayed:
    """How far frames were relayed: an `Issuer` that holds nobody's writes."""

    def __init__(self) -> None:
        self.generation = b""
        self.sequence = 0
        self.held = False
        self.blocked: set[bytes] = set()
        self.barriers: list[tuple[int, int, int]] = []
        self.unwritten: deque[tuple[int, list[Operation], list[object]]] = deque()
        self.gates: dict[bytes, Gate] = {}

    @property
    def position(self) -> Position:
        """Of the newest frame that was relayed."""
        return Position(self.generation, self.sequence)

    def release(self) -> None:
        """Nobody waits for a gate."""

    def barred(self, operations: Iterable[Operation]) -> bool:
        """Whether a resync's read has to be let through before these operations."""
        return any(
            volume == held and offset < end and start < offset + length
            for volume, _, offset, length in operations
            for held, start, end in self.barriers
        )


class Relay(Links):
    """See the module."""

    def __init__(self, copy: Secondary) -> None:
        super().__init__(copy.outbox, copy.keeper, copy.geometry, copy.fail)
        self._copy = copy
        self.path: Relayed = Relayed()
        self.chain: tuple[bytes, ...] = ()
        """The copies upstream of this one, the nearest first, as its feeder has told."""
        self._coming: deque[tuple[m.FrameHead, Relayable]] = deque()
        """What was handed to the journal and is not relayed yet."""
        self._trimmed = 0
        self._trimmed_at = 0.0

    # -- facts ------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether there are hops: then every frame goes through the journal."""
        return bool(self.feeders)

    def history(self) -> History:
        """Our history, exactly to the newest frame that was relayed."""
        history = self.keeper.header.history
        if history.head is not None and history.head.generation == self.path.generation:
            return history.extended_to(self.path.sequence)
        return history.cut_at(self.path.position) if history.holds(self.path.position) else history

    def age(self, sequence: int) -> float | None:
        """While its feeder is away, or does not feed it, this copy ages, and with it whoever is behind it."""
        return self._copy.age(sequence)

    def _feeds(self) -> bool:
        """Whether a hop may be met: the volumes are a prefix, and stand where `path` says."""
        copy, standing = self._copy, self._copy.standing
        if not copy.started or copy.fault or not copy.consistent or copy.stopping:
            return False
        if copy.session is not None and copy.session.resyncing:
            return False  # also before the header says so
        still = copy.session is None and standing.applied == standing.durable == self.path.sequence
        return standing.generation == self.path.generation and (copy.journal.active or still)

    @property
    def _listening(self) -> bool:
        return not self._copy.stopping

    def _share(self) -> Shared:
        setup = self._copy.setup
        return Shared(
            self.outbox,
            self.keeper,
            self.ledger,
            self.path,
            setup.timing,
            setup.instance,
            setup.new_id,
            self.history,
            self._progressed,
            _stands_by,
            self._persist,
            lambda: False,
            self.age,
            relaying=True,
            feeding=self._feeds,
            chain=lambda: self.chain,
        )

    # -- frames -----------------------------------------------------------------------------

    def taken(self, head: m.FrameHead, frame: Relayable) -> None:
        """A frame was handed to the journal."""
        self._coming.append((head, frame))

    def forgotten(self, applied: int) -> None:
        """What lies behind `applied` did not get into the journal."""
        while self._coming and self._coming[-1][0].last > applied:
            self._coming.pop()

    def advance(self) -> None:
        """Rule B6: what is durable in the journal by now leaves, in order."""
        durable, coming, path = self._copy.standing.durable, self._coming, self.path
        while coming and coming[0][0].last <= durable:
            head, frame = coming[0]
            if self.feeders:
                operations = frame.operations
                if path.barriers and path.barred(operations):
                    return
                self._relay(head, operations, frame)
            path.sequence = head.last
            coming.popleft()

    def _relay(self, head: m.FrameHead, operations: list[Operation], frame: Relayable) -> None:
        path, outbox = self.path, self.outbox
        path.sequence = head.last
        path.unwritten.append((head.last, operations, []))
        for feeder in self.feeders.values():
            if feeder.issued(operations, head.last, head.size):
                outbox.emit(SendFrames(feeder.id, [frame]))
        size = head.size - FRAME_HEAD - RECORD * head.operations
        self.timeline.issued(head.first - 1, size, outbox.now, outbox.wall)
        if self.ledger_needed:
            self.ledger.append(Entry(head.last, operations, size))

    def written(self, last: int) -> None:
        """The volumes show everything up to `last`."""
        unwritten = self.path.unwritten
        while unwritten and unwritten[0][0] <= last:
            unwritten.popleft()

    def stand_at(self, position: Position) -> None:
        """The journal begins, or goes on, behind `position`, which the volumes hold."""
        turned = position.generation != self.path.generation
        self.path.generation, self.path.sequence = position.generation, position.sequence
        self._coming.clear()
        self.path.unwritten.clear()
        if turned:
            for feeder in self.feeders.values():
                _turn(feeder, position)

    # -- being resynced (B6) ----------------------------------------------------------------

    def suspend(self, history: History) -> None:
        """The copy is about to be resynced, into this history: the hops stop here."""
        if not history.holds(self._copy.standing.position):
            self._copy.fed.forget()
        for feeder in self.feeders.values():
            quiet = feeder.record.paused or feeder.spec.resting
            if quiet or feeder.state in (LinkState.DIVERGED, LinkState.FAILED):
                continue
            feeder.close("", "this copy is being resynced")
            feeder.stop(LinkEvent.UPSTREAM, "this copy is being resynced")

    def changes(self, operations: Iterable[Operation]) -> None:
        """These ranges are about to be written outside of the order of frames."""
        changed = list(operations) if self.feeders else []
        for feeder in self.feeders.values():
            feeder.board.dirty.mark_operations(changed)
            if feeder.filling is not None:
                feeder.filling.cursor.live(changed, False)

    def persist(self, then: Callable[[], None], *, exactly: bool = False) -> None:
        """Make every hop's marks durable, then go on."""
        if exactly:
            self.boards.write_exactly(then)
        else:
            self.boards.write_all(then)

    def no_room(self) -> None:
        """The disk of the journal is full: what is kept for hops that are behind gives way first (F1)."""
        for feeder in self.feeders.values():
            if feeder.disk.live and feeder.disk.behind:
                feeder.stop(LinkEvent.OVERFLOW, "no space is left for the journal that is its queue")
        self.outbox.emit(
            TrimJournal(Position(self.path.generation, 0))
        )  # and before that what a rewind could use
        if self.feeders:
            self.trim(Position(self.path.generation, self._copy.journal.marked))

    # -- the journal is kept (D4) -----------------------------------------------------------

    def trim(self, marked: Position) -> None:
        """The volumes durably hold everything up to `marked`: what no hop needs any more may go."""
        if not self.feeders:
            self.outbox.emit(trim(self._copy, marked))
            return
        floor = min(marked.sequence, *[_needed(each) for each in self.feeders.values()])
        self._trimmed, self._trimmed_at = floor, self.outbox.now
        # Marks, and bases that acknowledgements have moved, are durable before the frames are gone.
        position = Position(marked.generation, floor)
        self.persist(lambda: self.outbox.emit(trim(self._copy, position)))

    def _trim_now_and_then(self) -> None:
        """Also where no frame comes that would move the mark."""
        journal, outbox = self._copy.journal, self.outbox
        if not journal.active or outbox.now - self._trimmed_at < self._copy.setup.timing.durable_every:
            return
        floor = min(journal.marked, *[_needed(each) for each in self.feeders.values()])
        if floor > self._trimmed:
            self.trim(Position(self.path.generation, journal.marked))

    # -- start ------------------------------------------------------------------------------

    def restore(self, lost: bool, then: Callable[[], None]) -> None:
        """The hops as an earlier process left them, from their scoreboards and the journal, made durable
        before `then`. `lost`: the journal cannot tell what the scoreboards do not know."""
        copy = self._copy
        standing, setup = copy.standing, copy.setup
        self.path.generation, self.path.sequence = standing.generation, standing.applied
        for spec in setup.links:
            board = self._restored(_as_hop(spec), setup.boards.get(spec.id), setup.header.clean).board
            board.spooled_on_disk = False
            if lost:
                board.require(ResyncKind.DIGEST)
        journal = copy.setup.journal
        if self.feeders and not lost and copy.keeper.header.journaling and journal.start is not None:
            self._recall(journal.start, then)
        else:
            self.persist(then)

    def _recall(self, start: Position, then: Callable[[], None]) -> None:
        """What the journal holds behind a hop's base is queued for it, or marked."""
        in_order: dict[bytes, JournalQueue] = {}
        for feeder in self.feeders.values():
            if isinstance(feeder.disk, JournalQueue) and _may_go_on(feeder, start, self.history()):
                in_order[feeder.id] = feeder.disk

        def recalled(frames: Sequence[tuple[m.FrameHead, Relayable]], why: str) -> None:
            if why:
                self.outbox.note("journal-damaged", why=why, sequence=self.path.sequence)
                for feeder in self.feeders.values():
                    feeder.board.require(ResyncKind.DIGEST)
            for head, frame in frames:
                operations = frame.operations
                for feeder in self.feeders.values():
                    base = feeder.board.base
                    if base is not None and head.last <= base.sequence:
                        continue
                    if feeder.id in in_order and not why:
                        in_order[feeder.id].recall(operations, head.last, head.size)
                    else:
                        feeder.board.dirty.mark_operations(operations)
            if frames and not why:
                read(frames[-1][0].last)
                return
            for queue in in_order.values() if not why else ():
                queue.recalled()
            self.persist(then)

        def read(after: int) -> None:
            self.outbox.emit(QueueRead(self.outbox.ticket(recalled), b"", after, _RECALL_BYTES))

        read(start.sequence)

    # -- operator, time, trouble ------------------------------------------------------------

    def add_link(self, spec: LinkSpec) -> list[Action]:
        """A new hop. Frames go through the journal from now on; a session that works without one ends."""
        if not self.feeders:
            for last, operations in self._copy.journal.unwritten(self.path.sequence):
                self.path.unwritten.append((last, operations, []))
        feeder = self._attach_new(_as_hop(spec))
        feeder.board.spooled_on_disk = False
        if self._copy.session is not None and not self._copy.journal.active and self._copy.consistent:
            self._copy.end_session("", "frames go through the journal from now on")
        return self.outbox.take()

    def change_link(self, spec: LinkSpec) -> list[Action]:
        """New options for a hop."""
        return super().change_link(_as_hop(spec))

    def _settled(self) -> None:
        self._copy.journal.go_on()

    def _stirred(self) -> None:
        if self._coming:
            self._copy.journal.go_on()  # a barrier may have gone

    def clock(self, gap: float) -> None:
        """So many seconds have passed since the last turn."""
        self._time_passed(gap)

    def tick(self) -> None:
        """Timers."""
        if self.feeders and self._copy.started and not self._copy.stopping:
            self._stand_alone()
            self._tick_links()
            self._trim_now_and_then()

    def _stand_alone(self) -> None:
        """Nobody feeds this copy, and it has been fed without a journal: its hops may have what it holds."""
        copy, standing = self._copy, self._copy.standing
        fed = copy.session is not None or copy.journal.active or not copy.consistent or copy.fault
        if fed or standing.position == self.path.position or not standing.sync.idle:
            return

        def durable() -> None:
            if copy.session is None and not copy.journal.active:
                self.stand_at(standing.position)

        standing.make_durable(durable)

    def fail(self, why: str) -> None:
        """A disk of this copy failed (rule C3)."""
        for feeder in self.feeders.values():
            endings.fail(feeder, why)

    def close(self) -> None:
        """A stop begins: the hops end here."""
        for feeder in self.feeders.values():
            feeder.close("", "the engine stops")
            if feeder.following or feeder.disk.live:
                feeder.stop(LinkEvent.LOST, "the engine stopped")


def _stands_by(_why: str, _for_good: bool, _told: object) -> None:
    """A secondary has no writes that it could refuse."""


def _as_hop(spec: LinkSpec) -> LinkSpec:
    """There is no application whose writes a hop could hold."""
    return replace(spec, options=replace(spec.options, on_full=OnFull.LOG, on_outage=OnOutage.CONTINUE))


def _needed(feeder: Feeder) -> int:
    """Frames up to here are of no use to a hop once its scoreboard, as it is now, is durable."""
    return feeder.acked.durable if feeder.disk.live or feeder.following else feeder.shared.path.sequence


def _may_go_on(feeder: Feeder, start: Position, history: History) -> bool:
    """Whether the journal, which begins behind `start`, accounts for all that the peer may lack."""
    board, record = feeder.board, feeder.record
    base = board.base
    quiet = record.paused or feeder.spec.resting  # nothing is kept for a link that does not send
    if quiet or base is None or not board.clean or record.open_resync is not None:
        return False
    return feeder.disk.configured and start.sequence <= base.sequence and history.holds(base)


def _turn(feeder: Feeder, position: Position) -> None:
    """The primary has begun a generation: a hop in step turns with it, any other one meets its peer anew."""
    session = feeder.session
    if session.live and feeder.filling is None and feeder.pause is None and feeder.following:
        feeder.disk.draining.turn(position)
    elif session.live and feeder.disk.live and feeder.disk.behind:
        return  # draining turns where the generation ends
    elif session.begun:
        feeder.close("", "the primary began a new generation")
        feeder.stop(LinkEvent.LOST, "the primary began a new generation")
        session.retry.at_once()
