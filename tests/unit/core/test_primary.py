"""A primary with its peers: starts, acknowledgements, outages, faults (A2, A3, C1 to C4, D1, D5, D6)."""

from collections.abc import Callable

import pytest

from farshore.core import actions as a
from farshore.core import report
from farshore.core.primary import PrimarySetup
from farshore.errors import FarshoreError
from farshore.model import messages as m
from farshore.model.header import Header, LinkRecord
from farshore.model.options import LinkSpec, Reason, ResyncKind, Role, Writes
from farshore.model.positions import History, Position, Stretch
from tests.unit.core.pair import ASYNC, KIB, REGION, SYNC, Pair, Wish
from tests.unit.core.scenes import CONTENT, EIO, running
from tests.unit.core.shells import TIMING, new_id


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

    def test_after_a_restart_status_warns_of_the_direction_until_a_resync_is_asked_for(self) -> None:
        pair = running()
        pair.write(0)
        pair.near.errors[a.SyncVolumes] = [EIO]
        pair.flush()
        pair.turn(3)
        pair.kill_near()
        pair.start_near("boot-1")
        pair.turn(3)
        shown = report.of_primary(pair.near.core, "g")
        assert (shown["health"], shown["links"][0]["reason"]) == ("unprotected", "operator")
        assert "EIO" in shown["why"]
        assert "the peer may have the better data" in shown["why"]
        assert shown["next"].startswith("look at both copies first")
        pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False))
        pair.replicating()
        assert report.of_primary(pair.near.core, "g")["health"] == "protected"

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
