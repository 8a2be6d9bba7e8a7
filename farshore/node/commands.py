"""Operators' commands that the node passes on to a group's engine."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from farshore.errors import FarshoreError
from farshore.model.options import ResyncKind
from farshore.node import groups, links, reroutes
from farshore.node.node import Node

_SLACK_SECONDS = 10.0
_RESYNC_SECONDS = 30.0


async def pause(node: Node, group: str, link: str | None, drain_seconds: float | None) -> dict[str, Any]:
    """Stops sending; drains first for up to `drain_seconds`, not at all for None. Raises FarshoreError."""
    stored = groups.feeding(node, group, link)
    if link is not None:
        links.find(stored.config, link)
    seconds = drain_seconds or 0.0
    args = {"link": link, "drain": drain_seconds is not None, "timeout": seconds}
    answer = await stored.engine.ask("pause", args, seconds=seconds + _SLACK_SECONDS)
    node.journal.add("paused", f"{_what(link)} of {group} stopped by the operator", group=group, link=link)
    return answer


@dataclass(frozen=True, slots=True)
class ResyncWish:
    """What kind of resync an operator wants. `once`: the link logs again at its end; `unprotected`: also
    where the peer has no room to keep what it overwrites (rule E1)."""

    kind: ResyncKind = ResyncKind.UPDATE
    once: bool = False
    unprotected: bool = False


async def resync(node: Node, group: str, link: str | None, wish: ResyncWish) -> dict[str, Any]:
    """Starts a resync; of all links, those that rest are left alone. Raises FarshoreError."""
    stored = groups.feeding(node, group, link)
    left = links.find(stored.config, link) if link is not None else None
    under_way = reroutes.under_way(stored.config, left.spec.id) if left is not None else None
    if left is not None and under_way is not None:
        raise FarshoreError(
            "wrong-feeder",
            reroutes.why(under_way),
            means="nothing was changed",
            next_step=reroutes.next_step(group, under_way),
        )
    if left is not None and left.left_for:
        raise FarshoreError(
            "wrong-feeder",
            f"{left.left_for} feeds {left.peer_name} in place of link {link} of {group}",
            means="nothing was changed",
            next_step=f"farshore link reroute {group} {link} --via {node.name}, at a node that feeds both",
        )
    resting = any(each.left_for for each in stored.config.links)
    chosen = [each.spec.name for each in stored.config.links if not each.left_for] if resting else [None]
    began: list[Any] = []
    for name in chosen if link is None else [link]:
        args = {"link": name, **asdict(wish), "kind": wish.kind.value}
        began += (await stored.engine.ask("resync", args, seconds=_RESYNC_SECONDS))["links"]
    text = f"{wish.kind.value} resync of {_what(link)} of {group} asked for by the operator"
    node.journal.add("resync-asked", text, group=group, link=link)
    return {"links": began}


async def verify(node: Node, group: str, link: str | None, *, halt: bool, rate: int) -> dict[str, Any]:
    """Begins to compare peers' copies with the one here. Raises FarshoreError."""
    stored = groups.feeding(node, group, link)
    if link is not None:
        links.find(stored.config, link)
    args = {"link": link, "halt": halt, "rate": rate}
    answer = await stored.engine.ask("verify", args, seconds=_RESYNC_SECONDS)
    node.journal.add(
        "verify-asked",
        f"verify of {_what(link)} of {group} asked for by the operator",
        group=group,
        link=link,
    )
    return {"links": answer["links"]}


async def end_verify(node: Node, group: str, link: str | None) -> dict[str, Any]:
    """Ends the verifies that are under way. Raises FarshoreError."""
    stored = groups.feeding(node, group, link)
    if link is not None:
        links.find(stored.config, link)
    answer = await stored.engine.ask("verify-stop", {"link": link}, seconds=_RESYNC_SECONDS)
    return {"links": answer["links"]}


async def schedule_verify(node: Node, group: str, link: str | None, every: float) -> dict[str, Any]:
    """Every link, or one, is verified each so many seconds; never by itself for 0. Raises FarshoreError."""
    stored = groups.feeding(node, group, link)
    chosen = [each.spec.name for each in stored.config.links] if link is None else [link]
    for name in chosen:
        await links.change(node, group, name, {"verify_every": every})
    return {"links": chosen}


def _what(link: str | None) -> str:
    return f"link {link}" if link is not None else "all links"
