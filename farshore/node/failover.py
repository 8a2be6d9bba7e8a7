"""`failover`: a copy is promoted without its primary; it can be taken back until it is committed (rule D7).

The plan says what is known to be lost. Order: (1) the change is noted, and no other copy is seen to be about
to become the primary; where the old primary's node answers and only its engine does not, that copy is to be a
secondary, durably; (2) the copy is promoted, durably, with a link to where its feeder was, whose scoreboard
is complete from the promotion on, and with links to the copies that this one fed; (3) these follow it. A
former primary that was not reached takes no writes once it meets the promoted copy. The change stays noted
until `--commit`. `--revert` makes the promoted copy a secondary of the former primary, durably, before that
one takes writes again.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Final

from farshore.errors import FarshoreError
from farshore.model.role_change import ChangeIntent
from farshore.node import branches, gathering, joining, role_plans, role_steps, under_way
from farshore.node.node import Node
from farshore.node.plan import Plan
from farshore.node.standings import Scene, Standing
from farshore.node.switchover import Wish, answer, begun, changing_roles, explained, point_all
from farshore.node.turn_wishes import Following, LinkTo, link_id

_RECENT_SECONDS: Final = role_steps.TURN_SECONDS + role_steps.DRAIN_SECONDS
"""The longest that a step of another change may take."""


async def failover(node: Node, wish: Wish) -> dict[str, Any]:
    """The plan, and what was done. Without a node, of the most advanced copy. Raises FarshoreError."""
    async with changing_roles(node, wish.group):
        scene = await gathering.scene(node, wish.group)
        goal = _goal(scene, wish)
        plan = role_plans.failover(scene, goal)
        if wish.accept is None:
            return answer(plan, done=False)
        command = f"farshore failover {wish.group} {scene.called(goal)}"
        noted = under_way.noted(scene, "failover", goal=goal, plan=wish.accept)
        if noted is not None and noted == goal.change and goal.primary:
            change = noted  # cut off after the promotion
        else:
            plan.require()
            plan.accepted(wish.accept, command)
            change = begun("failover", goal, scene.primary, plan.id)
        node.journal.add("failover-begun", plan.title, group=wish.group, plan=plan.id)
        work = _carry_out(node, scene, goal, change, plan)
        untold = await explained(work, f"{command} --accept {wish.accept}")
        text = f"{scene.called(goal)} is the primary of {wish.group} by failover; it can be taken back until"
        node.journal.add("failover-done", f"{text} it is committed", group=wish.group, plan=plan.id)
        return answer(plan, done=True, not_told=untold)


async def commit(node: Node, group: str) -> dict[str, Any]:
    """Ends the time in which a failover can be taken back. Raises FarshoreError."""
    async with changing_roles(node, group):
        scene = await gathering.scene(node, group)
        promoted = _promoted(scene)
        for each in scene.copies:
            if each.change is not None and each.change.kind == "failover":
                await role_steps.noted(node, scene, each, None)
        name = scene.called(promoted)
        text = f"the failover of {group} to {name} is final"
        node.journal.add("failover-committed", text, group=group)
        return {"done": True, "primary": name}


async def revert(node: Node, wish: Wish) -> dict[str, Any]:
    """The plan, and what was done. Raises FarshoreError."""
    async with changing_roles(node, wish.group):
        scene = await gathering.scene(node, wish.group)
        reverting = under_way.noted(scene, "failover-revert")
        promoted = _promoted(scene) if reverting is None else scene.copy(reverting.goal)
        promoted = _promoted(scene) if promoted is None else promoted
        plan = role_plans.revert(scene, promoted, kept=not wish.unprotected)
        if wish.accept is None:
            return answer(plan, done=False)
        command = f"farshore failover {wish.group} --revert"
        going_on = reverting is not None and reverting.plan == wish.accept
        if not going_on:
            plan.require()
            plan.accepted(wish.accept, command)
        keep = role_plans.former_feeder(scene, promoted)
        if keep is None:
            raise FarshoreError("unreachable", "the former primary does not say how its copy stands")
        options = role_steps.options_of(keep.link_to(promoted))
        fresh = replace(
            begun("failover-revert", promoted, keep, plan.id, options), unprotected=wish.unprotected
        )
        change = reverting if going_on and reverting is not None else fresh
        node.journal.add("failover-reverting", plan.title, group=wish.group, plan=plan.id)
        work = keep_and_join(node, scene, keep, [promoted], change)
        untold = await explained(work, f"{command} --accept {wish.accept}")
        text = f"the failover of {wish.group} is taken back: {scene.called(keep)} is the primary"
        node.journal.add("failover-reverted", text, group=wish.group, plan=plan.id)
        return answer(plan, done=True, not_told=untold)


async def keep_and_join(
    node: Node, scene: Scene, keep: Standing, losers: list[Standing], change: ChangeIntent
) -> list[str]:
    """Has all losers, and what they fed, follow `keep`, which takes writes then; who could not be told."""
    for loser in losers:
        await joining.join(node, scene, loser, keep, change)
    untold = await joining.bring_along(node, scene, keep, losers, change)
    if keep.fenced:
        reinstated = replace(change, turn=link_id(change.turn, keep.copy))
        await role_steps.turned(node, keep, role_steps.promotion(scene, keep, reinstated, ()))
    for each in (*losers, keep):
        await role_steps.noted(node, scene, each, None)
    return untold


def _goal(scene: Scene, wish: Wish) -> Standing:
    """Raises FarshoreError where no copy can be promoted, or the best one is elsewhere."""
    if wish.node is not None:
        goal = role_plans.goal_of(scene, wish.node)
    else:
        best = branches.most_advanced(scene)
        here = [each for each in scene.copies if each.node == scene.here and not each.primary]
        goal = best or next(iter(here or scene.copies))
    if goal.node != scene.here:
        name = scene.called(goal)
        raise FarshoreError(
            "wrong-state",
            f"the copy of {scene.group} to be promoted is at {name}",
            means="nothing was changed on any node",
            next_step=f"run farshore failover {scene.group} {name} at {goal.node_name}",
        )
    return goal


def _promoted(scene: Scene) -> Standing:
    """The copy whose failover is not committed. Raises FarshoreError `wrong-state`."""
    for each in scene.copies:
        if each.primary and each.change is not None and each.change.kind == "failover":
            return each
    raise FarshoreError(
        "wrong-state",
        f"no failover of {scene.group} waits to be committed or taken back",
        means="nothing was changed",
        next_step=f"farshore status {scene.group}",
    )


async def _carry_out(node: Node, scene: Scene, goal: Standing, change: ChangeIntent, plan: Plan) -> list[str]:
    old = scene.primary if not goal.primary else None
    others = role_steps.siblings(scene, goal, old)
    if not goal.primary:
        await alone(node, scene, goal, change)
        try:
            goal = await _made_primary(node, scene, goal, change, plan)
        except FarshoreError:
            await _forget(node, scene, goal, change)
            raise
    return await point_all(node, scene, goal, others)


async def _made_primary(
    node: Node, scene: Scene, goal: Standing, change: ChangeIntent, plan: Plan
) -> Standing:
    old = scene.primary
    if old is not None:
        await put_down(node, scene, old, goal, change)
    links = [
        link_back(scene, goal, old, change),
        *[link for _, link in role_steps.siblings(scene, goal, old)],
    ]
    wish = role_steps.promotion(
        scene,
        goal,
        change,
        [each for each in links if each is not None],
        accepts=plan.accepts,
        whole=goal.promotable is True and goal.usable_as_of is not None,
        on_start="wait" if old is None else old.on_start,
        ignored=goal.ignored if old is None else old.ignored,
    )
    return await role_steps.turned(node, goal, wish)


async def _forget(node: Node, scene: Scene, goal: Standing, change: ChangeIntent) -> None:
    """Of a promotion that did not happen nothing is noted: another copy may be promoted instead at once."""
    now = (await gathering.scene(node, scene.group)).copy(goal.copy)
    if now is not None and not now.primary and now.change == change:
        await role_steps.noted(node, scene, goal, goal.change)


async def put_down(node: Node, scene: Scene, old: Standing, goal: Standing, change: ChangeIntent) -> None:
    """A primary whose engine does not run is to be a secondary, durably, and follow the goal. That its engine
    does not come up as one changes nothing of that."""
    back = old.link_to(goal)
    wish = role_steps.demotion(
        scene,
        old,
        change.turn,
        Following(
            link=link_id(change.turn, old.copy),
            epoch=(0 if old.fed_by is None else old.fed_by.epoch) + 1,
            feeder=goal.node,
        ),
        gone=() if back is None else (bytes.fromhex(back.id),),
        change=change,
    )
    try:
        await role_steps.turned(node, old, wish)
    except FarshoreError as error:
        now = (await gathering.scene(node, scene.group)).copy(old.copy)
        if now is None or now.primary:
            raise
        text = f"the engine of the former primary does not run: {error.what}"
        node.journal.add("copy-turning", text, group=scene.group, peer=old.node_name)


async def alone(node: Node, scene: Scene, goal: Standing, change: ChangeIntent) -> None:
    """Notes the change at the goal, and looks once more whether another copy is about to become the primary:
    of two nodes that do this, one at least sees the other. Raises FarshoreError `stale-plan`; nothing was
    changed then."""
    await role_steps.noted(node, scene, goal, change)
    now = await gathering.scene(node, scene.group)
    before = {each.copy for each in scene.primaries}
    known = {each.change.turn for each in scene.copies if each.change is not None}
    for each in now.copies:
        if each.copy == goal.copy:
            continue
        other = _rival(now, each, goal)
        rival = other is not None and (other.turn not in known or _fresh(other))
        if rival or (each.primary and each.copy not in before):
            await role_steps.noted(node, scene, goal, goal.change)
            by_now = "the primary by now" if each.primary else "part of another change of roles"
            raise FarshoreError(
                "stale-plan",
                f"the copy at {now.called(each)} is {by_now}",
                means="nothing was changed",
                next_step=f"farshore status {scene.group}; if nothing comes of it, the command again after"
                f" {_RECENT_SECONDS:g} s",
            )


def _rival(now: Scene, each: Standing, goal: Standing) -> ChangeIntent | None:
    """A change, noted at this copy, that could make a third one the primary. The copy that is to be the
    primary speaks for itself where it is heard: what others have noted may have come to nothing. Where it is
    silent and is the one that fed our goal, the plan is made for the case that it is gone."""
    other = each.change
    if other is None or other.goal == goal.copy:
        return None
    if now.copy(other.goal) is not None:
        return other if other.goal == each.copy else None
    fed_by = "" if goal.fed_by is None else goal.fed_by.peer_name
    return None if other.goal_name == fed_by else other


def _fresh(change: ChangeIntent) -> bool:
    """What was noted a while ago and leads nowhere was cut off, and need not be waited for."""
    return abs(time.time() - change.began) < _RECENT_SECONDS


def link_back(scene: Scene, goal: Standing, old: Standing | None, change: ChangeIntent) -> LinkTo | None:
    """To where the goal's feeder was."""
    fed = goal.fed_by
    if fed is None or fed.peer not in goal.paired:
        return None
    copy = old.copy if old is not None else ""
    back = old.link_to(goal) if old is not None else None
    epoch = (0 if old is None or old.fed_by is None else old.fed_by.epoch) + 1
    return LinkTo(
        link=link_id(change.turn, copy),
        epoch=epoch,
        name=fed.peer_name,
        far=fed.peer,
        far_name=fed.peer_name,
        far_copy=copy,
        options=role_steps.options_of(back, fed.wire),
    )
