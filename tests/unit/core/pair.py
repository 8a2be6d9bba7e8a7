"""A primary and its secondaries in memory, joined by lines that a test may cut, slow down or stop.

One `turn` moves the clock by ten milliseconds and delivers what the lines let through. Nothing is
random and nothing waits. After every turn rule A1 is checked on the bytes themselves: a region that
differs between the primary and what is durable at a peer is marked, or in a frame that is under way.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from farshore.core import actions as a
from farshore.core.feeder import Feeder
from farshore.core.geometry import Geometry
from farshore.core.primary import PrimarySetup
from farshore.core.secondary_setup import SecondarySetup
from farshore.model import messages as m
from farshore.model.header import Header, Upstream
from farshore.model.options import LinkOptions, LinkSpec, LinkState, Mode, Role
from farshore.model.volumes import FLUSH, WRITE, Operation
from tests.unit.core import growth
from tests.unit.core.far import Far
from tests.unit.core.line import End, Line
from tests.unit.core.queue_disk import size_of
from tests.unit.core.shells import TIMING, Near, head_of, new_id

KIB = 1 << 10
REGION = 4 * KIB
SYNC = LinkOptions(mode=Mode.SYNC)
ASYNC = LinkOptions()
FLUSHED: Operation = (0, FLUSH, 0, 0)


@dataclass(frozen=True)
class Wish:
    """What a pair is made of."""

    links: tuple[LinkOptions, ...] = (SYNC,)
    sizes: dict[int, int] = field(default_factory=lambda: {1: 64 * KIB})
    region: int = REGION
    extent: int = 16 * KIB
    capacity: int = 16
    reserve: int = 1000
    content: bytes = b""
    """Of volume 1, before anything."""
    empty: bool = True
    ignored: frozenset[int] = frozenset()
    """Volumes with `outage=ignore`."""


class Pair:
    """See the module. `far`, `line` and `feeder` are those of the first link."""

    def __init__(self, wish: Wish | None = None, *, start: bool = True) -> None:
        self.wish = wish = wish or Wish()
        self.geometry = Geometry(wish.sizes, wish.region, wish.extent)
        self.group = new_id()
        self.now = 100.0
        self.ahead: dict[str, float] = {}
        """By how many seconds the clocks of `near`, `far` and `last` are ahead of the test's."""
        self.checked = True
        """Whether rule A1 is checked after each turn."""
        self._tokens = count(1)
        self._keys = count(1)
        specs = tuple(LinkSpec(new_id(), f"l{n}", "peer", each) for n, each in enumerate(wish.links))
        self.lines = {spec.id: Line(spec) for spec in specs}
        setup = PrimarySetup(
            Header(self.group, new_id(), Role.PRIMARY),
            self.geometry,
            specs,
            {},
            frozenset(),
            wish.capacity,
            "boot-1",
            new_id(),
            new_id,
            TIMING,
            reserve=wish.reserve,
            ignored=wish.ignored,
        )
        self.near = Near(setup, self._from_near)
        self.alive = False
        """Whether there is a process at the primary."""
        self.near.disk.seen[1][: len(wish.content)] = wish.content
        self.near.disk.sync()(0)
        self.fars = {spec.id: self._far(spec) for spec in specs}
        if start:
            for far in self.fars.values():
                far.start("boot-1")
                far.run(far.core.start())
            self.start_near("boot-1")

    def _far(self, spec: LinkSpec) -> Far:
        header = Header(self.group, new_id(), Role.SECONDARY, upstream=Upstream(spec.id, spec.epoch))
        setup = SecondarySetup(
            header, self.geometry, None, None, "boot-1", new_id(), new_id, TIMING, self.wish.empty
        )
        return Far(setup, lambda action: self._from_far(spec.id, action))

    # -- who is who -------------------------------------------------------------------------

    @property
    def link(self) -> bytes:
        """The first link."""
        return next(iter(self.lines))

    @property
    def line(self) -> Line:
        """Of the first link."""
        return self.lines[self.link]

    @property
    def far(self) -> Far:
        """At the first link's end."""
        return self.fars[self.link]

    @property
    def feeder(self) -> Feeder:
        """Of the first link."""
        return self.near.core.feeders[self.link]

    # -- what the ends do -------------------------------------------------------------------

    def _from_near(self, action: a.Action) -> None:
        match action:
            case a.Issue(links=links):
                kept = [None if data is None else bytes(data) for data in action.payloads]
                size = 96 + sum(16 + operation[3] for operation in action.operations)
                for link in links:
                    self.lines[link].queue(replace(action, payloads=kept), size)
            case a.SendFrames(channel=channel, frames=frames):
                for frame in frames:
                    assert isinstance(frame, a.Issue)
                    self.lines[channel].queue(frame, size_of(frame))
            case a.Connect(link=link):
                self.lines[link].connecting = True
            case a.Send(channel=channel, message=message):
                size = 64 + message.length if isinstance(message, m.Fill) else 32
                self.lines[channel].queue(message, size)
            case a.Close(channel=channel):
                self.lines[channel].end()
            case _:
                raise AssertionError(action)

    def _from_far(self, link: bytes, action: a.Action) -> None:
        line = self.lines[link]
        match action:
            case a.Send(channel=channel, message=message):
                line.to_near.append((channel, message))
                line.heard.append(message)
            case a.Close(channel=channel):
                line.to_near.append((channel, End()))
            case _:
                raise AssertionError(action)

    # -- time -------------------------------------------------------------------------------

    def turn(self, times: int = 1, step: float = 0.01) -> None:
        """Time passes and the lines deliver."""
        for _ in range(times):
            self.now += step
            if self.alive:
                self.near.core.clock(*self.clock("near"))
            for link, line in self.lines.items():
                far = self.fars[link]
                far.core.clock(*self.clock("far"))
                self._connect(link, line)
                self._deliver_far(line, far)
                far.run(far.core.turn_end())
                far.run(far.core.tick())
                self._deliver_near(link, line)
            if self.alive:
                self.near.settle()
                self.near.run(self.near.core.tick())
            for link, line in self.lines.items():
                if self.alive and line.reported != line.backlog:
                    line.reported = line.backlog
                    self.near.run(self.near.core.backlog(link, line.backlog))
            for far in self.fars.values():
                far.store.check(far.header.broken_layers)
            self.near.store.check(self.near.header.broken_layers)
            if self.checked and self.alive:
                assert self.unmarked() == set()

    def clock(self, of: str) -> tuple[float, float]:
        """What somebody's clocks show, the monotonic one and the time of day."""
        shown = self.now + self.ahead.get(of, 0.0)
        return shown, shown

    def until(self, condition: Callable[[], bool], turns: int = 600) -> None:
        """Turns until it holds; fails when it does not come true."""
        for _ in range(turns):
            if condition():
                return
            self.turn()
        raise AssertionError(f"never came true; events: {[(n.kind, n.fields) for n in self.near.notes]}")

    def _connect(self, link: bytes, line: Line) -> None:
        if not line.connecting:
            return
        line.connecting = False
        if not line.up:
            self.near.run(self.near.core.disconnected(link, "unreachable", "", line.refusal))
            return
        line.key = next(self._keys).to_bytes(4, "big")
        line.open = True
        line.reported = None
        self.near.run(self.near.core.connected(link))

    def _deliver_far(self, line: Line, far: Far) -> None:
        room = line.room if line.room is not None else len(line.to_far) + 100
        if line.rate is not None:
            line.credit = min(line.credit, 0) + line.rate
        while room and line.to_far and not far.core.holding and not line.stops(line.to_far[0][1]):
            if line.rate is not None and line.credit <= 0:
                break
            key, unit, size = line.to_far.popleft()
            room -= 1
            line.credit -= size
            match unit:
                case a.Issue():
                    far.core.heard(key)
                    far.run(far.core.frame(key, head_of(self.group, unit), unit))
                case End():
                    far.run(far.core.disconnected(key, "closed"))
                case m.Hello():
                    far.run(far.core.accepted(key, replace(unit, protocol=line.protocol)))
                case _:
                    far.core.heard(key)
                    far.run(far.core.received(key, unit))

    def _deliver_near(self, link: bytes, line: Line) -> None:
        while line.to_near and not line.stops(line.to_near[0][1]):
            key, unit = line.to_near.popleft()
            if key != line.key or not line.open:
                continue
            if isinstance(unit, End):
                line.open = False
                line.to_far.clear()
                self.near.run(self.near.core.disconnected(link, "closed by the peer"))
            else:
                assert not isinstance(unit, a.Issue)
                self.near.core.heard(link)
                self.near.run(self.near.core.received(link, unit))

    # -- trouble ----------------------------------------------------------------------------

    def cut(self, link: bytes | None = None, *, silent: bool = False) -> None:
        """The line is gone with all that was on it; both ends hear of it unless it is `silent`."""
        link = link or self.link
        line = self.lines[link]
        was_open, key = line.open, line.key
        line.up = line.open = False
        line.to_far.clear()
        line.to_near.clear()
        if not silent and was_open and self.alive:
            self.near.run(self.near.core.disconnected(link, "cut"))
            self.fars[link].run(self.fars[link].core.disconnected(key, "cut"))

    def mend(self, link: bytes | None = None) -> None:
        """The line is back."""
        self.lines[link or self.link].up = True

    def kill_near(self, *, lose_cache: bool = False) -> None:
        """The primary's process dies, or its machine."""
        self.near.forget()
        self.alive = False
        for queue in self.near.queues.values():
            queue.forget(lose_cache)
        if lose_cache:
            self.near.disk.lose_cache()
        for link, line in self.lines.items():
            line.connecting = line.open = False
            line.to_far.clear()
            line.to_near.clear()
            self.fars[link].run(self.fars[link].core.disconnected(line.key, "reset"))

    def start_near(
        self, boot: str, on_start: str = "wait", *, repaired: bool = True, turned: bool = False
    ) -> None:
        """The primary's next process; the operator takes a fault for repaired."""
        self.near.start(boot, on_start, repaired=repaired, turned=turned)
        self.alive = True
        self.near.core.clock(*self.clock("near"))
        self.near.run(self.near.core.start())

    def stop_near(self) -> None:
        """A clean stop, to its end."""
        self.near.run(self.near.core.stop())
        self.until(lambda: self.near.core.stopped)
        self.kill_near()

    def restart_far(
        self,
        boot: str,
        link: bytes | None = None,
        *,
        roll_back: bool = False,
        upstream: Upstream | None = None,
    ) -> None:
        """The secondary's process dies (same boot) or its machine (another one), and starts again, perhaps as
        what it was before its open resync, or pointed at another `upstream` meanwhile."""
        link = link or self.link
        far = self.fars[link]
        self.cut(link, silent=True)
        far.forget()
        if boot != far.boot:
            far.lose_power()
        far.start(boot, roll_back=roll_back, upstream=upstream)
        far.core.clock(*self.clock("far"))
        far.run(far.core.start())
        if self.alive:
            self.near.run(self.near.core.disconnected(link, "reset"))
        self.mend(link)

    # -- the application --------------------------------------------------------------------

    def write(self, *places: int, fill: bytes = b"", volume: int = 1) -> list[int]:
        """One batch that writes 512 bytes at each offset; the tokens of its requests."""
        tokens = [next(self._tokens) for _ in places]
        operations = [(volume, WRITE, place, 512) for place in places]
        payloads = [fill * 512 if fill else token.to_bytes(4, "big") * 128 for token in tokens]
        self.near.submit(operations, payloads, tokens)
        return tokens

    def flush(self) -> int:
        """A FLUSH; its token."""
        token = next(self._tokens)
        self.near.submit([FLUSHED], [None], [token])
        return token

    def answered(self, *tokens: int) -> bool:
        """Whether all of these were answered without an error."""
        return all(self.near.replies.get(token) == 0 for token in tokens)

    # -- what is true -----------------------------------------------------------------------

    def is_in(self, state: LinkState) -> bool:
        """Whether the first link is in this state."""
        return self.feeder.state is state

    def replicating(self, turns: int = 600) -> None:
        """Turns until every link replicates."""
        self.until(lambda: all(each.replicating for each in self.near.core.feeders.values()), turns)

    def equal(self) -> bool:
        """Whether all copies hold the same bytes."""
        return all(self.holds_the_same(far) for far in self.fars.values())

    def holds_the_same(self, far: Far) -> bool:
        """Whether a secondary holds the same bytes as the primary."""
        return all(growth.alike(data, far.disk.seen[volume]) for volume, data in self.near.disk.seen.items())

    def marked(self, link: bytes | None = None) -> set[tuple[int, int]]:
        """(volume, region) that rule A1 calls dirty for a link, and those of local writes under way."""
        feeder = self.near.core.feeders[link or self.link]
        board, found = feeder.board, set(feeder.board.queued) | set(feeder.board.spooled.regions())
        for region_map in (board.dirty, board.suspect, board.second):
            for volume, bits in region_map.bits.items():
                found |= {(volume, region) for region in bits.search(1)}
        for _, operations, _ in self.near.core.path.unwritten:
            found |= self.touched(operations)
        for entry in self.near.core.ledger.entries:
            if feeder.following and entry.last > feeder.acked.durable:
                found |= self.touched(entry.operations)
        return found

    def touched(self, operations: Sequence[Operation]) -> set[tuple[int, int]]:
        """(volume, region) that operations write to."""
        return {
            (volume, region)
            for volume, _, offset, length in operations
            for region in self.geometry.regions_of(offset, length)
        }

    def unmarked(self) -> set[tuple[int, int]]:
        """Regions that differ from a peer's durable copy though nothing says so (rule A1)."""
        found: set[tuple[int, int]] = set()
        size = self.wish.region
        for link, far in self.fars.items():
            if link not in self.near.core.feeders:
                continue
            marked, safely = self.marked(link), far.safe()
            for volume, data in self.near.disk.seen.items():
                safe = safely[volume]
                if data != safe:
                    differing = {
                        (volume, at // size)
                        for at in range(0, len(data), size)
                        if not growth.alike(data[at : at + size], safe[at : at + size])
                    }
                    found |= differing - marked
        return found
