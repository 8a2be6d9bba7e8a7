"""`rewind`: a copy goes back to before a mistake and becomes the primary from there (rules D1, H).

Order, and why it is safe to die anywhere in it: (1) everything that could be refused is looked at, and the
goal notes the change with the exact position; (2) the primary, where it can be reached, becomes a secondary
of the goal, durably, after the goal has got everything where their link allows that; (3) the goal turns: its
engine keeps what it holds as a rescue, goes back and is the primary from there, in a turn that is repeated
until it is whole; (4) the other copies are pointed at it, with consent to exactly the heads that they have.
Cut off anywhere, the same plan goes on; before (3) is durable, a failover to either copy ends it instead.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from farshore.errors import FarshoreError, ProtocolError
from farshore.model.role_change import ChangeIntent
from farshore.node import (
    failover,
    gathering,
    placement,
    rewind_plans,
    role_plans,
    role_steps,
    under_way,
)
from farshore.node.node import Node
from farshore.node.peer_client import ask
from farshore.node.peers import Peer
from farshore.node.plan import Plan
from farshore.node.rewind_plans import KIND, Look
from farshore.node.standings import Scene, Standing
from farshore.node.switchover import Move, answer, begun, changing_roles, explained, forget, point_all
from farshore.node.turn_wishes import Following, LinkTo, link_id
from farshore.node.turns import require_related

LOOK_SECONDS: Final = 120.0
"""For an engine to read what its journal keeps."""


@dataclass(frozen=True, slots=True)
class Wish:
    """An operator's wish: `time` in seconds since the epoch, or the name of a snapshot or rescue; neither
    where a plan that was accepted goes on. Without a node, of the copy here, or of the only secondary."""

    group: str
    node: str | None = None
    time: float | None = None
    name: str | None = None
    accept: str | None = None
    drain: float = role_steps.DRAIN_SECONDS


async def rewind(node: Node, wish: Wish) -> dict[str, Any]:
    """The plan, and what was done. Raises FarshoreError, with the command that goes on."""
    async with changing_roles(node, wish.group):
        scene = await gathering.scene(node, wish.group)
        noted = None if wish.accept is None else under_way.noted(scene, KIND, plan=wish.accept)
        if noted is not None:
            return await _go_on(node, scene, noted, wish)
        if wish.time is None and wish.name is None:
            raise FarshoreError("usage", "a rewind leads to a time or to a snapshot", next_step="--to")
        goal = _goal(scene, wish)
        if goal.primary:
            raise rewind_plans.in_place(scene, goal).error()
        look = await _look(node, scene, goal, {"time": wish.time, "name": wish.name})
        plan = rewind_plans.rewind(scene, goal, look)
        if wish.accept is None:
            return answer(plan, done=False)
        plan.require()
        plan.accepted(wish.accept, f"farshore rewind {wish.group} --on {scene.called(goal)} --to ...")
        link = scene.primary.link_to(goal) if scene.primary is not None else None
        options = role_steps.options_of(link, goal.fed_by.wire if goal.fed_by is not None else "tls")
        change = begun(KIND, goal, scene.primary, plan.id, options)
        change = replace(
            change, rewind=look.intent(time.time()), expects=rewind_plans.expected(goal, scene.primary)
        )
        node.journal.add("rewind-begun", plan.title, group=wish.group, plan=plan.id)
        return await _ended(node, scene, change, wish, answer(plan, done=True))


async def _go_on(node: Node, scene: Scene, change: ChangeIntent, wish: Wish) -> dict[str, Any]:
    """A rewind that was cut off."""
    assert change.rewind is not None
    goal = scene.copy(change.goal)
    there = change.goal_name if goal is None else scene.called(goal)
    rewind_plans.require_as_planned(scene, change)
    plan = Plan(kind=KIND, group=scene.group, goal=there, title=f"the rewind of {there} goes on")
    told = answer(plan, done=True)
    told["plan"]["id"] = change.plan
    return await _ended(node, scene, change, wish, told)


async def _ended(
    node: Node, scene: Scene, change: ChangeIntent, wish: Wish, told: dict[str, Any]
) -> dict[str, Any]:
    work = _carry_out(node, scene, change, wish.drain)
    untold = await explained(work, f"farshore rewind {wish.group} --accept {change.plan}")
    text = f"the copy at {change.goal_name} is the primary of {wish.group}, from an earlier state"
    rescue = "" if change.rewind is None else change.rewind.rescue
    node.journal.add("rewind-done", text, group=wish.group, plan=change.plan, rescue=rescue)
    return {**told, "rescue": rescue, "not_told": untold}


async def serve_look(node: Node, peer: Peer, args: Mapping[str, Any]) -> dict[str, Any]:
    """`rewind-look` for a peer. Raises FarshoreError."""
    try:
        group, copy = placement.identifier(args["group"]), placement.identifier(args["copy"])
        wanted, name = args["time"], args["name"]
        asked = {
            "time": None if wanted is None else float(wanted),
            "name": None if name is None else str(name)[:64],
        }
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"a malformed question for a rewind: {error!r}") from error
    stored = node.copies.get(copy.hex())
    if stored is None or stored.config.group != group:
        raise FarshoreError("not-found", f"{node.name} holds no such copy")
    await require_related(node, peer, stored)
    return await stored.engine.ask("rewind-look", asked, seconds=LOOK_SECONDS)


# -- steps --------------------------------------------------------------------------------------------


def _goal(scene: Scene, wish: Wish) -> Standing:
    """Raises FarshoreError."""
    if wish.node is not None:
        return role_plans.goal_of(scene, wish.node)
    secondaries = [each for each in scene.copies if not each.primary]
    here = [each for each in secondaries if each.node == scene.here]
    if len(here) == 1 or len(secondaries) == 1:
        return (here if len(here) == 1 else secondaries)[0]
    names = ", ".join(scene.called(each) for each in secondaries) or "none that answers"
    raise FarshoreError(
        "usage",
        f"a rewind takes place at one secondary of {scene.group}: {names}",
        means="nothing was changed on any node",
        next_step=f"farshore rewind {scene.group} --on NODE --to ...",
    )


async def _look(node: Node, scene: Scene, goal: Standing, asked: Mapping[str, Any]) -> Look:
    there = scene.called(goal)
    if goal.node == node.identity.fingerprint:
        stored = node.copies.get(goal.copy)
        if stored is None:
            raise FarshoreError("not-found", f"{there} holds no such copy any more")
        found = await stored.engine.ask("rewind-look", dict(asked), seconds=LOOK_SECONDS)
    else:
        args = {"group": scene.number, "copy": goal.copy, **asked}
        peer = role_steps.peer_of(node, goal)
        found = await ask(node.identity, peer, "rewind-look", args, LOOK_SECONDS)
    return rewind_plans.look_from_json(found, there)


async def _carry_out(node: Node, scene: Scene, change: ChangeIntent, drain: float) -> list[str]:
    """All that is left of it; the names of nodes that could not be told. Raises FarshoreError."""
    goal, other = _of(scene, change)
    if not goal.primary:
        await failover.alone(node, scene, goal, change)
        if other is not None and other.primary:
            await _given_up(node, Move(scene, goal, other, change, drain))
        scene = await gathering.scene(node, scene.group)
        goal, other = _of(scene, change)
    kept = role_steps.rescue_of(change)
    others = [
        (copy, replace(link, consent=copy.head, rescue=kept))
        for copy, link in role_steps.siblings(scene, goal, other)
    ]
    if not goal.primary:
        links = [_back(scene, goal, other, change), *[link for _, link in others]]
        wish = role_steps.promotion(
            scene,
            goal,
            change,
            [each for each in links if each is not None],
            rewind=change.rewind,
            on_start="wait" if other is None else other.on_start,
            ignored=goal.ignored if other is None else other.ignored,
        )
        goal = await role_steps.turned(node, goal, wish)
    untold = await point_all(node, scene, goal, others)
    gone = [link.link for copy, link in others if scene.called(copy) not in untold]
    if other is not None:
        await role_steps.noted(node, scene, other, None, gone)
    await role_steps.noted(node, scene, goal, None)
    return untold


def _of(scene: Scene, change: ChangeIntent) -> tuple[Standing, Standing | None]:
    goal = scene.copy(change.goal)
    if goal is None:
        raise FarshoreError(
            "unreachable",
            f"{change.goal_name} does not say how its copy of {scene.group} stands",
            next_step=f"farshore doctor {change.goal_name}",
        )
    return goal, scene.copy(change.other)


async def _given_up(node: Node, move: Move) -> None:
    """The primary is a secondary that follows the goal, durably. Raises FarshoreError; where it is still the
    primary then, the change has not begun."""
    scene, goal, other, change = move.scene, move.goal, move.other, move.change
    if not other.alive:
        await failover.put_down(node, scene, other, goal, change)
        return
    known, feeding = other.fed_by, other.link_to(goal)
    left = [
        (each.link, goal.node_name)
        for copy, each in role_steps.siblings(scene, goal, other)
        if copy.fed_by is not None and copy.fed_by.peer == other.node
    ]
    wish = role_steps.demotion(
        scene,
        other,
        change.turn,
        Following(
            link=link_id(change.turn, other.copy),
            epoch=(0 if known is None else known.epoch) + 1,
            feeder=goal.node,
            wire=change.options.wire,
        ),
        gone=() if feeding is None else (bytes.fromhex(feeding.id),),
        left=tuple(left),
        drain=move.drain if rewind_plans.drains(goal, other) else None,
        change=change,
    )
    try:
        turned = await role_steps.turned(node, other, wish)
    except FarshoreError:
        await forget(node, move)
        raise
    drained = None if turned.change is None else turned.change.drained
    if drained is not None:
        await role_steps.whole(node, scene.group, goal.copy, drained)


def _back(scene: Scene, goal: Standing, other: Standing | None, change: ChangeIntent) -> LinkTo | None:
    """By which the goal feeds the copy that was the primary."""
    if other is None or other.primary or other.fed_by is None:
        return failover.link_back(scene, goal, other, change)
    return replace(role_steps.back_to(change, other, other.fed_by.epoch), consent=other.head)
