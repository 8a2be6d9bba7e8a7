"""The plan of a reverse resync: the primary's content is replaced by that of a copy that it feeds (rule E6).
Pure.

It says what is overwritten here and since when it was written, and that it is kept as a rescue; and what
other copies that are ahead of the peer's content lose by it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from farshore.model.copy_config import DOUBTFUL, UNPROTECTED
from farshore.model.options import ResyncKind
from farshore.model.role_change import ChangeIntent
from farshore.model.units import format_size
from farshore.node import plan_refusals, role_plans
from farshore.node.plan import Plan, Refusal
from farshore.node.standings import LinkStanding, Scene, Standing

KIND: Final = "reverse"
"""Of its plan, and of the change of roles until the content is there."""
KIND_OF_END: Final = "reverse-end"
"""Of the change of roles by which the role moves back."""
_HOW: Final = {
    ResyncKind.UPDATE: "what differs is copied",
    ResyncKind.DIGEST: "everything is compared, and what differs copied",
    ResyncKind.FULL: "everything is copied",
}


def going_on(scene: Scene, here: Standing, noted: ChangeIntent) -> Plan:
    """One that was begun goes on."""
    own, far = noted.goal_name, noted.other_name
    steps: tuple[str, ...] = (f"{own} is the primary again, and applications open their volumes there",)
    if noted.kind == KIND:
        steps = (f"{_HOW[noted.resync]} from {far} to {own}", *steps)
    title = f"the replacement of the content at {own} by that of the copy at {far} goes on"
    return replace(role_plans.plan_for(scene, KIND, here, title, ()), steps=steps)


def reverse(
    scene: Scene, here: Standing, there: Standing, kind: ResyncKind = ResyncKind.UPDATE, *, kept: bool = True
) -> Plan:
    """The copy at `here`, the primary, is made equal to the one at `there`, and is the primary again then."""
    own, far = scene.called(here), scene.called(there)
    link, how = here.link_to(there), _HOW[kind]
    steps = [
        f"applications at {own} can write no more: the copy there becomes a secondary of {far}, durably",
        f"the copy at {far} becomes the primary, and nobody can write to it",
        f"{how} from {far} to {own}" + (f"; what only {own} has is kept there first, as a rescue" * kept),
        f"then {own} is the primary again, and applications open their volumes there",
    ]
    others = [each for each in scene.copies if each.copy != there.copy and _follows(each, here)]
    lost = [_overwritten(scene, here, there, link, kept)]
    for each in others:
        name = scene.called(each)
        steps.append(f"{name}, which {own} feeds, is made equal to it as well")
        fate = "kept there as a rescue" if kept else "kept nowhere"
        lost.append(f"what {name} has and {far} lacks is overwritten there, and {fate}")
    accepts = [] if kept else [UNPROTECTED]
    if plan_refusals.doubtful(there):
        accepts.append(DOUBTFUL)
        lost.append(f"{far} is not a state of the group for sure: {there.promotable_why}")
    title = f"the content of {scene.group} at {own} is replaced by that of the copy at {far}"
    plan = role_plans.plan_for(scene, KIND, here, title, _refusals(scene, here, there, link))
    facts = {**plan.facts, "from": there.copy, "resync": kind.value}
    return replace(plan, steps=tuple(steps), lost=tuple(lost), accepts=tuple(accepts), facts=facts)


def _follows(copy: Standing, feeder: Standing) -> bool:
    fed = copy.fed_by
    return not copy.primary and fed is not None and fed.peer == feeder.node


def _overwritten(scene: Scene, here: Standing, there: Standing, link: LinkStanding | None, kept: bool) -> str:
    """What is lost at the primary, in a sentence that never says too little."""
    own, far = scene.called(here), scene.called(there)
    size = None if link is None else link.dirty_bytes
    much = "what was" if not size else f"at least {format_size(size)} that were"
    since = there.usable_as_of or there.newest_write_at
    when = f" since {since}" if since else ""
    fate = f"kept there as a rescue: farshore rescue list {scene.group}" if kept else "kept nowhere"
    return f"{much} written at {own}{when}, and that {far} lacks: overwritten in the copy, and {fate}"


def _refusals(scene: Scene, here: Standing, there: Standing, link: LinkStanding | None) -> list[Refusal]:
    group, own, far = scene.group, scene.called(here), scene.called(there)
    if len(scene.primaries) != 1 or not here.primary:
        return [plan_refusals.no_one_primary(scene, there)]
    found = []
    if not here.alive or here.fault:
        what = f"the copy at {own} does not run as it should: {here.fault or 'its engine does not answer'}"
        found.append(Refusal("wrong-state", what, f"farshore status {group}"))
    fed = there.fed_by
    if link is None or fed is None or fed.peer != here.node or there.primary:
        what = f"the copy at {far} is not fed by the primary itself"
        found.append(Refusal("wrong-feeder", what, f"farshore topology {group}"))
    elif not there.alive:
        what = f"the engine of the copy at {far} does not answer"
        found.append(Refusal("wrong-state", what, f"farshore status {group}, at {far}"))
    elif there.promotable is False and not plan_refusals.doubtful(there):
        what = f"the copy at {far} is not one to go back to: {there.promotable_why}"
        found.append(Refusal("not-promotable", what, f"farshore status {group}"))
    if here.node not in there.paired:
        found.append(plan_refusals.unpaired(there, here))
    if set(here.volumes) != set(there.volumes):
        what = f"{own} and {far} have other volumes"
        found.append(Refusal("size-mismatch", what, f"farshore group show {group}, on both nodes"))
    if here.attached:
        found.append(plan_refusals.attached(scene, here))
    return found
