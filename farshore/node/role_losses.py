"""What copies hold that a change of roles leaves behind or overwrites, in sentences, and what a plan is bound
to by that. Pure.

Every copy that is overwritten is named (rule D7), also one that merely follows a copy that is: it may be the
only other one that has what was written there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from farshore.node import branches
from farshore.node.plan import Plan
from farshore.node.standings import Scene, Standing


def lacking(scene: Scene, goal: Standing, other: Standing) -> list[str]:
    """What another copy holds and the goal lacks."""
    there, name = scene.called(goal), scene.called(other)
    writes, found = branches.more(goal, other), branches.order(goal, other)
    if writes == 0 or found is branches.Order.UNKNOWN:
        return []
    same = goal.generation == other.generation
    many = "the writes" if writes is None else f"{writes} writes" if same else f"up to {writes} writes"
    text = f"{many} that {name} holds and {there} lacks"
    if found is branches.Order.APART:
        text += ", since the two were written apart"
    if found is branches.Order.BEHIND or branches.off_the_line(goal, other):
        text += f"; farshore failover {scene.group} {name} would keep them"
    return [text]


def unknown_options(scene: Scene, goal: Standing, old: Standing | None) -> list[str]:
    """The links that the goal gets as new ones, asynchronous, since nobody who answers knows what those were
    like that they take the place of."""
    there, fed = scene.called(goal), goal.fed_by
    names = []
    if fed is not None and fed.peer in goal.paired and (old is None or old.link_to(goal) is None):
        names.append(fed.peer_name)
    names += [
        each.copy_name for each, follows in scene.followers(goal, old) if scene.link(follows.link) is None
    ]
    if not names:
        return []
    silent = old.node_name if old is not None else fed.peer_name if fed is not None else "the primary"
    commands = "; ".join(f"farshore link set {scene.group} {name} mode=sync" for name in names)
    text = f"links from {there} to {', '.join(names)} will be asynchronous, and as new ones are in all else:"
    text += (
        f" {silent} does not say what they were like; no write at {there} waits for them, until: {commands}"
    )
    return [f"{text}, at {there}"]


@dataclass(frozen=True, slots=True)
class Along:
    """Copies that are to follow the kept one with those that fed them; what is done and lost by that."""

    copies: tuple[Standing, ...]
    steps: tuple[str, ...]
    lost: tuple[str, ...]


def brought_along(scene: Scene, keep: Standing, losers: Sequence[Standing], *, kept: bool) -> Along:
    """The copies that the losers fed, and that follow `keep` from then on. What only they have is `kept`
    there as a rescue, or nowhere."""
    here, steps, lost = scene.called(keep), [], []
    found = scene.brought_along(keep, losers)
    fate = "kept there as a rescue" if kept else "kept nowhere"
    for each in found:
        name, writes = scene.called(each), branches.more(keep, each)
        if writes == 0:
            steps.append(f"{name} is fed by {here} from now on, and gets what it lacks")
            continue
        steps.append(f"{name} is fed by {here} from now on, and made equal to it")
        many = "" if writes is None else f" (up to {writes} writes)"
        lost.append(f"what {name} holds and {here} lacks{many}; it is {fate}")
    return Along(tuple(found), tuple(steps), tuple(lost))


def bound(plan: Plan, losers: Sequence[Standing], along: Sequence[Standing]) -> Plan:
    """To where the copies stand that are overwritten, unless an application moves them."""
    moved = any(each.primary and each.alive and not each.fenced and not each.fault for each in losers)
    overwritten = sorted((*losers, *along), key=lambda each: each.copy)
    heads = [[each.copy, each.generation, None if moved else each.sequence] for each in overwritten]
    return replace(plan, facts={**plan.facts, "overwritten": heads})
