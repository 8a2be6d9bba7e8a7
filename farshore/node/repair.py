"""`farshore repair`: brings a group's copies here back after a disk has failed or could not be read.

A copy whose engine is up and faulted first makes sure that its own records can be written; its intent then
names the fault that is taken for repaired, and a new engine starts on it, which syncs the volumes and reads
them from the disk again (rule C3: nothing is believed that a failed sync had covered). Where acknowledged
writes may be missing in the volumes, that needs a plan: its id is the fault's, so that it is good for this
fault and no other. A copy that is well rewrites what its disk could not read with what a peer has.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from farshore.errors import FarshoreError
from farshore.model.options import Role
from farshore.node.copies import StoredCopy
from farshore.node.node import Node

RECORD_SECONDS: Final = 15.0
"""For an engine to record its fault."""
MEND_SECONDS: Final = 600.0
"""For one to rewrite what it could not read."""


async def plan(node: Node, group: str) -> dict[str, Any]:
    """What a repair would do, copy by copy; changes nothing. Raises FarshoreError."""
    return {"group": group, "copies": [await _plan(stored) for stored in node.copies.of_group(group)]}


async def repair(node: Node, group: str, accept: str | None) -> dict[str, Any]:
    """Repairs every copy of a group here. Raises FarshoreError, `plan-needed` and `stale-plan` among others;
    what was repaired before stays so."""
    async with node.changing(group):
        done = [await _repair(node, stored, accept) for stored in node.copies.of_group(group)]
    node.journal.add("repaired", f"group {group} was repaired by the operator", group=group)
    return {"group": group, "copies": done}


async def _plan(stored: StoredCopy) -> dict[str, Any]:
    shown = (await stored.engine.ask("status"))["group"]
    fault, number = shown["fault"], shown.get("fault_id") or None
    steps = ["nothing: the copy is well"]
    if number is not None or (fault and stored.config.role is Role.SECONDARY):
        steps = [
            "the engine ends, and a new one takes its place",
            "the volumes are synced, and from then on read from the disk",
            "everything is suspect: links compare it with their peers by digest",
        ]
    elif fault:
        steps = ["what cannot be read is written anew with what a peer has that replicates"]
    return {
        "copy": stored.config.copy_name,
        "fault": fault,
        "plan": number if shown.get("fault_doubts_volumes") else None,
        "steps": steps,
        "lost": _lost(stored) if shown.get("fault_doubts_volumes") else None,
    }


async def _repair(node: Node, stored: StoredCopy, accept: str | None) -> dict[str, Any]:
    seen = node.supervisor.seen(stored.key)
    if seen is None or not seen.running:
        await _start_anew(node, stored)
    answer = await stored.engine.ask("repair", seconds=MEND_SECONDS)
    if not answer["fault"]:
        return {"copy": stored.config.copy_name, "fault": None, **_mended(answer)}
    if answer["doubtful"] and accept != answer["id"]:
        raise _refusal(stored, answer, accept)
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


async def _start_anew(node: Node, stored: StoredCopy) -> None:
    await node.supervisor.take_down(stored)
    await node.supervisor.bring_up(stored)


def _mended(answer: dict[str, Any]) -> dict[str, Any]:
    return {"mended": answer.get("mended", 0), "left": answer.get("left", 0)}


def _refusal(stored: StoredCopy, answer: dict[str, Any], accept: str | None) -> FarshoreError:
    name = stored.config.group_name
    return FarshoreError(
        "stale-plan" if accept else "plan-needed",
        f"{name} has failed: {answer['fault']}",
        means=_lost(stored),
        next_step=f"farshore repair {name} --accept {answer['id']}",
    )


def _lost(stored: StoredCopy) -> str:
    links = ", ".join(each.spec.name for each in stored.config.links)
    return "Writes that were acknowledged after the last flush that succeeded may be missing here." + (
        f" The peers may have them: link {links} stays paused, and a resync copies over the peer."
        * bool(links)
    )
