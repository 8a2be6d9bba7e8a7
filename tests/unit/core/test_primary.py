"""A primary with its peers: starts, acknowledgements, outages, faults (A2, A3, C1 to C4, D1, D5, D6)."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest

from farshore.core import actions as a
from farshore.core.primary import PrimarySetup
from farshore.errors import FarshoreError
from farshore.model import messages as m
from farshore.model.header import Header, LinkRecord
from farshore.model.options import (
    AckLevel,
    LinkOptions,
    LinkSpec,
    LinkState,
    OnOutage,
    Reason,
    ResyncKind,
    Role,
    Writes,
)
from farshore.model.positions import History, Position, Stretch
from tests.unit.core.pair import ASYNC, KIB, REGION, SYNC, Pair, Wish
from tests.unit.core.shells import TIMING, new_id

EIO = 5
FREEZE = replace(SYNC, on_outage=OnOutage.FREEZE)
CONTENT = (bytes(range(1, 256)) * 258)[: 64 * KIB]


def running(*links: LinkOptions, capacity: int = 16) -> Pair:
    """A pair that replicates, with everything durable."""
    pair = Pair(Wish(links=links or (SYNC,), content=CONTENT, capacity=capacity))
    pair.replicating()
    pair.turn(20)
    return pair


def written_sequences(pair: Pair) -> list[int]:
    return [issue.ticket for issue in pair.near.carried(a.Issue)]


class TestGenerations:
    """Rule D1."""

    def test_a_start_mints_a_generation_before_anything_else(self) -> None:
        pair = Pair(start=False)
        pair.near.hold.add(a.WriteHeader)
        pair.start_near("boot-1")
        pair.write(0)
        assert pair.near.held(a.WriteHeader) == 1
        assert pair.near.carried(a.Connect) == []
        assert pair.near.carried(a.Issue) == []

    def test_after_a_clean_stop_it_begins_exactly_where_the_last_one_ended(self) -> None:
        pair = running()
        pair.write(0, 512, 1024)
        pair.turn(2)
        old = pair.near.core.generation
        pair.stop_near()
        pair.start_near("boot-1")
        assert pair.near.core.history() == History((Stretch(old, 3), Stretch(pair.near.core.generation, 3)))

    @pytest.mark.parametrize("lose_cache", [False, True])
    def test_after_a_crash_it_begins_beyond_every_sequence_that_was_ever_given(
        self, lose_cache: bool
    ) -> None:
        pair = running()
        pair.write(0, 512, 1024)
        pair.kill_near(lose_cache=lose_cache)
        old = pair.near.header.history.stretches[-1]
        assert old.last >= 3
        pair.start_near("boot-2" if lose_cache else "boot-1")
        assert pair.near.core.history().stretches[-2] == old
        assert pair.near.core.sequence == old.last

    def test_sequences_are_reserved_durably_before_they_are_used(self) -> None:
        pair = Pair(Wish(links=(), reserve=20))
        pair.turn()
        pair.near.hold.add(a.WriteHeader)
        tokens = [token for n in range(40) for token in pair.write(n * 512)]
        assert max(written_sequences(pair)) <= pair.near.header.ceiling
        pair.near.let_all()
        assert pair.answered(*tokens)
        assert max(written_sequences(pair)) <= pair.near.header.ceiling


class TestOpening:
    """Rule D5: what a restarted primary waits for before writes flow."""

    def restarted(self, boot: str, on_start: str, *links: LinkOptions) -> tuple[Pair, list[int]]:
        """Killed, then started while no line is up."""
        pair = running(*links)
        pair.kill_near(lose_cache=boot != "boot-1")
        for link in pair.lines:
            pair.cut(link)
        pair.start_near(boot, on_start)
        tokens = pair.write(0)
        pair.turn(3)
        return pair, tokens

    def test_within_one_boot_silence_for_the_limit_counts_as_link_loss(self) -> None:
        pair, tokens = self.restarted("boot-1", "wait", SYNC)
        assert not pair.answered(*tokens)
        assert pair.near.core.writable is Writes.HELD
        pair.turn(60)
        assert pair.answered(*tokens)
        assert pair.near.header.links[0].alone_since is not None

    def test_after_a_reboot_writes_are_held_until_every_sync_peer_has_answered(self) -> None:
        pair, tokens = self.restarted("boot-2", "wait", SYNC, SYNC)
        pair.turn(300)
        assert not pair.answered(*tokens)
        assert "l0, l1" in str(pair.near.core.held_by())
        first, second = pair.lines
        pair.mend(first)
        pair.turn(50)
        assert not pair.answered(*tokens)
        pair.mend(second)
        pair.turn(50)
        assert pair.answered(*tokens)

    def test_on_start_alone_waits_for_the_limit_only(self) -> None:
        pair, tokens = self.restarted("boot-2", "alone", SYNC)
        pair.turn(60)
        assert pair.answered(*tokens)

    @pytest.mark.parametrize(
        ("boot", "on_start"), [("boot-1", "wait"), ("boot-2", "wait"), ("boot-2", "alone")]
    )
    def test_a_freeze_link_is_never_done_without(self, boot: str, on_start: str) -> None:
        pair, tokens = self.restarted(boot, on_start, FREEZE)
        pair.turn(300)
        assert not pair.answered(*tokens)
        assert pair.near.core.writable is Writes.HELD
        pair.mend()
        pair.replicating()
        pair.turn(5)
        assert pair.answered(*tokens)

    def test_with_async_links_only_the_peers_are_asked_for_a_while(self) -> None:
        pair, tokens = self.restarted("boot-2", "wait", ASYNC)
        assert not pair.answered(*tokens)
        pair.turn(120)
        assert pair.answered(*tokens)

    def test_a_peer_that_answers_lets_writes_flow_at_once(self) -> None:
        pair = running()
        pair.kill_near(lose_cache=True)
        pair.start_near("boot-2")
        tokens = pair.write(0)
        pair.turn(5)
        assert pair.answered(*tokens)

    def test_links_whose_peer_was_never_met_are_not_waited_for(self) -> None:
        pair = Pair(start=False)
        pair.cut()
        pair.start_near("boot-9")
        tokens = pair.write(0)
        pair.turn(2)
        assert pair.answered(*tokens)


class TestNewerPeers:
    """Rules D2, D3, D6: nothing that might be newer is overwritten, and nobody writes beside it."""

    def met_again(self, boot: str, change: Callable[[Pair], None], *links: LinkOptions) -> Pair:
        """The primary starts again and finds a peer that is another one than it was."""
        pair = running(*links)
        pair.kill_near(lose_cache=boot != "boot-1")
        change(pair)
        pair.restart_far("boot-7")
        pair.checked = False
        pair.start_near(boot)
        return pair

    @staticmethod
    def promote(pair: Pair) -> None:
        """The peer took writes of its own: its history forks from what it held."""
        held = pair.far.core.history()
        newest = held.stretches[-1]
        promoted = History((*held.stretches, Stretch(new_id(), newest.last + 5)))
        pair.far.header = replace(pair.far.header, history=promoted, clean=True)
        pair.far.durable = promoted.head
        pair.far.applied = None

    @pytest.mark.parametrize(("boot", "mode"), list(product(("boot-1", "boot-2"), (SYNC, ASYNC))))
    def test_d6_a_former_primary_that_finds_a_promoted_peer_never_takes_writes(
        self, boot: str, mode: LinkOptions
    ) -> None:
        pair = self.met_again(boot, self.promote, mode)
        before = bytes(pair.far.disk.seen[1])
        tokens = pair.write(0)
        pair.turn(300)
        assert [pair.near.replies.get(token) for token in tokens] not in ([0], [None])
        assert pair.near.core.writable is Writes.REFUSED
        assert pair.is_in(LinkState.DIVERGED)
        assert pair.near.core.fenced
        assert bytes(pair.far.disk.seen[1]) == before

    def test_d6_a_primary_restored_from_an_old_backup_never_takes_writes(self) -> None:
        pair = running()
        pair.stop_near()
        backup = (pair.near.header, dict(pair.near.disk.safe))
        pair.start_near("boot-1")
        pair.replicating()
        pair.write(0, 512)
        pair.turn(20)
        pair.kill_near()
        pair.near.header, pair.near.disk.safe = backup
        pair.near.disk.lose_cache()
        pair.checked = False
        pair.start_near("boot-2")
        tokens = pair.write(0)
        pair.turn(300)
        assert not pair.answered(*tokens)
        assert pair.is_in(LinkState.DIVERGED)

    def test_d3_a_peer_that_was_wiped_diverges(self) -> None:
        def wipe(pair: Pair) -> None:
            pair.far.header = replace(pair.far.header, history=History(), resync=None)
            pair.far.durable, pair.far.applied = None, None
            pair.far.disk.safe[1] = bytes(64 * KIB)

        pair = self.met_again("boot-1", wipe)
        pair.turn(100)
        assert pair.is_in(LinkState.DIVERGED)
        assert pair.feeder.standing.reason is Reason.IDENTITY_CHANGED
        assert pair.far.disk.seen[1] == bytearray(64 * KIB)

    def test_d3_another_copy_in_its_place_diverges(self) -> None:
        def exchange(pair: Pair) -> None:
            pair.far.header = replace(pair.far.header, copy=new_id())

        pair = self.met_again("boot-1", exchange)
        pair.turn(100)
        assert pair.is_in(LinkState.DIVERGED)

    def test_a_diverged_link_stays_so_through_lost_lines_and_retries_only_on_demand(self) -> None:
        pair = self.met_again("boot-1", self.promote)
        pair.turn(50)
        connects = len(pair.near.carried(a.Connect))
        pair.turn(200)
        assert len(pair.near.carried(a.Connect)) == connects
        pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False))
        pair.turn(50)
        assert pair.is_in(LinkState.DIVERGED)


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
        assert "l0" in str(pair.near.core.held_by())
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


class TestHotExtents:
    """Rules A2 and A3."""

    def test_a2_nothing_of_a_cold_write_is_written_or_leaves_before_its_extent_is_logged(self) -> None:
        pair = running()
        pair.near.hold.add(a.WriteActivity)
        sent = len(pair.line.sent)
        before = bytes(pair.near.disk.seen[1])
        pair.write(0)
        assert pair.near.disk.seen[1] == before
        assert len(pair.line.sent) == sent
        pair.near.let_all()
        assert pair.near.disk.seen[1] != before
        assert (1, 0) in (pair.near.hot or set())

    @pytest.mark.parametrize("lose_cache", [False, True])
    def test_a3_after_a_crash_hot_extents_are_compared_and_only_what_differs_is_sent(
        self, lose_cache: bool
    ) -> None:
        pair = running()
        pair.write(0, 20 * KIB)
        pair.flush()
        pair.turn(10)
        pair.line.room = 0
        pair.write(512, fill=b"!")
        pair.kill_near(lose_cache=lose_cache)
        pair.line.room = None
        sent = len(pair.line.sent)
        pair.start_near("boot-2" if lose_cache else "boot-1")
        pair.replicating()
        units = pair.line.sent[sent:]
        fills = [unit for unit in units if isinstance(unit, m.Fill)]
        queries = [unit for unit in units if isinstance(unit, m.DigestQuery)]
        assert sum(each.length for each in queries) <= 3 * 16 * KIB
        assert sum(each.length for each in fills) == (0 if lose_cache else REGION)
        assert pair.equal()

    def test_a3_suspects_outlive_a_clean_stop_that_comes_before_they_were_compared(self) -> None:
        pair = running()
        pair.write(0)
        pair.kill_near(lose_cache=True)
        pair.cut()
        pair.start_near("boot-2", "alone")
        pair.turn(80)
        pair.stop_near()
        pair.start_near("boot-2")
        assert pair.feeder.board.suspect.count() == 4
        pair.mend()
        pair.replicating()
        assert pair.equal()

    def test_a3_an_unreadable_activity_log_makes_everything_suspect(self) -> None:
        pair = running()
        pair.kill_near()
        pair.near.hot = None
        pair.start_near("boot-1")
        assert pair.feeder.board.suspect.count() == 16
        pair.replicating()
        assert pair.equal()

    def test_a3_what_the_page_cache_still_had_is_safe_before_a_suspect_is_forgotten(self) -> None:
        """A process death, then a power loss: what was found equal must not go back."""
        pair = running()
        pair.write(0, fill=b"w")
        pair.turn(20)
        pair.kill_near()
        pair.start_near("boot-1")
        pair.replicating()
        pair.write(40 * KIB)
        pair.kill_near(lose_cache=True)
        pair.start_near("boot-2")
        pair.replicating()
        assert pair.equal()

    def test_a2_an_extent_does_not_cool_before_its_writes_are_synced_here(self) -> None:
        """The peer has it durable; a power loss here must not make the two differ unmarked."""
        pair = Pair(Wish(sizes={1: 128 * KIB}, capacity=4))
        pair.replicating()
        pair.near.hold.add(a.SyncVolumes)
        pair.write(0, fill=b"w")
        for n in range(1, 4):
            pair.write(n * 16 * KIB)
        pair.turn(20)
        assert pair.feeder.acked.durable == 4
        cold = pair.write(4 * 16 * KIB)
        pair.turn(20)
        assert not pair.answered(*cold)
        assert (1, 0) in (pair.near.hot or set())
        pair.kill_near(lose_cache=True)
        pair.start_near("boot-2")
        pair.replicating()
        assert pair.equal()

    def test_a2_extents_cool_while_a_slow_peer_lags_and_nothing_is_forgotten(self) -> None:
        pair = running(ASYNC, capacity=2)
        pair.line.room = 0
        tokens = [token for n in range(8) for token in pair.write(n * 8 * KIB, fill=bytes([n + 1]))]
        pair.until(lambda: pair.answered(*tokens))
        assert len(pair.near.hot or ()) <= 2
        pair.flush()
        pair.kill_near(lose_cache=True)
        pair.line.room = None
        pair.start_near("boot-2")
        pair.replicating()
        assert pair.equal()

    def test_a4_two_frames_of_one_region_under_way_and_only_the_first_durable(self) -> None:
        """The region's extent cools, the first frame's acknowledgement comes, then power is lost."""
        pair = running(ASYNC, capacity=2)
        pair.line.stops = lambda unit: isinstance(unit, a.Issue) and unit.first > 1
        pair.write(0, fill=b"1")
        pair.write(0, fill=b"2")
        pair.flush()
        for n in range(2, 7):
            pair.write(n * 8 * KIB)
            pair.turn(5)
        pair.write(16 * KIB)
        pair.turn(5)
        assert pair.feeder.acked.durable == 1
        assert (1, 0) not in (pair.near.hot or set())
        pair.kill_near(lose_cache=True)
        pair.restart_far("boot-2")
        pair.line.stops = lambda unit: False
        pair.start_near("boot-2")
        pair.replicating()
        assert pair.equal()

    def test_a_write_that_needs_more_room_than_is_free_gets_it(self) -> None:
        pair = running(capacity=4)
        pair.write(0, 16 * KIB, 32 * KIB)
        pair.turn(3)
        tokens = [pair.near.core.sequence + 1000]
        pair.near.submit([(1, 1, 31 * KIB, 18 * KIB)], [bytes(18 * KIB)], tokens)
        pair.turn(20)
        assert pair.answered(*tokens)


class TestFaults:
    """Rule C3."""

    def test_a_failed_sync_refuses_everything_for_ever_and_stops_the_links(self) -> None:
        pair = running()
        pair.write(0)
        pair.turn(2)
        pair.near.errors[a.SyncVolumes] = [EIO]
        flush = pair.flush()
        pair.turn(100)
        assert pair.near.replies[flush] == EIO
        tokens = [*pair.write(0), pair.flush()]
        pair.turn(100)
        assert [pair.near.replies[token] for token in tokens] == [EIO, EIO]
        assert pair.near.core.writable is Writes.REFUSED
        assert not pair.feeder.replicating
        assert pair.near.header.fault

    def test_after_a_failed_sync_and_a_restart_everything_is_suspect(self) -> None:
        pair = running()
        pair.write(0)
        pair.near.errors[a.SyncVolumes] = [EIO]
        pair.flush()
        pair.turn(3)
        pair.kill_near()
        pair.start_near("boot-1")
        assert pair.feeder.board.suspect.count() == 16

    @pytest.mark.parametrize("kind", [a.WriteHeader, a.WriteActivity, a.WriteBoard])
    def test_a_state_directory_that_fails_is_a_fault_and_answers_what_waits(self, kind: type) -> None:
        pair = running(capacity=2)
        pair.near.errors[kind] = [28]
        pair.cut()
        tokens = [token for n in range(4) for token in pair.write(n * 16 * KIB)]
        pair.turn(5)
        assert pair.near.core.writable is Writes.REFUSED
        assert all(token in pair.near.replies for token in tokens)

    def test_a_failed_local_write_is_refused_stays_marked_and_stops_the_links_there(self) -> None:
        pair = running(SYNC, ASYNC)
        pair.near.errors[a.Issue] = [0, EIO]
        good, bad = pair.write(0, 5 * REGION)
        assert pair.near.replies.get(bad) == EIO
        for feeder in pair.near.core.feeders.values():
            assert feeder.standing.reason is Reason.LOCAL_ERROR
            assert feeder.board.dirty.bits[1][5]
            assert feeder.record.stopped_at == Position(pair.near.core.generation, 2)
        pair.turn(2)
        assert pair.answered(good)
        pair.replicating()
        assert pair.equal()

    def test_c3_nothing_is_answered_twice_when_a_write_fails_after_a_fault(self) -> None:
        pair = running()
        flush = pair.flush()
        pair.turn(3)
        assert pair.answered(flush)
        pair.near.hold.update({a.Issue, a.SyncVolumes})
        pair.write(0)
        pair.near.let(a.Issue)
        pair.flush()
        pair.near.let(a.Issue)
        pair.near.errors[a.Issue] = [EIO]
        tokens = pair.write(512)
        pair.near.errors[a.SyncVolumes] = [EIO]
        pair.near.let(a.SyncVolumes)
        pair.near.let_all()
        assert [pair.near.replies[token] for token in tokens] == [EIO]


class TestLinks:
    def test_a_link_is_added_to_a_running_copy_and_its_peer_gets_everything(self) -> None:
        pair = Pair(Wish(links=(SYNC, ASYNC), content=CONTENT))
        second = list(pair.lines)[1]
        spec = pair.near.core.feeders[second].spec
        pair.near.run(pair.near.core.remove_link(second))
        pair.replicating()
        pair.near.run(pair.near.core.add_link(spec))
        tokens = pair.write(0)
        pair.turn(10)
        assert pair.answered(*tokens)
        pair.replicating()
        assert pair.equal()
        assert pair.near.header.link(second) is not None

    @pytest.mark.parametrize("what", ["pause", "resync", "remove_link", "change_link"])
    def test_an_unknown_link_is_not_found(self, what: str) -> None:
        core = running().near.core
        stranger = LinkSpec(new_id(), "stranger", "peer", SYNC)
        calls: dict[str, Callable[[], object]] = {
            "pause": lambda: core.pause(stranger.id, False, 0.0),
            "resync": lambda: core.resync(stranger.id, ResyncKind.UPDATE, False),
            "remove_link": lambda: core.remove_link(stranger.id),
            "change_link": lambda: core.change_link(stranger),
        }
        with pytest.raises(FarshoreError) as missing:
            calls[what]()
        assert missing.value.code.name == "not-found"

    def test_reports_about_a_link_that_is_gone_are_ignored(self) -> None:
        pair = running()
        link = pair.link
        pair.near.run(pair.near.core.remove_link(link))
        core = pair.near.core
        for actions in (
            core.connected(link),
            core.disconnected(link, "late"),
            core.backlog(link, 5),
            core.received(link, m.Heartbeat(1)),
            core.peer_back(link),
        ):
            assert actions == []


def test_too_few_reserved_sequences_are_our_own_defect() -> None:
    pair = Pair(start=False)
    header = Header(new_id(), new_id(), Role.PRIMARY, links=(LinkRecord(new_id(), 1),))
    setup = PrimarySetup(header, pair.geometry, (), {}, None, 4, "boot", new_id(), new_id, TIMING, reserve=1)
    with pytest.raises(ValueError, match="reserved"):
        type(pair.near.core)(setup)
