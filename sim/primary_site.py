"""The shell of a primary: carries out the core's actions on simulated disks and lines.

What the application sends within one moment is one batch. Payloads lie in a buffer that is
overwritten after each turn, as the engine's receive buffer is, so that a payload that is kept
without being copied shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from farshore.core import actions as a
from farshore.core.fault_texts import fault_id
from farshore.core.geometry import Geometry
from farshore.core.primary import Primary, PrimarySetup
from farshore.core.queueing import QueueImage
from farshore.core.scoreboard import BoardImage
from farshore.core.write_path import Batch
from farshore.model.header import Header
from farshore.model.layers import Layer
from farshore.model.options import LinkSpec, Role, Timing
from farshore.model.positions import Position
from farshore.model.volumes import FLUSH, WRITE
from farshore.store.activity_log import ActivityLogFile
from farshore.store.header import HeaderFile
from farshore.store.queue_files import Kept
from farshore.wire import frame
from sim.app import Application, Request
from sim.files import SimFiles
from sim.link_queue import LinkQueues, left, shelf
from sim.outgoing import LINKS, Outgoing, create_boards
from sim.preserve_shell import PreserveShell
from sim.site import HEADER, STATE, TICK, Place, Site
from sim.steps import Step
from sim.world import BrokenRule

_ACTIVITY: Final = f"{STATE}/activity"


@dataclass(frozen=True, slots=True)
class PrimaryPlan:
    """What an operator configured."""

    geometry: Geometry
    links: tuple[LinkSpec, ...]
    hot_capacity: int
    timing: Timing
    on_start: str
    reserve: int
    group: bytes
    ignored: frozenset[int] = frozenset()


class Witness:
    """Sees what a primary does; the oracle is one. Does nothing by itself."""

    def starting(self, site: PrimarySite, setup: PrimarySetup) -> None:
        """A process has read its durable state and is about to start on it."""

    def started(self, site: PrimarySite) -> None:
        """The core has minted its generation; nothing else has happened yet."""

    def issuing(self, site: PrimarySite, action: a.Issue) -> None:
        """Sequences were given; nothing was written or sent."""

    def layer_begins(self, site: PrimarySite, layer: Layer) -> None:
        """A layer is about to begin, at its mark."""

    def write_failed(self, site: PrimarySite, sequence: int) -> None:
        """The local write of this sequence has failed."""

    def cache_lost(self, site: PrimarySite) -> None:
        """A local sync had failed; the volumes show now what it left of them."""

    def heard_of(self, site: Site, link: bytes, message: object) -> None:
        """A message of a peer was handled."""


class PrimarySite(Site):
    """See the module."""

    role = "primary"

    def __init__(self, place: Place, plan: PrimaryPlan) -> None:
        super().__init__(place, "primary")
        self.plan = plan
        self.witness = Witness()
        self.app: Application | None = None
        self.stopping = False
        self.core: Primary
        self.repaired = ""
        """The fault that the operator takes for repaired."""
        self._stays = False
        """The process found a fault that nobody has repaired."""
        self.queues: LinkQueues
        self.activity: ActivityLogFile
        self.logged: frozenset[tuple[int, int]] | None = frozenset()
        """The extents in the durable activity log; None when it is unreadable."""
        self.outgoing = Outgoing(self, plan.geometry, lambda: self.witness)
        self.preserve = PreserveShell(self)
        self._batch: list[Request] = []
        self._carry: dict[type, Callable[[Any], None]] = {
            a.Issue: self._issue,
            a.Reply: self._reply,
            a.SyncVolumes: lambda action: self.sync_volumes(action, self.core.synced),
            a.WriteHeader: lambda action: self.write_header(action, self.core.header_written),
            a.WriteActivity: self._write_activity,
            a.AnswerRead: self._answer_read,
            a.MendRegion: self._mend,
            a.Note: self.noted,
            **self.outgoing.carry,
            **self.preserve.carry,
        }

    def create(self, copy: bytes) -> None:
        """The state directory of a new copy."""
        files = SimFiles(self.disk)
        create_boards(files, self.plan.geometry, self.plan.links)
        HeaderFile.create(files, HEADER, Header(self.plan.group, copy, Role.PRIMARY))
        ActivityLogFile.create(files, _ACTIVITY, self.plan.hot_capacity)
        files.fsync_dir(STATE)

    # -- life -----------------------------------------------------------------------------------

    def start(self) -> bool:
        """A new process. False when it died or gave up before it was up."""
        self.begin_process()
        self.outgoing.begin()
        self._batch.clear()
        self.stopping = False
        boards: dict[bytes, BoardImage] = {}
        queues: dict[bytes, QueueImage] = {}

        def load() -> None:
            self._load()
            for link in self.plan.links:
                boards[link.id] = self.outgoing.open_board(link.id)
                if (image := left(shelf(self.files, LINKS, link.id))) is not None:
                    queues[link.id] = image

        if not self.opens(load):
            return False
        header = self.header_file.header
        self._stays = bool(header.fault) and self.repaired != fault_id(header)
        if not header.clean and not self._stays:
            self.distrust_cache()
        self.preserve.check()
        self.logged = self.activity.read()
        random = self.world.random
        plan = self.plan
        setup = PrimarySetup(
            header=self.header_file.header,
            geometry=plan.geometry,
            links=plan.links,
            boards=boards,
            hot=self.logged,
            hot_capacity=plan.hot_capacity,
            boot=self.boot,
            instance=random.randbytes(16),
            new_id=lambda: random.randbytes(16),
            timing=plan.timing,
            on_start=plan.on_start,
            reserve=plan.reserve,
            queues=queues,
            ignored=plan.ignored,
            repaired=self.repaired,
            preserve=self.preserve.image,
        )
        self.witness.starting(self, setup)
        self.core = Primary(setup)
        self.outgoing.links = self.core
        self.queues = LinkQueues(self, self.core, LINKS)
        self._carry |= self.queues.table
        self.was_up = True
        self.turn(self.core.start)
        if self.core.keeper.header.fault:
            self.world.reach("a primary stays faulted")
        else:
            self.witness.started(self)
        self.world.after(TICK, self.life, self._tick)
        return True

    def _load(self) -> None:
        self.header_file = HeaderFile.open(self.files, HEADER)
        self.activity = ActivityLogFile.open(self.files, _ACTIVITY, self.plan.hot_capacity)
        self.preserve.load_if_possible()

    def respecify(self, spec: LinkSpec) -> None:
        """The operator has changed what a link is like."""
        links = tuple(spec if each.id == spec.id else each for each in self.plan.links)
        self.plan = replace(self.plan, links=links)

    def repair(self) -> None:
        """The operator's `repair`: as soon as the fault is recorded, a new process takes it for repaired."""
        self.turn(self.core.faulting.repair)

    def noted(self, action: a.Note) -> None:
        super().noted(action)
        if action.kind == "repairable":
            self.repaired = str(action.fields["id"])
            self.world.after(0.0, self.life, self.die, False)

    def stop(self) -> list[a.Action]:
        self.stopping = True
        return self.core.stop()

    @property
    def faulted(self) -> bool:
        return bool(self.core.keeper.header.fault) and not self.stopping and not self.core.fenced

    def _tick(self) -> None:
        self.world.after(TICK, self.life, self._tick)
        self.turn(self.core.tick)
        if self.life.alive and self.world.chance(0.2):
            self.preserve.check()

    def layer_begins(self, layer: Layer) -> None:
        self.witness.layer_begins(self, layer)

    def set_clock(self) -> None:
        self.core.clock(*self.clock())

    def end_turn(self) -> None:
        if self.outgoing.report_backlog():
            return
        if self.core.stopped:
            self.ended()
            self.place.on_death(self, False)

    def carry_out(self, action: a.Action) -> None:
        self._carry[type(action)](action)

    # -- the application --------------------------------------------------------------------------

    def request(self, request: Request) -> None:
        """A request has come in; the turn that takes it follows at once or a little later."""
        self._batch.append(request)
        if len(self._batch) == 1:
            delay = 0.0 if self.world.chance(0.6) else self.world.between(0.0, 0.001)
            self.world.after(delay, self.life, self._submit)

    def _submit(self) -> None:
        requests, self._batch = self._batch, []
        buffer = bytearray(b"".join(each.payload or b"" for each in requests))
        view, at, batch = memoryview(buffer), 0, Batch()
        for request in requests:
            if request.operation[1] == FLUSH:
                batch.flushes.append(request)
                continue
            if request.fua:
                batch.durable.append(len(batch.operations))
            batch.operations.append(request.operation)
            size = len(request.payload or b"")
            batch.payloads.append(view[at : at + size] if size else None)
            at += size
            batch.tokens.append(request)
        self.turn(self.core.submit, batch)
        buffer[:] = b"\xee" * len(buffer)

    def read(self, span: tuple[int, int, int], then: Callable[[bytes | int], None]) -> None:
        """A read of the application; `then` gets the content, or an errno."""
        try:
            then(self.volumes.read(*span))
        except OSError as error:
            self.turn(self.core.rescue.read_failed, then, [span], error.errno or 5)

    def _answer_read(self, action: a.AnswerRead) -> None:
        then = action.token
        assert callable(then)
        then(
            action.errno or b"".join(bytes(each[1]) for each in sorted(action.found, key=lambda one: one[0]))
        )

    def _mend(self, action: a.MendRegion) -> None:
        def run() -> None:
            self.volumes.change(action.volume, WRITE, action.offset, len(action.data), action.data)

        done = self.core.mending.mended
        self.steps.begin("mend", Step(run, lambda errno: self.turn(done, action.ticket, errno)))

    def _reply(self, action: a.Reply) -> None:
        if self._stays and not action.errno:
            raise BrokenRule("C3", "a faulted copy acknowledges something before it was repaired")
        if self.app is not None:
            for request in action.tokens:
                assert isinstance(request, Request)
                self.app.answered(request, action.errno)

    # -- frames and local writes ------------------------------------------------------------------

    def _issue(self, action: a.Issue) -> None:
        payloads = [None if each is None else bytes(each) for each in action.payloads]
        action.payloads = payloads
        self.witness.issuing(self, action)
        if action.links or action.queues:
            stamp = frame.FrameStamp(
                self.plan.group,
                self.core.generation,
                action.first,
                int(self.clock()[1] * 1e9),
                action.follows,
            )
            data = frame.encode(stamp, action.operations, payloads)
            for link in action.links:
                self.outgoing.send_frames(link, [data])
            last = action.first + len(action.operations) - 1
            kept = Kept(Position(action.follows.generation, last), action.follows, data)
            self.queues.keep(action.queues, kept)
        errors: dict[int, int] = {}

        def run() -> None:
            for index, (operation, payload) in enumerate(zip(action.operations, payloads, strict=True)):
                try:
                    self.volumes.change(*operation, payload)
                except OSError as error:
                    errors[index] = error.errno or 5
                    self.witness.write_failed(self, action.first + index)

        def done(_: int) -> None:
            self.turn(self.core.written, action.ticket, errors)

        self.steps.begin("write", Step(run, done))

    def cache_lost(self) -> None:
        self.witness.cache_lost(self)

    def _write_activity(self, action: a.WriteActivity) -> None:
        def run() -> None:
            self.activity.replace(action.extents)
            self.logged = frozenset(action.extents)

        done = self.core.activity_written
        self.steps.begin("activity", Step(run, lambda errno: self.turn(done, action.ticket, errno)))
