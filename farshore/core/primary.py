"""A copy as primary: composes the write path, the activity log and the outgoing links.

Every public method is an input and returns the actions that it causes, in order. A start mints a
generation (rule D1), makes suspects of what was hot at an unclean stop (A3), asks the peers (D5)
and only then lets writes flow; a clean stop leaves exact scoreboards and an exact history.
"""

from __future__ import annotations

import errno as errnos
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from farshore.core import cutting, pausing
from farshore.core.actions import Action
from farshore.core.activity import ActivityLog, extent_of
from farshore.core.board_keeper import BoardKeeper
from farshore.core.feeder import Feeder
from farshore.core.geometry import Geometry
from farshore.core.lag import Timeline, Watch
from farshore.core.ledger import Entry, Ledger
from farshore.core.opening import Opening
from farshore.core.outbox import GroupSync, HeaderKeeper, Outbox
from farshore.core.queueing import QueueImage
from farshore.core.scoreboard import BoardImage, Scoreboard
from farshore.core.shared import Shared
from farshore.core.shutdown import Shutdown
from farshore.core.write_path import NO_LIMIT, Batch, Destinations, WritePath
from farshore.errors import FarshoreError
from farshore.model.header import Header, LinkRecord
from farshore.model.messages import FrameHead, Message
from farshore.model.options import LinkSpec, Mode, OnOutage, ResyncKind, Timing, Writes
from farshore.model.positions import History
from farshore.model.volumes import Operation

RESERVE = 1 << 20
"""Sequences reserved ahead by one header write (rule D1)."""
MIN_RESERVE = 16
FRAME_HEAD, RECORD = 96, 16
"""Bytes of a frame besides payload: fixed, and per record."""
STALL = 1.0
"""A gap between two turns beyond which our own loop counts as stalled, seconds."""


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
    reserve: int = RESERVE
    ignored: frozenset[int] = frozenset()
    """Volumes with `outage=ignore` (rule A6)."""
    queues: Mapping[bytes, QueueImage] = field(default_factory=dict)
    """The disk queues that hold anything."""


class Primary:
    """See the module."""

    def __init__(self, setup: PrimarySetup) -> None:
        if setup.reserve < MIN_RESERVE:
            raise ValueError(f"at least {MIN_RESERVE} sequences are reserved at a time")
        self.setup = setup
        self.geometry = setup.geometry
        self.outbox = Outbox()
        self.keeper = HeaderKeeper(self.outbox, setup.header, self._fault)
        self.sync = GroupSync(self.outbox)
        self.activity = ActivityLog(setup.hot_capacity, setup.geometry.extent_shift)
        self.path = WritePath(self.outbox, self.activity, self.sync)
        self.path.fanout = self
        self.path.on_fault = self._fault
        self.path.on_write_error = self._write_failed
        self.ledger = Ledger()
        self.timeline = Timeline()
        self._watch = Watch()
        self.feeders: dict[bytes, Feeder] = {}
        self.boards = BoardKeeper(self.outbox, self.feeders, self._fault)
        self.fenced = ""
        self.opened = False
        self._shutdown: Shutdown | None = None
        self.started_at = 0.0
        """When this run began to meet its peers, wall seconds."""
        self._opened_after = 0.0
        self._opening = Opening(setup.timing, setup.header.boot == setup.boot, setup.on_start == "alone")
        self._reserving = False

    # -- start ------------------------------------------------------------------------------

    def start(self) -> list[Action]:
        """Recover, mint a generation, make both durable, then meet the peers."""
        header, clean = self.setup.header, self.setup.header.clean
        history = header.history.forked(self.setup.new_id())
        newest = history.stretches[-1]
        self.path.generation, self.path.sequence = newest.generation, newest.last
        self.path.written = self.path.durable = newest.last
        ceiling = newest.last + self.setup.reserve
        self.keeper.header = replace(
            header,
            history=history.extended_to(ceiling),
            ceiling=ceiling,
            clean=False,
            boot=self.setup.boot,
            fault="",
        )
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

    def _restore_link(self, spec: LinkSpec, clean: bool) -> None:
        board = Scoreboard(self.geometry, self.setup.boards.get(spec.id))
        feeder = self._add_feeder(spec, board)
        board.open = feeder.record.open_resync is not None
        if not clean:
            # `second` is merged and not cleared: the pages of one write reach the disk in any order.
            board.dirty.merge(board.second)
            board.suspect_extents(self._suspects())
        feeder.disk.restore(
            self.setup.queues.get(spec.id),
            self.setup.header.history.head,
            whole=clean and feeder.record.queue_whole,
        )
        board.every_page()

    def _suspects(self) -> Iterable[tuple[int, int]]:
        if self.setup.hot is not None and not self.setup.header.fault:
            return sorted(self.setup.hot)
        geometry = self.geometry
        return [(volume, extent) for volume in geometry.sizes for extent in range(geometry.extents(volume))]

    def _add_feeder(self, spec: LinkSpec, board: Scoreboard) -> Feeder:
        shared = Shared(
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
            self.setup.ignored,
        )
        if self.keeper.header.link(spec.id) is None:
            record = LinkRecord(spec.id, spec.epoch)
            self.keeper.header = replace(self.keeper.header, links=self.keeper.header.with_link(record))
        feeder = self.feeders[spec.id] = Feeder(shared, spec, board)
        return feeder

    def _begin(self) -> None:
        if self._shutdown is not None:
            return
        self.path.ceiling = self.keeper.header.ceiling
        self._opened_after, self.started_at = self.outbox.now, self.outbox.wall
        self.outbox.note("generation", generation=self.path.generation.hex(), sequence=self.path.sequence)
        for feeder in self.feeders.values():
            feeder.session.connect()
        self._consider_opening()

    def _consider_opening(self) -> None:
        """Rule D5: writes flow once the peers have been asked, or need not be."""
        if self.opened or not self.path.ceiling:
            return
        waited = self.outbox.now - self._opened_after
        if self.fenced or not self._opening.may_open(self.feeders.values(), waited):
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
        """True once a clean stop is complete."""
        return self._shutdown is not None and self._shutdown.complete

    @property
    def writable(self) -> Writes:
        """What happens to the application's writes."""
        if self.path.fault:
            return Writes.REFUSED
        frozen = any(each.freezing and not each.replicating for each in self.feeders.values())
        return Writes.HELD if self.path.held or frozen or self.path.blocked else Writes.FLOWING

    def held_by(self) -> str | None:
        """Why writes are held, None while they flow or are refused."""
        if self.writable is not Writes.HELD:
            return None
        for feeder in self.feeders.values():
            if feeder.freezing and not feeder.replicating:
                return f"link {feeder.spec.name} freezes writes until its peer is back"
        if self.path.blocked:
            return "the queue of a link is full and holds writes until there is room (on-full=block)"
        waiting = [each.spec.name for each in self.feeders.values() if not each.session.met]
        return f"the peers of {', '.join(waiting)} are asked first" if waiting else "the copy is starting"

    def history(self) -> History:
        """Our history, exactly to the newest sequence."""
        return self.keeper.header.history.extended_to(self.path.sequence)

    # -- inputs: application ----------------------------------------------------------------

    def clock(self, now: float, wall: float) -> None:
        """The time of this turn; monotonic and wall seconds."""
        gap = now - self.outbox.now
        if gap > STALL and self.outbox.now:
            for feeder in self.feeders.values():
                feeder.session.liveness.stalled(gap)
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

    @property
    def ledger_needed(self) -> bool:
        """True while any link may have frames unacknowledged."""
        return any(each.following for each in self.feeders.values())

    def _reserve(self, last: int) -> None:
        self._reserving = True
        ceiling = last + self.setup.reserve
        header = self.keeper.header

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
        if self._shutdown is not None or self.path.waiting:
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

    def board_written(self, ticket: int, errno: int) -> list[Action]:
        """A scoreboard was written."""
        return self._settle(ticket, errno)

    def region_read(self, ticket: int, data: bytes | None, errno: int) -> list[Action]:
        """A region's content or digests."""
        return self._settle(ticket, data, errno)

    def _settle(self, ticket: int, *result: object) -> list[Action]:
        self.outbox.settle(ticket, *result)
        self._maintain()
        return self.outbox.take()

    # -- inputs: links ----------------------------------------------------------------------

    def connected(self, link: bytes) -> list[Action]:
        """The link's channel is up and its peer's identity proved."""
        return self._of(link, lambda feeder: feeder.session.connected())

    def received(self, link: bytes, message: Message) -> list[Action]:
        """A message of the peer."""
        return self._of(link, lambda feeder: feeder.received(message))

    def disconnected(self, link: bytes, why: str, next_step: str = "") -> list[Action]:
        """The channel ended, or could not be opened; `next_step` where waiting would not help."""
        return self._of(link, lambda feeder: feeder.disconnected(why, next_step))

    def backlog(self, link: bytes, size: int) -> list[Action]:
        """Bytes that wait on the channel at the end of a turn."""
        return self._of(link, lambda feeder: feeder.backlog(size))

    def queue_written(self, link: bytes, last: int, disk_bytes: int, errno: int) -> list[Action]:
        """What a link's disk queue holds by now; see `QueueAppend`."""
        feeder = self.feeders.get(link)
        if feeder is not None:
            feeder.disk.written(last, disk_bytes, errno)
            self._maintain()
        return self.outbox.take()

    def queue_read(self, ticket: int, frames: Sequence[tuple[FrameHead, object]], why: str) -> list[Action]:
        """Frames of a disk queue, or why there are none."""
        return self._settle(ticket, frames, why)

    def queue_synced(self, ticket: int, errno: int) -> list[Action]:
        """A disk queue was fdatasynced."""
        return self._settle(ticket, errno)

    def heard(self, link: bytes) -> None:
        """Bytes arrived on the channel."""
        feeder = self.feeders.get(link)
        if feeder is not None:
            feeder.session.liveness.heard(self.outbox.now)

    def peer_back(self, link: bytes) -> list[Action]:
        """The line is said to be back."""
        return self._of(link, lambda feeder: feeder.peer_back())

    def _of(self, link: bytes, call: Callable[[Feeder], None]) -> list[Action]:
        feeder = self.feeders.get(link)
        if feeder is not None and (self._shutdown is None or not self._shutdown.closing):
            call(feeder)
            if self._shutdown is not None or not self.opened or self.path.waiting:
                self._maintain()
        return self.outbox.take()

    def tick(self) -> list[Action]:
        """Timers; to be called ten times a second or so."""
        if self.path.ceiling and self._shutdown is None:
            for feeder in list(self.feeders.values()):
                feeder.tick()
            self._watch.look(self.timeline, self.outbox, self.feeders)
        self._maintain()
        return self.outbox.take()

    # -- inputs: operator -------------------------------------------------------------------

    def pause(self, link: bytes | None, drain: bool, timeout: float) -> list[Action]:
        """Stop sending at one sequence for the whole group (rule B5).

        Raises FarshoreError `plan-needed` for a freeze link.
        """
        chosen = self._chosen(link)
        self._refuse_frozen(chosen, "a pause")
        for feeder in chosen:
            pausing.begin(feeder, drain, timeout)
        return self.outbox.take()

    def resync(self, link: bytes | None, kind: ResyncKind, once: bool) -> list[Action]:
        """Bring one peer, or all, up to date."""
        chosen = self._chosen(link)
        if once:
            self._refuse_frozen(chosen, "its end")
        for feeder in chosen:
            feeder.resync(kind, once)
        return self.outbox.take()

    def cut(self, name: str, number: int) -> list[Action]:
        """A cut behind everything that has a sequence now. Raises FarshoreError (see `cutting`)."""
        cutting.cut(self.path, name, number)
        return self.outbox.take()

    def _refuse_frozen(self, chosen: list[Feeder], what: str) -> None:
        for feeder in chosen:
            if feeder.freezing:
                raise FarshoreError(
                    "plan-needed",
                    f"link {feeder.spec.name} freezes writes while it does not replicate",
                    means=f"{what} would hold every write of the application",
                    next_step="set on-outage=continue on the link first",
                )

    def _chosen(self, link: bytes | None) -> list[Feeder]:
        if link is None:
            return list(self.feeders.values())
        if link not in self.feeders:
            raise FarshoreError("not-found", "no such link")
        return [self.feeders[link]]

    def add_link(self, spec: LinkSpec) -> list[Action]:
        """A new link: everything is dirty, nothing is known of the peer."""
        board = Scoreboard(self.geometry, None)
        board.every_page()
        feeder = self._add_feeder(spec, board)
        self.boards.write(feeder, lambda: None)
        self.keeper.put(self.keeper.header)
        if self.opened:
            feeder.gate.open()
        if self.path.ceiling:
            feeder.session.connect()
        return self.outbox.take()

    def change_link(self, spec: LinkSpec) -> list[Action]:
        """New options for a link.

        Raises FarshoreError `plan-needed` where they would hold every write at once (rule C4).
        """
        feeder = self._chosen(spec.id)[0]
        freezes = spec.options.mode is Mode.SYNC and spec.options.on_outage is OnOutage.FREEZE
        if freezes and not feeder.freezing and feeder.record.ever_replicated and not feeder.replicating:
            raise FarshoreError(
                "plan-needed",
                f"link {spec.name} does not replicate now",
                means="with on-outage=freeze it would hold every write of the application at once",
                next_step="bring the peer up to date first (farshore resync), then set the option",
            )
        feeder.change(spec)
        return self.outbox.take()

    def remove_link(self, link: bytes) -> list[Action]:
        """Forget a link; its scoreboard file is the shell's to delete."""
        self._chosen(link)[0].retire()
        del self.feeders[link]
        self.path.gates.pop(link, None)
        header = self.keeper.header
        self.keeper.put(replace(header, links=tuple(each for each in header.links if each.link != link)))
        self._progressed()
        return self.outbox.take()

    def stop(self) -> list[Action]:
        """Begin a clean stop; `stopped` says when it is complete."""
        if self._shutdown is None:
            self._shutdown = Shutdown(self)
        self._maintain()
        return self.outbox.take()

    # -- upkeep -----------------------------------------------------------------------------

    def _progressed(self) -> None:
        self.ledger.trim(min([each.owed for each in self.feeders.values()], default=NO_LIMIT))
        self.path.release()

    def _maintain(self) -> None:
        self._consider_opening()
        if self.path.waiting:
            # Never from within a batch that is being issued: its frame has to leave before theirs.
            self.path.release_parked()
            self.path.admit_cold()
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

    def _persist(self, link: bytes, then: Callable[[], None]) -> None:
        self.boards.write(self.feeders[link], then)

    # -- trouble ----------------------------------------------------------------------------

    def _fault(self, errno: int) -> None:
        """Rule C3: a disk of ours lied or died; nothing is acknowledged any more."""
        text = f"disk error {errnos.errorcode.get(errno, errno)}"
        if self._shutdown is not None:
            self.keeper.header = replace(self.keeper.header, clean=False, fault=text)
            self._shutdown.complete = True
        if self.path.fault:
            return
        self.path.fail(errno or errnos.EIO)
        self.activity.abandon_cooling()
        self.keeper.put(replace(self.keeper.header, fault=text, clean=False))
        for feeder in self.feeders.values():
            feeder.fail(text)
            # Also after a restart only the operator starts it again.
            feeder.remember(paused=True, paused_for=text)
            feeder.board.suspect_extents(sorted(map(extent_of, self.activity.hot)))
        self.outbox.note("faulted", why=text, sequence=self.path.sequence)

    def _write_failed(self, operations: list[Operation], errno: int) -> None:
        """Rule C3: a local write failed; it stays marked for all, and every link stops there."""
        text = f"a local write failed: {errnos.errorcode.get(errno, errno)}"
        for feeder in self.feeders.values():
            feeder.board.dirty.mark_operations(operations)
            feeder.fail(text)
        self.outbox.note("write-error", why=text, sequence=self.path.sequence)

    def _fence(self, why: str) -> None:
        """Rule D6: a newer copy exists."""
        self.fenced = why
        self.path.fail(errnos.EPERM)
        self.outbox.note("fenced", why=why)
