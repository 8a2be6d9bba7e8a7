"""A secondary: what it takes, in which order, and what it says of itself (rules B3, B4, B7, B8, C2, E1)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from farshore.core import actions as a
from farshore.model import messages as m
from farshore.model.options import LinkState, ResyncKind
from farshore.model.positions import History, Position, Stretch
from farshore.model.volumes import WRITE
from tests.unit.core.pair import ASYNC, KIB, REGION, Pair, Wish
from tests.unit.core.shells import new_id

EIO = 5
CONTENT = (bytes(range(1, 256)) * 258)[: 64 * KIB]


def running() -> Pair:
    """A pair that replicates, with everything durable."""
    pair = Pair(Wish(content=CONTENT))
    pair.replicating()
    pair.turn(20)
    return pair


def hello(pair: Pair) -> m.Hello:
    """The feeder's last one."""
    return [unit for unit in pair.line.sent if isinstance(unit, m.Hello)][-1]


def _ends(pair: Pair) -> bool:
    return any(isinstance(unit, m.ResyncEnd) for unit in pair.line.sent)


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


def _pair_of(position: Position) -> tuple[bytes, int]:
    return position.generation, position.sequence


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
        pair.until(lambda: _ends(pair))
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
