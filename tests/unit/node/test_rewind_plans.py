"""The plan of a rewind names what can be had and what is undone, and refuses what cannot be done."""

import json
from dataclasses import replace
from typing import Any

import pytest

from farshore.errors import FarshoreError, ProtocolError
from farshore.model.positions import Position
from farshore.model.role_change import change_from_json
from farshore.node import rewind_plans, turns
from farshore.node.rewind_plans import Look, look_from_json
from farshore.node.standings import Standing
from tests.unit.node.standing import GENERATION, change, link, primary, scene, secondary

LOOK = Look(
    layer=b"l" * 16,
    name="noon",
    kind="snapshot",
    position=Position(bytes.fromhex(GENERATION), 80),
    time="2026-01-01T12:00:00.000Z",
    undone_bytes=5 << 20,
    undone_seconds=90.0,
    rescue_bytes=1 << 20,
    free_bytes=2 << 20,
)
ANSWER: dict[str, Any] = {
    "layer": (b"l" * 16).hex(),
    "name": "noon",
    "kind": "snapshot",
    "position": [GENERATION, 80],
    "time": "2026-01-01T12:00:00.000Z",
    "undone_bytes": 5 << 20,
    "undone_seconds": 90.0,
    "rescue_bytes": 1 << 20,
    "store_free_bytes": 2 << 20,
}


def test_a_plan_names_the_moment_and_what_is_undone() -> None:
    a, b, c = primary(far="bc"), secondary("b"), secondary("c")
    plan = rewind_plans.rewind(scene(a, b, c), b, LOOK)
    assert plan.refusals == ()
    assert LOOK.time in plan.title
    assert plan.lost[0].startswith("at least 5 MiB that were written within 1m30s after 2026-01-01T12:00:00")
    assert plan.steps[0].startswith("new writes at a are held")
    assert plan.steps[1].startswith("the copy at a becomes a secondary")
    assert any("snapshot noon" in each for each in plan.steps)
    assert plan.steps[-1].startswith("a, c follow b: everything is compared")
    elsewhere = replace(LOOK, position=Position(bytes.fromhex(GENERATION), 79))
    assert rewind_plans.rewind(scene(a, b, c), b, elsewhere).id != plan.id


def test_what_is_not_known_is_not_said() -> None:
    plan = rewind_plans.rewind(scene(primary(), secondary()), secondary(), replace(LOOK, undone_bytes=None))
    assert plan.lost[0].startswith("everything that was written after")


def test_a_primary_that_does_not_replicate_is_demoted_and_not_drained() -> None:
    plan = rewind_plans.rewind(
        scene(primary(links=(link("b", state="logging"),)), secondary()), secondary(), LOOK
    )
    assert plan.steps[0].startswith("the copy at a becomes a secondary")


def test_a_silent_primary_is_warned_of() -> None:
    plan = rewind_plans.rewind(scene(secondary(), silent="a"), secondary(), LOOK)
    assert any("links from b to a will be asynchronous" in each for each in plan.warnings)
    assert (plan.refusals, len(plan.warnings)) == ((), 2)


def test_d7_what_another_copy_holds_beyond_the_goal_is_named() -> None:
    b, c = secondary("b", sequence=90), secondary("c", sequence=95)
    plan = rewind_plans.rewind(scene(b, c, silent="a"), b, LOOK)
    assert any("that c holds and b lacks" in each and "a rescue" in each for each in plan.lost), plan.lost
    behind = replace(c, sequence=90, durable=90)
    assert len(rewind_plans.rewind(scene(b, behind, silent="a"), b, LOOK).lost) == 1


TURN = (b"t" * 16).hex()
BEGUN = change(rewind_plans.KIND, "b", "a")
A, B, C = primary(far="bc", due="11" * 16), secondary("b", due="22" * 16), secondary("c")
PLANNED = replace(BEGUN, expects=rewind_plans.expected(B, A))


@pytest.mark.parametrize(
    "copies",
    [
        (A, B, C),
        (replace(A, role="secondary", due=TURN), B, C),
        (replace(A, role="secondary", due=TURN), replace(B, role="primary", due=TURN), C),
        (B, C),
    ],
    ids=["not begun", "the role is given up", "promoted", "the primary is silent"],
)
def test_a_rewind_goes_on_where_only_itself_has_changed_a_role(copies: tuple[Standing, ...]) -> None:
    rewind_plans.require_as_planned(scene(*copies), PLANNED)


@pytest.mark.parametrize(
    "copies",
    [
        (B, primary("c", "b")),
        (replace(A, role="secondary", due="33" * 16), B, C),
        (replace(A, due="33" * 16), B, C),
        (A, replace(B, due="33" * 16), C),
        (A, secondary("b", "c", due="22" * 16, fed_by=replace(B.fed_by, epoch=9)), C),  # type: ignore[type-var]
    ],
    ids=["another primary", "put down by another", "taken again", "the goal was turned", "pointed elsewhere"],
)
def test_d7_a_rewind_that_was_overtaken_does_not_go_on(copies: tuple[Standing, ...]) -> None:
    with pytest.raises(FarshoreError) as refused:
        rewind_plans.require_as_planned(scene(*copies), PLANNED)
    assert refused.value.code.name == "stale-plan"


def test_what_a_rewind_was_planned_from_comes_back_as_it_was() -> None:
    document = json.loads(json.dumps(turns.changed(PLANNED)))
    assert change_from_json(document) == PLANNED


@pytest.mark.parametrize(
    ("a", "b", "look", "code"),
    [
        (primary(), primary("b", ""), LOOK, "diverged"),
        (primary(), secondary(acts=None), LOOK, "wrong-state"),
        (primary(), secondary(promotable=False, promotable_why="it is blank"), LOOK, "not-promotable"),
        (primary(), secondary(paired=()), LOOK, "wrong-state"),
        (primary(attached=("data",)), secondary(), LOOK, "in-use"),
        (primary(), secondary(), replace(LOOK, rescue_bytes=3 << 20), "store-full"),
    ],
)
def test_a_rewind_that_cannot_be_done_is_refused(a: Standing, b: Standing, look: Look, code: str) -> None:
    plan = rewind_plans.rewind(scene(a, b), b, look)
    assert code in [each.code for each in plan.refusals]
    assert all(each.next_step for each in plan.refusals)


def test_the_primary_itself_is_not_rewound() -> None:
    plan = rewind_plans.rewind(scene(primary(), secondary()), primary(), LOOK)
    assert [each.code for each in plan.refusals] == ["wrong-state"]


def test_an_answer_is_taken_as_it_was_given_and_nothing_else() -> None:
    assert look_from_json(ANSWER, "b") == LOOK
    assert look_from_json({**ANSWER, "undone_bytes": None}, "b").undone_bytes is None
    for name, bad in (("layer", "00"), ("position", None), ("rescue_bytes", "many"), ("time", None)):
        broken = {key: each for key, each in ANSWER.items() if key != name}
        with pytest.raises(ProtocolError):
            look_from_json(broken, "b")
        if name != "time":
            with pytest.raises(ProtocolError):
                look_from_json({**ANSWER, name: bad}, "b")


def test_the_rescue_is_named_by_the_time_of_the_acceptance() -> None:
    intent = LOOK.intent(1767268800.0)
    assert (intent.rescue, intent.position, intent.layer) == (
        "rewind-20260101T120000Z",
        LOOK.position,
        LOOK.layer,
    )
