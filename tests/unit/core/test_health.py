"""One word per group: the worst of its links, and what to do about it (section G)."""

from dataclasses import replace
from itertools import combinations

import pytest

from farshore.core.health import LinkFacts, of_group, of_link
from farshore.model.options import Health, LinkState, Reason

IN_ORDER = LinkFacts("far", LinkState.REPLICATING, Reason.IN_ORDER, "", 0.0, 30.0, True)
LATE = replace(IN_ORDER, lag=30.1)
COPIED = replace(IN_ORDER, state=LinkState.RESYNCING, reason=Reason.UPDATE, lag=None)
LOST = replace(IN_ORDER, state=LinkState.LOGGING, reason=Reason.PEER_LOST, why="silent", lag=None)
PAUSED = replace(LOST, reason=Reason.OPERATOR)
APART = replace(LOST, state=LinkState.DIVERGED, reason=Reason.HISTORIES_CONFLICT)
BROKEN = replace(LOST, state=LinkState.FAILED, reason=Reason.LOCAL_ERROR)
QUEUED = replace(LOST, state=LinkState.QUEUING)

WORST_FIRST = [
    (BROKEN, Health.FAILED),
    (APART, Health.DIVERGED),
    (LOST, Health.UNPROTECTED),
    (COPIED, Health.CATCHING_UP),
    (LATE, Health.BEHIND),
    (IN_ORDER, Health.PROTECTED),
]


@pytest.mark.parametrize(
    ("facts", "health"), [*WORST_FIRST, (PAUSED, Health.UNPROTECTED), (QUEUED, Health.BEHIND)]
)
def test_each_state_of_a_link_has_its_word_and_a_sentence(facts: LinkFacts, health: Health) -> None:
    verdict = of_link("shop", facts)
    assert verdict.health is health
    assert "far" in verdict.why


def test_a_group_is_as_well_as_its_worst_link() -> None:
    for (worse, health), (better, _) in combinations(WORST_FIRST, 2):
        for links in ([worse, better], [better, worse]):
            assert of_group("shop", "", "", links).health is health


def test_a_group_without_links_is_unprotected_and_says_how_to_make_one() -> None:
    verdict = of_group("shop", "", "", [])
    assert verdict.health is Health.UNPROTECTED
    assert verdict.next_step == "farshore link create shop NODE"


def test_the_copys_own_fault_outranks_every_link() -> None:
    assert of_group("shop", "disk error EIO", "", [IN_ORDER]).health is Health.FAILED
    assert of_group("shop", "", "the peer is newer", [IN_ORDER]).health is Health.DIVERGED


def test_lag_at_the_rpo_is_not_behind() -> None:
    assert of_link("shop", replace(IN_ORDER, lag=30.0)).health is Health.PROTECTED


@pytest.mark.parametrize("facts", [PAUSED, replace(LOST, autosync=False)])
def test_a_link_that_waits_for_the_operator_names_the_command(facts: LinkFacts) -> None:
    assert of_link("shop", facts).next_step == "farshore resync shop --link far"


def test_a_link_that_mends_itself_asks_for_nothing() -> None:
    assert "farshore" not in of_link("shop", LOST).next_step


@pytest.mark.parametrize("autosync", [True, False])
def test_a_peer_that_will_not_come_back_by_itself_is_said_to_need_somebody(autosync: bool) -> None:
    ended = replace(LOST, why="the pairing was ended", next_step="farshore node join", autosync=autosync)
    assert of_link("shop", ended).next_step == "farshore node join"
    assert "the pairing was ended" in of_link("shop", ended).why
    assert of_link("shop", replace(PAUSED, next_step="farshore node join")).next_step.startswith(
        "farshore resync"
    )
