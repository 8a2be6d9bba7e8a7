"""Why a change of roles is refused: each with a code of the catalogue and the next command. Pure."""

from __future__ import annotations

from farshore.errors import FarshoreError
from farshore.model.copy_config import DOUBTFUL
from farshore.model.options import LinkState, Writes
from farshore.model.units import format_size
from farshore.node import branches
from farshore.node.plan import Refusal
from farshore.node.standings import LinkStanding, Scene, Standing


def no_switchover(
    scene: Scene, goal: Standing, primary: Standing | None, link: LinkStanding | None
) -> list[Refusal]:
    """Why the role cannot move without a loss; empty where it can."""
    there, group = scene.called(goal), scene.group
    if primary is None or goal.primary:
        return [no_one_primary(scene, goal)]
    here = scene.called(primary)
    if not primary.alive:
        what = f"the engine of the primary at {here} does not answer"
        return [Refusal("wrong-state", what, f"farshore failover {group} {there}, at {there}")]
    found = []
    if primary.fenced or primary.fault:
        what = f"the primary at {here} takes no writes: {primary.fenced or primary.fault}"
        found.append(Refusal("wrong-state", what, f"farshore status {group}"))
    if link is None or goal.fed_by is None or goal.fed_by.peer != primary.node:
        fed = goal.fed_by.peer_name if goal.fed_by is not None else "nobody"
        what = f"{there} is fed by {fed}, and not by the primary itself"
        step = f"farshore link reroute {group} {goal.copy_name} --via {here}, at {here}"
        return [*found, Refusal("wrong-feeder", what, step)]
    if link.state != LinkState.REPLICATING.value:
        what = f"{there} lacks writes of {here}: link {link.name} is {link.state or 'not known'}"
        found.append(Refusal("wrong-state", what, f"farshore wait {group} --for replicating, at {here}"))
    elif goal.promotable is False:
        what = f"the copy at {there} cannot be promoted: {goal.promotable_why}"
        found.append(Refusal("not-promotable", what, f"farshore status {group}"))
    found += known_to_differ(scene, goal, primary, link)
    if primary.node not in goal.paired:
        found.append(unpaired(goal, primary))
    if set(primary.volumes) != set(goal.volumes):
        what = f"{here} and {there} have other volumes"
        found.append(Refusal("size-mismatch", what, f"farshore group show {group}, on both nodes"))
    if primary.attached:
        found.append(attached(scene, primary))
    return found


def require_heard(scene: Scene, name: str) -> None:
    """Raises FarshoreError `unreachable` where NODE does not answer, or `state-damaged` where it cannot read
    a copy, which may be the one that is meant: nobody is told to make that one anew."""
    silent = next((each for each in scene.silent if each.name == name), None)
    if silent is None:
        return
    step = f"farshore doctor {name}"
    if silent.code == "state-damaged":
        step = f"farshore doctor, at {name}, names the record: restore it there from a backup of that host"
    raise FarshoreError(
        silent.code,
        f"{name} does not say how its copy of {scene.group} stands: {silent.why}",
        means="nothing was changed on any node",
        next_step=step,
    )


def require_kept(scene: Scene, name: str, copy: str) -> None:
    """Raises FarshoreError `wrong-state` where links lead to NODE, or to its copy of that name, and the node
    says that it has none: its state is gone. That is no mistake in what was typed."""
    leading = [
        (owner, link)
        for owner in scene.copies
        for link in owner.links
        if link.peer_name == name and copy in ("", link.name) and not link.left_for
    ]
    if not leading:
        return
    owner, link = leading[0]
    there, group = scene.called(owner), scene.group
    raise FarshoreError(
        "wrong-state",
        f"{name} answers, and has no copy of {group} any more: link {link.name} of {there} led to it",
        means="nothing was changed on any node; what its volumes hold there, nobody knows",
        next_step=f"restore the state of {name}; or make the copy anew, at {there}: farshore link delete"
        f" {group} {link.name}, then farshore link create {group} {name} --first digest",
    )


def no_failover(scene: Scene, goal: Standing, old: Standing | None) -> list[Refusal]:
    there, group = scene.called(goal), scene.group
    if goal.primary:
        what = f"the copy at {there} is a primary already"
        return [Refusal("wrong-state", what, f"farshore status {group}")]
    if len(scene.primaries) > 1:
        return [no_one_primary(scene, goal)]
    if old is not None and old.alive and old.fenced:  # also where its disk has failed: another was promoted
        name = scene.called(old)
        what = f"the copy at {name} is a primary as well, which takes no writes: {old.fenced}"
        step = f"farshore split-brain show {group}; or, to go on without {name}: farshore node stop --engines"
        return [Refusal("wrong-state", what, f"{step}, at {name}, then the same command")]
    if old is not None and old.alive and not old.fault:
        what = f"the primary at {scene.called(old)} runs, writes are {old.writes or Writes.FLOWING.value}"
        return [Refusal("wrong-state", what, f"farshore switchover {group} {there}")]
    if not goal.alive:
        what = f"the engine of the copy at {there} does not answer"
        return [Refusal("wrong-state", what, f"farshore status {group}, at {there}")]
    if goal.promotable is False and not doubtful(goal):
        what = f"the copy at {there} cannot be promoted: {goal.promotable_why}"
        best = branches.most_advanced(scene)
        step = f"farshore failover {group} {scene.called(best)}" if best else f"farshore status {group}"
        return [Refusal("not-promotable", what, step)]
    if goal.connected and old is None:
        fed = goal.fed_by.peer_name if goal.fed_by is not None else "its feeder"
        what = f"the engine of {fed} still feeds {there}; only its node does not answer"
        return [Refusal("wrong-state", what, f"farshore doctor {fed}; then farshore switchover {group}")]
    return []


def known_to_differ(
    scene: Scene, goal: Standing, primary: Standing, link: LinkStanding | None
) -> list[Refusal]:
    """Rule E7: the copy that a verify has found to differ would become what the others are brought to."""
    if link is None or not link.found_bytes:
        return []
    what = (
        f"a verify has found {format_size(link.found_bytes)} of the copy at {scene.called(goal)} that differ"
    )
    step = f"farshore verify {scene.group} --link {link.name} --repair --dry-run, at {scene.called(primary)}"
    return [Refusal("wrong-state", what, step)]


def no_one_primary(scene: Scene, goal: Standing) -> Refusal:
    group = scene.group
    if scene.primary is not None and scene.primary.copy == goal.copy:
        what = f"the copy at {scene.called(goal)} is the primary already"
        return Refusal("wrong-state", what, f"farshore status {group}")
    if len(scene.primaries) > 1:
        names = " and ".join(scene.called(each) for each in scene.primaries)
        return Refusal(
            "diverged", f"{group} has two primaries, {names}", f"farshore split-brain show {group}"
        )
    silent = ", ".join(each.name for each in scene.silent)
    what = f"no primary of {group} is known" + (f"; silent: {silent}" if silent else "")
    return Refusal("wrong-state", what, f"farshore failover {group} {scene.called(goal)}")


def may_be_promoted(scene: Scene, keep: Standing) -> list[Refusal]:
    """Copies that are not heard and may be the one that was promoted, whoever asks: those that a fenced copy
    feeds, and those that heard copies follow. A node that answers without its copy has not said what that
    is. That a copy is lost for good is an operator's word, given by ending the link or the pairing."""
    heard = {each.copy for each in scene.copies}
    found = {
        (link.peer, link.id): Refusal(
            "unreachable",
            f"{_unheard(scene, link.peer, link.peer_name)}, and may hold the copy that was promoted",
            f"the same command at {scene.called(owner)} when it does; only if it is lost for good: farshore"
            f" link delete {scene.group} {link.name}, at {scene.called(owner)}, then the same command",
        )
        for owner in scene.primaries
        if owner.fenced
        for link in owner.links
        if link.peer_copy not in heard
    }
    told, nodes = {peer for peer, _ in found}, {each.node for each in scene.copies}
    for each in scene.copies:
        fed = None if each.primary else each.fed_by
        if fed is not None and fed.peer in keep.paired and fed.peer not in {*told, *nodes}:
            found[fed.peer, ""] = Refusal(
                "unreachable",
                f"{_unheard(scene, fed.peer, fed.peer_name)}, and {scene.called(each)} follows its copy",
                f"the same command when it does; only if it is lost for good: farshore node forget"
                f" {fed.peer_name}, at {scene.called(keep)}, then the same command",
            )
    return list(found.values())


def _unheard(scene: Scene, node: str, name: str) -> str:
    silent = scene.silent_node(node)
    return f"{name} does not say how its copy stands" + (f" ({silent.why})" if silent is not None else "")


def unpaired(one: Standing, other: Standing) -> Refusal:
    what = f"{one.node_name} is not paired with {other.node_name}"
    return Refusal("wrong-state", what, "pair the two: farshore node invite on one, farshore node join")


def attached(scene: Scene, copy: Standing) -> Refusal:
    what = f"volumes of {scene.group} are attached as devices at {copy.node_name}: {', '.join(copy.attached)}"
    return Refusal("in-use", what, f"farshore device detach {scene.group}, at {copy.node_name}")


def doubtful(copy: Standing) -> bool:
    """Rule B3: nothing stands against a promotion but that it may hold its newest writes in part."""
    return copy.promotable_risk == DOUBTFUL
