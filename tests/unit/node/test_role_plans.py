"""Plans say what is done and lost, refuse what may not be, and are bound to what they rest on."""

from dataclasses import replace

import pytest

from farshore.errors import FarshoreError
from farshore.model.copy_config import DOUBTFUL, UNPROTECTED
from farshore.node import branches, role_plans, role_steps, under_way
from farshore.node.plan import Plan
from farshore.node.standings import Fed, Scene, Standing
from farshore.node.turn_wishes import link_id
from tests.unit.node.standing import change, copy_of, link, node_of, primary, scene, secondary


def _codes(plan: Plan) -> list[str]:
    return [each.code for each in plan.refusals]


# -- switchover ---------------------------------------------------------------------------------


def test_a_switchover_loses_nothing_and_names_the_others_that_move() -> None:
    a, b, c = primary(far="bc"), secondary("b"), secondary("c")
    plan = role_plans.switchover(scene(a, b, c), b)
    assert (plan.refusals, plan.lost, plan.goal) == ((), (), "b")
    assert any("c is fed by b in place of a" in each for each in plan.steps)


@pytest.mark.parametrize(
    ("a", "b", "code"),
    [
        (primary(acts=None), secondary(), "wrong-state"),
        (primary(fenced="promoted"), secondary(), "wrong-state"),
        (primary(fenced="promoted", fault="the volumes cannot be made durable"), secondary(), "wrong-state"),
        (primary(fault="the disk is broken"), secondary(), "wrong-state"),
        (primary(links=(link("b", state="resyncing"),)), secondary(), "wrong-state"),
        (primary(links=(link("b", state="queuing"),)), secondary(), "wrong-state"),
        (primary(links=(link("b", found_bytes=4096),)), secondary(), "wrong-state"),
        (primary(), secondary(promotable=False, promotable_why="it is blank"), "not-promotable"),
        (primary(), secondary(paired=()), "wrong-state"),
        (primary(), secondary(volumes=()), "size-mismatch"),
        (primary(attached=("data",)), secondary(), "in-use"),
        (primary(), secondary(feeder="c"), "wrong-feeder"),
        (primary(), primary("b", ""), "diverged"),
    ],
)
def test_a_switchover_that_could_lose_something_is_refused(a: Standing, b: Standing, code: str) -> None:
    plan = role_plans.switchover(scene(a, b), b)
    assert code in _codes(plan)
    with pytest.raises(FarshoreError) as caught:
        plan.require()
    assert caught.value.next_step


def test_a_switchover_to_the_primary_and_without_one_is_refused() -> None:
    a, b = primary(), secondary()
    assert _codes(role_plans.switchover(scene(a, b), a)) == ["wrong-state"]
    plan = role_plans.switchover(scene(b, silent="a"), b)
    assert _codes(plan) == ["wrong-state"]
    assert plan.refusals[0].next_step == "farshore failover orders b"


def test_a_switchover_that_was_cut_off_goes_on_or_is_taken_back() -> None:
    begun = change("switchover", "b", "a")
    given_up = Fed(link=link_id(begun.turn, copy_of("a")).hex(), epoch=1, peer=node_of("b"), peer_name="b")
    a, b = secondary("a", "b", change=begun, fed_by=given_up), secondary("b", change=begun)
    on = role_plans.switchover(scene(a, b), b)
    back = role_plans.switchover(scene(a, b), a)
    assert (on.refusals, back.refusals) == ((), ())
    assert "goes on" in on.title
    assert "taken back" in back.title
    assert on.id != back.id
    alone = role_plans.switchover(scene(b, silent="a"), b)
    assert _codes(alone) == ["unreachable"]


def test_a_note_of_a_change_that_never_began_promotes_nobody() -> None:
    noted = change("switchover", "b", "a")
    a, b = secondary("a", "c"), secondary("b", "c", change=noted)  # c was the primary since, and is lost
    seen = scene(a, b, silent="c")
    assert under_way.planned(seen, b) is None
    assert _codes(role_plans.switchover(seen, b)) == ["wrong-state"]


@pytest.mark.parametrize("kind", ["switchover", "failback"])
@pytest.mark.parametrize("stale", ["switchover", "failback"])
def test_of_planned_changes_the_copy_that_is_the_goal_speaks_for_itself(kind: str, stale: str) -> None:
    """What another copy notes came to nothing long ago."""
    own = change(kind, "b", "a", plan="new", turn=b"n" * 16)
    old = change(stale, "b", "a", plan="old", turn=b"o" * 16)
    b, a = replace(primary("b", ""), change=own), replace(secondary("a", "b"), change=old)
    for seen in (scene(a, b), scene(b, a)):
        assert under_way.planned(seen, b) == own
    untold = replace(b, change=None)
    assert under_way.planned(scene(a, untold), untold) == old


def test_a_change_of_a_copy_that_runs_as_primary_is_no_reason_to_go_on() -> None:
    begun = change("switchover", "b", "a")
    a, b = primary(), secondary(change=begun)  # it was noted at b, and a was never told
    assert under_way.planned(scene(a, b), b) is None
    assert role_plans.switchover(scene(a, b), b).refusals == ()


# -- failover -----------------------------------------------------------------------------------


def test_a_failover_says_what_is_lost_as_of_the_last_contact() -> None:
    plan = role_plans.failover(scene(secondary(), silent="a"), secondary())
    assert plan.refusals == ()
    assert plan.lost[0].startswith(
        "at least, as of the last contact: what was acknowledged at a after 2026-01"
    )
    assert any("does not answer" in each for each in plan.warnings)


def test_a_failover_says_which_links_will_be_asynchronous_since_nobody_knows_what_they_were() -> None:
    def said(seen: Scene) -> list[str]:
        plan = role_plans.failover(seen, role_plans.goal_of(seen, "b"))
        assert plan.document()["warnings"] == list(plan.warnings)
        return [each for each in plan.warnings if "asynchronous" in each]

    (alone,) = said(scene(secondary(), silent="a"))
    assert "links from b to a will be asynchronous" in alone
    assert "farshore link set orders a mode=sync, at b" in alone
    (both,) = said(scene(secondary(), secondary("c"), silent="a"))
    assert "links from b to a, c will be asynchronous" in both
    assert "farshore link set orders c mode=sync" in both
    assert said(scene(primary(acts=None), secondary())) == [], "its node knows them, only the engine is gone"
    assert said(scene(secondary(paired=()), silent="a")) == [], "there will be none"


def test_a_failover_recommends_the_most_advanced_copy_and_names_what_another_one_lacks() -> None:
    b, c = secondary(sequence=90), secondary("c", sequence=100)
    seen = scene(b, c, silent="a")
    assert branches.most_advanced(seen) == c
    lost = role_plans.failover(seen, b).lost
    assert any("10 writes that c holds and b lacks" in each for each in lost)
    assert not any("writes that b holds" in each for each in role_plans.failover(seen, c).lost)


@pytest.mark.parametrize(
    ("b", "code"),
    [
        (secondary(promotable=False, promotable_why="a resync has overwritten part of it"), "not-promotable"),
        (secondary(acts=None), "wrong-state"),
        (secondary(connected=True), "wrong-state"),
        (primary("b", ""), "wrong-state"),
    ],
)
def test_a_copy_that_cannot_be_the_primary_is_not_promoted(b: Standing, code: str) -> None:
    assert _codes(role_plans.failover(scene(b, silent="a"), b)) == [code]


def test_a_primary_that_runs_is_not_replaced_and_one_whose_engine_is_gone_is() -> None:
    b = secondary()
    assert _codes(role_plans.failover(scene(primary(), b), b)) == ["wrong-state"]
    plan = role_plans.failover(scene(primary(acts=None), b), b)
    assert plan.refusals == ()
    assert "is to be a secondary, durably" in plan.steps[0]
    assert role_plans.failover(scene(primary(fault="EIO"), b), b).refusals == ()


def test_a_copy_that_is_no_prefix_perhaps_is_promoted_by_a_plan_that_says_so_only() -> None:
    doubted = secondary(promotable=False, promotable_why="its machine lost power", promotable_risk=DOUBTFUL)
    plan = role_plans.failover(scene(doubted, silent="a"), doubted)
    assert (plan.refusals, plan.accepts) == ((), (DOUBTFUL,))
    assert any("its machine lost power" in each for each in plan.lost)
    open_ = secondary(promotable=False, promotable_why="a resync is open", promotable_risk=UNPROTECTED)
    assert _codes(role_plans.failover(scene(open_, silent="a"), open_)) == ["not-promotable"]


# -- two copies that were written ---------------------------------------------------------------


FENCED = primary(fenced="the copy at the peer is the primary", sequence=105)
PROMOTED = primary(
    "b",
    "",
    fed_by=secondary().fed_by,
    change=change("failover", "b", "a"),
    links=(link("a", state="logging"),),
)


def test_e7_a_copy_that_is_known_to_differ_is_repaired_before_it_becomes_the_truth() -> None:
    a, b = primary(links=(link("b", found_bytes=4096),)), secondary()
    for plan in (role_plans.switchover(scene(a, b), b), role_plans.failback(scene(a, b), b)):
        (refusal,) = plan.refusals
        assert "4 KiB" in refusal.what
        assert refusal.next_step.startswith("farshore verify orders --link b --repair")


def test_failback_overwrites_what_was_written_at_the_one_that_comes_back_by_a_plan_only() -> None:
    plan = role_plans.failback(scene(FENCED, PROMOTED), FENCED)
    assert (plan.refusals, plan.accepts) == ((), ())
    assert "what was written at a" in plan.lost[0]
    follows = secondary("a", "b", fed_by=replace(secondary("a", "b").fed_by, link=link("a").id))  # type: ignore[type-var]
    plan = role_plans.failback(scene(follows, PROMOTED), follows)
    assert (plan.refusals, plan.lost, plan.accepts) == ((), (), ())
    stranger = secondary("a", "d")
    assert _codes(role_plans.failback(scene(stranger, PROMOTED), stranger)) == ["wrong-feeder"]
    assert _codes(role_plans.failback(scene(FENCED, PROMOTED), PROMOTED)) == ["wrong-state"]


def test_what_was_written_at_the_loser_is_named_with_its_size_and_since_when() -> None:
    parted = link("b", state="diverged", own_bytes=3 << 20, fork={"time": "2026-01-02T03:04:05.000Z"})
    plan = role_plans.resolve(scene(replace(FENCED, links=(parted,)), PROMOTED), PROMOTED)
    assert "since 2026-01-02T03:04:05.000Z" in plan.lost[0]
    assert "3 MiB" in plan.lost[0]
    kept = role_plans.resolve(scene(FENCED, PROMOTED), FENCED)
    assert kept.refusals == ()
    assert kept.steps[-1] == "the copy at a takes writes again"


def test_d7_a_resolution_names_every_copy_that_it_overwrites_and_is_bound_to_where_that_stands() -> None:
    """c is fed by the loser, and may be the only other one that has what was written there."""
    a, b = primary(far="b"), replace(primary("b", "c"), fenced="the copy at the peer has become the primary")
    c = secondary("c", "b", generation="66" * 16, sequence=500)
    plan = role_plans.resolve(scene(a, b, c, here="a"), a)
    assert "c is fed by a from now on, and made equal to it" in plan.steps
    assert "what c holds and a lacks; it is kept there as a rescue" in plan.lost
    later = role_plans.resolve(scene(a, b, replace(c, sequence=501), here="a"), a)
    assert later.id != plan.id
    behind = role_plans.resolve(scene(a, b, secondary("c", "b", sequence=90), here="a"), a)
    assert "c is fed by a from now on, and gets what it lacks" in behind.steps
    assert not any("what c holds" in each for each in behind.lost)
    follows = replace(a, links=(*a.links, link("c")))
    away = role_plans.resolve(scene(follows, b, secondary("c"), here="a"), follows)
    assert not any("c is fed" in each for each in away.steps)


def test_d7_a_revert_names_the_copies_that_followed_the_promoted_one() -> None:
    c = secondary("c", "b", generation="66" * 16, sequence=500)
    plan = role_plans.revert(scene(FENCED, PROMOTED, c), PROMOTED)
    assert "what c holds and a lacks; it is kept there as a rescue" in plan.lost
    moved = replace(c, sequence=501)  # by applications, at the promoted one
    assert role_plans.revert(scene(FENCED, PROMOTED, moved), PROMOTED).id == plan.id
    fenced = replace(PROMOTED, acts=None)
    still = role_plans.revert(scene(FENCED, fenced, c), fenced).id
    assert role_plans.revert(scene(FENCED, fenced, moved), fenced).id != still


def test_a_copy_that_is_reinstated_keeps_what_the_operator_has_set() -> None:
    """Nobody was the primary in its place whose settings it would take over."""
    a = replace(primary(fenced="promoted"), ignored=(0,), on_start="alone")
    wish = role_steps.promotion(scene(a), a, change("failover-revert", "b", "a"), ())
    assert (wish.ignored, wish.on_start) == ((0,), "alone")


def test_d7_a_fenced_copy_takes_writes_again_once_an_operator_has_given_the_promoted_one_up() -> None:
    silent = scene(FENCED, here="a", silent="b")
    refused = role_plans.resolve(silent, FENCED)
    assert _codes(refused) == ["unreachable"]
    assert "farshore link delete orders b, at a" in refused.refusals[0].next_step
    alone = replace(FENCED, links=())
    plan = role_plans.resolve(scene(alone, here="a"), alone)
    assert (plan.refusals, plan.steps) == ((), ("the copy at a takes writes again",))
    assert any("was promoted in place of the one at a" in each for each in plan.lost)
    written = (("77" * 16, 90), ("66" * 16, 500))
    c = secondary("c", "b", generation="66" * 16, sequence=500, stretches=written)
    beside = role_plans.resolve(scene(alone, c, here="a"), alone)
    assert any("that c holds and a lacks" in each for each in beside.lost)
    assert beside.id != plan.id


def test_d7_who_is_not_heard_may_be_the_promoted_one_whoever_asks() -> None:
    """Nobody here is silent: b was not asked, or has answered without its copy."""
    a, c = replace(FENCED, links=(link("b"), link("c"))), secondary("c")
    for here in "ac":
        (refusal,) = role_plans.resolve(scene(a, c, here=here), a).refusals
        assert (refusal.code, "b does not say" in refusal.what) == ("unreachable", True)
    assert role_plans.resolve(scene(a, c, PROMOTED), a).refusals == ()
    unmet = replace(FENCED, links=(link("b", peer_copy=None),))
    assert _codes(role_plans.resolve(scene(unmet, here="a"), unmet)) == ["unreachable"]


def test_d7_a_conflict_with_a_copy_that_takes_no_writes_either_is_not_with_the_promoted_one() -> None:
    a = replace(FENCED, links=(link("b"),))
    b = replace(PROMOTED, fenced="c was promoted later", links=(link("a"), link("c")))
    (refusal,) = role_plans.resolve(scene(a, b, here="a"), a).refusals
    assert (refusal.code, "c does not say" in refusal.what) == ("unreachable", True)
    assert "farshore link delete orders c, at b" in refusal.next_step
    parted = replace(FENCED, links=(link("b"), link("c", state="diverged")))
    assert _codes(role_plans.resolve(scene(parted, secondary("c"), here="a"), parted)) == ["unreachable"]


def test_d7_the_copy_that_a_heard_one_follows_may_be_the_promoted_one() -> None:
    a, b = replace(FENCED, links=(link("b"),)), secondary("b", "c")
    (refusal,) = role_plans.resolve(scene(a, b, here="b", silent="c"), a).refusals
    assert (refusal.code, refusal.what) == (
        "unreachable",
        "c does not say how its copy stands (no answer within 6 s), and b follows its copy",
    )
    assert "farshore node forget c, at a" in refusal.next_step
    given_up = replace(a, paired=(node_of("b"),))
    assert role_plans.resolve(scene(given_up, b, here="b"), given_up).refusals == ()


def test_d6_another_primary_that_is_heard_says_nothing_of_the_one_that_is_silent() -> None:
    """Two were promoted while nobody heard the others: either may be the one that fenced this copy."""
    fenced = replace(FENCED, links=(link("b"), link("c")))
    promoted = primary("c", "")
    plan = role_plans.resolve(scene(fenced, promoted, here="a", silent="b"), fenced)
    assert _codes(plan) == ["unreachable"]
    assert "farshore link delete orders b, at a" in plan.refusals[0].next_step


def test_a_fenced_copy_that_answers_is_no_primary_to_switch_from() -> None:
    c = secondary("c", "b")
    plan = role_plans.failover(scene(FENCED, c, here="c", silent="b"), c)
    assert "farshore node stop --engines, at a" in plan.refusals[0].next_step
    assert role_plans.failover(scene(c, here="c", silent="ab"), c).refusals == ()


def test_nothing_is_resolved_where_nothing_contradicts() -> None:
    a, b = primary(), secondary()
    assert _codes(role_plans.resolve(scene(a, b), a)) == ["wrong-state"]
    assert _codes(role_plans.resolve(scene(a, b), b)) == ["wrong-role"]


def test_a_failover_is_reverted_to_a_former_primary_that_is_still_one() -> None:
    plan = role_plans.revert(scene(FENCED, PROMOTED), PROMOTED)
    assert (plan.refusals, plan.accepts) == ((), ())
    assert _codes(role_plans.revert(scene(PROMOTED, silent="a"), PROMOTED)) == ["wrong-state"]
    rejoined = role_plans.revert(scene(secondary("a", "b"), PROMOTED), PROMOTED)
    assert rejoined.refusals[0].next_step == "farshore switchover orders a"


# -- what a plan is bound to --------------------------------------------------------------------


def test_a_plan_outlives_writes_and_nothing_else() -> None:
    a, b = primary(), secondary()
    plan = role_plans.switchover(scene(a, b), b)
    later = scene(replace(a, sequence=900, durable=899), replace(b, sequence=880))
    assert role_plans.switchover(later, b).id == plan.id
    assert role_plans.switchover(scene(b, a, here="a"), b).id == plan.id
    for other in (
        scene(replace(a, generation="66" * 16), b),
        scene(replace(a, links=(link("b", epoch=2),)), b),
        scene(replace(a, links=(link("b", state="logging"),)), b),
        scene(a, b, secondary("c")),
        scene(a, b, silent="c"),
        scene(replace(a, turn="55" * 16), b),
    ):
        assert role_plans.switchover(other, b).id != plan.id
    with pytest.raises(FarshoreError, match="another state"):
        plan.accepted("0" * 12, "farshore switchover orders b")


def test_without_a_primary_that_writes_a_plan_is_bound_to_where_copies_stand() -> None:
    b = secondary()
    before = role_plans.failover(scene(b, silent="a"), b)
    moved = replace(b, sequence=101)
    assert role_plans.failover(scene(moved, silent="a"), moved).id != before.id


def test_a_node_with_several_copies_has_to_be_asked_for_one_of_them() -> None:
    b = secondary()
    other = secondary("b", copy="cd" * 16, copy_name="second")
    seen = scene(primary(), b, other)
    with pytest.raises(FarshoreError, match="several copies"):
        role_plans.goal_of(seen, "b")
    assert role_plans.goal_of(seen, "b/second") == other
    assert seen.called(other) == "b/second"
    for text, code in (("x", "not-found"), ("c", "unreachable")):
        with pytest.raises(FarshoreError) as caught:
            role_plans.goal_of(scene(b, silent="c"), text)
        assert caught.value.code.name == code


@pytest.mark.parametrize("text", ["b", "b/b"])
def test_a_node_that_has_lost_its_copy_is_refused_and_not_taken_for_a_typing_error(text: str) -> None:
    with pytest.raises(FarshoreError, match="no copy of orders any more") as caught:
        role_plans.goal_of(scene(primary()), text)
    assert caught.value.code.name == "wrong-state"
    assert "farshore link create orders b --first digest" in caught.value.next_step
    left = primary(links=(link("b", left_for="c"),))
    for seen, other in ((scene(primary()), "b/second"), (scene(left), text)):
        with pytest.raises(FarshoreError) as caught:
            role_plans.goal_of(seen, other)
        assert caught.value.code.name == "not-found", "no link leads to such a copy"


def test_a_switchover_needs_the_nodes_of_the_others_paired_and_says_who_is_left() -> None:
    a, b = primary(far="bc"), secondary("b", paired=(node_of("a"),))
    plan = role_plans.switchover(scene(a, b, secondary("c")), b)
    assert plan.refusals == ()
    assert any("not paired with c" in each for each in plan.warnings)
