"""A copy as primary: composes the write path, the activity log and the outgoing links.

Every public method is an input and returns the actions that it causes, in order. A start mints a
generation (rule D1), makes suspects of what was hot at an unclean stop (A3), asks the peers (D5)
and only then lets writes flow; a clean stop leaves exact scoreboards and an exact history.
"""

from __future__ import annotations

import errno as errnos
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from farshore.core import cutting, endings, fences, growing
from farshore.core.actions import Action
from farshore.core.activity import ActivityLog
from farshore.core.broken_layers import marked
from farshore.core.fault_record import FaultRecord
from farshore.core.fault_texts import fault_id
from farshore.core.faulting import Faulting
from farshore.core.feeder import Feeder
from farshore.core.geometry import Geometry
from farshore.core.keeping import Keeping
from farshore.core.ledger import Entry
from farshore.core.links import FRAME_HEAD, RECORD, Links
from farshore.core.mending import Mending
from farshore.core.moment import MOMENT
from farshore.core.opening import Opening
from farshore.core.outbox import GroupSync, HeaderKeeper, Outbox
from farshore.core.preserve import Lacks, PreserveImage
from farshore.core.queueing import QueueImage
from farshore.core.rescue import Rescue
from farshore.core.scoreboard import BoardImage
from farshore.core.shared import Shared
from farshore.core.shutdown import Shutdown
from farshore.core.standstill import Standstill
from farshore.core.write_path import Batch, Destinations, WritePath
from farshore.model.header import Header, Successor
from farshore.model.layers import Run
from farshore.model.options import LinkSpec, Timing, Writes
from farshore.model.positions import History
from farshore.model.volumes import Operation

RESERVE = 1 << 20
"""Sequences reserved ahead by one header write (rule D1)."""
MIN_RESERVE = 16


@dataclass(frozen=True, slots=True)
class PrimarySetup:
    """What a primary starts from: everything durable, and what only a shell can know."""

    header: Header
    geometry: Geometry
    links: tuple[LinkSpec, ...]
    boards: Mapping[bytes, BoardImage]
    hot: frozenset[tuple[int, int]] | None
    """The activity log; None when it could not be read: everything is suspect."""
    hot_capacity: int
    boot: str
    instance: bytes
    new_id: Callable[[], bytes]
    timing: Timing
    on_start: str = "wait"
    turned: bool = False
    reserve: int = RESERVE
    ignored: frozenset[int] = frozenset()
    """Volumes with `outage=ignore` (rule A6)."""
    queues: Mapping[bytes, QueueImage] = field(default_factory=dict)
    """The disk queues that hold anything."""
    preserve: PreserveImage | None = None
    repaired: str = ""
    """The fault that the operator takes for repaired (see `faulting.fault_id`)."""


class Primary(Links):
    """See the module."""

    def __init__(self, setup: PrimarySetup) -> None:
        if setup.reserve < MIN_RESERVE:
            raise ValueError(f"at least {MIN_RESERVE} sequences are reserved at a time")
        self.setup = setup = replace(setup, header=marked(setup.header, setup.preserve))
        outbox = Outbox()
        self.faulting = Faulting(self)
        keeper = HeaderKeeper(outbox, setup.header, self.faulting.strike)
        self.faulting.record = FaultRecord(outbox, keeper)
        super().__init__(outbox, keeper, setup.geometry, self.faulting.strike)
        self.sync = GroupSync(self.outbox)
        self.activity = ActivityLog(setup.hot_capacity, setup.geometry.extent_shift)
        self.path: WritePath = WritePath(self.outbox, self.activity, self.sync)
        self.path.fanout = self
        self.path.on_fault = self.faulting.strike
        self.path.on_sync_fault = self.faulting.lost_writes
        self.path.on_write_error = self.faulting.write_failed
        self.rescue = Rescue(self)
        self.mending = Mending(self)
        self.keeping = Keeping(self)
        self.fenced = setup.header.fenced
        self.opened = self._reserving = False
        self._shutdown: Shutdown | None = None
        self.standstill = Standstill(self)
        self.resizing = growing.Resizing(self)
        self.started_at = self._opened_after = 0.0
        """When this run began to meet its peers, wall seconds, and by the monotonic clock."""
        self.patience = Opening.of(setup)

    # -- start ------------------------------------------------------------------------------

    def start(self) -> list[Action]:
        """Recover, mint a generation, make both durable, then meet the peers."""
        header, clean = self.setup.header, self.setup.header.clean
        if header.fault and self.setup.repaired != fault_id(header):
            self.faulting.stay()
            return self.outbox.take()
        history = header.history.forked(self.setup.new_id())
        newest = history.stretches[-1]
        self.path.generation, self.path.sequence = newest.generation, newest.last
        self.path.written = self.path.durable = newest.last
        ceiling = newest.last + self.setup.reserve
        begun = replace(
            header, history=history.extended_to(ceiling), ceiling=ceiling, clean=False, fault=None
        )
        self.keeper.header = replace(begun, boot=self.setup.boot)
        for spec in self.setup.links:
            self._restore_link(spec, clean)
        links = tuple([replace(record, queue_whole=False) for record in self.keeper.header.links])
        self.keeper.header = replace(self.keeper.header, links=links)
        # What a process death left in the page cache counts only once it is synced: a suspect may be found
        # equal, and its extent forgotten, before the next flush.
        self.boards.write_all(lambda: self.path.sync_now(self._recovered))
        return self.outbox.take()

    def _recovered(self) -> None:
        self.keeper.put(self.keeper.header, self._begin)

    def shown(self, spec: LinkSpec) -> Feeder:
        """A link as an earlier process left it."""
        return self._restored(spec, self.setup.boards.get(spec.id), self.setup.header.clean)

    def _restore_link(self, spec: LinkSpec, clean: bool) -> None:
        feeder = self.shown(spec)
        if not clean:
            feeder.board.suspect_extents(self.suspects())
        feeder.disk.restore(
            self.setup.queues.get(spec.id),
            self.setup.header.history.head,
            whole=clean and feeder.record.queue_whole,
        )

    def suspects(self) -> Iterable[tuple[int, int]]:
        """The extents that may differ anywhere after an end that was not clean."""
        if self.setup.hot is not None and not self.setup.header.fault:
            return sorted(self.setup.hot)
        geometry = self.geometry
        return [(volume, extent) for volume in geometry.sizes for extent in range(geometry.extents(volume))]

    def _share(self) -> Shared:
        return Shared(
            self.outbox,
            self.keeper,
            self.ledger,
            self.path,
            self.setup.timing,
            self.setup.instance,
            self.setup.new_id,
            self.history,
            self._progressed,
            self._fence,
            self._persist,
            lambda: not self.opened,
            self.age,
            self.setup.ignored,
            unreadable=self.rescue.remember,
            read_elsewhere=self.rescue.heard,
        )

    def _begin(self) -> None:
        if self._shutdown is not None:
            return
        self.path.ceiling = self.keeper.header.ceiling
        self.keeping.started()
        self._opened_after, self.started_at = self.outbox.now, self.outbox.wall
        self.outbox.note("generation", generation=self.path.generation.hex(), sequence=self.path.sequence)
        if self.keeper.header.fenced:
            self._fence(self.keeper.header.fenced, True, self.keeper.header.successor)
        for feeder in self.feeders.values():
            feeder.session.connect()
        self._consider_opening()

    def _consider_opening(self) -> None:
        """Rule D5: writes flow once the peers have been asked, or need not be."""
        if self.opened or not self.path.ceiling:
            return
        waited = self.outbox.now - self._opened_after
        if self.fenced or not self.patience.may_open(self.feeders.values(), waited):
            return
        self.opened = True
        self.path.held = False
        for feeder in self.feeders.values():
            feeder.gate.open_unless_closed()
        self.outbox.note("writes-flow", sequence=self.path.sequence)
        self.path.admit_cold()
        self.path.release_parked()

    # -- facts ------------------------------------------------------------------------------

    @property
    def generation(self) -> bytes:
        """The generation of this run."""
        return self.path.generation

    @property
    def sequence(self) -> int:
        """The newest sequence."""
        return self.path.sequence

    @property
    def stopped(self) -> bool:
        """True once a clean stop is complete, or has met with a fault that is recorded by now."""
        shutdown, record = self._shutdown, self.faulting.record
        if shutdown is None or not record.settled:
            return False
        return shutdown.complete or (shutdown.closing and record.fault is not None)

    @property
    def writable(self) -> Writes:
        """What happens to the application's writes; a snapshot's moment is not told of."""
        if self.path.fault:
            return Writes.REFUSED
        frozen = any(each.freezing and not each.replicating for each in self.feeders.values())
        return Writes.HELD if frozen or self.path.held or self.path.blocked - {MOMENT} else Writes.FLOWING

    def history(self) -> History:
        """Our history, exactly to the newest sequence."""
        return self.keeper.header.history.extended_to(self.path.sequence)

    # -- inputs: application ----------------------------------------------------------------

    def clock(self, now: float, wall: float) -> None:
        """The time of this turn; monotonic and wall seconds."""
        self._time_passed(now - self.outbox.now)
        self.outbox.now, self.outbox.wall = now, wall

    def submit(self, batch: Batch) -> list[Action]:
        """The application's writes, zeroes, trims and flushes of one turn."""
        self.path.submit(batch)
        if self.path.waiting:
            self._maintain()
        return self.outbox.take()

    def issued(self, operations: list[Operation], last: int, size: int) -> Destinations:
        """Called by the write path for each frame, before anything of it is written or sent."""
        on_wire = size + FRAME_HEAD + RECORD * len(operations)
        links = tuple([each.id for each in self.feeders.values() if each.issued(operations, last, on_wire)])
        queues: tuple[tuple[bytes, bool], ...] = ()
        for feeder in self.feeders.values():
            if feeder.disk.live:
                queues += feeder.disk.placed(last)
        self.timeline.issued(last - len(operations), size, self.outbox.now, self.outbox.wall)
        if self.ledger_needed:
            self.ledger.append(Entry(last, operations, size))
        if self.path.ceiling - last < self.setup.reserve // 2 and not self._reserving:
            self._reserve(last)
        return links, queues

    def _reserve(self, last: int) -> None:
        self._reserving = True
        ceiling, header = last + self.setup.reserve, self.keeper.header

        def reserved() -> None:
            self._reserving = False
            self.path.ceiling = ceiling
            self.path.admit_cold()
            self.path.release_parked()

        self.keeper.put(
            replace(header, ceiling=ceiling, history=header.history.extended_to(ceiling)), reserved
        )

    # -- inputs: what the shell has done ----------------------------------------------------

    def written(self, ticket: int, errors: dict[int, int]) -> list[Action]:
        """A batch was written to the local volumes."""
        self.path.local_write_done(ticket, errors)
        if self._shutdown is not None or self.path.waiting or self.keeping.moment.under_way:
            self._maintain()
        return self.outbox.take()

    def synced(self, ticket: int, errno: int) -> list[Action]:
        """The volumes were fdatasynced."""
        return self._settle(ticket, errno)

    def activity_written(self, ticket: int, errno: int) -> list[Action]:
        """The activity log was replaced."""
        return self._settle(ticket, errno)

    def header_written(self, ticket: int, errno: int) -> list[Action]:
        """The header was replaced."""
        return self._settle(ticket, errno)

    def preserved(self, ticket: int, errno: int, lacks: Lacks | None = None) -> list[Action]:
        """Something was done in the preserve store."""
        return self._settle(ticket, errno, *((lacks,) if lacks else ()))

    def layer_dropped(self, ticket: int, errno: int, saved: tuple[Run, ...]) -> list[Action]:
        """A layer was given up."""
        return self._settle(ticket, errno, saved)

    def _settled(self) -> None:
        self._maintain()

    @property
    def _listening(self) -> bool:
        return self._shutdown is None or not self._shutdown.closing

    def _stirred(self) -> None:
        if self._shutdown is not None or not self.opened or self.path.waiting:
            self._maintain()

    def tick(self) -> list[Action]:
        """Timers; to be called ten times a second or so."""
        self.faulting.record.tick()
        self.rescue.tick()
        self.mending.go_on()
        self.resizing.go_on()
        if self.path.ceiling and self._shutdown is None:
            self._tick_links()
        self._maintain()
        return self.outbox.take()

    # -- inputs: operator -------------------------------------------------------------------

    def cut(self, name: str, number: int) -> list[Action]:
        """A cut behind everything that has a sequence now. Raises FarshoreError (see `cutting`)."""
        cutting.cut(self.path, name, number)
        return self.outbox.take()

    def add_link(self, spec: LinkSpec) -> list[Action]:
        """A new link: everything is dirty, nothing is known of the peer."""
        feeder = self._attach_new(spec)
        if self.opened:
            feeder.gate.open()
        if self.path.ceiling:
            feeder.session.connect()
        return self.outbox.take()

    def drain(self, timeout: float) -> list[Action]:
        """Hold new writes and bring every peer that is there to this position, durably; a note tells when
        that is so, `standstill`, or that it was given up, `standstill-ended`."""
        self.standstill.begin(self.outbox.now + timeout)
        return self.outbox.take()

    def resume(self) -> list[Action]:
        """Let writes flow again after a standstill."""
        self.standstill.end("writes may flow again")
        return self.outbox.take()

    def stop(self) -> list[Action]:
        """Begin a clean stop; `stopped` says when it is complete."""
        if self._shutdown is None:
            self._shutdown = Shutdown(self)
            self.faulting.record.leave()
        self._maintain()
        return self.outbox.take()

    # -- upkeep -----------------------------------------------------------------------------

    def _maintain(self) -> None:
        self._consider_opening()
        if self.path.waiting:
            # Never from within a batch that is being issued: its frame has to leave before theirs.
            self.path.release_parked()
            self.path.admit_cold()
        self.standstill.advance()
        self.keeping.moment.advance()
        if self._shutdown is not None:
            self._shutdown.advance()
        elif (
            (self.activity.crowded or (self.path.waiting and self.path.starved))
            and self.activity.hot
            and not self.boards.cooling
            and not self.path.fault
            and self.boards.barren != self.path.written
        ):
            self.boards.cool(self.activity, self.path, self.ledger)

    # -- trouble ----------------------------------------------------------------------------

    def _fence(self, why: str, for_good: bool, told: Successor | None = None) -> None:
        """Rule D6: a newer copy exists. For good: no restart forgets it, and nobody is fed any more."""
        self.fenced = why
        self.path.fail(errnos.EPERM)
        self.outbox.note("fenced", why=why)
        if for_good:
            self.keeper.put(fences.raised(self.keeper.header, why, told))
            for feeder in self.feeders.values():
                endings.part(feeder, why)
