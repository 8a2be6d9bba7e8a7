"""One session's stream at a secondary: what is out of its place changes nothing (rules B7, D4, E1)."""

from collections.abc import Callable

import pytest

from farshore.core import actions as a
from farshore.model import messages as m
from farshore.model.options import LinkState, ResyncKind
from farshore.model.positions import History, Position, Stretch
from farshore.model.volumes import WRITE
from tests.unit.core.pair import KIB, REGION, Pair, Wish
from tests.unit.core.scenes import CONTENT, running
from tests.unit.core.shells import new_id


def _ends(pair: Pair) -> bool:
    return any(isinstance(unit, m.ResyncEnd) for unit in pair.line.sent)


def _pair_of(position: Position) -> tuple[bytes, int]:
    return position.generation, position.sequence


class TestStream:
    """Rule B7: what is of another session, doubled, late or early changes nothing."""

    def give(self, pair: Pair, message: m.Message) -> None:
        pair.far.run(pair.far.core.received(pair.line.key, message))

    def frame(self, pair: Pair, first: int, *, last: int = 0, generation: bytes = b"") -> None:
        """A frame that writes nonsense over the first region."""
        generation = generation or pair.near.core.generation
        count = max(last - first + 1, 1)
        issue = a.Issue(
            0, first, Position(generation, first - 1), [(1, WRITE, 0, 4)] * count, [b"evil"] * count, ()
        )
        head = m.FrameHead(pair.group, generation, first, count, issue.follows, 0, False, 100)
        pair.far.run(pair.far.core.frame(pair.line.key, head, issue))

    def test_b7_messages_of_another_session_are_ignored(self) -> None:
        pair = running()
        before, state = bytes(pair.far.disk.seen[1]), pair.far.header
        here = pair.near.core.history()
        position = here.head
        assert position is not None
        stale = pair.feeder.session.nonce ^ 1
        zeroes = bytes(REGION)
        for message in (
            m.Resume(stale, here, position),
            m.ResyncBegin(stale, new_id(), ResyncKind.FULL, here, position),
            m.Skip(stale, Position(position.generation, 50)),
            m.Fill(stale, 1, position.sequence, 1, 0, REGION, zeroes),
            m.DigestQuery(stale, 1, position.sequence, 1, 0, REGION, REGION, bytes(16)),
            m.ResyncEnd(stale, new_id(), here, position),
        ):
            self.give(pair, message)
        assert (pair.far.disk.seen[1], pair.far.header) == (before, state)
        assert pair.is_in(LinkState.REPLICATING)

    def test_b7_a_frame_that_came_before_is_acknowledged_and_not_applied_again(self) -> None:
        pair = running()
        pair.write(0, 512)
        pair.turn(5)
        before = bytes(pair.far.disk.seen[1])
        self.frame(pair, 1, last=2)
        assert pair.far.disk.seen[1] == before
        assert pair.far.core.session is not None

    @pytest.mark.parametrize("case", ["gap", "other generation", "straddles"])
    def test_b7_a_frame_that_does_not_follow_ends_the_session_and_is_not_applied(self, case: str) -> None:
        pair = running()
        pair.write(0, 512)
        pair.turn(5)
        before = bytes(pair.far.disk.seen[1])
        match case:
            case "gap":
                self.frame(pair, 4)
            case "other generation":
                self.frame(pair, 3, generation=new_id())
            case _:
                self.frame(pair, 2, last=3)
        assert pair.far.disk.seen[1] == before
        assert pair.far.core.session is None
        pair.replicating()
        assert pair.equal()

    def test_b7_nothing_is_taken_on_a_connection_that_is_not_the_sessions(self) -> None:
        pair = running()
        before = bytes(pair.far.disk.seen[1])
        key, pair.line.key = pair.line.key, b"else"
        self.frame(pair, 1)
        self.give(pair, m.Refusal("protocol", "go away"))
        pair.line.key = key
        assert pair.far.disk.seen[1] == before
        assert pair.far.core.session is not None

    @pytest.mark.parametrize(
        "message",
        [
            lambda nonce, at: m.Fill(nonce, 1, at.sequence, 1, 0, REGION, bytes(REGION)),
            lambda nonce, at: m.Skip(nonce, Position(at.generation, at.sequence + 5)),
            lambda nonce, at: m.DigestQuery(nonce, 1, at.sequence, 1, 0, REGION, REGION, bytes(16)),
            lambda nonce, at: m.ResyncEnd(nonce, new_id(), History((Stretch(*_pair_of(at)),)), at),
            lambda nonce, at: m.Resume(nonce, History((Stretch(at.generation, at.sequence + 1),)), at),
        ],
        ids=["fill", "skip", "query", "end", "resume elsewhere"],
    )
    def test_e1_resync_messages_outside_of_a_resync_end_the_session(
        self, message: Callable[[int, Position], m.Message]
    ) -> None:
        pair = running()
        before = bytes(pair.far.disk.seen[1])
        here = pair.near.core.history().head
        assert here is not None
        self.give(pair, message(pair.feeder.session.nonce, here))
        assert pair.far.core.session is None
        assert pair.far.disk.seen[1] == before
        assert pair.far.core.consistent

    @pytest.mark.parametrize(
        ("volume", "offset", "length"), [(1, 64 * KIB, REGION), (2, 0, REGION), (1, 0, 65 * KIB), (1, 0, 0)]
    )
    def test_a_fill_outside_of_its_volume_is_refused(self, volume: int, offset: int, length: int) -> None:
        pair = Pair(Wish(content=CONTENT))
        pair.near.hold.add(a.ReadRegion)
        pair.until(lambda: pair.is_in(LinkState.RESYNCING))
        self.give(pair, m.Fill(pair.feeder.session.nonce, 1, 0, volume, offset, length, None))
        assert pair.far.core.session is None

    def test_acknowledgements_are_at_most_one_in_a_turn(self) -> None:
        pair = running()
        before = len([unit for unit in pair.line.heard if isinstance(unit, m.Ack)])
        for n in range(10):
            pair.write(n * 512)
        pair.turn()
        acks = [unit for unit in pair.line.heard if isinstance(unit, m.Ack)][before:]
        assert len(acks) == 1
        assert acks[0].applied == 10


class TestResync:
    """Rule E1, as far as there is no undo yet."""

    def test_e1_the_mark_is_durable_and_everything_synced_before_the_first_fill(self) -> None:
        pair = Pair(Wish(content=CONTENT))
        pair.far.hold.update({a.SyncVolumes, a.WriteHeader})
        pair.until(lambda: pair.far.held(a.WriteHeader) > 0)
        pair.far.let(a.WriteHeader)
        pair.until(lambda: pair.far.held(a.SyncVolumes) > 0)
        pair.turn(5)
        assert pair.far.carried(a.ApplyFill) == []
        pair.far.let(a.SyncVolumes)
        assert pair.far.header.resync is None
        pair.turn(5)
        assert pair.far.carried(a.ApplyFill) == []
        pair.far.let_all()
        pair.turn(1)
        assert pair.far.header.resync is not None
        pair.replicating()

    def test_e1_a_copy_is_inconsistent_from_the_first_fill_to_the_cut(self) -> None:
        pair = running()
        pair.cut()
        pair.write(0)
        pair.mend()
        pair.line.stops = lambda unit: isinstance(unit, m.ResyncEnd)
        pair.until(lambda: pair.far.core.keeper.header.resync is not None)
        pair.turn(5)
        assert not pair.far.core.consistent
        pair.restart_far("boot-1")
        assert not pair.far.core.consistent
        assert pair.far.header.resync is not None

    def test_d4_the_cut_installs_the_history_only_when_everything_is_durable(self) -> None:
        pair = Pair(Wish(content=CONTENT))
        pair.line.stops = lambda unit: isinstance(unit, m.ResyncEnd)
        pair.until(lambda: _ends(pair))
        pair.far.hold.update({a.SyncVolumes, a.WriteDurable, a.WriteHeader})
        pair.line.stops = lambda unit: False
        pair.turn(2)
        for step in (a.SyncVolumes, a.WriteDurable, a.WriteHeader):
            assert pair.far.header.resync is not None
            assert not any(isinstance(unit, m.ResyncDone) for unit in pair.line.heard)
            pair.far.let(step)
        assert pair.far.header.resync is None
        assert any(isinstance(unit, m.ResyncDone) for unit in pair.line.heard)

    def test_e1_the_end_of_a_lost_session_does_not_unmark_the_resync_that_goes_on(self) -> None:
        pair = Pair(Wish(content=CONTENT))
        pair.far.hold.add(a.WriteDurable)
        pair.until(lambda: pair.far.held(a.WriteDurable) == 1)
        pair.line.stops = lambda unit: isinstance(unit, m.ResyncEnd)
        pair.cut()
        pair.write(0)
        pair.turn(1)
        pair.mend()
        pair.until(lambda: pair.is_in(LinkState.RESYNCING))
        pair.far.let_all()
        pair.turn(2)
        assert pair.far.header.resync is not None
        assert not pair.far.core.consistent
        pair.line.stops = lambda unit: False
        pair.replicating()
        assert pair.equal()
