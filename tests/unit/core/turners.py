"""Two copies in memory whose roles change: a `pair` whose ends are exchanged, as an engine does it.

`pair.near` is whichever copy is primary. What is durable of a copy stays in its shells and in `boards`; a
turn is carried out on that alone, as the engine does at its start. While the old primary is away its far end
is a copy that was not started; `bring_back` demotes it and starts it.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from farshore.core import actions as a
from farshore.core import turning
from farshore.core.fences import answer_to_former
from farshore.core.primary import PrimarySetup
from farshore.core.residue import residue_of
from farshore.core.secondary_setup import SecondarySetup
from farshore.core.turning import Demotion
from farshore.core.undoing import reached
from farshore.model import messages as m
from farshore.model.copy_config import TurnIntent
from farshore.model.header import Upstream
from farshore.model.options import LinkOptions, LinkSpec
from farshore.model.positions import Position
from tests.unit.core.far import Far
from tests.unit.core.far_store import FarStore
from tests.unit.core.line import Line
from tests.unit.core.pair import Pair, Wish
from tests.unit.core.scenes import CONTENT
from tests.unit.core.shells import TIMING, BoardFile, Near, new_id


class TurnedPair(Pair):
    """A pair after a change of roles: rule A1 is asked once the scoreboard claims to be complete."""

    def unmarked(self) -> set[tuple[int, int]]:
        feeder = self.feeder
        claimed = feeder.streaming or feeder.filling is not None or feeder.record.open_resync is not None
        return super().unmarked() if claimed or not feeder.record.unmet else set()


@dataclass
class Turners:
    """See the module."""

    options: LinkOptions
    capacity: int = 4
    pair: Pair = field(init=False)
    primary: str = "a"
    boards: dict[str, dict[bytes, BoardFile]] = field(default_factory=lambda: {"a": {}, "b": {}})
    boots: dict[str, int] = field(default_factory=lambda: {"a": 1, "b": 1})
    away: Near | None = None
    """The old primary, as long as it has not come back."""

    def __post_init__(self) -> None:
        self.wish = Wish(links=(self.options,), content=CONTENT, capacity=self.capacity)
        self.pair = Pair(self.wish)
        self.boards["a"] = self.pair.near.boards

    @property
    def other(self) -> str:
        """Who is not the primary."""
        return "b" if self.primary == "a" else "a"

    def boot(self, of: str) -> str:
        """The boot that a copy's machine is in."""
        return f"boot-{self.boots[of]}"

    # -- turns ------------------------------------------------------------------------------

    def promote(self, accepts: Collection[str] = (), *, clean: bool = True) -> None:
        """The far end becomes the primary; the other process is gone by now, and its own is stopped
        before, unless it died. Raises FarshoreError `not-promotable`."""
        before = self.pair
        far, turn = before.far, TurnIntent(new_id(), tuple(accepts))
        image = far.store.image
        turning.check_promotable(far.header, turn, reached(far.header.undo, image.layers, image.incomplete))
        self._settle(far, clean=clean)
        retired = [each.link for each in far.header.links if each.retired and each.peer_copy is not None]
        spec = LinkSpec(retired[0] if retired else new_id(), "back", "peer", self.options)
        promoted = turning.promoted(far.header, turn, [(spec, before.near.header.copy)])
        far.header = promoted.header
        boards = {
            number: BoardFile(base, before.near.header.copy, {}) for number, base in promoted.boards.items()
        } or {number: self.boards[self.other][number] for number in retired}
        self.boards[self.other] = boards
        self.away = before.near
        self.primary = self.other
        self._exchange(spec, far, boards)

    def _settle(self, far: Far, *, clean: bool) -> None:
        """A life as secondary that meets nobody; `clean`: it was stopped cleanly before."""
        if clean:
            far.run(far.core.stop())
            assert far.core.stopped
        far.forget()
        far.start(self.boot(self.other))
        far.core = type(far.core)(replace(far.core.setup, turning=True, roll_back=True))
        far.core.clock(*self.pair.clock("far"))
        far.run(far.core.start())
        far.run(far.core.stop())
        assert far.core.stopped
        assert far.header.clean

    def _exchange(self, spec: LinkSpec, far: Far, boards: dict[bytes, BoardFile]) -> None:
        before = self.pair
        pair = TurnedPair(self.wish, start=False)
        pair.group, pair.now = before.group, before.now
        pair._tokens, pair._keys = before._tokens, before._keys
        pair.lines = {spec.id: Line(spec)}
        setup = PrimarySetup(
            far.header,
            self.pair.geometry,
            (spec,),
            {},
            frozenset(),
            self.capacity,
            far.boot,
            new_id(),
            new_id,
            TIMING,
            reserve=self.wish.reserve,
        )
        pair.near = Near(setup, pair._from_near)
        pair.near.disk, pair.near.boards = far.disk, boards
        assert self.away is not None
        pair.fars = {spec.id: self._absent(pair, spec.id)}
        pair.lines[spec.id].up = False
        self.pair = pair
        pair.start_near(far.boot, "alone", turned=True)

    def _absent(self, pair: Pair, link: bytes) -> Far:
        """The old primary before it was demoted: a copy that does not answer."""
        assert self.away is not None
        setup = SecondarySetup(
            self.away.header, pair.geometry, None, None, "", new_id(), new_id, TIMING, empty=False
        )
        far = Far(setup, lambda action: pair._from_far(link, action))
        far.disk = self.away.disk
        far.store = FarStore(pair.geometry, far.disk)
        return far

    def bring_back(self) -> None:
        """The old primary's turn, and its start as secondary; the line is there again."""
        near, name, pair = self.away, self.other, self.pair
        assert near is not None
        far, geometry, header = pair.far, pair.geometry, near.header
        if not header.clean:
            hot = near.hot
            if hot is None or header.fault:
                hot = frozenset((v, e) for v in geometry.sizes for e in range(geometry.extents(v)))
            for link, file in self.boards[name].items():
                record = header.link(link)
                assert record is not None
                board = turning.suspected(geometry, file.image(), record, hot)
                board.every_page()
                file.write(a.WriteBoard(0, link, board.base, board.peer_copy, board.pages()))
        complete = frozenset(link for link, file in self.boards[name].items() if file.base is not None)
        upstream = Upstream(pair.link, pair.line.spec.epoch)
        same_boot = header.boot == self.boot(name)
        far.header = turning.demoted(
            header, Demotion(new_id(), upstream, frozenset(), complete, same_boot, new_id())
        )
        far.durable, far.applied = far.header.history.head, None
        residues = {
            each.peer_copy: residue
            for each in far.header.links
            if each.retired and each.peer_copy is not None
            if (residue := residue_of(geometry, self.boards[name][each.link].image())) is not None
        }
        far._setup = replace(far._setup, residues=residues, header=far.header)
        self.away = None
        far.start(self.boot(name))
        far.core.clock(*pair.clock("far"))
        far.run(far.core.start())
        pair.mend()

    # -- the old primary as such --------------------------------------------------------------

    def return_as_primary(self) -> Near:
        """The old primary comes back as what it was; who is asked says what the new one says to it. It has
        ended again, cleanly, when this returns."""
        near, pair = self.away, self.pair
        assert near is not None
        answers: list[m.Hello] = []
        outer = near._line

        def line(action: a.Action) -> None:
            if isinstance(action, a.Send) and isinstance(action.message, m.Hello):
                answers.append(action.message)

        near._line = line
        near.start(self.boot(self.other), "wait")
        core = near.core
        core.clock(pair.now, pair.now)
        near.run(core.start())
        for link in list(core.feeders):
            near.run(core.connected(link))
        token = object()
        near.submit([(1, 1, 0, 512)], [b"!" * 512], [token])
        for hello in answers:
            near.run(core.received(hello.link, answer_to_former(pair.near.core.keeper.header, hello)))
        _pass_time(near, pair.now)
        assert near.replies.get(token) != 0, "a former primary took a write"
        near.run(core.stop())
        near.let_all()
        near.forget()
        near.start(self.boot(self.other), "alone")
        near.run(near.core.start())
        token = object()
        near.submit([(1, 1, 0, 512)], [b"!" * 512], [token])
        for link in list(near.core.feeders):
            near.run(near.core.disconnected(link, "unreachable"))
        _pass_time(near, pair.now)
        assert near.replies.get(token) != 0, "a former primary forgot that it had been told"
        near.forget()
        near._line = outer
        return near

    def consent(self, rescue: str = "") -> None:
        """A plan allows to overwrite exactly what the far end holds now, and to keep it under a name."""
        pair = self.pair
        head: Position | None = pair.far.core.history().head
        spec = replace(pair.feeder.spec, consent=head, rescue=rescue)
        pair.near.run(pair.near.core.change_link(spec))


def _pass_time(near: Near, now: float) -> None:
    """Longer than any peer is waited for."""
    for tick in range(30):
        near.core.clock(now + tick / 10, now + tick / 10)
        near.settle()
        near.run(near.core.tick())
