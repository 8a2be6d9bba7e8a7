"""What a restarted primary waits for, and whom it never writes beside (rules D2, D3, D5, D6)."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest

from farshore.core import actions as a
from farshore.core.holding import held_by
from farshore.core.report import of_primary
from farshore.model import messages as m
from farshore.model.header import Upstream
from farshore.model.options import LinkOptions, LinkState, Reason, ResyncKind, Writes
from farshore.model.positions import History, Stretch
from tests.unit.core.pair import ASYNC, KIB, REGION, SYNC, Pair, Wish
from tests.unit.core.scenes import FREEZE, restarted, running
from tests.unit.core.shells import new_id


class TestOpening:
    """Rule D5: what a restarted primary waits for before writes flow."""

    def test_within_one_boot_silence_for_the_limit_counts_as_link_loss(self) -> None:
        pair, tokens = restarted("boot-1", "wait", SYNC)
        assert not pair.answered(*tokens)
        assert pair.near.core.writable is Writes.HELD
        pair.turn(60)
        assert pair.answered(*tokens)
        assert pair.near.header.links[0].alone_since is not None

    def test_after_a_reboot_writes_are_held_until_every_sync_peer_has_answered(self) -> None:
        pair, tokens = restarted("boot-2", "wait", SYNC, SYNC)
        pair.turn(300)
        assert not pair.answered(*tokens)
        assert "l0, l1" in str(held_by(pair.near.core))
        first, second = pair.lines
        pair.mend(first)
        pair.turn(50)
        assert not pair.answered(*tokens)
        pair.mend(second)
        pair.turn(50)
        assert pair.answered(*tokens)

    def test_status_says_what_ends_the_waiting_for_a_peer_that_is_gone_for_good(self) -> None:
        pair, tokens = restarted("boot-2", "wait", SYNC, SYNC)
        first, second = pair.lines
        pair.mend(first)
        pair.turn(50)
        said = of_primary(pair.near.core, "g")
        assert "the peer of l1 may have been made the primary" in said["why"]
        assert "farshore link delete g l1" in said["next"]
        assert "l0" not in said["next"]
        pair.near.run(pair.near.core.remove_link(second))
        pair.checked = False
        pair.turn(5)
        assert pair.answered(*tokens)
        assert "restarted" not in of_primary(pair.near.core, "g")["why"]
        pair, _ = restarted("boot-2", "wait", ASYNC)
        assert "restarted" not in of_primary(pair.near.core, "g")["why"]

    def test_on_start_alone_waits_for_the_limit_only(self) -> None:
        pair, tokens = restarted("boot-2", "alone", SYNC)
        pair.turn(60)
        assert pair.answered(*tokens)

    @pytest.mark.parametrize(
        ("boot", "on_start"), [("boot-1", "wait"), ("boot-2", "wait"), ("boot-2", "alone")]
    )
    def test_a_freeze_link_is_never_done_without(self, boot: str, on_start: str) -> None:
        pair, tokens = restarted(boot, on_start, FREEZE)
        pair.turn(300)
        assert not pair.answered(*tokens)
        assert pair.near.core.writable is Writes.HELD
        pair.mend()
        pair.replicating()
        pair.turn(5)
        assert pair.answered(*tokens)

    def test_with_async_links_only_the_peers_are_asked_for_a_while(self) -> None:
        pair, tokens = restarted("boot-2", "wait", ASYNC)
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

    @pytest.mark.parametrize(("boot", "patience"), [("boot-1", 60), ("boot-2", 300)])
    def test_a_paused_peer_is_asked_like_any_and_not_fed(self, boot: str, patience: int) -> None:
        pair = running(SYNC)
        pair.near.run(pair.near.core.pause(None, False, 1.0))
        pair.turn(3)
        pair.write(5 * REGION)
        pair.turn(3)
        pair.kill_near(lose_cache=boot != "boot-1")
        pair.cut()
        pair.start_near(boot)
        tokens = pair.write(0)
        pair.turn(30)
        assert not pair.answered(*tokens)
        assert "l0" in str(held_by(pair.near.core))
        pair.turn(patience)
        assert pair.answered(*tokens) is (boot == "boot-1")
        pair.mend()
        pair.turn(50)
        assert pair.answered(*tokens)
        assert pair.is_in(LinkState.LOGGING)
        assert pair.feeder.standing.reason is Reason.OPERATOR
        assert pair.feeder.record.paused
        assert not pair.equal()
        connects = len(pair.near.carried(a.Connect))
        pair.turn(100)
        assert len(pair.near.carried(a.Connect)) == connects
        pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False))
        pair.replicating()
        assert pair.equal()

    @pytest.mark.parametrize("known", [True, False])
    def test_the_start_that_makes_a_copy_the_primary_waits_for_a_moment_and_no_later_one(
        self, known: bool
    ) -> None:
        """A later one may come when another copy has been promoted in turn. A plan that promoted without
        the former primary's node does not even know that copy's id."""
        pair = running(SYNC)
        pair.kill_near()
        (record,) = pair.near.header.links
        made = replace(record, unmet=True, peer_copy=record.peer_copy if known else None)
        pair.near.header = replace(pair.near.header, links=(made,))
        pair.cut()
        pair.start_near("boot-2", turned=True)
        tokens = pair.write(0)
        pair.turn(3)
        assert not pair.answered(*tokens)
        pair.turn(30)
        assert pair.answered(*tokens)
        for boot, flows in (("boot-2", True), ("boot-3", False)):
            pair.kill_near(lose_cache=True)
            pair.start_near(boot)
            tokens = pair.write(1024)
            pair.turn(33)
            assert not pair.answered(*tokens), "its peer may be silent for no reason but the line"
            pair.turn(600)
            assert pair.answered(*tokens) is flows
        assert "l0" in str(held_by(pair.near.core))
        assert pair.near.core.writable is Writes.HELD
        pair.mend()
        pair.turn(100)
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

    @pytest.mark.parametrize("boot", ["boot-1", "boot-2"])
    def test_d6_a_promoted_peer_is_found_behind_a_paused_link_too(self, boot: str) -> None:
        pair = running(SYNC)
        pair.near.run(pair.near.core.pause(None, False, 1.0))
        pair.turn(3)
        pair.kill_near(lose_cache=boot != "boot-1")
        self.promote(pair)
        pair.restart_far("boot-7")
        pair.start_near(boot)
        tokens = pair.write(0)
        pair.turn(100)
        assert not pair.answered(*tokens)
        assert pair.near.core.fenced
        assert pair.is_in(LinkState.DIVERGED)

    @pytest.mark.parametrize(("boot", "mode"), list(product(("boot-1", "boot-2"), (SYNC, ASYNC))))
    def test_d6_a_peer_that_was_pointed_elsewhere_is_not_written_beside(
        self, boot: str, mode: LinkOptions
    ) -> None:
        """It follows somebody else by now: a promoted copy, perhaps."""

        def point_elsewhere(pair: Pair) -> None:
            pair.far.header = replace(pair.far.header, upstream=Upstream(new_id(), 2))

        pair = self.met_again(boot, point_elsewhere, mode)
        tokens = pair.write(0)
        pair.turn(300)
        assert not pair.answered(*tokens)
        assert pair.near.core.writable is Writes.REFUSED
        assert pair.is_in(LinkState.DIVERGED)

    @pytest.mark.parametrize("mode", [SYNC, ASYNC])
    def test_d6_a_fault_at_a_peer_that_was_pointed_elsewhere_hides_nothing(self, mode: LinkOptions) -> None:
        pair = running(mode)
        pair.kill_near(lose_cache=True)
        pair.far.run(pair.far.core.point_at(new_id(), 2))
        pair.turn(3)
        pair.far.core.fail(5)
        pair.checked = False
        pair.start_near("boot-2")
        tokens = pair.write(0)
        pair.turn(300)
        assert not pair.answered(*tokens)
        assert pair.near.core.fenced

    def test_d5_a_peer_that_cannot_be_understood_has_not_answered(self) -> None:
        pair = running(SYNC)
        pair.kill_near(lose_cache=True)
        pair.line.stops = lambda unit: isinstance(unit, m.Welcome)
        pair.start_near("boot-2")
        tokens = pair.write(0)
        pair.until(lambda: pair.feeder.session.greeting)
        pair.cut(silent=True)
        pair.near.run(pair.near.core.received(pair.link, m.Refusal("protocol", "protocol 9 is not known")))
        pair.turn(300)
        assert not pair.answered(*tokens)
        assert pair.near.core.writable is Writes.HELD

    def test_d6_what_a_peer_says_during_a_clean_stop_does_not_spoil_it(self) -> None:
        pair = running(SYNC)
        pair.far.hold.add(a.SyncVolumes)
        tokens = pair.write(0)
        pair.turn(3)
        pair.near.run(pair.near.core.stop())
        said = m.Refusal("wrong-feeder", "this copy was pointed at another feeder")
        pair.near.run(pair.near.core.received(pair.link, said))
        pair.until(lambda: pair.near.core.stopped)
        assert not pair.near.core.fenced
        assert pair.near.header.clean
        assert pair.answered(*tokens)

    def test_a_peer_that_is_pointed_elsewhere_while_writes_flow_only_ends_the_link(self) -> None:
        pair = running(SYNC)
        pair.far.run(pair.far.core.point_at(new_id(), 2))
        tokens = pair.write(0)
        pair.turn(30)
        assert pair.answered(*tokens)
        assert pair.feeder.standing.reason is Reason.REFUSED

    def test_a_new_link_that_is_refused_does_not_refuse_the_application(self) -> None:
        pair = Pair(start=False)
        pair.far.header = replace(pair.far.header, upstream=Upstream(new_id(), 1))
        pair.far.start("boot-1")
        pair.far.run(pair.far.core.start())
        pair.start_near("boot-1")
        tokens = pair.write(0)
        pair.turn(100)
        assert pair.answered(*tokens)

    @pytest.mark.parametrize("first", [ResyncKind.FULL, ResyncKind.DIGEST])
    def test_d3_a_first_copy_never_overwrites_what_the_peer_holds_unasked(self, first: ResyncKind) -> None:
        """Somebody wrote there between the placing of the copy and its first session."""
        pair = Pair(Wish(links=(replace(ASYNC, first=first),), empty=False), start=False)
        pair.far.disk.seen[1][:] = b"x" * (64 * KIB)
        pair.checked = False
        pair.far.start("boot-1")
        pair.far.run(pair.far.core.start())
        pair.start_near("boot-1")
        pair.turn(100)
        if first is ResyncKind.DIGEST:
            assert pair.is_in(LinkState.REPLICATING)
            assert pair.equal()
        else:
            assert pair.is_in(LinkState.DIVERGED)
            assert "hold data" in pair.feeder.why
            assert pair.far.disk.seen[1] == b"x" * (64 * KIB)

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
