"""A resync's begin and end: what a crash or a lost answer may not undo (rules A4, A5, E1, F2)."""

from dataclasses import replace

import pytest

from farshore.core import actions as a
from farshore.model import messages as m
from farshore.model.options import LinkOptions, LinkState, Reason, ResyncKind
from tests.unit.core.pair import ASYNC, KIB, REGION, SYNC, Pair, Wish
from tests.unit.core.scenes import CONTENT, begins, filled, running
from tests.unit.core.shells import BoardFile

ASKED = pytest.mark.parametrize("kind", [ResyncKind.FULL, ResyncKind.DIGEST])


class TestBegin:
    @staticmethod
    def differing() -> Pair:
        """A pair whose peer differs in one region, and nothing says so."""
        pair = running(ASYNC)
        pair.checked = False
        pair.far.disk.seen[1][7 * REGION] ^= 1
        pair.far.disk.sync()(0)
        return pair

    @ASKED
    def test_nothing_is_said_of_a_resync_before_what_it_looks_at_is_durable(self, kind: ResyncKind) -> None:
        pair = running()
        pair.near.hold.add(a.WriteBoard)
        pair.near.run(pair.near.core.resync(None, kind, False))
        pair.turn(30)
        assert len(begins(pair)) == 1
        assert pair.near.header.links[0].open_resync is None
        assert pair.near.core.writable.value == "flowing"
        tokens = pair.write(0)
        pair.near.let_all()
        pair.replicating()
        pair.turn(5)
        assert len(begins(pair)) == 2
        assert pair.answered(*tokens)
        assert pair.equal()

    @ASKED
    @pytest.mark.parametrize("steps", range(8))
    def test_a_crash_after_any_step_keeps_what_the_operator_asked_for(
        self, kind: ResyncKind, steps: int
    ) -> None:
        """Each durable step of the primary is one step; then its machine stops."""
        pair = self.differing()
        pair.near.hold |= {a.WriteBoard, a.WriteHeader}
        pair.near.run(pair.near.core.resync(None, kind, False))
        pair.near.let(a.WriteBoard)
        for _ in range(steps):
            pair.turn(3)
            pair.near.let_next()
        pair.kill_near(lose_cache=True)
        pair.start_near("boot-2")
        pair.replicating()
        pair.turn(20)
        assert pair.equal()

    @ASKED
    def test_what_is_asked_for_while_the_peer_is_away_outlives_us(self, kind: ResyncKind) -> None:
        pair = self.differing()
        pair.cut()
        pair.near.run(pair.near.core.resync(None, kind, False))
        pair.turn(3)
        pair.kill_near()
        pair.mend()
        pair.start_near("boot-1")
        pair.replicating()
        assert pair.equal()

    def test_b7_what_was_being_prepared_for_a_session_ends_with_it(self) -> None:
        """The scoreboard becomes durable while the next session has heard nothing of its peer yet."""
        pair = running(ASYNC)
        pair.near.hold.add(a.WriteBoard)
        pair.near.run(pair.near.core.resync(None, ResyncKind.FULL, False))
        pair.until(lambda: pair.feeder.session.greeting and isinstance(pair.line.heard[-1], m.Welcome))
        pair.turn(2)
        pair.cut()
        pair.mend()
        pair.line.stops = lambda unit: isinstance(unit, m.Welcome)
        pair.until(lambda: pair.feeder.session.greeting)
        begun = len(begins(pair))
        pair.near.let_all()
        assert pair.feeder.session.greeting
        assert len(begins(pair)) == begun
        pair.line.stops = lambda unit: False
        pair.replicating()
        assert pair.equal()

    @pytest.mark.parametrize("first", [ResyncKind.FULL, ResyncKind.DIGEST])
    @pytest.mark.parametrize("slow", [a.WriteBoard, a.WriteHeader])
    @pytest.mark.parametrize("steps", range(4))
    def test_a_first_copy_that_a_crash_interrupts_copies_everything(
        self, first: ResyncKind, slow: type, steps: int
    ) -> None:
        """A new scoreboard's file marks nothing, and the peer remembers the resync."""
        pair = Pair(Wish(links=(replace(ASYNC, first=first),), content=CONTENT), start=False)
        pair.near.boards[pair.link] = BoardFile(None, None, {})
        pair.far.start("boot-1")
        pair.far.run(pair.far.core.start())
        pair.start_near("boot-1")
        pair.checked = False
        pair.near.hold |= {slow, a.ReadRegion}
        for _ in range(steps):
            pair.turn(3)
            pair.near.let_next()
        pair.turn(3)
        pair.kill_near(lose_cache=True)
        pair.start_near("boot-2")
        pair.replicating()
        assert pair.equal()

    def test_an_older_copy_of_ours_is_compared_whatever_a_crash_left_of_the_first_meeting(self) -> None:
        """The header knows the peer already, and nothing is marked."""
        pair = running(ASYNC)
        pair.stop_near()
        pair.near.disk.seen[1][:REGION] = b"n" * REGION
        pair.near.disk.sync()(0)
        pair.near.boards[pair.link] = BoardFile(None, None, {})
        pair.checked = False
        pair.start_near("boot-1")
        pair.replicating()
        assert begins(pair)[-1].kind is ResyncKind.DIGEST
        assert pair.equal()


class TestLostAnswer:
    """The cut is durable at the peer, and the line is lost before it says so."""

    @staticmethod
    def cut_off(pair: Pair) -> None:
        pair.line.stops = lambda unit: isinstance(unit, m.ResyncDone)
        pair.until(lambda: any(isinstance(unit, m.ResyncDone) for unit in pair.line.heard))
        pair.turn(3)
        pair.line.stops = lambda unit: False

    def test_the_pass_is_not_repeated(self) -> None:
        pair = Pair(Wish(content=CONTENT))
        self.cut_off(pair)
        fills = len(pair.line.fills())
        pair.cut()
        pair.turn(2)
        pair.write(3 * REGION)
        pair.turn(2)
        pair.mend()
        pair.replicating()
        assert filled(pair.line.fills()[fills:]) == {3}
        assert pair.near.header.links[0].open_resync is None
        assert pair.equal()

    def test_a4_what_the_peer_lost_of_what_followed_the_cut_is_sent_again(self) -> None:
        pair = Pair(Wish(content=CONTENT))
        self.cut_off(pair)
        pair.far.hold.add(a.SyncVolumes)
        tokens = pair.write(5 * REGION)
        pair.turn(3)
        assert pair.far.core.applied == pair.near.core.sequence
        pair.restart_far("boot-2")
        pair.far.hold.clear()
        pair.replicating()
        pair.turn(5)
        assert pair.answered(*tokens)
        assert pair.equal()

    def test_a4_a_peer_that_is_still_in_the_resync_is_not_believed_to_be_through(self) -> None:
        pair = Pair(Wish(content=CONTENT))
        pair.far.hold.add(a.WriteDurable)
        pair.until(lambda: any(isinstance(unit, m.ResyncEnd) for unit in pair.line.sent))
        pair.turn(3)
        pair.restart_far("boot-2")
        pair.turn(1)
        pair.until(lambda: isinstance(pair.line.heard[-1], m.Welcome))
        assert pair.near.header.links[0].open_resync is not None
        pair.replicating()
        assert pair.equal()

    @pytest.mark.parametrize("options", [SYNC, ASYNC], ids=["sync", "async"])
    def test_a_one_time_resync_ends_in_its_pause_all_the_same(self, options: LinkOptions) -> None:
        pair = running(options)
        pair.near.run(pair.near.core.resync(None, ResyncKind.FULL, True))
        pair.line.heard.clear()
        self.cut_off(pair)
        pair.write(9 * KIB)
        begun = len(begins(pair))
        pair.cut()
        pair.turn(2)
        pair.mend()
        pair.turn(100)
        assert pair.is_in(LinkState.LOGGING)
        assert pair.feeder.standing.reason is Reason.OPERATOR
        assert pair.feeder.record.paused
        assert len(begins(pair)) == begun
        assert pair.marked() == {(1, 2)}

    @pytest.mark.parametrize("kind", ResyncKind)
    def test_a_one_time_resync_that_was_asked_for_since_is_still_owed(self, kind: ResyncKind) -> None:
        pair = Pair(Wish(links=(ASYNC,), content=CONTENT))
        self.cut_off(pair)
        pair.cut()
        pair.turn(2)
        pair.write(3 * REGION)
        pair.near.run(pair.near.core.resync(None, kind, True))
        begun = len(begins(pair))
        pair.mend()
        pair.until(lambda: pair.feeder.record.paused)
        pair.turn(5)
        assert len(begins(pair)) == begun + 1
        assert pair.equal()

    def test_b5_the_cut_that_was_told_is_the_one_that_is_remembered(self) -> None:
        """Writes were sent behind it, and the peer's answer to them never came."""
        pair = running(ASYNC)
        pair.near.run(pair.near.core.resync(None, ResyncKind.FULL, True))
        pair.line.heard.clear()
        pair.line.stops = lambda unit: isinstance(unit, m.ResyncDone)
        pair.until(lambda: any(isinstance(unit, m.ResyncDone) for unit in pair.line.heard))
        for _ in range(5):
            pair.write(9 * KIB)
        pair.turn(20)
        pair.cut()
        pair.line.stops = lambda unit: False
        pair.turn(2)
        pair.near.notes.clear()
        pair.mend()
        pair.until(lambda: any(note.kind == "link-paused" for note in pair.near.notes))
        pair.turn(3)
        told = next(note.fields["sequence"] for note in pair.near.notes if note.kind == "link-paused")
        stopped = pair.near.header.links[0].stopped_at
        assert stopped is not None
        assert stopped.sequence == told == pair.far.core.applied


@pytest.mark.parametrize("boot", ["boot-1", "boot-2"])
def test_a5_an_end_that_the_peer_has_not_made_durable_is_not_taken_from_its_next_greeting(boot: str) -> None:
    """The line broke while the header with the end was being written, and the process died before it was."""
    pair = Pair()
    pair.replicating()
    pair.cut()
    pair.write(0)
    pair.turn(5)
    pair.line.stops = lambda unit: isinstance(unit, m.ResyncEnd)
    pair.mend()
    pair.until(lambda: bool(pair.line.to_far) and isinstance(pair.line.to_far[0][1], m.ResyncEnd))
    pair.far.hold.add(a.WriteHeader)
    pair.line.stops = lambda unit: False
    pair.until(lambda: pair.far.held(a.WriteHeader) > 0)
    pair.cut()
    pair.mend()
    pair.turn(100)
    pair.restart_far(boot)
    pair.replicating()
    assert pair.equal()
