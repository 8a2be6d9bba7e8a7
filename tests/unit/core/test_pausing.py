"""A pause, and a resync that ends in one: where sending stops, and what stays marked (rules A4, A5, B5)."""

import pytest

from farshore.core import actions as a
from farshore.model import messages as m
from farshore.model.options import LinkState, Reason, ResyncKind
from tests.unit.core.pair import ASYNC, REGION, Pair, Wish
from tests.unit.core.scenes import CONTENT


class TestPause:
    def test_now_stops_at_once_and_stays(self) -> None:
        pair = Pair()
        pair.replicating()
        pair.line.room = 0
        pair.write(0)
        pair.near.run(pair.near.core.pause(None, False, 0.0))
        tokens = pair.write(REGION)
        pair.line.room = None
        pair.turn(100)
        assert pair.feeder.standing.reason is Reason.OPERATOR
        assert pair.answered(*tokens)
        assert {(1, 0), (1, 1)} <= pair.marked()
        (told,) = pair.near.noted("link-paused")
        assert (told["sequence"], told["drained"]) == (1, False)

    def test_drain_waits_until_the_peer_has_the_cut_and_nothing_beyond_it(self) -> None:
        pair = Pair(Wish(links=(ASYNC,)))
        pair.replicating()
        pair.line.room = 0
        pair.write(0)
        pair.write(REGION)
        pair.near.run(pair.near.core.pause(None, True, 5.0))
        pair.write(2 * REGION)
        pair.turn(5)
        assert pair.near.noted("link-paused") == []
        pair.line.room = None
        pair.turn(10)
        (told,) = pair.near.noted("link-paused")
        assert (told["sequence"], told["drained"]) == (2, True)
        assert pair.far.core.durable == 2
        assert pair.marked() == {(1, 2)}
        assert pair.feeder.board.base == pair.feeder.record.stopped_at

    def test_drain_gives_up_at_its_deadline(self) -> None:
        pair = Pair(Wish(links=(ASYNC,)))
        pair.replicating()
        pair.line.room = 0
        pair.write(0)
        pair.near.run(pair.near.core.pause(None, True, 0.2))
        pair.until(lambda: bool(pair.near.noted("link-paused")), 40)
        assert pair.near.noted("link-paused")[0]["drained"] is False
        assert pair.marked() == {(1, 0)}

    def test_drain_ends_with_the_line(self) -> None:
        pair = Pair(Wish(links=(ASYNC,)))
        pair.replicating()
        pair.line.room = 0
        pair.write(0)
        pair.near.run(pair.near.core.pause(None, True, 60.0))
        pair.cut()
        assert pair.near.noted("link-paused")[0]["drained"] is False
        assert pair.marked() == {(1, 0)}

    def test_resync_ends_a_pause(self) -> None:
        pair = Pair()
        pair.replicating()
        pair.near.run(pair.near.core.pause(None, True, 5.0))
        pair.write(0)
        pair.turn(20)
        pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False))
        pair.replicating()
        assert pair.equal()

    def test_resync_during_a_drain_is_the_later_wish_and_wins(self) -> None:
        pair = Pair(Wish(links=(ASYNC,)))
        pair.replicating()
        pair.line.room = 0
        pair.write(0)
        pair.near.run(pair.near.core.pause(None, True, 5.0))
        pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False))
        pair.line.room = None
        pair.turn(100)
        assert pair.is_in(LinkState.REPLICATING)
        assert not pair.feeder.record.paused

    def test_a3_a5_a_peer_set_back_below_what_it_drained_is_refused(self) -> None:
        pair = Pair(Wish(links=(ASYNC,)))
        pair.replicating()
        pair.turn(20)
        old = (pair.far.durable, pair.far.applied, bytes(pair.far.disk.safe[1]))
        pair.line.room = 0
        pair.write(0)
        pair.near.run(pair.near.core.pause(None, True, 5.0))
        pair.line.room = None
        pair.turn(20)
        assert pair.near.noted("link-paused")[0]["drained"] is True
        pair.checked = False
        pair.far.durable, pair.far.applied = old[0], old[1]
        pair.far.disk.safe[1] = old[2]
        pair.restart_far("boot-2")
        pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False))
        pair.turn(30)
        assert pair.is_in(LinkState.DIVERGED)


def lose_the_cut(pair: Pair) -> None:
    """A write goes out while the last fill is on its way, and the peer never makes it durable."""
    pair.line.stops = lambda unit: isinstance(unit, m.Fill)
    pair.until(lambda: bool(pair.line.fills()))
    pair.line.stops = lambda unit: isinstance(unit, a.Issue)
    pair.write(3 * REGION)
    pair.far.hold.add(a.SyncVolumes)
    pair.until(lambda: pair.far.held(a.SyncVolumes) == 1)
    pair.line.stops = lambda unit: False
    pair.turn(1)
    assert pair.far.core.applied == 1
    pair.far.let(a.SyncVolumes)
    pair.until(lambda: any(isinstance(unit, m.ResyncEnd) for unit in pair.line.sent))
    pair.restart_far("boot-2")
    pair.far.hold.clear()
    pair.until(lambda: pair.far.core.consistent and not pair.feeder.filling)
    pair.turn(5)
    assert pair.equal()


class TestOnce:
    def test_it_logs_again_at_the_completion_cut(self) -> None:
        pair = Pair()
        pair.replicating()
        pair.cut()
        pair.write(0)
        pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, True))
        pair.mend()
        pair.until(lambda: bool(pair.near.noted("link-paused")))
        cut = pair.near.noted("link-paused")[0]["sequence"]
        pair.write(REGION)
        pair.turn(50)
        assert pair.feeder.standing.reason is Reason.OPERATOR
        assert pair.far.core.applied == cut
        assert pair.far.core.consistent
        assert pair.marked() == {(1, 1)}
        assert pair.feeder.session.met

    @pytest.mark.parametrize("clean", [True, False])
    def test_a_restart_on_the_way_does_not_make_it_stay(self, clean: bool) -> None:
        pair = Pair()
        pair.replicating()
        pair.cut()
        pair.write(0)
        pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, True))
        if clean:
            pair.stop_near()
        else:
            pair.kill_near()
        pair.mend()
        pair.start_near("boot-1")
        pair.until(lambda: bool(pair.near.noted("link-paused")))
        pair.write(REGION)
        pair.turn(50)
        assert pair.feeder.standing.reason is Reason.OPERATOR
        assert pair.marked() == {(1, 1)}

    def test_a_request_is_answered_when_it_is_recorded(self) -> None:
        pair = Pair()
        pair.replicating()
        pair.cut()
        pair.near.hold |= {a.WriteHeader, a.WriteBoard}
        pair.near.run(pair.near.core.resync(None, ResyncKind.FULL, True))
        pair.near.let(a.WriteHeader)
        assert not pair.near.noted("resync-asked")
        pair.near.let_all()
        assert pair.near.noted("resync-asked")

    def test_the_follower_is_told_of_no_gap_behind_the_cut(self) -> None:
        pair = Pair()
        pair.replicating()
        pair.far.hold.add(a.WriteDurable)
        pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, True))
        pair.until(lambda: pair.far.held(a.WriteDurable) > 0)
        pair.write(0)
        pair.turn(5)
        pair.far.let_all()
        pair.turn(10)
        assert not any(isinstance(unit, m.Skip) for unit in pair.line.sent)
        assert not any(isinstance(unit, m.Refusal) for unit in pair.line.heard)

    def test_a_plain_resync_meanwhile_means_to_stay(self) -> None:
        """Replicating means streaming: no link replicates that only marks."""
        pair = Pair()
        pair.replicating()
        pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, True))
        pair.line.stops = lambda unit: isinstance(unit, m.ResyncDone)
        pair.turn(20)
        pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False))
        pair.line.stops = lambda unit: False
        pair.turn(50)
        assert pair.is_in(LinkState.REPLICATING)
        pair.write(0)
        pair.turn(20)
        assert pair.equal()
        assert pair.marked() == set()

    def test_a4_frames_before_the_cut_that_the_peer_loses_are_sent_again(self) -> None:
        """Not durable, then the line and the peer's memory are lost: the same resync goes on."""
        pair = Pair(Wish(links=(ASYNC,), content=CONTENT))
        pair.near.run(pair.near.core.resync(None, ResyncKind.FULL, True))
        lose_the_cut(pair)

    def test_a4_the_same_without_once(self) -> None:
        lose_the_cut(Pair(Wish(links=(ASYNC,), content=CONTENT)))
