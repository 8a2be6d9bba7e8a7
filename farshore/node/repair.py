"""`farshore repair`: brings a group's copies here back after a disk has failed or could not be read.

A copy whose engine is up and faulted first makes sure that its own records can be written; its intent then
names the fault that is taken for repaired, and a new engine starts on it, which syncs the volumes and reads
them from the disk again (rule C3: nothing is believed that a failed sync had covered). A copy that is well
rewrites what its disk could not read with what a peer has. The plan rests on the faults, so that it is good
for these and no others; it has to be accepted where acknowledged writes may be missing in the volumes, and
is carried out at once where nothing can be lost. Copies that have got other volumes than they had are the
business of `replaced_volumes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from farshore.errors import FarshoreError
from farshore.model.copy_config import CopyConfig
from farshore.model.options import Role
from farshore.node import replaced_volumes
from farshore.node.copies import StoredCopy
from farshore.node.node import Node
from farshore.node.plan import Plan
from farshore.node.replaced_volumes import Replaced

MEND_SECONDS: Final = 600.0
"""For an engine to rewrite what it could not read."""
_STEPS: Final = (
    "the engine ends, and a new one takes its place",
    "the volumes are synced, and from then on read from the disk",
    "everything is suspect: links compare it with their peers by digest",
)
_LOST: Final = "writes that were acknowledged after the last flush that succeeded"
_BETTER: Final = "its peer may have what is missing here, and a resync copies over it"


@dataclass(frozen=True, slots=True)
class Ailing:
    """A copy and what ails it. `id` names a fault that a repair names in turn; empty without one."""

    config: CopyConfig
    fault: str = ""
    id: str = ""
    doubtful: bool = False
    """Acknowledged writes may be missing in the volumes."""


async def plan(node: Node, group: str) -> dict[str, Any]:
    """What a repair would do; changes nothing. Raises FarshoreError."""
    copies = node.copies.of_group(group)
    others = replaced_volumes.found(node, copies)
    if others:
        shown = await replaced_volumes.plan(node, group, others)
    else:
        shown = plan_of(group, node.name, [await _ailing(each) for each in copies])
    return {"plan": shown.document(), "done": False}


async def repair(node: Node, group: str, accept: str | None) -> dict[str, Any]:
    """Repairs every copy of a group here; only the plan where it has to be accepted and is not. Raises
    FarshoreError; what was repaired before stays so."""
    async with node.changing(group):
        copies = node.copies.of_group(group)
        for stored in copies:
            seen = node.supervisor.seen(stored.key)
            if seen is None or not seen.running:
                await _try_anew(node, stored)
        others = replaced_volumes.found(node, copies)
        if others:
            return await _go_on(node, group, others, accept)
        ailing = [await _ailing(stored) for stored in copies]
        shown = plan_of(group, node.name, ailing)
        if accept is not None:
            shown.accepted(accept, f"farshore repair {group}")
        elif shown.lost:
            return {"plan": shown.document(), "done": False}
        done = [await _repair(node, *each) for each in zip(copies, ailing, strict=True)]
    node.journal.add("repaired", f"group {group} was repaired by the operator", group=group)
    return {"plan": shown.document(), "done": True, "copies": done}


def plan_of(group: str, name: str, ailing: Sequence[Ailing]) -> Plan:
    """What a repair of these copies, all of the node `name`, would do."""
    faults = [f"{each.config.copy_name}: {each.fault}" for each in ailing if each.fault]
    steps = [
        f"{each.config.copy_name}: {step}" if len(ailing) > 1 else step
        for each in ailing
        for step in _steps(each)
    ]
    lost = [each for each in ailing if each.doubtful]
    paused = [link.spec.name for each in lost for link in each.config.links]
    return Plan(
        kind="repair",
        group=group,
        goal=name,
        title=f"repair {group} at {name}: {'; '.join(faults) or 'it is well'}",
        steps=tuple(steps),
        lost=tuple(f"at least, at {each.config.copy_name}: {_LOST}" for each in lost),
        warnings=tuple(f"link {each} stays paused: {_BETTER}" for each in paused),
        facts={"faults": {each.config.copy_name: each.id for each in ailing}},
    )


def _steps(ailing: Ailing) -> tuple[str, ...]:
    if ailing.id or (ailing.fault and ailing.config.role is Role.SECONDARY):
        return _STEPS
    return ("what cannot be read is written anew with what a peer has that replicates",) * bool(ailing.fault)


async def _ailing(stored: StoredCopy) -> Ailing:
    shown = (await stored.engine.ask("status"))["group"]
    doubtful = bool(shown.get("fault_doubts_volumes"))
    return Ailing(stored.config, shown["fault"] or "", shown.get("fault_id") or "", doubtful)


async def _repair(node: Node, stored: StoredCopy, ailing: Ailing) -> dict[str, Any]:
    answer = await stored.engine.ask("repair", seconds=MEND_SECONDS)
    if not answer["fault"]:
        return {"copy": stored.config.copy_name, "fault": None, **_mended(answer)}
    if answer["id"] != ailing.id:
        raise FarshoreError(
            "stale-plan",
            f"{stored.config.group_name} has failed in another way meanwhile: {answer['fault']}",
            means="this copy was not repaired",
            next_step=f"farshore repair {stored.config.group_name}",
        )
    if answer["id"]:
        stored = node.put(replace(stored, config=replace(stored.config, repaired=answer["id"])))
    await _start_anew(node, stored)
    shown = (await stored.engine.ask("status"))["group"]
    if shown["fault"]:
        raise FarshoreError(
            "faulted",
            f"{stored.config.group_name} has failed again: {shown['fault']}",
            means="nothing is acknowledged; what was durable before is untouched",
            next_step="dmesg and smartctl on the disk, then farshore repair once more",
        )
    return {"copy": stored.config.copy_name, "fault": answer["fault"], **_mended({})}


async def _go_on(node: Node, group: str, others: list[Replaced], accept: str | None) -> dict[str, Any]:
    shown = await replaced_volumes.plan(node, group, others)
    if accept is None:
        return {"plan": shown.document(), "done": False}
    shown.require()
    shown.accepted(accept, f"farshore repair {group}")
    done = []
    for each in others:
        stored = await replaced_volumes.go_on(node, each)
        if stored.config.role is Role.PRIMARY:
            await _repair(node, stored, await _ailing(stored))
        done.append({"copy": stored.config.copy_name, "fault": each.what, **_mended({})})
    text = f"group {group} goes on with other volumes than it had, as the operator wants it"
    node.journal.add("volumes-replaced", text, group=group, plan=shown.id)
    return {"plan": shown.document(), "done": True, "copies": done}


async def _try_anew(node: Node, stored: StoredCopy) -> None:
    """Like `_start_anew`; that volumes are others is no error here, since there is a plan for it."""
    try:
        await _start_anew(node, stored)
    except FarshoreError as error:
        if error.code.name != "identity-changed":
            raise


async def _start_anew(node: Node, stored: StoredCopy) -> None:
    await node.supervisor.take_down(stored)
    await node.supervisor.bring_up(stored)


def _mended(answer: dict[str, Any]) -> dict[str, Any]:
    return {"mended": answer.get("mended", 0), "left": answer.get("left", 0)}
