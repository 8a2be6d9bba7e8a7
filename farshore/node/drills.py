"""Drills on the copies here, and, by asking their nodes, on those at peers.

A drill belongs to the engine that serves it: nothing of it is intent, so nothing is left when that ends. A
node does this for any peer that holds a copy of the same group and names it, as it shows copies to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from farshore.errors import FarshoreError, ProtocolError
from farshore.model.options import Role
from farshore.node import copy_layers, groups, placement
from farshore.node.copies import StoredCopy
from farshore.node.node import Node
from farshore.node.peer_client import ask
from farshore.node.peers import Peer

_SECONDS: Final = 60.0
"""For a layer to begin: what the journal holds has to be in the volumes by then, and on the disk."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a drill is to be."""

    on: str | None = None
    """NODE or NODE/COPY; None for a copy here."""
    at: str | None = None
    """The name of a snapshot; None for where the copy stands."""
    limit: int = 0
    """Bytes that it may take; 0 for what is usual."""


async def start(node: Node, group: str, wish: Wish) -> dict[str, Any]:
    """Begins a drill; its document. Raises FarshoreError; nothing was begun then."""
    where, copy = _where(node, group, wish.on)
    if isinstance(where, Peer):
        return await _elsewhere(
            node, where, group, {"do": "start", "at": wish.at, "limit": wish.limit, "copy": copy}
        )
    return await _start(node, groups.held(node, group, copy), wish)


async def _start(node: Node, stored: StoredCopy, wish: Wish) -> dict[str, Any]:
    if wish.at is not None and ":" in wish.at:
        raise FarshoreError(
            "usage",
            f"{wish.at!r} names no snapshot: a drill begins at one, or where the copy stands",
            means="nothing was changed",
            next_step="leave --at out, or name a snapshot",
        )
    layer = "" if wish.at is None else (await copy_layers.named(stored, wish.at)).id
    unix = str(node.paths.drill_socket(stored.config.copy))
    args = {"layer": layer, "limit": wish.limit, "unix": unix}
    answer = await stored.engine.ask("drill-start", args, seconds=_SECONDS)
    group = stored.config.group_name
    node.journal.add("drill-began", f"a drill on {group} has begun", group=group)
    return _document(node, stored, answer["drill"])


async def stop(node: Node, group: str, on: str | None) -> dict[str, Any]:
    """Ends a drill; what it was. Raises FarshoreError, `not-found` where there is none."""
    where, copy = _where(node, group, on)
    if isinstance(where, Peer):
        return await _elsewhere(node, where, group, {"do": "stop", "copy": copy})
    return await _stop(node, groups.held(node, group, copy))


async def _stop(node: Node, stored: StoredCopy) -> dict[str, Any]:
    group = stored.config.group_name
    try:
        answer = await stored.engine.ask("drill-stop", seconds=_SECONDS)
    except FarshoreError as error:
        if error.code.name != "not-found":
            raise
        raise FarshoreError(
            "not-found",
            f"there is no drill on the copy of {group} at {node.name}",
            means="nothing was changed",
            next_step=f"farshore drill start {group}",
        ) from error
    node.journal.add("drill-ended", f"the drill on {group} was stopped", group=group)
    return _document(node, stored, answer["drill"])


async def listed(node: Node, group: str | None) -> list[dict[str, Any]]:
    """The drills on copies here, those included that have ended by themselves and were not stopped."""
    copies = node.copies.all() if group is None else node.copies.of_group(group)
    found = await asyncio.gather(*(_drill_of(stored) for stored in copies))
    return [
        _document(node, stored, drill)
        for stored, drill in zip(copies, found, strict=True)
        if drill is not None
    ]


async def _drill_of(stored: StoredCopy) -> dict[str, Any] | None:
    try:
        answer = await stored.engine.ask("status")
    except FarshoreError:
        return None  # an engine that is not there has no drill
    found = answer.get("group")
    return found.get("drill") if isinstance(found, dict) else None


async def serve(node: Node, peer: Peer, args: Mapping[str, Any]) -> dict[str, Any]:
    """`drill`: a peer that holds a copy of the group wants a drill here. Raises FarshoreError."""
    try:
        number, do = placement.identifier(args["group"]), str(args["do"])
        copy, at = args.get("copy"), args.get("at")
        wish = Wish(at=None if at is None else str(at), limit=int(args.get("limit") or 0))
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"a malformed wish for a drill: {error!r}") from error
    names = {each.config.group_name for each in node.copies.all() if each.config.group == number}
    if not names or do not in ("start", "stop"):
        raise FarshoreError("not-found", f"{node.name} holds no copy of this group")
    stored = groups.held(node, names.pop(), None if copy is None else str(copy))
    return await (_start(node, stored, wish) if do == "start" else _stop(node, stored))


async def _elsewhere(node: Node, peer: Peer, group: str, args: dict[str, Any]) -> dict[str, Any]:
    number = node.copies.of_group(group)[0].config.group.hex()
    answer = await ask(node.identity, peer, "drill", {"group": number, **args}, _SECONDS)
    return dict(answer)


def _where(node: Node, group: str, on: str | None) -> tuple[Peer | None, str | None]:
    """The peer that holds the copy, None for this node; and the copy's name, where one was named."""
    name, _, copy = (on or "").partition("/")
    found = node.copies.of_group(group)
    if name in ("", node.name):
        if on is None and found[0].config.role is Role.PRIMARY and len(found) > 1:
            copy = copy or found[1].config.copy_name
        return None, copy or None
    return node.peers.named(name), copy or None


def _document(node: Node, stored: StoredCopy, drill: dict[str, Any]) -> dict[str, Any]:
    config = stored.config
    return {"group": config.group_name, "node": node.name, "copy": config.copy_name, **drill}
