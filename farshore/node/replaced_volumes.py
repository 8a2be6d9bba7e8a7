"""`farshore repair` of a copy that has not started because another volume stands where its own was (rule D3).

The right volume, put back, needs no command. This one is to go on with what stands there now, by a plan that
names exactly that: a secondary holds nothing from then on, and its feeder copies everything; a primary starts
as one that has failed, and is repaired like any other, with its links paused, since the other copies may have
all that there is. The word is taken back once the engine has started on it, so that it counts once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from farshore.errors import FarshoreError
from farshore.model.options import Role
from farshore.node import engine_process, gathering
from farshore.node.copies import StoredCopy
from farshore.node.node import Node
from farshore.node.plan import Plan, Refusal
from farshore.node.standings import Scene, Standing

_AT_SECONDARY: Final = (
    "what stands at the volumes' paths now takes the place of what the copy had, and is OVERWRITTEN",
    "the copy holds nothing from then on, and cannot be promoted before it has everything",
    "whoever feeds it copies everything; what it keeps in its preserve store is of no use any more",
)
_AT_PRIMARY: Final = (
    "what stands at the volumes' paths now takes the place of what the copy had, and is served",
    "everything is suspect: links compare it with their peers by digest, once they are resumed",
    "what the copy keeps in its preserve store is of no use any more",
)


@dataclass(frozen=True, slots=True)
class Replaced:
    """A copy here whose volumes are others. `id` names them; `what` is what its engine says."""

    stored: StoredCopy
    id: str
    what: str
    waits: bool = False
    """It was to become the primary, and was a secondary, durably, when its engine could not start."""


def found(node: Node, copies: Sequence[StoredCopy]) -> list[Replaced]:
    """Those of these copies that do not run for this reason."""
    others = []
    for stored in copies:
        seen = node.supervisor.seen(stored.key)
        error = seen.error if seen is not None and not seen.running else None
        if error is not None and error.code.name == "identity-changed":
            others.append(
                Replaced(stored, engine_process.replaced(stored.directory), error.what, _waits(stored))
            )
    return others


def _waits(stored: StoredCopy) -> bool:
    found = engine_process.durably(stored.directory)
    return stored.config.role is Role.PRIMARY and found is not None and found[0] == Role.SECONDARY.value


async def plan(node: Node, group: str, others: Sequence[Replaced]) -> Plan:
    """What it means to go on with these volumes. Raises FarshoreError."""
    return plan_of(node.name, others, await gathering.scene(node, group))


def plan_of(name: str, others: Sequence[Replaced], scene: Scene) -> Plan:
    """See `plan`. Pure."""
    steps: list[str] = []
    lost: list[str] = []
    warnings: list[str] = []
    refusals = [_no_promotion(scene, each) for each in others if each.waits]
    for each in others if not refusals else ():
        config = each.stored.config
        primary = config.role is Role.PRIMARY
        steps += [f"{config.copy_name}: {step}" for step in (_AT_PRIMARY if primary else _AT_SECONDARY)]
        what = "all that it had and no other copy has" if primary else "all that it had"
        lost.append(f"at {config.copy_name}: {what} ({each.what})")
        if primary:
            warnings += _better(scene, each.stored)
    return Plan(
        kind="repair",
        group=scene.group,
        goal=name,
        title=f"repair {scene.group} at {name}: go on with volumes that are not those that it had",
        steps=tuple(steps),
        lost=tuple(lost),
        warnings=tuple(warnings),
        refusals=tuple(refusals),
        facts={
            "replaced": {each.stored.key: each.id for each in others},
            "others": sorted([each.copy, each.acts, each.promotable] for each in _elsewhere(scene, others)),
        },
    )


def _no_promotion(scene: Scene, replaced: Replaced) -> Refusal:
    """Neither of the two plans would tell the truth: as a primary it would not be served, since what it has
    was never promoted, and as a secondary its promotion would still be under way."""
    others = [each for each in scene.copies if each.copy != replaced.stored.key]
    steps = [
        f"farshore failover {scene.group}, at {scene.called(each)}" for each in others if each.promotable
    ]
    steps += [
        f"farshore split-brain resolve {scene.group} --keep {scene.called(each)}, at {each.node_name}"
        for each in others
        if each.primary
    ]
    instead = "; or ".join(steps) or f"farshore failover {scene.group}, at another copy, once one answers"
    return Refusal(
        "not-promotable",
        f"the copy {replaced.stored.config.copy_name} was to become the primary, and has not become it: with"
        f" another volume it holds nothing that could be promoted ({replaced.what})",
        f"put the right one back, and it becomes the primary; if that is lost: {instead}; that makes the copy"
        f" here a secondary, which farshore repair {scene.group} lets go on with the other volume",
    )


def _elsewhere(scene: Scene, others: Sequence[Replaced]) -> list[Standing]:
    own = {each.stored.key for each in others}
    return [each for each in scene.copies if each.copy not in own]


def _better(scene: Scene, stored: StoredCopy) -> list[str]:
    """Who may hold what this primary has lost."""
    said = []
    for each in scene.copies:
        if each.copy == stored.key:
            continue
        where = scene.called(each)
        if each.promotable:
            as_of = f", as of {each.usable_as_of}" if each.usable_as_of else ""
            said.append(
                f"the copy at {where} can be promoted{as_of}, and may hold all of it: farshore failover"
                f" {scene.group} {where} there, INSTEAD of this"
            )
        else:
            said.append(f"the copy at {where} may be the better one, though it cannot be promoted as it is")
    said += [f"nothing is heard of {each.name}, whose copy may be the better one" for each in scene.silent]
    links = ", ".join(link.spec.name for link in stored.config.links)
    if links:
        said.append(f"paused until farshore resync, which copies over the better data: {links}")
    return said


async def go_on(node: Node, replaced: Replaced) -> StoredCopy:
    """The engine starts with these volumes: a secondary is ready then, a primary has failed. Raises
    FarshoreError `stale-plan` where they are others again."""
    stored = replaced.stored
    stored = node.put(replace(stored, config=replace(stored.config, replaced=replaced.id)))
    try:
        await node.supervisor.take_down(stored)
        await node.supervisor.bring_up(stored)
    except FarshoreError as error:
        if error.code.name != "identity-changed":
            raise
        raise FarshoreError(
            "stale-plan",
            f"the volumes of {stored.config.group_name} are others again: {error.what}",
            means="nothing was changed",
            next_step=f"farshore repair {stored.config.group_name} --dry-run",
        ) from error
    finally:
        stored = node.put(replace(stored, config=replace(stored.config, replaced="")))
    return stored
