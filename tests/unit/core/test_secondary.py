"""A secondary: what it takes, in which order, and what it says of itself (rules B3, B4, B7, B8, C2, E1)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from farshore.core import actions as a
from farshore.model import messages as m
from farshore.model.header import Upstream
from farshore.model.options import LinkState, Reason
from farshore.model.positions import Position
from tests.unit.core.pair import ASYNC, KIB, REGION, Pair, Wish
from tests.unit.core.scenes import CONTENT, EIO, running
from tests.unit.core.shells import new_id


def hello(pair: Pair) -> m.Hello:
    """The feeder's last one."""
    return [unit for unit in pair.line.sent if isinstance(unit, m.Hello)][-1]


def answers(pair: Pair, greeting: m.Hello, key: bytes = b"else") -> list[object]:
    """What the secondary says to a hello on another connection."""
    pair.far.done.clear()
    pair.far.run(pair.far.core.accepted(key, greeting))
    return [each.message for each in pair.far.carried(a.Send) if each.channel == key]


class TestGreeting:
    """Rule B8 and the handshake's refusals."""

    CASES: dict[str, tuple[Callable[[m.Hello], m.Hello], str]] = {
        "another protocol": (lambda it: replace(it, protocol=99), "protocol"),
        "another group": (lambda it: replace(it, group=new_id()), "wrong-feeder"),
        "another link": (lambda it: replace(it, link=new_id()), "wrong-feeder"),
        "another epoch": (lambda it: replace(it, epoch=2), "wrong-feeder"),
        "another copy as feeder": (lambda it: replace(it, copy=new_id()), "wrong-feeder"),
        "a feeder that expects another copy": (
            lambda it: replace(it, peer_copy=new_id()),
            "identity-changed",
        ),
        "other sizes": (lambda it: replace(it, volumes=((1, 65 * KIB),)), "size-mismatch"),
        "another instance of the feeder": (lambda it: replace(it, instance=new_id()), "session-live"),
    }

    @pytest.mark.parametrize("case", CASES)
    def test_b8_refuses(self, case: str) -> None:
        pair = running()
        change, code = self.CASES[case]
        (refusal,) = answers(pair, change(hello(pair)))
        assert isinstance(refusal, m.Refusal)
        assert refusal.code == code
        pair.turn(10)
        assert pair.is_in(LinkState.REPLICATING)

    @pytest.mark.parametrize("case", [case for case, (_, code) in CASES.items() if code == "wrong-feeder"])
    @pytest.mark.parametrize("ails", ["fault", "no room"])
    def test_d5_whom_it_follows_is_said_before_what_ails_it(self, case: str, ails: str) -> None:
        pair = running()
        if ails == "fault":
            pair.far.core.fail(EIO)
        else:
            pair.far.core.journal.stuck = True
        change, code = self.CASES[case]
        (refusal,) = answers(pair, change(hello(pair)))
        assert isinstance(refusal, m.Refusal)
        assert refusal.code == code

    def test_b8_pointed_twice_it_meets_nobody_before_the_second_is_durable(self) -> None:
        pair = running()
        pair.far.hold.add(a.WriteHeader)
        pair.far.run(pair.far.core.point_at(pair.link, 5))
        pair.far.run(pair.far.core.point_at(pair.link, 6))
        newest = replace(hello(pair), epoch=6)
        pair.far.let(a.WriteHeader)
        (refusal,) = answers(pair, newest)
        assert isinstance(refusal, m.Refusal)
        assert refusal.code == "session-live"
        pair.far.let_all()
        (welcome,) = answers(pair, newest)
        assert isinstance(welcome, m.Welcome)

    def test_b8_a_second_instance_is_let_in_once_the_first_has_been_silent(self) -> None:
        pair = running()
        pair.cut(silent=True)
        pair.turn(51, step=0.01)
        (welcome,) = answers(pair, replace(hello(pair), instance=new_id()))
        assert isinstance(welcome, m.Welcome)

    def test_b8_or_once_its_connection_has_ended(self) -> None:
        pair = running()
        pair.cut()
        (welcome,) = answers(pair, replace(hello(pair), instance=new_id()))
        assert isinstance(welcome, m.Welcome)

    def test_a_refused_instance_is_told_to_the_operator(self) -> None:
        pair = running()
        answers(pair, replace(hello(pair), instance=new_id()))
        assert len(pair.far.noted("second-feeder-refused")) == 1

    def test_the_same_instance_may_come_again_and_its_old_connection_ends(self) -> None:
        pair = running()
        old = pair.line.key
        (welcome,) = answers(pair, hello(pair))
        assert isinstance(welcome, m.Welcome)
        assert [each.channel for each in pair.far.carried(a.Close)] == [old]

    def test_the_first_feeder_is_remembered(self) -> None:
        pair = running()
        assert pair.far.header.upstream is not None
        assert pair.far.header.upstream.copy == pair.near.header.copy

    def test_nobody_is_let_in_before_the_start_is_durable(self) -> None:
        pair = running()
        pair.cut()
        greeting = hello(pair)
        pair.far.forget()
        pair.far.start("boot-1")
        pair.far.hold.add(a.WriteHeader)
        pair.far.run(pair.far.core.start())
        (refusal,) = answers(pair, greeting)
        assert isinstance(refusal, m.Refusal)
        pair.far.let_all()
        (welcome,) = answers(pair, greeting)
        assert isinstance(welcome, m.Welcome)


class TestDurability:
    """Rules B3 and B4."""

    def test_b3_nothing_behind_a_flush_is_applied_before_everything_before_it_is_durable(self) -> None:
        pair = running()
        pair.far.hold.add(a.SyncVolumes)
        pair.write(0)
        pair.flush()
        pair.write(REGION, fill=b"x")
        pair.turn(3)
        assert pair.far.core.holding
        assert pair.far.core.applied == 2
        assert pair.far.disk.seen[1][REGION] != ord("x")
        pair.far.let_all()
        pair.turn(3)
        assert pair.far.core.applied == 3
        assert pair.far.disk.seen[1][REGION] == ord("x")

    def test_b4_what_was_applied_becomes_durable_within_a_second_by_itself(self) -> None:
        pair = running()
        for n in range(12):
            pair.write(n * 512)
            pair.turn()
        assert pair.far.core.durable < 12
        pair.turn(12)
        assert pair.far.core.durable == 12
        assert pair.far.durable == Position(pair.near.core.generation, 12)
        assert pair.feeder.acked.durable == 12

    def test_b4_durability_does_not_hold_the_stream(self) -> None:
        pair = running()
        pair.far.hold.add(a.SyncVolumes)
        pair.write(0)
        pair.turn(15)
        assert pair.far.held(a.SyncVolumes) == 1
        pair.write(512)
        pair.turn(3)
        assert (pair.far.core.applied, pair.far.core.durable) == (2, 0)

    def test_c2_durable_is_said_only_after_sync_and_record(self) -> None:
        pair = running()
        pair.far.hold.update({a.SyncVolumes, a.WriteDurable})
        pair.write(0)
        pair.turn(15)
        pair.far.let(a.SyncVolumes)
        pair.turn(3)
        assert pair.feeder.acked.durable == 0
        pair.far.let(a.WriteDurable)
        pair.turn(3)
        assert pair.feeder.acked.durable == 1

    def test_c2_a_sync_under_way_does_not_cover_what_came_meanwhile(self) -> None:
        pair = running()
        pair.far.hold.add(a.SyncVolumes)
        pair.write(0)
        pair.turn(15)
        pair.write(512)
        pair.turn(2)
        pair.far.let(a.SyncVolumes)
        pair.turn(3)
        assert pair.feeder.acked.durable == 1

    def test_b3_after_a_process_death_the_applied_position_is_believed(self) -> None:
        pair = running()
        pair.write(0)
        pair.turn(2)
        pair.restart_far("boot-1")
        assert pair.far.core.applied == 1
        assert pair.far.core.consistent

    def test_b3_after_a_power_loss_it_says_that_it_is_no_prefix_until_it_was_resynced(self) -> None:
        pair = running()
        pair.far.hold.add(a.SyncVolumes)
        pair.write(0)
        pair.turn(2)
        assert pair.far.core.applied == 1
        pair.line.stops = lambda unit: isinstance(unit, m.ResyncEnd)
        pair.restart_far("boot-2")
        assert pair.far.core.applied == 0
        assert not pair.far.core.consistent
        pair.turn(20)
        assert not pair.far.core.consistent
        pair.line.stops = lambda unit: False
        pair.replicating()
        assert pair.far.core.consistent
        assert pair.equal()

    def test_b3_doubt_outlives_further_restarts(self) -> None:
        pair = running()
        pair.write(0)
        pair.turn(2)
        pair.cut()
        for boot in ("boot-2", "boot-2", "boot-3"):
            pair.restart_far(boot)
            pair.cut()
            assert not pair.far.core.consistent

    def test_after_a_clean_stop_there_is_no_doubt_and_nothing_is_copied(self) -> None:
        pair = running()
        pair.write(0)
        pair.turn(2)
        pair.far.run(pair.far.core.stop())
        assert pair.far.core.stopped
        assert pair.far.header.clean
        fills = len(pair.line.fills())
        pair.restart_far("boot-2")
        assert pair.far.core.consistent
        assert pair.far.core.applied == 1
        pair.replicating()
        assert sum(each.length for each in pair.line.fills()[fills:]) <= REGION


class TestFaults:
    """Rule C3."""

    FAULTS: dict[str, type] = {
        "a frame": a.ApplyFrame,
        "a sync": a.SyncVolumes,
        "the position": a.WriteDurable,
    }

    @pytest.mark.parametrize("what", FAULTS)
    def test_an_error_ends_the_session_and_nothing_more_is_taken(self, what: str) -> None:
        pair = running()
        pair.far.errors[self.FAULTS[what]] = [EIO]
        tokens = [*pair.write(0), pair.flush()]
        pair.turn(30)
        assert pair.far.core.fault
        assert pair.feeder.state is LinkState.LOGGING
        assert pair.feeder.acked.durable == 0
        assert pair.answered(*tokens)
        (refusal,) = answers(pair, hello(pair))
        assert isinstance(refusal, m.Refusal)
        assert refusal.code == "faulted"
        assert pair.far.header.fault

    def test_a_frame_that_was_counted_as_failed_is_never_acknowledged_applied(self) -> None:
        pair = running()
        pair.far.errors[a.ApplyFrame] = [28]
        pair.write(0)
        pair.turn(3)
        assert pair.far.core.applied == 0
        assert (1, 0) in pair.marked()

    @pytest.mark.parametrize("kind", [a.ApplyFrame, a.ApplyFill])
    def test_a_full_disk_ends_the_session_and_the_copy_is_in_doubt_until_there_is_room(
        self, kind: type
    ) -> None:
        pair = running()
        pair.far.errors[kind] = [28, 28]
        if kind is a.ApplyFill:
            pair.cut()
            pair.mend()
        pair.write(0, REGION)
        pair.until(lambda: pair.feeder.standing.reason is Reason.PEER_ERROR)
        assert not pair.far.core.fault
        assert not pair.far.core.consistent
        assert {(1, 0), (1, 1)} <= pair.marked()
        pair.replicating()
        assert pair.equal()
        assert pair.far.core.consistent

    def test_b8_nobody_is_met_under_a_raised_epoch_before_it_is_durable(self) -> None:
        pair = running()
        pair.far.hold.add(a.WriteHeader)
        pair.far.run(pair.far.core.point_at(pair.link, 2))
        assert pair.far.core.session is None
        spec = replace(pair.near.links[0], epoch=2)
        pair.near.run(pair.near.core.change_link(spec))
        pair.turn(30)
        assert pair.far.core.session is None
        pair.far.let_all()
        assert pair.far.header.upstream == Upstream(pair.link, 2)
        pair.replicating()

    def test_b8_the_feeder_of_a_lower_epoch_is_cut_off_and_stays_so_after_a_crash(self) -> None:
        pair = running()
        pair.far.run(pair.far.core.point_at(pair.link, 2))
        pair.turn(20)
        pair.restart_far("boot-2")
        pair.turn(20)
        assert pair.feeder.standing.reason is Reason.REFUSED
        assert pair.far.core.session is None
        pair.far.run(pair.far.core.point_at(pair.link, 1))
        assert pair.far.core.keeper.header.upstream == Upstream(pair.link, 2, None)

    def test_a_fill_that_fails_is_not_counted(self) -> None:
        pair = Pair(Wish(content=CONTENT))
        pair.far.errors[a.ApplyFill] = [EIO]
        pair.turn(30)
        assert pair.far.core.fault
        assert pair.feeder.board.regions() == 16

    def test_a_stop_behind_a_failed_sync_is_not_clean(self) -> None:
        """The kernel tells of an error once; the next sync would succeed."""
        pair = running()
        pair.far.hold.add(a.SyncVolumes)
        pair.write(0)
        pair.turn(15)
        pair.far.run(pair.far.core.stop())
        pair.far.errors[a.SyncVolumes] = [EIO]
        pair.far.let_all()
        assert not pair.far.header.clean
        assert pair.far.durable != Position(pair.near.core.generation, 1)

    def test_a_cut_behind_a_failed_sync_is_not_installed(self) -> None:
        pair = Pair(Wish(links=(ASYNC,), content=CONTENT))
        pair.line.stops = lambda unit: isinstance(unit, m.ResyncEnd)
        pair.until(lambda: any(isinstance(unit, m.ResyncEnd) for unit in pair.line.sent))
        pair.far.hold.add(a.SyncVolumes)
        pair.write(0)
        pair.far.run(pair.far.core.received(pair.line.key, m.SyncNow(pair.feeder.session.nonce)))
        pair.line.stops = lambda unit: False
        pair.turn(1)
        pair.far.errors[a.SyncVolumes] = [EIO]
        pair.far.let_all()
        assert pair.far.header.resync is not None
        assert not pair.far.core.consistent

    def test_after_a_failed_sync_only_what_was_durable_before_is_believed(self) -> None:
        pair = running()
        pair.write(0)
        pair.turn(15)
        pair.far.errors[a.SyncVolumes] = [EIO]
        pair.write(REGION)
        pair.turn(15)
        pair.restart_far("boot-1")
        assert pair.far.core.applied == 1
        assert not pair.far.core.consistent
        pair.replicating()
        assert pair.equal()

    def test_c3_a_fault_that_cannot_be_recorded_is_recorded_as_soon_as_that_works(self) -> None:
        """A dying disk holds the volume and the header: the sync fails, and so does the record of that."""
        pair = running()
        pair.write(0, 5 * REGION)
        far = pair.far
        far.errors[a.SyncVolumes] = [EIO]
        far.errors[a.WriteHeader] = [EIO] * 3
        pair.until(lambda: bool(far.core.fault))
        assert far.durable is not None
        assert far.core.applied > far.durable.sequence
        assert not far.header.fault
        far.run(far.core.repair())
        pair.turn(20)
        assert not far.noted("repairable"), "a start would not know of the fault yet"
        pair.until(lambda: bool(far.noted("repairable")), 2000)
        assert str(far.header.fault) == far.core.fault
        pair.restart_far("boot-1")
        assert far.core.applied == far.durable.sequence
