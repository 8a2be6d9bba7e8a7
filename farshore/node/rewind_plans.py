"""The plan of a rewind: a copy goes back to an earlier state and becomes the primary from there. Pure.

It names the moment that can really be had, what is undone by going there, and what becomes of the primary
and of the other copies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from farshore.errors import FarshoreError, ProtocolError
from farshore.model.options import LinkState
from farshore.model.positions import Position
from farshore.model.role_change import ChangeIntent, Expected, RewindIntent, position_from_json
from farshore.model.units import format_duration, format_size
from farshore.node import plan_refusals, role_losses, role_plans
from farshore.node.plan import Plan, Refusal
from farshore.node.standings import Scene, Standing

KIND = "rewind"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Where a rewind of a copy would lead, as its engine has found."""

    layer: bytes
    name: str
    kind: str
    position: Position
    time: str
    undone_bytes: int | None
    undone_seconds: float | None
    rescue_bytes: int
    free_bytes: int

    def intent(self, now: float) -> RewindIntent:
        """For a plan that is accepted now."""
        moment = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
        return RewindIntent(self.layer, self.position, f"rewind-{moment}", now)


def in_place(scene: Scene, goal: Standing) -> Refusal:
    """Why a primary is not rewound: a turn of its role is what restores a state, and it keeps no frames."""
    if scene.primary is None or scene.primary.copy != goal.copy:
        return plan_refusals.no_one_primary(scene, goal)
    what = f"the copy at {scene.called(goal)} is the primary, which is not rewound in place"
    step = f"--on another NODE; or farshore switchover {scene.group} NODE first: its snapshots stay"
    return Refusal("wrong-state", what, step)


def look_from_json(value: Mapping[str, Any], who: str) -> Look:
    """What an engine or a node has answered. Raises ProtocolError."""
    try:
        position, layer = position_from_json(value["position"]), bytes.fromhex(value["layer"])
        if position is None or len(layer) != 16:
            raise ValueError("position or layer")
        undone, seconds = value["undone_bytes"], value["undone_seconds"]
        return Look(
            layer=layer,
            name=str(value["name"])[:64],
            kind=str(value["kind"])[:16],
            position=position,
            time=str(value["time"])[:40],
            undone_bytes=None if undone is None else int(undone),
            undone_seconds=None if seconds is None else float(seconds),
            rescue_bytes=int(value["rescue_bytes"]),
            free_bytes=int(value["store_free_bytes"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"{who} did not say where a rewind would lead: {error!r}") from error


def rewind(scene: Scene, goal: Standing, look: Look) -> Plan:
    """`goal` goes back to where `look` has found, and becomes the primary."""
    there, primary = scene.called(goal), scene.primary
    steps = [] if primary is None else _demotion(scene, goal, primary)
    what = f"{look.kind} {look.name}".rstrip()
    steps += [
        f"what {there} holds then is kept there as a rescue",
        f"{there} is restored from {what}, and gets what was written up to {look.time} again",
        f"the copy at {there} becomes the primary from there; applications open their volumes there then",
    ]
    others = [scene.called(each) for each in scene.copies if each.copy != goal.copy]
    if others:
        steps.append(
            f"{', '.join(others)} follow {there}: everything is compared, and what differs is copied;"
            " what each of them holds now is kept there as a rescue"
        )
    warnings = [
        f"{each.name} does not answer: if applications still write there, the copies diverge; it is to be"
        " looked at when it is back (farshore split-brain show)"
        for each in scene.silent
    ]
    if primary is None:
        warnings += role_losses.unknown_options(scene, goal, None)
    return Plan(
        kind=KIND,
        group=scene.group,
        goal=there,
        title=f"{there} goes back to {look.time}, and is the primary of {scene.group} from there",
        steps=tuple(steps),
        lost=(_undone(look, there), *_beyond(scene, goal, primary)),
        warnings=tuple(warnings),
        refusals=tuple(_refusals(scene, goal, primary, look)),
        facts={
            **role_plans.facts(scene),
            "rewind": [look.layer.hex(), look.position.generation.hex(), look.position.sequence],
        },
    )


def expected(goal: Standing, other: Standing | None) -> tuple[tuple[str, Expected], ...]:
    """What a plan that is accepted now rests on."""
    return tuple((each.copy, each.stands) for each in (goal, other) if each is not None)


def require_as_planned(scene: Scene, change: ChangeIntent) -> None:
    """Raises FarshoreError `stale-plan` where copies have changed their roles since by anything else than
    this very change: it would undo what nobody has named."""
    before, own = dict(change.expects), (change.goal, change.other)
    strange = [each for each in scene.primaries if each.copy not in own]
    for each in scene.copies:
        if each.copy in own and each.stands.turn != change.turn and each.stands != before.get(each.copy):
            strange.append(each)
    if strange:
        raise FarshoreError(
            "stale-plan",
            f"the copy of {scene.group} at {scene.called(strange[0])} is part of another change by now",
            means="nothing was changed",
            next_step=f"farshore status {scene.group}, then a new plan: farshore rewind {scene.group}"
            f" --on {change.goal_name} --to ...",
        )


def _demotion(scene: Scene, goal: Standing, primary: Standing) -> list[str]:
    here, there = scene.called(primary), scene.called(goal)
    steps = [f"the copy at {here} becomes a secondary, durably; applications there can write no more"]
    if drains(goal, primary):
        steps.insert(0, f"new writes at {here} are held until everything that was acknowledged is at {there}")
    return steps


def drains(goal: Standing, primary: Standing) -> bool:
    """Whether the goal gets everything first, so that its rescue has it."""
    link = primary.link_to(goal)
    return primary.alive and link is not None and link.state == LinkState.REPLICATING.value


def _undone(look: Look, there: str) -> str:
    if look.undone_bytes is None or look.undone_seconds is None:
        return f"everything that was written after {look.time}; the rescue at {there} keeps it"
    size, seconds = format_size(look.undone_bytes), format_duration(round(look.undone_seconds, 1))
    return (
        f"at least {size} that were written within {seconds} after {look.time};"
        f" the rescue at {there} keeps what was there"
    )


def _beyond(scene: Scene, goal: Standing, primary: Standing | None) -> list[str]:
    """What other copies hold that the goal never had; the primary gives it what it has first, if it can."""
    others = [each for each in scene.copies if each.copy != goal.copy]
    if primary is not None and drains(goal, primary):
        others.remove(primary)
    lacking = [text for each in others for text in role_losses.lacking(scene, goal, each)]
    return [f"{text}; it is kept there as a rescue" for text in lacking]


def _refusals(scene: Scene, goal: Standing, primary: Standing | None, look: Look) -> list[Refusal]:
    there, group = scene.called(goal), scene.group
    if goal.primary:
        return [plan_refusals.no_one_primary(scene, goal)]
    if len(scene.primaries) > 1:
        return [plan_refusals.no_one_primary(scene, goal)]
    found = []
    if not goal.alive:
        what = f"the engine of the copy at {there} does not answer"
        found.append(Refusal("wrong-state", what, f"farshore status {group}, at {there}"))
    elif goal.promotable is False:
        what = f"the copy at {there} cannot be promoted: {goal.promotable_why}"
        found.append(Refusal("not-promotable", what, f"farshore status {group}"))
    if look.rescue_bytes > look.free_bytes:
        what = (
            f"{there} keeps what it holds now as a rescue, for which its preserve store needs"
            f" {format_size(look.rescue_bytes)} and has {format_size(look.free_bytes)}"
        )
        found.append(Refusal("store-full", what, f"farshore snapshot delete {group} NAME, at {there}"))
    if primary is None:
        return found
    if primary.node not in goal.paired and primary.node != goal.node:
        found.append(plan_refusals.unpaired(goal, primary))
    if primary.attached:
        found.append(plan_refusals.attached(scene, primary))
    return found
