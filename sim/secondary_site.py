"""The shell of a secondary: hands the stream to the core unit by unit and applies what it is told.

Frames and fills are applied at once, within the turn; everything else that is durable takes its
time. While the core holds, units stay where they are and the sender's window fills.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from xxhash import xxh3_128_digest

from farshore.core import actions as a
from farshore.core.geometry import Geometry
from farshore.core.journaling import JournalLimits
from farshore.core.record_actions import ForgetBeyond
from farshore.core.secondary import Secondary
from farshore.core.secondary_setup import SecondarySetup
from farshore.errors import ProtocolError
from farshore.model.header import Header, Upstream
from farshore.model.messages import Hello
from farshore.model.options import Role, Timing
from farshore.model.positions import Position
from farshore.model.volumes import WRITE, ZERO
from farshore.store.header import HeaderFile
from farshore.store.position_file import PositionFile
from farshore.store.segments import Segments
from farshore.wire import frame, session
from sim import position_records
from sim.channel import Channel, decode
from sim.disk import Node
from sim.files import SimFiles
from sim.follower_witness import FollowerWitness
from sim.frame_journal import JOURNAL, POSITION, SEGMENT_BYTES, apply
from sim.journal_shell import JournalShell
from sim.net import End
from sim.preserve_shell import FollowerStore
from sim.site import HEADER, STATE, TICK, Place, Site
from sim.steps import Step


@dataclass(frozen=True, slots=True)
class SecondaryPlan:
    """What an operator configured."""

    geometry: Geometry
    link: bytes
    timing: Timing
    group: bytes
    limits: JournalLimits = field(default_factory=JournalLimits)


class SecondarySite(Site):
    """See the module."""

    role = "secondary"

    def __init__(self, place: Place, plan: SecondaryPlan, name: str) -> None:
        super().__init__(place, name)
        self.plan = plan
        self.witness = FollowerWitness()
        self.core: Secondary
        self.position: PositionFile
        self.channels: dict[bytes, Channel] = {}
        self._keys: dict[End, bytes] = {}
        self._next_key = 0
        self._greeted: set[bytes] = set()
        self._carry: dict[type, Callable[[Any], None]] = {
            a.Close: self._close,
            a.Send: self._send,
            a.SyncVolumes: lambda action: self.sync_volumes(action, self.core.synced),
            a.WriteHeader: lambda action: self.write_header(action, self.core.header_written),
            a.WriteDurable: partial(position_records.write_durable, self),
            ForgetBeyond: partial(position_records.forget_beyond, self),
            a.ApplyFrame: self._apply_frame,
            a.ApplyFill: self._apply_fill,
            a.CompareDigests: self._compare,
            a.ReadRange: self._look_up,
            a.Note: self._noted,
        }
        self.journal = JournalShell(self)
        self._carry |= self.journal.carry
        self.preserve = FollowerStore(self)
        self._carry |= self.preserve.carry
        self.replaying = False
        """The process does not know yet where it stands."""
        self.journaled = self.doubted = False
        """How it was found: with a journal to replay; with a doubt of its own."""

    def create(self, copy: bytes) -> None:
        """The state directory of a new, blank copy."""
        files = SimFiles(self.disk)
        upstream = Upstream(self.plan.link, 1)
        HeaderFile.create(files, HEADER, Header(self.plan.group, copy, Role.SECONDARY, upstream=upstream))
        PositionFile.create(files, POSITION, self.boot)
        files.fsync_dir(STATE)

    # -- life -----------------------------------------------------------------------------------

    def start(self) -> bool:
        """A new process. False when it died or gave up before it was up."""
        self.begin_process()
        self.channels.clear()
        self._keys.clear()
        self._greeted.clear()

        if not self.opens(self._load):
            return False
        self.journal.replay.read_again(self.disk, power_lost=True)  # opening has made all of it durable
        if not self.header_file.header.clean:
            self.distrust_cache()
        self.preserve.check()
        self.core = self._made()
        self.was_up, self.replaying = True, True
        header = self.header_file.header
        self.journaled = header.journaling and header.resync is None
        self.doubted = header.doubtful_until > 0
        self.turn(self.core.start)
        self.net.listeners[self.plan.link] = (self.life, self)
        self.world.after(TICK, self.life, self._tick)
        return True

    def _load(self) -> None:
        self.header_file = HeaderFile.open(self.files, HEADER)
        self.position = PositionFile.open(self.files, POSITION, self.boot)
        header = self.header_file.header
        self.journal.segments = Segments.open(self.files, JOURNAL, header.copy, SEGMENT_BYTES)
        self.preserve.load_if_possible()

    def _made(self) -> Secondary:
        """The core, from what was loaded."""
        return Secondary(self._setup())

    def _setup(self) -> SecondarySetup:
        random = self.world.random
        positions = self.position.read()
        return SecondarySetup(
            header=self.header_file.header,
            geometry=self.plan.geometry,
            durable=positions.durable,
            applied=positions.applied,
            boot=self.boot,
            instance=random.randbytes(16),
            new_id=lambda: random.randbytes(16),
            timing=self.plan.timing,
            empty=self.empty,
            journal=self.journal.image,
            limits=self.plan.limits,
            preserve=self.preserve.image,
            roll_back=self.preserve.leads_back(),
        )

    def stop(self) -> list[a.Action]:
        return self.core.stop()

    @property
    def faulted(self) -> bool:
        return bool(self.core.fault)

    def _tick(self) -> None:
        self.world.after(TICK, self.life, self._tick)
        self.turn(self.core.tick)
        if self.life.alive:
            self.witness.ticked(self)

    def cache_lost(self) -> None:
        self.witness.lost_cache(self)

    def header_durable(self, header: Header) -> None:
        self.witness.recorded(self, header)

    def set_clock(self) -> None:
        self.core.clock(*self.clock())

    def end_turn(self) -> None:
        core = self.core
        named = core.started or not core.preserve.unusable  # without its store it names no position before
        if self.replaying and named and not core.replaying and not core.fault:
            self.replaying = False
            self.witness.resumed(self)
        if not self.core.holding and self._waiting():
            self.whole_turn(self._feed)
            return
        if self.report_backlog():
            return
        self._queue.extend(self.core.turn_end())
        if self._queue:
            self._inside = True
            self.drain()
            self._inside = False
        if self.life.alive and self.core.stopped:
            self.ended()
            self.witness.stopped(self)
            self.place.on_death(self, False)

    def report_backlog(self) -> bool:
        """True after a turn in which the core was told what waits on a channel of a link of its own."""
        return False

    def follow_up(self, actions: list[a.Action]) -> None:
        """What comes of an action that ended within its turn."""
        self._queue.extend(actions)

    def also(self) -> list[a.AppendFrame]:
        """Further frames that are to be appended right behind the present one, with it."""
        found: list[a.AppendFrame] = []
        while self._queue and isinstance(self._queue[0], a.AppendFrame):
            action = self._queue.popleft()
            assert isinstance(action, a.AppendFrame)
            self.witness.carrying(self, action)
            found.append(action)
        return found

    def carry_out(self, action: a.Action) -> None:
        self.witness.carrying(self, action)
        self.preserve.snapshots.sees(action)
        self._carry[type(action)](action)

    # -- the stream -------------------------------------------------------------------------------

    def accept(self, end: End) -> SecondarySite:
        """A connection has come in."""
        self._next_key += 1
        key = self._next_key.to_bytes(4, "big")
        self._keys[end] = key
        self.channels[key] = Channel(end)
        return self

    def opened(self, end: End) -> None:
        """A follower opens no connections."""

    def arrived(self, end: End) -> None:
        """Bytes have come in."""
        key = self._keys.get(end)
        if key is None:
            return
        self.core.heard(key)
        channel = self.channels[key]
        try:
            channel.collect()
        except ProtocolError as error:
            self._drop(key, error.what)
            return
        self.whole_turn(self._feed)

    def _waiting(self) -> bool:
        return any(self._may_take(key) for key in self.channels)

    def _may_take(self, key: bytes) -> bool:
        """A greeting is not of the stream: it is never held up."""
        return self.channels[key].waiting and (key not in self._greeted or not self.core.holding)

    def _feed(self) -> None:
        """Hands over what may be handed over, channel by channel."""
        for key in list(self.channels):
            while self.life.alive and key in self.channels and self._may_take(key):
                unit = self.channels[key].next_unit()
                assert unit is not None
                try:
                    self._hand_over(key, *unit)
                except ProtocolError as error:
                    self._drop(key, error.what)

    def _hand_over(self, key: bytes, kind: int, body: memoryview) -> None:
        if kind == session.FRAME:
            outlives = self.core.keeping or frame.decode_head(body).cut
            data = frame.check(bytes(body) if outlives else body)
            self.turn(self.core.frame, key, data.head, data)
            return
        message = decode(kind, memoryview(bytes(body)) if self.core.keeping else body)
        if key in self._greeted:
            self.turn(self.core.received, key, message)
        elif isinstance(message, Hello):
            self._greeted.add(key)
            self.turn(self.core.accepted, key, message)
        else:
            raise ProtocolError("a peer spoke before it said hello")

    def _drop(self, key: bytes, why: str) -> None:
        self.channels[key].abandon()
        self._forget(key)
        self.turn(self.core.disconnected, key, why)

    def lost(self, end: End, why: str) -> None:
        """The connection is gone."""
        key = self._keys.get(end)
        if key is not None:
            self._forget(key)
            self.turn(self.core.disconnected, key, why)

    def roomy(self, end: End) -> None:
        """The connection takes more."""
        key = self._keys.get(end)
        if key is not None:
            self.channels[key].pump()

    def _forget(self, key: bytes) -> None:
        channel = self.channels.pop(key, None)
        if channel is not None:
            self._keys.pop(channel.end, None)
        self._greeted.discard(key)

    def _send(self, action: a.Send) -> None:
        if action.channel in self.channels:
            self.channels[action.channel].send_message(action.message)
            self.witness.said(self, action.message)

    def _close(self, action: a.Close) -> None:
        if action.channel in self.channels:
            self.channels[action.channel].close()
            self._forget(action.channel)

    # -- what is durable --------------------------------------------------------------------------

    def _noted(self, action: a.Note) -> None:
        self.noted(action)
        if action.kind == "cut":
            fields: dict[str, Any] = dict(action.fields)
            self.witness.passed(self, Position(bytes.fromhex(fields["generation"]), fields["sequence"]))

    def _apply_frame(self, action: a.ApplyFrame) -> None:
        data = action.frame
        assert isinstance(data, frame.Frame)
        self.witness.applying(self, action.applied)

        def run() -> None:
            apply(self.volumes, data)
            self.position.write_applied(action.applied)

        errno = self.steps.carry_out("apply", Step(run, lambda _: None))
        if self.life.alive:
            tell = self.witness.apply_failed if errno else self.witness.applied
            tell(self, action.applied)
            self._queue.extend(self.core.applied_frame(errno))

    def _apply_fill(self, action: a.ApplyFill) -> None:
        fill = action.fill

        def run() -> None:
            code = WRITE if fill.data is not None else ZERO
            self.volumes.change(fill.volume, code, fill.offset, fill.length, fill.data)

        errno = self.steps.carry_out("fill", Step(run, lambda _: None))
        if self.life.alive:
            self._queue.extend(self.core.filled(errno))

    def _look_up(self, action: a.ReadRange) -> None:
        def read() -> None:
            data, failed = b"", 0
            try:
                data = self.volumes.read(action.volume, action.offset, action.length)
            except OSError as error:
                failed = error.errno or 5
            self.turn(self.core.lookups.looked_up, action.ticket, data, failed)

        self.world.after(self.world.between(0.0, 0.003), self.life, read)

    # -- as seen from above -----------------------------------------------------------------------

    def node_of(self, volume: int) -> Node:
        return self.journal.replay.node(volume, self.file_of(volume))

    def disk_is_left(self, power_lost: bool) -> None:
        self.journal.replay.read_again(self.disk, power_lost=power_lost)

    def _compare(self, action: a.CompareDigests) -> None:
        """Region by region, at two moments: frames may be applied in between."""
        query = action.query
        offsets = range(query.offset, query.offset + query.length, query.region)
        differing = bytearray(len(offsets))

        def compare(first: int, stop: int) -> None:
            for index in range(first, stop):
                offset = offsets[index]
                length = min(query.region, query.offset + query.length - offset)
                try:
                    data = self.volumes.read(query.volume, offset, length)
                except OSError:
                    differing[index] = True  # what cannot be read is copied anew
                    continue
                differing[index] = xxh3_128_digest(data) != query.digests[index * 16 : index * 16 + 16]

        def second() -> None:
            compare(len(offsets) // 2, len(offsets))
            self.turn(self.core.compared, action.ticket, bytes(differing), 0)

        def first() -> None:
            compare(0, len(offsets) // 2)
            self.world.after(self.world.between(0.0, 0.003), self.life, second)

        self.world.after(self.world.between(0.0, 0.003), self.life, first)
