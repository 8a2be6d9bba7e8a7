"""The shell of a primary: carries out the core's actions on simulated disks and lines.

What the application sends within one moment is one batch. Payloads lie in a buffer that is
overwritten after each turn, as the engine's receive buffer is, so that a payload that is kept
without being copied shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from xxhash import xxh3_128_digest

from farshore.core import actions as a
from farshore.core.geometry import Geometry
from farshore.core.primary import Primary, PrimarySetup
from farshore.core.queueing import QueueImage
from farshore.core.scoreboard import BoardImage
from farshore.core.write_path import Batch
from farshore.errors import ProtocolError
from farshore.model.header import Header
from farshore.model.options import LinkSpec, Role, Timing
from farshore.model.positions import Position
from farshore.model.volumes import FLUSH
from farshore.store.activity_log import ActivityLogFile
from farshore.store.header import HeaderFile
from farshore.store.queue_files import Kept
from farshore.store.scoreboard_file import ScoreboardFile
from farshore.wire import frame
from sim.app import Application, Request
from sim.channel import Channel, decode
from sim.files import SimFiles
from sim.link_queue import LinkQueues, left, shelf
from sim.net import End
from sim.site import HEADER, STATE, TICK, Place, Site
from sim.steps import Step

_ACTIVITY: Final = f"{STATE}/activity"
_LINKS: Final = f"{STATE}/links"


def board_path(link: bytes) -> str:
    """Where a link's scoreboard lies."""
    return f"{_LINKS}/{link.hex()}.board"


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

    def write_failed(self, site: PrimarySite, sequence: int) -> None:
        """The local write of this sequence has failed."""

    def cache_lost(self, site: PrimarySite) -> None:
        """A local sync had failed; the volumes show now what it left of them."""

    def received(self, site: PrimarySite, link: bytes, message: object) -> None:
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
        self.queues: LinkQueues
        self.activity: ActivityLogFile
        self.logged: frozenset[tuple[int, int]] | None = frozenset()
        """The extents in the durable activity log; None when it is unreadable."""
        self.boards: dict[bytes, ScoreboardFile] = {}
        self.channels: dict[bytes, Channel] = {}
        self._attempts: dict[bytes, End] = {}
        self._batch: list[Request] = []
        self._carry: dict[type, Callable[[Any], None]] = {
            a.Issue: self._issue,
            a.Reply: self._reply,
            a.SyncVolumes: lambda action: self.sync_volumes(action, self.core.synced),
            a.WriteHeader: lambda action: self.write_header(action, self.core.header_written),
            a.WriteActivity: self._write_activity,
            a.WriteBoard: self._write_board,
            a.Connect: self._connect,
            a.Close: self._close,
            a.Send: self._send,
            a.ReadRegion: self._read_region,
            a.Note: self.noted,
        }

    def create(self, copy: bytes) -> None:
        """The state directory of a new copy."""
        files = SimFiles(self.disk)
        files.mkdir(_LINKS)
        HeaderFile.create(files, HEADER, Header(self.plan.group, copy, Role.PRIMARY))
        ActivityLogFile.create(files, _ACTIVITY, self.plan.hot_capacity)
        for link in self.plan.links:
            ScoreboardFile.create(files, board_path(link.id), self.plan.geometry, dirty=True)
        files.fsync_dir(STATE)

    # -- life -----------------------------------------------------------------------------------

    def start(self) -> bool:
        """A new process. False when it died or gave up before it was up."""
        self.begin_process()
        self.channels.clear()
        self._attempts.clear()
        self._batch.clear()
        self.stopping = False
        boards: dict[bytes, BoardImage] = {}
        queues: dict[bytes, QueueImage] = {}

        def load() -> None:
            self.header_file = HeaderFile.open(self.files, HEADER)
            self.activity = ActivityLogFile.open(self.files, _ACTIVITY, self.plan.hot_capacity)
            for link in self.plan.links:
                board = ScoreboardFile.open(self.files, board_path(link.id), self.plan.geometry)
                self.boards[link.id] = board
                boards[link.id] = board.read()
                if (image := left(shelf(self.files, _LINKS, link.id))) is not None:
                    queues[link.id] = image

        errno = self.steps.carry_out("open", Step(load, lambda _: None))
        if errno:
            self.world.note(self.name, "could not start, errno", errno)
            self.die(False)
        if not self.life.alive:
            return False
        if not self.header_file.header.clean:
            self.distrust_cache()
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
        )
        self.witness.starting(self, setup)
        self.core = Primary(setup)
        self.queues = LinkQueues(self, self.core, _LINKS)
        self._carry |= self.queues.table
        self.was_up = True
        self.turn(self.core.start)
        self.witness.started(self)
        self.world.after(TICK, self.life, self._tick)
        return True

    def stop(self) -> list[a.Action]:
        self.stopping = True
        return self.core.stop()

    @property
    def faulted(self) -> bool:
        return bool(self.core.path.fault) and not self.stopping and not self.core.fenced

    def _tick(self) -> None:
        self.world.after(TICK, self.life, self._tick)
        self.turn(self.core.tick)

    def set_clock(self) -> None:
        self.core.clock(*self.clock())

    def end_turn(self) -> None:
        for link, channel in list(self.channels.items()):
            if channel.backlog != channel.reported:
                channel.reported = channel.backlog
                self.turn(self.core.backlog, link, channel.backlog)
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

    def _reply(self, action: a.Reply) -> None:
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
                if link in self.channels:
                    self.channels[link].send_frame(data)
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

    def send_frames(self, link: bytes, frames: Sequence[Any]) -> None:
        """Frames of a queue go to the channel."""
        for data in frames:
            if link in self.channels:
                self.channels[link].send_frame(bytes(data))

    def _write_activity(self, action: a.WriteActivity) -> None:
        def run() -> None:
            self.activity.replace(action.extents)
            self.logged = frozenset(action.extents)

        done = self.core.activity_written
        self.steps.begin("activity", Step(run, lambda errno: self.turn(done, action.ticket, errno)))

    def _write_board(self, action: a.WriteBoard) -> None:
        def run() -> None:
            self.boards[action.link].write(action.base, action.peer_copy, action.pages)

        done = self.core.board_written
        self.steps.begin(
            f"board:{action.link.hex()}", Step(run, lambda errno: self.turn(done, action.ticket, errno))
        )

    def _read_region(self, action: a.ReadRegion) -> None:
        """In two parts at two moments: a write in between tears what is read."""
        half = action.length // 2 & ~511 or action.length
        parts: list[bytes] = []

        def read(offset: int, length: int) -> None:
            if length and not errors:
                try:
                    parts.append(self.volumes.read(action.volume, offset, length))
                except OSError as error:
                    errors.append(error.errno or 5)

        errors: list[int] = []
        delay = self.world.between

        def first() -> None:
            read(action.offset, half)
            self.world.after(delay(0.0, 0.003), self.life, second)

        def second() -> None:
            read(action.offset + half, action.length - half)
            data = b"".join(parts)
            self.turn(self.core.region_read, action.ticket, self._shown(action, data), *errors or [0])

        self.world.after(delay(0.0, 0.003), self.life, first)

    def _shown(self, action: a.ReadRegion, data: bytes) -> bytes | None:
        if action.digest:
            size = self.plan.geometry.region
            return b"".join(xxh3_128_digest(data[at : at + size]) for at in range(0, len(data), size))
        return data if any(data) else None

    # -- links ------------------------------------------------------------------------------------

    def _connect(self, action: a.Connect) -> None:
        self._attempts[action.link] = self.net.connect(action.link, self.life, self)

    def opened(self, end: End) -> None:
        """The connection is up."""
        link = end.connection.key
        if self._attempts.get(link) is end:
            self.channels[link] = Channel(end)
            self.turn(self.core.connected, link)

    def arrived(self, end: End) -> None:
        """Bytes have come in."""
        link = end.connection.key
        if self._attempts.get(link) is not end:
            return
        channel = self.channels[link]
        self.core.heard(link)
        try:
            channel.collect()
            while self._attempts.get(link) is end and (unit := channel.next_unit()) is not None:
                message = decode(*unit)
                self.turn(self.core.received, link, message)
                self.witness.received(self, link, message)
        except ProtocolError as error:
            channel.abandon()
            self.lost(end, error.what)

    def lost(self, end: End, why: str) -> None:
        """The connection is gone, or never came up."""
        link = end.connection.key
        if self._attempts.get(link) is end:
            self._forget(link)
            self.turn(self.core.disconnected, link, why)

    def roomy(self, end: End) -> None:
        """The connection takes more."""
        link = end.connection.key
        if self._attempts.get(link) is end and link in self.channels:
            self.channels[link].pump()
            self.drain()

    def _forget(self, link: bytes) -> None:
        self._attempts.pop(link, None)
        self.channels.pop(link, None)

    def _send(self, action: a.Send) -> None:
        if action.channel in self.channels:
            self.channels[action.channel].send_message(action.message)

    def _close(self, action: a.Close) -> None:
        link = action.channel
        if link in self.channels:
            self.channels[link].close()
        elif link in self._attempts:
            self._attempts[link].closed = True
        self._forget(link)
