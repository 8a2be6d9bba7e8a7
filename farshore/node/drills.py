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
from farshore.model import units
from farshore.model.options import Role
from farshore.node import copy_layers, groups, placement
from farshore.node.copies import StoredCopy
from farshore.node.node import Node
from farshore.node.peer_client import ask
from farshore.node.peers import Peer

_SECONDS: Final = 60.0
"""For a layer to begin: what the journal holds has to be in the volumes by then, and on the disk."""
_AT_A_TIME: Final = 480.0
"""For a state between two snapshots: it is looked for in what the journal keeps, and laid in from there."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a drill is to be."""

    on: str | None = None
    """NODE or NODE/COPY; None for a copy here."""
    at: str | None = None
    """The name of a snapshot, or a time as `units.parse_time` reads it; None for where the copy stands."""
    limit: int = 0
    """Bytes that it may take; 0 for what is usual."""

    @property
    def time(self) -> float | None:
        """Seconds since the epoch; None where `at` is none. Raises FarshoreError `usage`."""
        if self.at is None or not units.means_time(self.at):
            return None
        try:
            return units.parse_time(self.at).timestamp()
        except ValueError as error:
            raise FarshoreError("usage", f"at: {error}", means="nothing was changed") from error

    @property
    def seconds(self) -> float:
        """That it may take to begin. Raises as `time`."""
        return _SECONDS if self.time is None else _AT_A_TIME


async def start(node: Node, group: str, wish: Wish) -> dict[str, Any]:
    """Begins a drill; its document. Raises FarshoreError; nothing was begun then."""
    where, copy = _where(node, group, wish.on)
    if isinstance(where, Peer):
        args = {"do": "start", "at": wish.at, "limit": wish.limit, "copy": copy}
        return await _elsewhere(node, where, group, args, wish.seconds)
    return await _start(node, groups.held(node, group, copy), wish)


async def _start(node: Node, stored: StoredCopy, wish: Wish) -> dict[str, Any]:
    unix = str(node.paths.drill_socket(stored.config.copy))
    args: dict[str, object] = {"limit": wish.limit, "unix": unix}
    if wish.time is not None:
        args["time"] = wish.time
    else:
        args["layer"] = "" if wish.at is None else await layer_of(stored, wish.at)
    op = "drill-start" if wish.time is None else "drill-start-at"
    answer = await stored.engine.ask(op, args, seconds=wish.seconds)
    group = stored.config.group_name
    node.journal.add("drill-began", f"a drill on {group} has begun", group=group)
    return _document(node, stored, answer["drill"])


async def layer_of(stored: StoredCopy, name: str) -> str:
    """The id of a snapshot. Raises FarshoreError, as `copy_layers.named`."""
    try:
        return (await copy_layers.named(stored, name)).id
    except FarshoreError as error:
        if error.code.name != "not-found":
            raise
        next_step = units.or_time(name, error.next_step)
        raise FarshoreError("not-found", error.what, means=error.means, next_step=next_step) from error


async def stop(node: Node, group: str, on: str | None) -> dict[str, Any]:
    """Ends a drill; what it was. Raises FarshoreError, `not-found` where there is none."""
    where, copy = _where(node, group, on)
    if isinstance(where, Peer):
        return await _elsewhere(node, where, group, {"do": "stop", "copy": copy}, _SECONDS)
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


async def _elsewhere(
    node: Node, peer: Peer, group: str, args: dict[str, Any], seconds: float
) -> dict[str, Any]:
    number = node.copies.of_group(group)[0].config.group.hex()
    answer = await ask(node.identity, peer, "drill", {"group": number, **args}, seconds)
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
