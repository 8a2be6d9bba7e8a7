"""Plans of who is to be the primary: from how all copies of a group stand to steps, losses and refusals.
Pure.

`switchover` moves the role and loses nothing; `failover` promotes a copy whose primary is gone, and says
what is known to be lost by it; `failback` brings a returned former primary up to date and moves the role
back; `resolve` keeps one of two copies that were written independently; `revert` takes a failover back.
None of them carries anything out. Nothing that may be newer is overwritten without a plan that names it
(rule D7).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from farshore.errors import FarshoreError
from farshore.model.copy_config import DOUBTFUL, UNPROTECTED
from farshore.model.options import LinkState
from farshore.model.role_change import ChangeIntent
from farshore.model.units import format_size
from farshore.node import plan_refusals, role_losses, under_way
from farshore.node.plan import Plan, Refusal
from farshore.node.standings import LinkStanding, Scene, Standing


def goal_of(scene: Scene, text: str) -> Standing:
    """The copy that NODE or NODE/COPY means. Raises FarshoreError `not-found`, `unreachable`,
    `state-damaged`, `wrong-state` or `usage`."""
    name, _, copy = text.partition("/")
    found = scene.at(name, copy or None)
    if len(found) == 1:
        return found[0]
    if found:
        raise FarshoreError(
            "usage",
            f"{name} holds several copies of {scene.group}: " + ", ".join(each.copy_name for each in found),
            means="nothing was changed on any node",
            next_step=f"say which: {name}/{found[0].copy_name}",
        )
    plan_refusals.require_heard(scene, name)
    plan_refusals.require_kept(scene, name, copy)
    known = ", ".join(scene.called(each) for each in scene.copies)
    raise FarshoreError(
        "not-found",
        f"{text} holds no copy of {scene.group} that this node knows of",
        means="nothing was changed on any node",
        next_step=f"copies are at: {known}; farshore topology {scene.group}",
    )


def switchover(scene: Scene, goal: Standing) -> Plan:
    """The role moves to `goal`, with every acknowledged write."""
    there, primary = scene.called(goal), scene.primary
    begun = under_way.planned(scene, goal)
    if begun is not None:
        return _going_on(scene, goal, begun)
    link = primary.link_to(goal) if primary is not None else None
    refusals = plan_refusals.no_switchover(scene, goal, primary, link)
    if primary is None:
        return plan_for(scene, "switchover", goal, f"{there} becomes the primary of {scene.group}", refusals)
    here = scene.called(primary)
    others = _others(primary, goal)
    steps = [
        f"new writes at {here} are held until everything that was acknowledged is durable at {there}",
        f"the copy at {here} becomes a secondary, durably; applications there can write no more",
        f"the copy at {there} becomes the primary; applications open their volumes there from now on",
        f"a link from {there} feeds {here}; what is written from then on is sent, and nothing is copied",
        *(f"{each.peer_name} is fed by {there} in place of {here}" for each in others),
    ]
    warnings = [
        f"{there} is not paired with {each.peer_name}, which stays fed by {here}"
        for each in others
        if each.peer not in goal.paired and each.peer != goal.node
    ]
    title = f"{there} becomes the primary of {scene.group} in place of {here}; nothing is lost"
    plan = plan_for(scene, "switchover", goal, title, refusals)
    return _with(plan, steps=steps, warnings=warnings)


def failover(scene: Scene, goal: Standing) -> Plan:
    """`goal` is promoted without its primary."""
    there, old = scene.called(goal), scene.primary
    behind = scene.silent_node(goal.fed_by.peer) if goal.fed_by is not None else None
    lost_node = old.node_name if old is not None else behind.name if behind is not None else "the primary"
    steps = [f"the copy at {there} becomes the primary; applications open their volumes there from now on"]
    if old is not None:
        steps.insert(0, f"the copy at {lost_node}, whose engine does not run, is to be a secondary, durably")
    else:
        steps.append(
            f"when {lost_node} comes back it is told of this and takes no writes;"
            f" it follows {there} by itself where it can lack nothing, else farshore failback or"
            " farshore split-brain is next"
        )
    siblings = [each for each in scene.copies if each.copy != goal.copy and not each.primary]
    steps += [f"{scene.called(each)} is fed by {there} from now on" for each in siblings]
    steps.append(
        f"until farshore failover {scene.group} --commit it can be taken back by"
        f" farshore failover {scene.group} --revert"
    )
    as_of = goal.usable_as_of or goal.newest_write_at
    lost = [
        (
            f"at least, as of the last contact: what was acknowledged at {lost_node} after"
            f" {as_of or 'the newest write that reached ' + there} and did not reach {there}"
        )
    ]
    warnings = []
    if old is None:
        warnings.append(
            f"{lost_node} does not answer: if applications still write there, the two copies diverge;"
            " stop them if you can"
        )
    warnings += role_losses.unknown_options(scene, goal, old)
    for each in siblings:
        lost += role_losses.lacking(scene, goal, each)
        if not each.alive:
            name = scene.called(each)
            warnings.append(f"the engine of {name} does not answer: it may hold what {there} lacks")
    accepts = []
    if plan_refusals.doubtful(goal):
        accepts.append(DOUBTFUL)
        lost.append(f"{there} is not a state of the group for sure: {goal.promotable_why}")
    title = f"{there} becomes the primary of {scene.group} without {lost_node}"
    plan = plan_for(scene, "failover", goal, title, plan_refusals.no_failover(scene, goal, old))
    return _with(plan, steps=steps, lost=lost, warnings=warnings, accepts=accepts)


def failback(scene: Scene, goal: Standing, *, kept: bool = True) -> Plan:
    """`goal`, a former primary that is back, gets what it lacks and then the role. What only it has is `kept`
    there as a rescue, or nowhere."""
    there, primary = scene.called(goal), scene.primary
    refusals: list[Refusal] = []
    if primary is None or primary.copy == goal.copy:
        refusals.append(plan_refusals.no_one_primary(scene, goal))
        return plan_for(scene, "failback", goal, f"{there} becomes the primary again", refusals)
    here = scene.called(primary)
    steps, lost, accepts = _overwritten(scene, primary, goal, kept)
    if not goal.primary and (goal.fed_by is None or goal.fed_by.peer != primary.node):
        refusals.append(
            Refusal("wrong-feeder", f"{there} is not fed by {here}", f"farshore topology {scene.group}")
        )
    refusals += plan_refusals.known_to_differ(scene, goal, primary, primary.link_to(goal))
    if goal.node not in primary.paired:
        refusals.append(plan_refusals.unpaired(primary, goal))
    if goal.attached:
        refusals.append(plan_refusals.attached(scene, goal))
    steps += [
        f"{there} catches up while applications write at {here}",
        (
            f"then the role moves: {here} holds its writes until {there} has all, becomes a secondary, and"
            f" {there} the primary"
        ),
    ]
    title = f"{there} gets from {here} what it lacks, and becomes the primary of {scene.group} again"
    plan = plan_for(scene, "failback", goal, title, refusals)
    return _with(plan, steps=steps, lost=lost, accepts=accepts)


def resolve(scene: Scene, keep: Standing, *, kept: bool = True) -> Plan:
    """`keep` stays as it is; the copies that conflict with it follow it, and what only they have is `kept`
    there, or nowhere."""
    there, losers = scene.called(keep), conflicting(scene, keep)
    refusals = []
    if not keep.primary:
        refusals.append(
            Refusal(
                "wrong-role",
                f"the copy at {there} is a secondary, and follows what its primary has",
                f"farshore split-brain show {scene.group}",
            )
        )
    elif not losers and keep.fenced:
        return _without_the_promoted(scene, keep)
    elif not losers:
        refusals.append(
            Refusal(
                "wrong-state",
                f"no copy of {scene.group} that answers conflicts with the one at {there}",
                f"farshore status {scene.group}",
            )
        )
    if keep.fenced:  # which of those that are heard was promoted is not known, nor whether another one was
        refusals += plan_refusals.may_be_promoted(scene, keep)
    steps, lost, accepts = [], [], []
    for each in losers:
        more, gone, risks = _overwritten(scene, keep, each, kept)
        steps += more
        lost += gone
        accepts += [risk for risk in risks if risk not in accepts]
        if each.node not in keep.paired:
            refusals.append(plan_refusals.unpaired(keep, each))
        if each.attached:
            refusals.append(plan_refusals.attached(scene, each))
    along = role_losses.brought_along(scene, keep, losers, kept=kept)
    steps += along.steps
    lost += along.lost
    if keep.fenced:
        steps.append(f"the copy at {there} takes writes again")
    names = " and ".join(scene.called(each) for each in losers) or "the others"
    title = f"the copy of {scene.group} at {there} is kept, and {names} made equal to it"
    plan = role_losses.bound(plan_for(scene, "split-brain", keep, title, refusals), losers, along.copies)
    return _with(plan, steps=steps, lost=lost, accepts=accepts)


def _without_the_promoted(scene: Scene, keep: Standing) -> Plan:
    """A former primary takes writes again, though the copy that was promoted in its place is lost."""
    there = scene.called(keep)
    title = f"the copy of {scene.group} at {there} is the primary again, without the one that was promoted"
    plan = plan_for(scene, "split-brain", keep, title, plan_refusals.may_be_promoted(scene, keep))
    lost = [f"what was written to the copy that was promoted in place of the one at {there}"]
    for each in scene.copies:
        lost += role_losses.lacking(scene, keep, each) if each.copy != keep.copy else []
    mind = "nobody can tell the promoted copy: should its site come back, let no application write there"
    return _with(plan, steps=[f"the copy at {there} takes writes again"], lost=lost, warnings=[mind])


def revert(scene: Scene, promoted: Standing, *, kept: bool = True) -> Plan:
    """A failover to `promoted` is taken back: its former feeder is the primary again. What was written to the
    promoted copy since is `kept` there, or nowhere."""
    there = scene.called(promoted)
    before = former_feeder(scene, promoted)
    if before is None or not before.primary:
        name = promoted.fed_by.peer_name if promoted.fed_by is not None else "the former primary"
        follows = before is not None and not before.primary
        what = f"{name} follows {there} meanwhile" if follows else f"{name} does not answer"
        step = f"farshore switchover {scene.group} {name}" if follows else f"farshore doctor {name}"
        refusal = Refusal("wrong-state", f"{what}: there is nobody to revert to", step)
        return plan_for(
            scene, "failover-revert", promoted, f"the failover to {there} is taken back", [refusal]
        )
    steps, lost, accepts = _overwritten(scene, before, promoted, kept)
    along = role_losses.brought_along(scene, before, [promoted], kept=kept)
    steps += along.steps
    lost += along.lost
    steps.append(f"the copy at {scene.called(before)} takes writes again, as it was before the failover")
    refusals = [plan_refusals.attached(scene, promoted)] if promoted.attached else []
    title = f"the failover of {scene.group} to {there} is taken back: {scene.called(before)} is the primary"
    plan = role_losses.bound(
        plan_for(scene, "failover-revert", promoted, title, refusals), [promoted], along.copies
    )
    return _with(plan, steps=steps, lost=lost, accepts=accepts)


def former_feeder(scene: Scene, promoted: Standing) -> Standing | None:
    """The copy that fed one that was promoted."""
    fed = promoted.fed_by
    if fed is None:
        return None
    at = [each for each in scene.copies if each.node == fed.peer and each.copy != promoted.copy]
    having = [each for each in at if any(link.id == fed.link for link in each.links)]
    return next(iter(having or at), None)


def conflicting(scene: Scene, keep: Standing) -> list[Standing]:
    """The copies that contradict `keep`: other primaries, and the far ones of links that say so."""
    found = []
    for each in scene.copies:
        link = keep.link_to(each)
        if each.copy != keep.copy and (
            each.primary or (link is not None and link.state == LinkState.DIVERGED.value)
        ):
            found.append(each)
    return found


def _going_on(scene: Scene, goal: Standing, begun: ChangeIntent) -> Plan:
    there = scene.called(goal)
    forward = begun.goal == goal.copy
    other = begun.other_name if forward else begun.goal_name
    verb = "goes on" if forward else f"to {begun.goal_name} is taken back"
    steps = [
        f"the copy at {there} becomes the primary; applications open their volumes there from now on",
        f"{other} follows {there}",
    ]
    refusals = []
    if not goal.alive:
        what = f"the engine of the copy at {there} does not answer"
        refusals.append(Refusal("wrong-state", what, f"farshore status {scene.group}, at {there}"))
    missing = scene.copy(begun.other if forward else begun.goal)
    if missing is None:
        what = f"{other} does not say how its copy stands"
        refusals.append(Refusal("unreachable", what, f"farshore doctor {other}"))
    plan = plan_for(scene, "switchover", goal, f"the switchover of {scene.group} {verb}", refusals)
    return _with(plan, steps=steps)


# -- sentences ----------------------------------------------------------------------------------------


def _overwritten(
    scene: Scene, keep: Standing, loser: Standing, kept: bool
) -> tuple[list[str], list[str], list[str]]:
    """Steps, losses and risks of making `loser` follow `keep`."""
    there, here = scene.called(loser), scene.called(keep)
    conflicts = loser in conflicting(scene, keep)
    if not conflicts:
        return [], [], []
    steps = [
        f"the copy at {there} becomes a secondary of {here}, durably",
        f"what differs is copied from {here} to {there}, and only that",
    ]
    link = loser.link_to(keep)
    fork = None if link is None or link.fork is None else link.fork.get("time")
    since = f" since {fork}" if fork else " since the two parted"
    size = None if link is None else link.own_bytes if link.own_bytes is not None else link.dirty_bytes
    marked = "" if size is None else f" ({format_size(size)} are marked as written)"
    lost = [f"what was written at {there}{since}, and not at {here}{marked}"]
    if kept:
        steps.append(
            f"what only {there} has is kept there first, as a rescue: farshore rescue list {scene.group}"
        )
        lost[0] += f"; it is overwritten in the copy at {there}, and kept there as a rescue"
        return steps, lost, []
    lost[0] += "; it is kept nowhere"
    return steps, lost, [UNPROTECTED]


def _others(primary: Standing, goal: Standing) -> list[LinkStanding]:
    """The links of the primary that feed other copies."""
    fed = goal.fed_by.link if goal.fed_by is not None else None
    return [each for each in primary.links if each.id != fed and not each.left_for]


def plan_for(
    scene: Scene,
    kind: str,
    goal: Standing,
    title: str,
    refusals: Sequence[Refusal],
) -> Plan:
    """A plan that rests on how all copies stand, as yet without steps."""
    return Plan(
        kind=kind,
        group=scene.group,
        goal=scene.called(goal),
        title=title,
        refusals=tuple(refusals),
        facts=facts(scene),
    )


def _with(plan: Plan, **more: Sequence[str]) -> Plan:
    return replace(plan, **{name: tuple(values) for name, values in more.items()})  # type: ignore[arg-type]


def facts(scene: Scene) -> Mapping[str, Any]:
    """What a plan rests on. Where a copy stands counts only where no application moves it."""
    writing = any(each.alive and not each.fenced and not each.fault for each in scene.primaries)
    copies = [
        {
            "copy": each.copy,
            "node": each.node,
            "role": each.role,
            "acts": each.acts,
            "turn": each.turn,
            "generation": each.generation,
            "sequence": each.sequence if each.fenced or not writing else None,
            "fenced": bool(each.fenced),
            "fed_by": None if each.fed_by is None else [each.fed_by.link, each.fed_by.epoch],
            "links": sorted([link.id, link.epoch, link.state, link.left_for] for link in each.links),
            "promotable": each.promotable,
        }
        for each in sorted(scene.copies, key=lambda one: one.copy)
    ]
    return {"group": scene.number, "copies": copies, "silent": sorted(each.node for each in scene.silent)}
