"""Plans by which what only one copy has is replaced, kept nowhere, or given up."""

from dataclasses import replace

import pytest

from farshore.model.copy_config import DOUBTFUL, UNPROTECTED, LinkIntent
from farshore.model.layers import LayerKind
from farshore.model.options import LinkOptions, LinkSpec, ResyncKind
from farshore.model.positions import Position
from farshore.node import bare_resync, rescues, reverse_plans, under_way
from farshore.node.copy_layers import KeptLayer
from farshore.node.placement import VolumeShape
from farshore.node.plan import Plan
from farshore.node.rescues import Rescue
from tests.unit.node.standing import GROUP, change, copy_of, link, node_of, primary, scene, secondary
from tests.unit.node.test_verify_repair import CONFIG

PAUSED = primary(links=(link("b", state="logging", dirty_bytes=3 << 20),))


def _codes(plan: Plan) -> list[str]:
    return [each.code for each in plan.refusals]


def test_a_reverse_resync_names_what_is_overwritten_since_when_and_that_it_is_kept() -> None:
    plan = reverse_plans.reverse(scene(PAUSED, secondary(), here="a"), PAUSED, secondary())
    assert (plan.refusals, plan.accepts) == ((), ())
    assert "at least 3 MiB that were written at a since 2026-01-01T00:00:00.000Z" in plan.lost[0]
    assert "kept there as a rescue" in plan.lost[0]
    bare = reverse_plans.reverse(scene(PAUSED, secondary(), here="a"), PAUSED, secondary(), kept=False)
    assert bare.accepts == (UNPROTECTED,)
    assert "kept nowhere" in bare.lost[0]
    assert bare.id != plan.id
    full = reverse_plans.reverse(scene(PAUSED, secondary(), here="a"), PAUSED, secondary(), ResyncKind.FULL)
    assert full.id != plan.id
    assert any("everything is copied" in each for each in full.steps)


def test_other_copies_that_are_fed_from_there_are_named_as_well() -> None:
    here = replace(PAUSED, links=(*PAUSED.links, link("c")))
    plan = reverse_plans.reverse(scene(here, secondary(), secondary("c"), here="a"), here, secondary())
    assert "what c has and b lacks" in plan.lost[1]


def test_a_doubtful_copy_is_taken_only_by_whoever_accepts_that() -> None:
    doubtful = secondary(promotable=False, promotable_why="it lost power", promotable_risk=DOUBTFUL)
    plan = reverse_plans.reverse(scene(PAUSED, doubtful, here="a"), PAUSED, doubtful)
    assert (plan.refusals, plan.accepts) == ((), (DOUBTFUL,))


@pytest.mark.parametrize(
    ("here", "there", "code"),
    [
        (replace(PAUSED, acts=None), secondary(), "wrong-state"),
        (replace(PAUSED, fault="a disk"), secondary(), "wrong-state"),
        (PAUSED, secondary(feeder="d"), "wrong-feeder"),
        (PAUSED, secondary(acts=None), "wrong-state"),
        (PAUSED, secondary(promotable=False, promotable_why="it was never whole"), "not-promotable"),
        (PAUSED, secondary(paired=()), "wrong-state"),
        (PAUSED, secondary(volumes=(VolumeShape(1, "more", 4096),)), "size-mismatch"),
        (replace(PAUSED, attached=("data",)), secondary(), "in-use"),
        (PAUSED, primary("b", ""), "diverged"),
        (secondary("a", "b"), secondary(), "wrong-state"),
    ],
)
def test_what_stands_against_a_reverse_resync(here: object, there: object, code: str) -> None:
    plan = reverse_plans.reverse(scene(here, there, here="a"), here, there)  # type: ignore[arg-type]
    assert code in _codes(plan)


def test_one_that_was_begun_is_found_and_goes_on() -> None:
    begun = change("reverse", "a", "b")
    ending = change("reverse-end", "a", "b")
    a, b = secondary("a", "b", change=begun), primary("b", "", change=begun)
    kinds = (reverse_plans.KIND_OF_END, reverse_plans.KIND)
    assert under_way.noted(scene(a, b), *kinds) == begun
    assert under_way.noted(scene(a, replace(b, change=ending)), *kinds) == ending
    assert under_way.noted(scene(PAUSED, secondary()), *kinds) is None
    assert under_way.noted(scene(a, b), *kinds, goal=a, plan="abc") == begun
    assert under_way.noted(scene(a, b), *kinds, goal=b) is None
    assert under_way.noted(scene(a, b), *kinds, plan="another") is None
    of_the_goal = replace(begun, turn=b"s" * 16)  # which speaks for itself, wherever it is heard
    assert under_way.noted(scene(b, replace(a, change=of_the_goal)), *kinds) == of_the_goal
    assert len(reverse_plans.going_on(scene(a, b), a, begun).steps) == 2
    assert len(reverse_plans.going_on(scene(a, b), a, ending).steps) == 1


def _promised(rescue: str) -> LinkIntent:
    spec = LinkSpec(b"l" * 16, "b", node_of("b"), LinkOptions())
    return LinkIntent(spec, "b", "b:7411", consent=Position(b"g" * 16, 7), rescue=rescue)


def test_to_keep_nowhere_what_was_promised_a_rescue_is_a_plan_of_its_own() -> None:
    plan = bare_resync.plan_of(CONFIG, [_promised("mine")])
    assert plan.accepts == (UNPROTECTED,)
    assert "kept nowhere" in plan.title
    assert plan.lost == ("what b wrote and the copy here lacks",)
    assert plan.id != bare_resync.plan_of(CONFIG, [_promised("other")]).id
    assert bare_resync.plan_of(CONFIG, []).lost == ()


def _rescue(**more: object) -> Rescue:
    layer = KeptLayer(
        id=GROUP,
        kind=LayerKind.RESCUE,
        name="mine",
        generation=GROUP,
        sequence=7,
        time="2026-11-23T12:00:00.000Z",
        bytes=5 << 20,
    )
    found = replace(layer, **more)  # type: ignore[arg-type]
    return Rescue(node=node_of("b"), node_name="b", copy=copy_of("b"), copy_name="b", layer=found)


def test_the_end_of_a_rescue_is_a_plan_that_names_it() -> None:
    plan = rescues.plan_of("orders", "mine", [_rescue()])
    assert plan.refusals == ()
    assert "until 2026-11-23T12:00:00.000Z, 5 MiB of it overwritten since" in plan.lost[0]
    assert plan.id != rescues.plan_of("orders", "mine", [_rescue(id="22" * 16)]).id


def test_of_a_broken_rescue_nothing_is_lost_that_could_be_read() -> None:
    plan = rescues.plan_of("orders", "mine", [_rescue(broken=True)])
    assert (plan.refusals, len(plan.lost)) == ((), 1)
    assert "is broken; it lacks what was overwritten" in plan.lost[0]
    assert "nowhere else" not in plan.lost[0]
    assert plan.id != rescues.plan_of("orders", "mine", [_rescue()]).id, "it broke since it was shown"


def test_what_takes_an_open_resync_back_is_not_deleted() -> None:
    assert _codes(rescues.plan_of("orders", "mine", [_rescue(open=True)])) == ["wrong-state"]
