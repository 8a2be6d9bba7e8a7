"""`switchover`: the role of primary moves to another copy with every acknowledged write (rule D7).

Order, and why it is safe to die anywhere in it: (1) everything that could be refused is looked at; (2) the
goal notes that the change has begun; (3) the primary holds new writes until all that it acknowledged is
durable at its peers, and becomes a secondary, durably, in one step of its node: from then on nobody takes
writes; (4) the goal is seen to hold everything up to there, durably; (5) it becomes the primary, durably,
with a link to the copy that gave the role up and to the others that one fed; (6) these are pointed at it;
(7) the change is crossed out at both. Cut off before (3) is durable, nothing has changed. Cut off between
(3) and (5), the same command goes on, and a switchover to the copy that gave the role up takes it back: its
word to the goal, to follow it from now on, is durable there before it is promoted again, and a late wish to
promote the goal is refused by what that expects.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from farshore.errors import FarshoreError
from farshore.model.role_change import ChangeIntent
from farshore.node import gathering, role_plans, role_steps, under_way
from farshore.node.node import Node
from farshore.node.plan import Plan
from farshore.node.standings import Scene, Standing
from farshore.node.turn_wishes import Following, link_id

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wish:
    """An operator's wish: `accept` is the plan's id, None to be shown the plan only."""

    group: str
    node: str | None = None
    accept: str | None = None
    drain: float = role_steps.DRAIN_SECONDS
    unprotected: bool = False
    """What is overwritten is to be kept nowhere."""


def changing_roles(node: Node, group: str) -> Any:
    """The lock under which this node carries out a change of roles; steps take the group's own lock."""
    return node.changing(f"{group} roles")


async def switchover(node: Node, wish: Wish) -> dict[str, Any]:
    """The plan, and what was done. Raises FarshoreError, with the command that goes on."""
    async with changing_roles(node, wish.group):
        scene = await gathering.scene(node, wish.group)
        goal = role_plans.goal_of(scene, wish.node or node.name)
        plan = role_plans.switchover(scene, goal)
        if wish.accept is None:
            return answer(plan, done=False)
        command = f"farshore switchover {wish.group} {scene.called(goal)}"
        going_on = under_way.planned(scene, goal)
        plan.require()
        if going_on is None or (going_on.goal, going_on.plan) != (goal.copy, wish.accept):
            plan.accepted(wish.accept, command)
        node.journal.add("switchover-begun", plan.title, group=wish.group, plan=plan.id)
        change = _change(scene, goal, wish.accept, going_on)
        told = await explained(
            carry_out(node, scene, goal, change, wish.drain), f"{command} --accept {plan.id}"
        )
        text = f"{scene.called(goal)} is the primary of {wish.group}"
        node.journal.add("switchover-done", text, group=wish.group, plan=plan.id)
        return answer(plan, done=True, not_told=told)


@dataclass(frozen=True, slots=True)
class Move:
    """The role goes from one copy to another. `other`: the one that gives it up; `drain` in seconds."""

    scene: Scene
    goal: Standing
    other: Standing
    change: ChangeIntent
    drain: float


async def carry_out(
    node: Node, scene: Scene, goal: Standing, change: ChangeIntent, drain: float
) -> list[str]:
    """All that is left of it; the names of nodes that could not be told. Raises FarshoreError."""
    other = scene.copy(change.other)
    if other is None:
        raise FarshoreError(
            "unreachable",
            f"{change.other_name}, which gives the role up, does not say how its copy stands",
            next_step=f"when it is back, the same command; or farshore failover {scene.group}",
        )
    move = Move(scene, goal, other, change, drain)
    if not goal.primary:
        await role_steps.noted(node, scene, goal, change)
        try:
            move = await _given_up(node, move)
        except FarshoreError:
            await forget(node, move)
            raise
        move = await _promoted(node, replace(move, goal=await _whole(node, move)))
    others = role_steps.siblings(scene, goal, other)
    untold = await point_all(node, scene, move.goal, others)
    gone = [link.link for copy, link in others if scene.called(copy) not in untold]
    await role_steps.noted(node, scene, move.other, None, gone)
    await role_steps.noted(node, scene, move.goal, None)
    return untold


async def forget(node: Node, move: Move) -> None:
    """The goal's note of a change that has not begun, where the primary goes on as one."""
    scene = await gathering.scene(node, move.scene.group)
    other, goal = scene.copy(move.other.copy), scene.copy(move.goal.copy)
    if other is None or not other.primary or goal is None or goal.change != move.change:
        return
    try:
        await role_steps.noted(node, scene, goal, None)
    except FarshoreError as error:
        _log.info("%s still notes a change that has not begun: %s", goal.node_name, error)


async def point_all(
    node: Node, scene: Scene, goal: Standing, others: list[tuple[Standing, Any]]
) -> list[str]:
    """Has copies follow `goal` by their own links; the names of those that could not be told."""
    untold = []
    for copy, link in others:
        try:
            await role_steps.pointed(node, scene, copy, goal, link)
        except FarshoreError as error:
            _log.warning("%s was not pointed at %s: %s", copy.node_name, goal.node_name, error)
            text = f"{scene.called(copy)} could not be told to follow {scene.called(goal)}: {error.what}"
            node.journal.add("copy-not-pointed", text, group=scene.group, peer=copy.node_name)
            untold.append(scene.called(copy))
    return untold


def answer(plan: Plan, *, done: bool, **more: Any) -> dict[str, Any]:
    """What a command of roles answers."""
    return {"plan": plan.document(), "done": done, **more}


async def explained(work: Any, command: str) -> Any:
    """What a step raises, with the command that goes on."""
    try:
        return await work
    except FarshoreError as error:
        raise FarshoreError(
            error.code.name,
            error.what,
            means=error.means or "the change of roles is not done; it goes on from where it stands",
            next_step="; ".join(each for each in (error.next_step, f"then: {command}") if each),
        ) from error


def begun(kind: str, goal: Standing, other: Standing | None, plan: str, options: Any = None) -> ChangeIntent:
    """A new change of roles. What it overwrites is kept."""
    more: Mapping[str, Any] = {} if options is None else {"options": options}
    return ChangeIntent(
        kind=kind,
        plan=plan,
        turn=os.urandom(16),
        goal=goal.copy,
        goal_name=goal.node_name,
        other="" if other is None else other.copy,
        other_name="" if other is None else other.node_name,
        began=time.time(),
        **more,
    )


def _change(scene: Scene, goal: Standing, plan: str, going_on: ChangeIntent | None) -> ChangeIntent:
    """The change that goes on, the one that takes it back, or a new one."""
    if going_on is not None and going_on.goal == goal.copy:
        return going_on
    if going_on is None:
        other = scene.primary
        link = other.link_to(goal) if other is not None else None
        return begun("switchover", goal, other, plan, role_steps.options_of(link))
    # Taken back: nobody was primary since this copy was, so it holds all that was ever acknowledged.
    back = begun("switchover", goal, scene.copy(going_on.goal), plan, going_on.options)
    return replace(back, drained=goal.head)


async def _given_up(node: Node, move: Move) -> Move:
    """With the other copy as a secondary that follows the goal, and with what was drained."""
    goal, other, change = move.goal, move.other, move.change
    link = link_id(change.turn, other.copy)
    known = other.fed_by
    if not other.primary and known is not None and known.link == link.hex():
        own = other.change
        return replace(move, change=own if own is not None and own.turn == change.turn else change)
    feeding = other.link_to(goal)
    left = [
        (each.link, goal.node_name)
        for copy, each in role_steps.siblings(move.scene, goal, other)
        if copy.fed_by is not None and copy.fed_by.peer == other.node
    ]
    wish = role_steps.demotion(
        move.scene,
        other,
        change.turn,
        Following(
            link=link,
            epoch=(0 if known is None else known.epoch) + 1,
            feeder=goal.node,
            wire=change.options.wire,
        ),
        gone=() if feeding is None else (bytes.fromhex(feeding.id),),
        left=tuple(left),
        drain=move.drain if other.primary else None,
        change=change,
    )
    turned = await role_steps.turned(node, other, wish)
    drained = None if turned.change is None else turned.change.drained
    return replace(move, other=turned, change=replace(change, drained=drained or change.drained))


async def _whole(node: Node, move: Move) -> Standing:
    """The goal, once it is known to hold everything that was acknowledged. Raises FarshoreError."""
    scene, goal, other = move.scene, move.goal, move.other
    if move.change.drained is not None:
        return await role_steps.whole(node, scene.group, goal.copy, move.change.drained)
    head, held = other.head, goal.head
    if other.turn != move.change.turn.hex() or head is None or held is None:
        raise FarshoreError(
            "wrong-state",
            f"where the copy at {scene.called(other)} ended as a primary is not known",
            means="no copy takes writes until one is promoted",
            next_step=f"farshore status {scene.group}",
        )
    if held.generation == head.generation and held.sequence >= head.sequence:
        return goal
    raise FarshoreError(
        "wrong-state",
        f"the engine at {scene.called(other)} died while its writes were drained:"
        f" {scene.called(goal)} may lack some",
        means="no copy takes writes until one is promoted; nothing is lost",
        next_step=f"farshore switchover {scene.group} {scene.called(other)} takes it back",
    )


async def _promoted(node: Node, move: Move) -> Move:
    """With the goal as the primary, which feeds the other copy and those that this one fed."""
    scene, goal, other = move.scene, move.goal, move.other
    epoch = other.fed_by.epoch if other.fed_by is not None else 1
    others = role_steps.siblings(scene, goal, other)
    links = [role_steps.back_to(move.change, other, epoch), *[link for _, link in others]]
    settings = {"on_start": other.on_start, "ignored": other.ignored}
    wish = role_steps.promotion(scene, goal, move.change, links, **settings)
    return replace(move, goal=await role_steps.turned(node, goal, wish))
