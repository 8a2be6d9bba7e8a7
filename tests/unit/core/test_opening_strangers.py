"""What a started primary makes of a peer that answers in another protocol (rule D5)."""

import pytest

from farshore.core.opening import Opening
from farshore.core.report import of_primary
from farshore.model.options import LinkOptions
from tests.unit.core.pair import ASYNC, SYNC
from tests.unit.core.scenes import FREEZE, restarted, running
from tests.unit.core.shells import TIMING


@pytest.mark.parametrize("link", [SYNC, ASYNC])
@pytest.mark.parametrize(("boot", "on_start"), [("boot-1", "wait"), ("boot-2", "wait")])
def test_a_peer_of_another_build_has_answered_and_is_no_silent_one(
    boot: str, on_start: str, link: LinkOptions
) -> None:
    """It may be the primary by now, and it is there: nothing is written beside it, also while its engine
    is started anew, until it can say what it is."""
    pair, tokens = restarted(boot, on_start, link)
    pair.line.protocol += 1
    pair.mend()
    pair.turn(130, step=0.1)
    assert not pair.answered(*tokens)
    pair.cut()
    pair.turn(130, step=0.1)
    assert not pair.answered(*tokens), "it was heard, and has gone silent since"
    said = of_primary(pair.near.core, "g")
    assert "the peer of l0 speaks another protocol" in said["why"]
    assert "run the same version" in said["next"]
    assert "farshore link delete g l0" in said["next"], "which is what ends it without that peer"
    assert [each["link"] for each in pair.near.noted("peer-not-understood")] == ["l0"], "once"
    pair.line.protocol -= 1
    pair.mend()
    pair.turn(600)
    assert pair.answered(*tokens)
    assert "protocol" not in of_primary(pair.near.core, "g")["why"]


@pytest.mark.parametrize(("link", "opens"), [(SYNC, True), (ASYNC, True), (FREEZE, False)])
def test_an_operator_may_have_said_that_it_starts_without_such_a_peer(link: LinkOptions, opens: bool) -> None:
    pair, tokens = restarted("boot-2", "alone", link)
    pair.line.protocol += 1
    pair.mend()
    pair.turn(130, step=0.1)
    assert pair.answered(*tokens) == opens


def test_the_start_that_promotes_waits_a_moment_for_such_a_peer_as_for_any() -> None:
    feeder = running(SYNC).feeder
    feeder.session.met, feeder.session.strange = False, True
    plan = Opening(TIMING, same_boot=False, alone=False, turned=True)
    assert plan.may_open([feeder], TIMING.beat)
    later = Opening(TIMING, same_boot=False, alone=False)
    assert not later.may_open([feeder], 3_600.0)
