"""What an answered request means, with a peer, without one, and frozen (rules C1, C2, C4)."""

from dataclasses import replace

import pytest

from farshore.core import actions as a
from farshore.core.holding import held_by
from farshore.errors import FarshoreError
from farshore.model import messages as m
from farshore.model.options import AckLevel, LinkOptions, LinkState, ResyncKind, Writes
from farshore.model.positions import Position
from tests.unit.core.pair import ASYNC, SYNC, Pair, Wish
from tests.unit.core.scenes import CONTENT, FREEZE, running


class TestAcknowledgements:
    """Rules C1 and C2, end to end."""

    @pytest.mark.parametrize(
        ("level", "needed"),
        [(AckLevel.RECEIVED, "applied"), (AckLevel.APPLIED, "applied"), (AckLevel.DURABLE, "durable")],
    )
    def test_c2_a_sync_write_waits_for_its_level_at_the_peer(self, level: AckLevel, needed: str) -> None:
        pair = running(replace(SYNC, ack=level))
        pair.far.hold.add(a.SyncVolumes)
        pair.line.room = 0
        tokens = pair.write(0)
        pair.turn(3)
        assert not pair.answered(*tokens)
        pair.line.room = None
        pair.turn(15)
        assert pair.answered(*tokens) is (needed == "applied")
        pair.far.let_all()
        pair.turn(15)
        assert pair.answered(*tokens)

    def test_c2_the_local_write_counts_as_much_as_the_peers(self) -> None:
        pair = running()
        pair.near.hold.add(a.Issue)
        tokens = pair.write(0)
        pair.turn(5)
        assert not pair.answered(*tokens)
        pair.near.let_all()
        assert pair.answered(*tokens)

    def test_c1_a_flush_is_durable_here_and_at_every_sync_peer_that_replicates(self) -> None:
        pair = running(SYNC, SYNC, ASYNC)
        (slow, lost, _) = pair.fars.values()
        pair.write(0)
        slow.hold.add(a.SyncVolumes)
        flush = pair.flush()
        pair.turn(10)
        assert not pair.answered(flush)
        slow.let_all()
        pair.turn(3)
        assert pair.answered(flush)
        assert pair.near.disk.safe[1] == pair.near.disk.seen[1] == slow.disk.safe[1] == lost.disk.safe[1]

    def test_async_links_hold_nobody_up(self) -> None:
        pair = running(ASYNC)
        pair.line.room = 0
        tokens = [*pair.write(0), pair.flush()]
        assert pair.answered(*tokens)


class TestAlone:
    """Rule C4, continue."""

    def test_alone_since_is_durable_before_the_first_acknowledgement_without_the_peer(self) -> None:
        pair = running()
        pair.near.hold.add(a.WriteHeader)
        pair.cut()
        tokens = [*pair.write(0), pair.flush()]
        pair.turn(20)
        assert not pair.answered(*tokens[:1])
        assert not pair.answered(*tokens[1:])
        pair.near.let_all()
        assert pair.answered(*tokens)
        assert pair.near.header.links[0].alone_since == Position(pair.near.core.generation, 0)

    def test_a_write_that_was_in_flight_when_the_line_broke_counts_as_well(self) -> None:
        pair = running()
        pair.line.room = 0
        tokens = pair.write(0)
        pair.near.hold.add(a.WriteHeader)
        pair.cut()
        assert not pair.answered(*tokens)
        pair.near.let_all()
        assert pair.answered(*tokens)

    def test_it_is_cleared_only_when_everything_is_durable_at_the_peer(self) -> None:
        pair = running()
        pair.cut()
        pair.write(0)
        pair.turn(3)
        pair.mend()
        pair.line.stops = lambda unit: isinstance(unit, m.ResyncDone)
        pair.turn(40)
        assert pair.near.header.links[0].alone_since is not None
        pair.line.stops = lambda unit: False
        pair.turn(10)
        assert pair.near.header.links[0].alone_since is None
        assert pair.far.disk.safe == pair.near.disk.seen

    def test_changing_options_of_a_running_link_holds_nobody_up(self) -> None:
        pair = running()
        spec = pair.feeder.spec
        for options in (replace(SYNC, rpo=5.0), ASYNC, SYNC, FREEZE, SYNC):
            pair.near.run(pair.near.core.change_link(replace(spec, options=options)))
            tokens = pair.write(0)
            pair.turn(10)
            assert pair.answered(*tokens), options
            assert pair.is_in(LinkState.REPLICATING)

    def test_a_link_that_becomes_sync_while_its_peer_is_away_is_recorded_as_alone(self) -> None:
        pair = running(ASYNC)
        pair.cut()
        pair.near.run(pair.near.core.change_link(replace(pair.feeder.spec, options=SYNC)))
        tokens = pair.write(0)
        pair.turn(2)
        assert pair.answered(*tokens)
        assert pair.near.header.links[0].alone_since is not None


class TestFreeze:
    """Rule C4, freeze."""

    def test_acknowledgements_stop_with_the_line_and_go_on_with_replicating(self) -> None:
        pair = running(FREEZE)
        pair.cut()
        tokens = [*pair.write(0), pair.flush()]
        pair.turn(100)
        assert not pair.answered(*tokens[:1])
        assert not pair.answered(*tokens[1:])
        assert "l0" in str(held_by(pair.near.core))
        pair.mend()
        pair.replicating()
        pair.turn(10)
        assert pair.answered(*tokens)
        assert pair.near.header.links[0].alone_since is None

    def test_no_acknowledged_write_is_missing_at_the_peer_however_the_line_behaves(self) -> None:
        pair = running(FREEZE)
        pair.far.hold.clear()
        for n in range(30):
            tokens = pair.write(n * 512, fill=bytes([n + 1]))
            pair.turn(n % 3)
            if n % 5 == 0:
                pair.cut()
            elif n % 5 == 3:
                pair.mend()
            if pair.answered(*tokens):
                assert pair.far.disk.seen[1][n * 512 : n * 512 + 512] == bytes([n + 1]) * 512

    def test_its_first_copy_does_not_freeze(self) -> None:
        pair = Pair(Wish(links=(FREEZE,), content=CONTENT))
        pair.line.stops = lambda unit: isinstance(unit, m.Fill)
        tokens = pair.write(0)
        pair.turn(10)
        assert pair.answered(*tokens)

    @pytest.mark.parametrize("once", [False, True])
    def test_pausing_it_needs_a_plan(self, once: bool) -> None:
        pair = running(FREEZE)
        with pytest.raises(FarshoreError) as refused:
            if once:
                pair.near.core.resync(None, ResyncKind.UPDATE, True)
            else:
                pair.near.core.pause(None, True, 1.0)
        assert refused.value.code.name == "plan-needed"

    def test_a_one_shot_first_copy_does_not_freeze_the_application(self) -> None:
        pair = Pair(Wish(links=(FREEZE,), content=CONTENT))
        pair.near.run(pair.near.core.resync(None, ResyncKind.FULL, True))
        pair.until(lambda: bool(pair.near.noted("link-paused")))
        tokens = pair.write(0)
        pair.turn(5)
        assert pair.answered(*tokens)
        assert pair.near.core.writable is Writes.FLOWING
        assert not pair.near.header.links[0].ever_replicated

    def test_that_it_replicated_is_durable_before_anything_relies_on_it(self) -> None:
        pair = Pair(Wish(links=(FREEZE,), content=CONTENT))
        pair.until(lambda: pair.is_in(LinkState.RESYNCING))
        pair.near.hold.add(a.WriteHeader)
        pair.turn(50)
        tokens = pair.write(0)
        pair.turn(10)
        if pair.is_in(LinkState.REPLICATING) and pair.answered(*tokens):
            assert pair.near.header.links[0].ever_replicated
        pair.near.let_all()
        pair.replicating()
        assert pair.near.header.links[0].ever_replicated

    @pytest.mark.parametrize("options", [SYNC, ASYNC])
    def test_an_operator_may_end_a_freeze(self, options: LinkOptions) -> None:
        pair = running(FREEZE)
        pair.cut()
        tokens = pair.write(0)
        pair.turn(10)
        pair.near.run(pair.near.core.change_link(replace(pair.feeder.spec, options=options)))
        assert pair.answered(*tokens)
