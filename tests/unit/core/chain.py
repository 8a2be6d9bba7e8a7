"""A primary, a secondary that relays, and the secondary behind it, in memory: a `pair` with a hop.

The middle is the pair's `far`; the last copy is `last`, on the line `hop`. After every turn rules A1 and B6
are checked on the bytes of the hop: what differs between the middle and what is durable at the last copy is
marked for the hop, or in a frame that is under way there, and the last copy is never ahead of what the
middle has durable.
"""

from collections.abc import Callable
from dataclasses import replace

from farshore.core import actions as a
from farshore.core.feeder import Feeder
from farshore.core.journaled import JournalImage
from farshore.core.secondary import Secondary
from farshore.core.secondary_setup import SecondarySetup
from farshore.model.header import Header, Upstream
from farshore.model.options import Apply, LinkOptions, LinkSpec, LinkState, Role
from tests.unit.core import growth
from tests.unit.core.far import Far
from tests.unit.core.line import End, Line
from tests.unit.core.pair import KIB, Pair, Wish
from tests.unit.core.queue_disk import size_of
from tests.unit.core.shells import TIMING, BoardFile, head_of, new_id

HOP = LinkOptions(apply=Apply.JOURNAL, queue_disk=64 * KIB)


class Middle(Far):
    """A secondary's engine with links of its own."""

    def __init__(
        self, setup: SecondarySetup, send: Callable[[a.Action], None], links: tuple[LinkSpec, ...]
    ) -> None:
        super().__init__(setup, send)
        self.links = links
        self.boards: dict[bytes, BoardFile] = {}
        self.journal_damaged = ""

    def start(self, boot: str, *, roll_back: bool = False, upstream: Upstream | None = None) -> None:
        """A new process on what is durable."""
        super().start(boot, roll_back=roll_back, upstream=upstream)
        self.core = Secondary(
            replace(
                self.core.setup,
                links=self.links,
                boards={link: board.image() for link, board in self.boards.items()},
                journal=JournalImage(self.journal_start, self.journal_damaged),
            )
        )

    def carry_out(self, action: a.Action) -> None:
        relay = self.core.relay
        match action:
            case a.WriteBoard(ticket=ticket):
                self.finish(
                    action, lambda _: self._board(action), lambda errno: relay.board_written(ticket, errno)
                )
            case a.ReadRegion():
                self.finish(action, lambda _: None, lambda errno: self._read(action, errno))
            case a.QueueRead(ticket=ticket):
                self.finish(action, lambda _: None, lambda errno: self._read_back(action, errno))
            case _:
                super().carry_out(action)

    def _board(self, action: a.WriteBoard) -> None:
        self.boards.setdefault(action.link, BoardFile(None, None, {})).write(action)

    def _read(self, action: a.ReadRegion, errno: int) -> list[a.Action]:
        data = bytes(self.disk.seen[action.volume][action.offset : action.offset + action.length])
        if action.digest:
            region = self.core.geometry.region
            data = self.disk.digests(action.volume, action.offset, action.length, region)
            return self.core.relay.region_read(action.ticket, data, errno)
        return self.core.relay.region_read(action.ticket, data if any(data) else None, errno)

    def _read_back(self, action: a.QueueRead, errno: int) -> list[a.Action]:
        found: list[a.Issue] = []
        size = 0
        for each in self.journal:
            frame = each.frame
            assert isinstance(frame, a.Issue)
            if each.position.sequence > action.after and size < action.most:
                found.append(frame)
                size += size_of(frame)
        frames = [(head_of(self.header.group, each), each) for each in found]
        return self.core.relay.queue_read(action.ticket, frames, "EIO" if errno else "")


class Chain(Pair):
    """See the module."""

    def __init__(self, upstream: LinkOptions, hop: LinkOptions = HOP, *, start_hop: bool = True) -> None:
        self.hop = Line(LinkSpec(new_id(), "hop", "last", hop))
        self._with_hop = start_hop
        super().__init__(Wish(links=(upstream,)), start=False)
        header = Header(self.group, new_id(), Role.SECONDARY, upstream=Upstream(self.hop_id, 1))
        setup = SecondarySetup(header, self.geometry, None, None, "boot-1", new_id(), new_id, TIMING)
        self.last = Far(setup, self._from_last)
        for far in (self.last, self.middle):
            far.start("boot-1")
            far.run(far.core.start())
        self.start_near("boot-1")

    def _far(self, spec: LinkSpec) -> Far:
        far = super()._far(spec)
        links = (self.hop.spec,) if self._with_hop else ()
        return Middle(far.core.setup, lambda action: self._from_far(spec.id, action), links)

    def make_hop(self) -> None:
        """The operator makes it now."""
        self.middle.links = (self.hop.spec,)
        self.middle.run(self.middle.core.relay.add_link(self.hop.spec))

    @property
    def hop_id(self) -> bytes:
        """The hop's link."""
        return self.hop.spec.id

    @property
    def middle(self) -> Middle:
        """The copy that relays."""
        found = self.far
        assert isinstance(found, Middle)
        return found

    @property
    def hop_feeder(self) -> Feeder:
        """Of the hop."""
        return self.middle.core.relay.feeders[self.hop_id]

    # -- what the ends do -------------------------------------------------------------------

    def _from_far(self, link: bytes, action: a.Action) -> None:
        match action:
            case a.SendFrames(frames=frames):
                for frame in frames:
                    assert isinstance(frame, a.Issue)
                    self.hop.queue(frame, size_of(frame))
            case a.Connect():
                self.hop.connecting = True
            case a.Send(channel=self.hop_id, message=message):
                self.hop.queue(message, 32)
            case a.Close(channel=self.hop_id):
                self.hop.end()
            case _:
                super()._from_far(link, action)

    def _from_last(self, action: a.Action) -> None:
        match action:
            case a.Send(channel=channel, message=message):
                self.hop.to_near.append((channel, message))
                self.hop.heard.append(message)
            case a.Close(channel=channel):
                self.hop.to_near.append((channel, End()))
            case _:
                raise AssertionError(action)

    # -- time -------------------------------------------------------------------------------

    def turn(self, times: int = 1, step: float = 0.01) -> None:
        """Time passes and the lines deliver."""
        for _ in range(times):
            super().turn(1, step)
            self.last.core.clock(*self.clock("last"))
            relay = self.middle.core.relay
            if self.hop.connecting:
                self._connect_hop()
            self._deliver_far(self.hop, self.last)
            self.last.run(self.last.core.turn_end())
            self.last.run(self.last.core.tick())
            self.last.store.check()
            self._deliver_hop()
            self.middle.settle()
            if self.hop.reported != self.hop.backlog:
                self.hop.reported = self.hop.backlog
                self.middle.run(relay.backlog(self.hop_id, self.hop.backlog))
            if self.checked and relay.feeders:
                self.check_hop()

    def _connect_hop(self) -> None:
        relay, hop = self.middle.core.relay, self.hop
        hop.connecting = False
        if not hop.up:
            self.middle.run(relay.disconnected(self.hop_id, "unreachable"))
            return
        hop.key = next(self._keys).to_bytes(4, "big")
        hop.open, hop.reported = True, None
        self.middle.run(relay.connected(self.hop_id))

    def _deliver_hop(self) -> None:
        hop = self.hop
        while hop.to_near and not hop.stops(hop.to_near[0][1]):
            key, unit = hop.to_near.popleft()
            relay = self.middle.core.relay
            if key != hop.key or not hop.open:
                continue
            if isinstance(unit, End):
                hop.open = False
                hop.to_far.clear()
                self.middle.run(relay.disconnected(self.hop_id, "closed by the peer"))
            else:
                assert not isinstance(unit, a.Issue)
                relay.heard(self.hop_id)
                self.middle.run(relay.received(self.hop_id, unit))

    # -- trouble ----------------------------------------------------------------------------

    def cut_hop(self) -> None:
        """The hop's line is gone."""
        hop = self.hop
        was_open, key = hop.open, hop.key
        if hop.connecting:
            hop.connecting = False
            self.middle.run(self.middle.core.relay.disconnected(self.hop_id, "unreachable"))
        hop.up = hop.open = hop.connecting = False
        hop.to_far.clear()
        hop.to_near.clear()
        if was_open:
            self.middle.run(self.middle.core.relay.disconnected(self.hop_id, "cut"))
            self.last.run(self.last.core.disconnected(key, "cut"))

    def mend_hop(self) -> None:
        """It is back."""
        self.hop.up = True

    def restart_middle(self, boot: str, *, roll_back: bool = False) -> None:
        """The middle's process dies (same boot) or its machine (another one), and starts again, perhaps as
        what it was before its open resync."""
        key, self.hop.open, self.hop.connecting = self.hop.key, False, False
        self.hop.to_far.clear()
        self.hop.to_near.clear()
        self.restart_far(boot, roll_back=roll_back)
        self.last.run(self.last.core.disconnected(key, "reset"))

    # -- what is true -----------------------------------------------------------------------

    def in_order(self, turns: int = 600) -> None:
        """Turns until both links replicate and all copies are equal."""
        self.until(
            lambda: self.feeder.replicating and self.hop_feeder.replicating and self.all_equal(), turns
        )

    def all_equal(self) -> bool:
        """Whether the three copies hold the same bytes."""
        return self.equal() and self.holds_the_same(self.last)

    def check_hop(self) -> None:
        """See the module."""
        feeder, relay = self.hop_feeder, self.middle.core.relay
        board = feeder.board
        found = set(board.queued) | set(board.spooled.regions())
        for region_map in (board.dirty, board.suspect, board.second):
            for volume, bits in region_map.bits.items():
                found |= {(volume, region) for region in bits.search(1)}
        for _, operations, _ in relay.path.unwritten:
            found |= self.touched(operations)
        for entry in relay.ledger.entries:
            if feeder.following and entry.last > feeder.acked.durable:
                found |= self.touched(entry.operations)
        size, safely = self.wish.region, self.last.safe()
        for volume, data in self.middle.disk.seen.items():
            for at in range(0, len(data), size):
                if not growth.alike(data[at : at + size], safely[volume][at : at + size]):
                    assert (volume, at // size) in found, f"region {at // size} differs and is not marked"
        if self.middle.header.resync is None and feeder.state is not LinkState.DIVERGED:
            behind = self.last.core.applied <= self.middle.core.durable
            assert behind or self.last.core.generation != self.middle.core.generation
