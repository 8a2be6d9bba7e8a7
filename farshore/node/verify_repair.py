"""Repairs what a verify has found: by a plan that says what is overwritten where (rule E7).

The plan rests on the findings themselves, which the engine names by a fingerprint, and the engine refuses
it where something else is found by then. What is copied goes from the copy here to the one at the peer.
"""

from __future__ import annotations

from typing import Any, Final

from farshore.errors import FarshoreError
from farshore.model.copy_config import CopyConfig
from farshore.model.options import Mode, OnOutage
from farshore.model.units import format_size
from farshore.node import groups, links
from farshore.node.copies import StoredCopy
from farshore.node.node import Node
from farshore.node.plan import Plan, Refusal

_SECONDS: Final = 30.0
_LISTED: Final = 10
"""Ranges that a plan names; the rest is counted."""
_HELD: Final = "the link has on-outage=freeze: writes are held until it replicates again"
_MIND: Final = "the copy here is taken for the good one: where a disk here has gone bad, do not accept"


async def repair_found(node: Node, group: str, link: str | None, accept: str | None) -> dict[str, Any]:
    """The plan, carried out if `accept` is its id. Raises FarshoreError."""
    stored = groups.feeding(node, group, link)
    name = _only(stored, group, link)
    found = await stored.engine.ask("verify-found", {"link": name}, seconds=_SECONDS)
    plan = plan_of(stored.config, name, found)
    document: dict[str, Any] = {"plan": plan.document(), "done": False}
    if accept is None:
        return document
    plan.require()
    plan.accepted(accept, f"farshore verify {group} --link {name} --repair")
    await stored.engine.ask(
        "verify-repair", {"link": name, "fingerprint": found["fingerprint"]}, seconds=_SECONDS
    )
    text = (
        f"repair of {format_size(found['found_bytes'])} over link {name} of {group} asked for by the operator"
    )
    node.journal.add("repair-asked", text, group=group, link=name)
    return document | {"done": True}


def _only(stored: StoredCopy, group: str, link: str | None) -> str:
    """A repair is about one link: what differs at two peers may have two reasons."""
    names = [each.spec.name for each in stored.config.links]
    if link is not None:
        return links.find(stored.config, link).spec.name
    if len(names) == 1:
        return names[0]
    raise FarshoreError(
        "usage",
        f"group {group} has the links {', '.join(names) or '(none)'}",
        means="nothing was changed",
        next_step=f"say which one: farshore verify {group} --link LINK --repair",
    )


def plan_of(config: CopyConfig, link: str, found: dict[str, Any]) -> Plan:
    """What a repair would do, from an engine's findings."""
    intent = links.find(config, link)
    peer, options = intent.peer_name, intent.spec.options
    freezes = options.mode is Mode.SYNC and options.on_outage is OnOutage.FREEZE
    names = {each.id: each.name for each in config.volumes}
    size = format_size(found["found_bytes"])
    refusals: tuple[Refusal, ...] = ()
    if not found["fingerprint"]:
        refusals = (
            Refusal(
                "wrong-state",
                f"no verify has found a difference over link {link} of {config.group_name}",
                f"farshore verify {config.group_name} --link {link}",
            ),
        )
    ranges = [
        f"{names.get(each['volume'], each['volume'])}: {format_size(each['length'])} at byte {each['offset']}"
        for each in found["ranges"][:_LISTED]
    ]
    more = len(found["ranges"]) - len(ranges)
    if more or found["more"]:
        ranges.append(f"and {'at least ' if found['more'] else ''}{more} more ranges")
    return Plan(
        kind="repair",
        group=config.group_name,
        goal=f"{peer} over link {link}",
        title=f"copy {size} of {config.group_name} from here over what differs at {peer}, by link {link}",
        steps=() if refusals else _steps(link, peer),
        lost=tuple(f"what {peer} holds in {each}" for each in ranges),
        warnings=() if refusals else (_MIND, _HELD) if freezes else (_MIND,),
        refusals=refusals,
        facts={"link": link, "found": found["fingerprint"]},
    )


def _steps(link: str, peer: str) -> tuple[str, ...]:
    return (
        "mark the regions that a verify has found to differ",
        f"resync link {link}: these regions, and what is dirty anyway, are read here and written at {peer}",
    )
