"""`failback` and `split-brain`: two copies that were written independently, of which one is to be kept.

Nothing here happens by itself. `failback` makes a former primary that is back follow the one that was
promoted meanwhile, and gives it the role again once it has all; it can be called again and again until that
is done. `resolve` keeps one copy and has those that contradict it follow it. `preview` exports both sides
read-only, and nobody can write to either meanwhile, so that somebody can look at them first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from farshore.errors import FarshoreError, ProtocolError
from farshore.model.copy_config import PREVIEWED
from farshore.model.options import LinkState, Role
from farshore.model.role_change import ChangeIntent
from farshore.node import (
    exports,
    gathering,
    joining,
    placement,
    role_plans,
    role_steps,
    switchover,
    turns,
    under_way,
)
from farshore.node.copies import StoredCopy
from farshore.node.failover import keep_and_join
from farshore.node.node import Node
from farshore.node.peer_client import ask
from farshore.node.peers import Peer
from farshore.node.standings import Scene, Standing
from farshore.node.switchover import Wish, answer, begun, changing_roles, explained


async def failback(node: Node, wish: Wish) -> dict[str, Any]:
    """The plan, and what was done: `done` false and `waits_for` where the copy still catches up. Raises
    FarshoreError."""
    async with changing_roles(node, wish.group):
        scene = await gathering.scene(node, wish.group)
        goal = role_plans.goal_of(scene, wish.node or node.name)
        going_on = under_way.planned(scene, goal)
        if going_on is None:
            plan = role_plans.failback(scene, goal, kept=not wish.unprotected)
        else:
            plan = role_plans.switchover(scene, goal)
        if wish.accept is None:
            return answer(plan, done=False)
        noted = under_way.noted(scene, "failback", goal=goal)
        command = f"farshore failback {wish.group} {scene.called(goal)}"
        plan.require()
        if noted is None or noted.plan != wish.accept:
            plan.accepted(wish.accept, command)
        again = f"{command} --accept {wish.accept}"
        if going_on is not None:
            await explained(switchover.carry_out(node, scene, goal, going_on, wish.drain), again)
            return answer(plan, done=True)
        primary = scene.primary
        assert primary is not None  # or the plan is refused
        fresh = begun("failback", goal, primary, wish.accept, _options(goal, primary))
        change = noted or replace(fresh, unprotected=wish.unprotected)
        caught_up = await explained(_catches_up(node, scene, goal, primary, change), again)
        if caught_up is not None:
            return answer(plan, done=False, waits_for=caught_up)
        last = begun("failback", goal, primary, wish.accept, _options(primary, goal))
        untold = await explained(switchover.carry_out(node, scene, goal, last, wish.drain), again)
        text = f"{scene.called(goal)} is the primary of {wish.group} again"
        node.journal.add("failback-done", text, group=wish.group)
        return answer(plan, done=True, not_told=untold)


async def resolve(node: Node, wish: Wish) -> dict[str, Any]:
    """The plan, and what was done. `wish.node` is kept. Raises FarshoreError."""
    async with changing_roles(node, wish.group):
        scene = await gathering.scene(node, wish.group)
        keep = role_plans.goal_of(scene, wish.node or node.name)
        plan = role_plans.resolve(scene, keep, kept=not wish.unprotected)
        if wish.accept is None:
            return answer(plan, done=False)
        noted = under_way.noted(scene, "split-brain", goal=keep)
        if noted is None or noted.plan != wish.accept:
            plan.require()
            plan.accepted(wish.accept, f"farshore split-brain resolve {wish.group} --keep {plan.goal}")
        losers = role_plans.conflicting(scene, keep)
        if noted is not None and not losers:
            other = scene.copy(noted.other)
            losers = [] if other is None else [other]
        first = losers[0] if losers else None
        fresh = begun("split-brain", keep, first, wish.accept, _options(first, keep))
        change = noted or replace(fresh, unprotected=wish.unprotected)
        node.journal.add("split-brain-resolving", plan.title, group=wish.group, plan=plan.id)
        again = f"farshore split-brain resolve {wish.group} --keep {plan.goal} --accept {wish.accept}"
        untold = await explained(keep_and_join(node, scene, keep, losers, change), again)
        node.journal.add("split-brain-resolved", plan.title, group=wish.group, plan=plan.id)
        return answer(plan, done=True, not_told=untold)


async def show(node: Node, group: str) -> dict[str, Any]:
    """Every copy that contradicts another one: since when, and how much each wrote. Raises FarshoreError."""
    scene = await gathering.scene(node, group)
    sides = [each for each in scene.copies if each.primary or _conflict(each) is not None]
    split = len(scene.primaries) > 1 or any(_conflict(each) for each in scene.copies)
    return {
        "group": group,
        "split": split,
        "sides": [_side(scene, each) for each in sides] if split else [],
        "silent": [{"node": each.name, "why": each.why} for each in scene.silent],
        "next": f"farshore split-brain preview {group}; then farshore split-brain resolve {group} --keep NODE"
        if split
        else "",
    }


async def preview(node: Node, group: str, *, end: bool = False) -> dict[str, Any]:
    """Read-only exports of every side, each at its own node, and no other ones until the preview ends or one
    side is kept. Raises FarshoreError."""
    scene = await gathering.scene(node, group)
    looked_at = [each for each in scene.primaries if each.closed == PREVIEWED]
    shown = await show(node, group)
    if not (looked_at if end else shown["split"]):
        what = f"no copy of {group} that answers " + ("is being looked at" if end else "contradicts another")
        next_step = f"farshore split-brain show {group}"
        raise FarshoreError("wrong-state", what, means="nothing was changed", next_step=next_step)
    chosen = {each.copy for each in looked_at} if end else {each["copy"] for each in shown["sides"]}
    number = bytes.fromhex(scene.number)
    found: dict[str, Any] = {}
    for each in scene.copies:
        if each.copy not in chosen:
            continue
        if each.node == node.identity.fingerprint:
            found[each.copy] = await _looked_at(node, number, each.copy, end)
        else:
            args = {"group": scene.number, "copy": each.copy, "end": end}
            peer = role_steps.peer_of(node, each)
            found[each.copy] = (await ask(node.identity, peer, "preview-copy", args, role_steps.ASK_SECONDS))[
                "exports"
            ]
    text = f"the preview of {group} has ended" if end else f"both sides of {group} are shown read-only"
    node.journal.add("split-brain-preview", text, group=group)
    for side in shown["sides"]:
        side["exports"] = None if end else found.get(side["copy"])
    return shown


async def serve_preview(node: Node, peer: Peer, args: Mapping[str, Any]) -> dict[str, Any]:
    """`preview-copy`, for a node that has a say in that copy. Raises FarshoreError."""
    try:
        group, copy = placement.identifier(args["group"]), placement.identifier(args["copy"])
        end = args.get("end") is True
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"a malformed wish to look at a copy: {error!r}") from error
    await turns.require_related(node, peer, turns.find(node, group, copy))
    return {"exports": await _looked_at(node, group, copy.hex(), end)}


# -- steps --------------------------------------------------------------------------------------------


async def _catches_up(
    node: Node, scene: Scene, goal: Standing, primary: Standing, change: ChangeIntent
) -> dict[str, Any] | None:
    """None once the goal has all that the primary sends; else what is waited for."""
    link = primary.link_to(goal)
    follows = goal.fed_by
    following = not goal.primary and link is not None and follows is not None and follows.link == link.id
    if not following or (link is not None and link.state == LinkState.DIVERGED.value):
        await joining.join(node, scene, goal, primary, change)
    elif link is not None and link.state == LinkState.REPLICATING.value and goal.promotable is not False:
        return None
    else:
        joining.require_room(scene, primary, goal, link)
    return {
        "node": scene.called(primary),
        "link": scene.called(goal) if link is None else link.name,
        "state": None if link is None else link.state,
    }


def _options(feeder: Standing | None, follower: Standing) -> Any:
    return role_steps.options_of(None if feeder is None else feeder.link_to(follower))


def _conflict(copy: Standing) -> Mapping[str, Any] | None:
    for link in copy.links:
        if link.state == LinkState.DIVERGED.value:
            return link.fork or {}
    return {} if copy.fenced else None


def _side(scene: Scene, copy: Standing) -> dict[str, Any]:
    link = next((each for each in copy.links if each.own_bytes is not None or each.fork is not None), None)
    return {
        "node": scene.called(copy),
        "node_id": copy.node,
        "copy": copy.copy,
        "role": copy.role,
        "writes": copy.writes,
        "fenced": copy.fenced,
        "previewed": copy.closed == PREVIEWED,
        "generation": copy.generation,
        "sequence": copy.sequence,
        "fork": None if link is None else link.fork,
        "own_bytes": None if link is None else link.own_bytes,
        "marked_bytes": None if link is None else link.dirty_bytes,
        "exports": None,
    }


async def _looked_at(node: Node, group: bytes, copy: str, end: bool) -> list[dict[str, Any]]:
    stored: StoredCopy | None = node.copies.get(copy)
    if stored is None or stored.config.group != group or stored.config.role is not Role.PRIMARY:
        raise FarshoreError("not-found", f"{node.name} holds no such primary copy")
    name = stored.config.group_name
    async with node.changing(name):
        stored = turns.find(node, group, bytes.fromhex(copy))
        if stored.config.closed not in ("", PREVIEWED):
            raise FarshoreError("wrong-state", f"the copy at {node.name}: {stored.config.closed}")
        fresh = replace(stored.config, closed="" if end else PREVIEWED)
        if fresh != stored.config:
            await exports.carry_out(node, stored, fresh)
    return [] if end else await exports.create(node, name, None, exports.Wish(read_only=True))
