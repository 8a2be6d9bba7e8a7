"""`resync --unprotected` of a link whose far copy has no room for a rescue: by a plan (rules D7, E1).

An operator may accept a resync that cannot be taken back without a plan: the far copy only repeats what the
one here has. What only the far copy has is another matter. Where a plan has said that it is kept as a rescue,
to keep it nowhere is a plan of its own, which names it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from farshore.errors import FarshoreError
from farshore.model.copy_config import UNPROTECTED, CopyConfig, LinkIntent
from farshore.model.options import Reason
from farshore.node import commands, groups, links, status
from farshore.node.commands import ResyncWish
from farshore.node.copies import StoredCopy
from farshore.node.node import Node
from farshore.node.plan import Plan


@dataclass(frozen=True, slots=True)
class BareWish:
    """`accept`: a plan's id; `look`: only show what would be done."""

    resync: ResyncWish
    accept: str | None = None
    look: bool = False


async def resync(node: Node, group: str, link: str | None, wish: BareWish) -> dict[str, Any]:
    """The plan, and what was begun; at once where nothing has to be accepted. Raises FarshoreError."""
    accept = wish.accept
    async with node.changing(group):
        stored = groups.feeding(node, group, link)
        waiting = await _waiting(node, stored, link)
        plan = plan_of(stored.config, waiting)
        if wish.look or (waiting and accept is None):
            return {"plan": plan.document(), "done": False}
        if accept is not None:
            plan.accepted(accept, f"farshore resync {group} --unprotected")
        fresh = stored.config
        for each in waiting:
            fresh = links.with_link(fresh, replace(each, rescue=""))
        if waiting:
            await links.apply(node, stored, fresh)
            text = f"what only {plan.goal} has of {group} is kept nowhere, as the operator wants it"
            node.journal.add("rescue-waived", text, group=group, plan=plan.id)
    began = await commands.resync(node, group, link, replace(wish.resync, unprotected=True))
    return {"plan": plan.document(), "done": True, **began}


async def refuse_waiting(node: Node, group: str, link: str | None) -> None:
    """Raises FarshoreError `plan-needed` where a far copy has no room for what only it has."""
    stored = groups.feeding(node, group, link)
    waiting = await _waiting(node, stored, link)
    if waiting:
        plan = plan_of(stored.config, waiting)
        raise FarshoreError(
            "plan-needed",
            plan.title,
            means="nothing was changed; " + "; ".join(plan.lost),
            next_step=f"farshore resync {group} --unprotected --accept {plan.id}",
        )


async def _waiting(node: Node, stored: StoredCopy, link: str | None) -> list[LinkIntent]:
    """The links that wait for room for a rescue."""
    promised = [
        each
        for each in stored.config.links
        if link in (None, each.spec.name) and each.rescue and each.consent is not None
    ]
    if not promised:
        return []
    entry = await status.entry(node, stored)
    full = {each["name"] for each in entry["links"] if each.get("reason") == Reason.STORE_FULL.value}
    return [each for each in promised if each.spec.name in full]


def plan_of(config: CopyConfig, waiting: list[LinkIntent]) -> Plan:
    """What is lost by going on without a rescue. Pure."""
    names = ", ".join(each.peer_name for each in waiting)
    return Plan(
        kind="resync-unprotected",
        group=config.group_name,
        goal=names,
        title=f"what only {names} has of {config.group_name} is overwritten, and kept nowhere"
        if waiting
        else f"a resync of {config.group_name} that cannot be taken back where there is no room for an undo",
        steps=tuple(
            f"link {each.spec.name} copies from here what differs at {each.peer_name}" for each in waiting
        ),
        lost=tuple(f"what {each.peer_name} wrote and the copy here lacks" for each in waiting),
        accepts=(UNPROTECTED,),
        facts={"links": [[each.spec.id.hex(), _head(each), each.rescue] for each in waiting]},
    )


def _head(link: LinkIntent) -> list[Any]:
    assert link.consent is not None
    return [link.consent.generation.hex(), link.consent.sequence]
