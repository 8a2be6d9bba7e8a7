"""What is said of a peer that answers and will not have a link, and whether waiting mends that."""

from dataclasses import replace
from typing import Any

import pytest

from farshore.core import refused, report
from farshore.core.feeder_session import ASK_EVERY, Phase
from farshore.errors import CODES
from farshore.model import messages as m
from farshore.model.header import Upstream
from farshore.model.options import LinkState, Reason, ResyncKind
from tests.unit.core.pair import Pair
from tests.unit.core.scenes import running
from tests.unit.core.shells import new_id


def shown(pair: Pair) -> Any:
    """In the status of the first link."""
    return report.of_feeder(pair.near.core, pair.feeder)["refused"]


def lost(pair: Pair) -> None:
    """The peer is away, and is asked again and again."""
    pair.cut()
    pair.turn(3)
    assert shown(pair) is None


def refuse(pair: Pair, code: str) -> None:
    """The peer's node is there, and says so to each attempt."""
    pair.line.refusal = code
    pair.until(lambda: shown(pair) is not None)


def answered(pair: Pair, code: str, seconds: float) -> None:
    """What the peer says each time that it is asked, for so long."""
    pair.turn(1, step=seconds)
    pair.feeder.session.phase = Phase.GREETING
    pair.near.run(pair.near.core.received(pair.link, m.Refusal(code, "so it is")))


class TestTheNode:
    """Of a peer."""

    def test_that_has_no_copy_is_not_waited_for(self) -> None:
        pair = running()
        lost(pair)
        pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False))
        refuse(pair, "not-found")
        first = shown(pair)
        assert (first["code"], first["lasting"], first["since"]) == ("not-found", True, first["heard"])
        pair.turn(300)
        again = shown(pair)
        assert again["since"] == first["since"]
        assert again["heard"] > first["heard"], "whoever began to wait in between is told"

    def test_that_has_gone_silent_may_come_back(self) -> None:
        pair = running()
        lost(pair)
        refuse(pair, "not-found")
        pair.line.refusal = ""
        pair.until(lambda: shown(pair) is None)

    def test_that_is_not_asked_any_more_since_the_link_is_paused_refuses_nothing(self) -> None:
        pair = running()
        lost(pair)
        refuse(pair, "not-found")
        pair.near.run(pair.near.core.pause(None, drain=True, timeout=1.0))
        pair.turn(300)
        assert shown(pair) is None
        pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False))
        pair.until(lambda: shown(pair) is not None)
        assert shown(pair)["since"] == shown(pair)["heard"], "said anew"

    def test_that_has_found_its_copy_is_forgiven(self) -> None:
        pair = running()
        lost(pair)
        refuse(pair, "not-found")
        pair.mend()
        pair.replicating()
        assert shown(pair) is None


class TestTheCopy:
    """Of a peer."""

    def test_that_follows_another_feeder_will_not_come_back_by_itself(self) -> None:
        pair = running()
        pair.restart_far("boot-2", upstream=Upstream(new_id(), 2))
        pair.until(lambda: pair.feeder.standing.reason is Reason.REFUSED)
        assert (shown(pair)["code"], shown(pair)["lasting"]) == ("wrong-feeder", False), (
            "it may be on its way"
        )
        pair.turn(int(refused.CHANGING * 100) + 600)
        assert shown(pair)["lasting"]

    @pytest.mark.parametrize("code", ["promoted", "session-live", "disk-full", "wrong-role"])
    def test_that_changes_its_mind_by_itself_is_waited_for(self, code: str) -> None:
        pair = running()
        lost(pair)
        for _ in range(3):
            answered(pair, code, 20.0)
            assert not (shown(pair) or {}).get("lasting"), code

    def test_that_has_not_been_told_yet_of_its_new_feeder_is_waited_for_so_long(self) -> None:
        """A promotion tells one sibling after another; until then this one knows its former feeder alone."""
        pair = running()
        lost(pair)
        for _ in range(6):
            answered(pair, "unknown-peer", refused.POINTING / 6)
            assert not shown(pair)["lasting"]
        answered(pair, "unknown-peer", refused.POINTING / 6)
        assert shown(pair)["lasting"]

    def test_that_finds_a_fault_in_the_midst_of_a_session_is_no_stranger(self) -> None:
        pair = running()
        pair.near.run(pair.near.core.received(pair.link, m.Refusal("protocol", "a read outside its volume")))
        assert not pair.feeder.session.strange
        assert not pair.near.noted("peer-not-understood")

    def test_that_is_fenced_may_follow_us_by_itself_and_after_a_while_does_not(self) -> None:
        """Rule D6: its node tries for a while; how its own link to us was set nobody here knows."""
        pair = running()
        lost(pair)
        answered(pair, "fenced", 1.0)
        answered(pair, "fenced", refused.FOLLOWING - 1.0)
        assert not shown(pair)["lasting"]
        answered(pair, "fenced", 2.0)
        assert shown(pair)["lasting"]
        assert refused.FOLLOWING > 300.0, "longer than its node tries"

    def test_that_is_fenced_is_ended_by_commands_that_name_the_group(self) -> None:
        pair = running()
        lost(pair)
        answered(pair, "fenced", 1.0)
        entry = report.of_primary(pair.near.core, "orders")
        for step in (entry["next"], entry["links"][0]["next"]):
            assert "farshore failback orders" in step
            assert "GROUP" not in step

    def test_of_a_link_that_only_asks_nobody_waits(self) -> None:
        pair = running()
        pair.near.run(pair.near.core.pause(None, False, 1.0))
        pair.turn(3)
        pair.cut()
        pair.line.refusal = "not-found"
        pair.turn(int(ASK_EVERY * 2), step=1.0)
        assert pair.feeder.session.only_asks
        assert shown(pair) is None


def test_a_link_that_had_diverged_does_not_stay_in_between_when_its_peer_goes_silent() -> None:
    """Whoever waits for its resync looks for that: a state that ends by itself."""
    pair = running()
    pair.kill_near()
    pair.far.header = replace(pair.far.header, history=pair.far.header.history.__class__())
    pair.restart_far("boot-2")
    pair.start_near("boot-1")
    pair.until(lambda: pair.feeder.state is LinkState.DIVERGED)
    pair.cut(silent=True)
    pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False))
    assert pair.feeder.standing.reason is Reason.RESTARTED
    pair.until(lambda: pair.feeder.standing.reason is Reason.PEER_LOST)


def test_all_that_lasts_is_in_the_catalogue() -> None:
    assert set(refused.LASTING) <= set(CODES)
