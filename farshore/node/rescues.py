"""Rescues: what copies held that a plan had overwritten, at whichever nodes they are (rules D6, D7).

A rescue is a layer of its copy's preserve store, and is found there alone: each node is asked for those of
its own copies. Its content is nowhere else, so it goes by a plan that names it, and by nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from farshore.errors import FarshoreError, ProtocolError
from farshore.model.layers import LayerKind
from farshore.model.units import format_size
from farshore.node import copy_layers, placement, turns
from farshore.node.copies import StoredCopy
from farshore.node.copy_layers import KeptLayer
from farshore.node.node import Node
from farshore.node.peer_client import ask
from farshore.node.peers import Peer
from farshore.node.plan import Plan, Refusal

ASK_SECONDS: Final = 6.0
_DROP_SECONDS: Final = 120.0
"""For what older layers need of it to be handed down."""
_MOST: Final = 1024
_WORD: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescue:
    """One rescue, and which copy has it: its id is hex, `node` a fingerprint."""

    node: str
    node_name: str
    copy: str
    copy_name: str
    layer: KeptLayer

    @property
    def name(self) -> str:
        """Under which it is asked for."""
        return self.layer.name

    def document(self) -> dict[str, Any]:
        """As `--json` prints it."""
        layer = self.layer
        return {
            "name": layer.name,
            "node": self.node_name,
            "copy": self.copy_name,
            "copy_id": self.copy,
            "layer": layer.id,
            "generation": layer.generation,
            "sequence": layer.sequence,
            "time": layer.time,
            "bytes": layer.bytes,
            "open": layer.open,
            "broken": layer.broken,
            "unreadable_bytes": layer.unreadable_bytes,
        }


@dataclass(frozen=True, slots=True)
class Silent:
    """Who did not say what is kept there, and why not."""

    node: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteWish:
    """`on`: NODE or NODE/COPY, None for every copy that has a rescue of that name; `accept`: a plan's id."""

    group: str
    name: str
    on: str | None = None
    accept: str | None = None


async def listed(node: Node, group: str) -> dict[str, Any]:
    """Of all copies of a group that can be asked. Raises FarshoreError `not-found`."""
    found, silent = await _all(node, group)
    return {
        "group": group,
        "rescues": [each.document() for each in found],
        "silent": [{"node": each.node, "why": each.why} for each in silent],
    }


async def delete(node: Node, wish: DeleteWish) -> dict[str, Any]:
    """The plan, carried out if `accept` is its id. Raises FarshoreError."""
    found, silent = await _all(node, wish.group)
    meant = [each for each in found if each.name == wish.name and _is_on(each, wish.on)]
    if not meant:
        names = ", ".join(sorted({each.name for each in found})) or "none"
        missing = f"; {', '.join(each.node for each in silent)} did not say" if silent else ""
        raise FarshoreError(
            "not-found",
            f"no copy of {wish.group} that answers has a rescue {wish.name!r}{missing}",
            means="nothing was deleted",
            next_step=f"rescues are: {names}; farshore rescue list {wish.group}",
        )
    plan = plan_of(wish.group, wish.name, meant)
    if wish.accept is None:
        return {"plan": plan.document(), "done": False}
    plan.require()
    plan.accepted(wish.accept, f"farshore rescue delete {wish.group} {wish.name}")
    number = node.copies.of_group(wish.group)[0].config.group
    for each in meant:
        args = {"group": number.hex(), "copy": each.copy, "layer": each.layer.id}
        if each.node == node.identity.fingerprint:
            await _drop(node, turns.find(node, number, bytes.fromhex(each.copy)), each.layer.id)
        else:
            peer = node.peers.by_id(each.node)
            if peer is None:
                raise FarshoreError(
                    "wrong-state", f"{node.name} is not paired with {each.node_name} any more"
                )
            await ask(node.identity, peer, "drop-rescue", args, _DROP_SECONDS)
        text = f"rescue {each.name} of {wish.group} at {each.node_name} was deleted"
        node.journal.add("rescue-deleted", text, group=wish.group, plan=plan.id)
    return {"plan": plan.document(), "done": True}


def plan_of(group: str, name: str, meant: list[Rescue]) -> Plan:
    """What is lost with these. Pure."""
    where = ", ".join(each.node_name for each in meant)
    refusals = [
        Refusal(
            "wrong-state",
            f"the resync that overwrites what rescue {name} keeps at {each.node_name} is not done",
            f"farshore wait {group}",
        )
        for each in meant
        if each.layer.open
    ]
    return Plan(
        kind="rescue-delete",
        group=group,
        goal=name,
        title=f"rescue {name} of {group} at {where} is deleted",
        steps=tuple(f"the preserve store of {each.node_name} gives it up" for each in meant),
        lost=tuple(_lost(each) for each in meant),
        refusals=tuple(refusals),
        facts={"rescues": [[each.copy, each.layer.id, each.layer.broken] for each in meant]},
    )


def _lost(rescue: Rescue) -> str:
    layer, there = rescue.layer, rescue.node_name
    when = layer.time or "its resync"
    if layer.broken:
        return f"nothing that can be read: the rescue at {there}, of {when}, is broken; {copy_layers.BROKEN}"
    size = "" if layer.bytes is None else f", {format_size(layer.bytes)} of it overwritten since"
    return f"what the copy at {there} held until {when}{size}: it is nowhere else"


def _is_on(rescue: Rescue, on: str | None) -> bool:
    if on is None:
        return True
    name, _, copy = on.partition("/")
    return rescue.node_name == name and copy in ("", rescue.copy_name)


# -- peers --------------------------------------------------------------------------------------------


async def serve_list(node: Node, args: Mapping[str, Any]) -> dict[str, Any]:
    """`rescues`: those of our copies of a group, for whoever names its id. Raises FarshoreError."""
    try:
        number = placement.identifier(args["group"])
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"a malformed question for rescues: {error!r}") from error
    own = [stored for stored in node.copies.all() if stored.config.group == number]
    said = await asyncio.gather(*(stored.engine.ask("layers") for stored in own))
    copies = [
        {
            "copy": stored.key,
            "copy_name": stored.config.copy_name,
            "layers": [each for each in answer["layers"] if each["kind"] == LayerKind.RESCUE.value],
            "unusable": copy_layers.unusable(answer),
        }
        for stored, answer in zip(own, said, strict=True)
    ]
    return {"copies": copies}


async def serve_drop(node: Node, peer: Peer, args: Mapping[str, Any]) -> dict[str, Any]:
    """`drop-rescue` for a peer. Raises FarshoreError."""
    try:
        group, copy = placement.identifier(args["group"]), placement.identifier(args["copy"])
        layer = placement.identifier(args["layer"]).hex()
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"a malformed wish to give up a rescue: {error!r}") from error
    stored = turns.find(node, group, copy)
    await turns.require_related(node, peer, stored)
    await _drop(node, stored, layer)
    return {}


async def _drop(node: Node, stored: StoredCopy, layer: str) -> None:
    """Only of a layer that is a rescue. Raises FarshoreError."""
    kept = [each.id for each in await copy_layers.of(stored) if each.kind is LayerKind.RESCUE]
    if layer not in kept:
        raise FarshoreError("not-found", f"{node.name} has no such rescue", means="nothing was deleted there")
    await stored.engine.ask("layer-drop", {"id": layer}, seconds=_DROP_SECONDS)


async def _all(node: Node, group: str) -> tuple[list[Rescue], list[Silent]]:
    """What is known, oldest first, and who did not say."""
    number = node.copies.of_group(group)[0].config.group
    args = {"group": number.hex()}

    async def heard(peer: Peer | None) -> list[Rescue | Silent]:
        name = node.name if peer is None else peer.name
        try:
            if peer is None:
                answer = await serve_list(node, args)
            else:
                async with asyncio.timeout(ASK_SECONDS):
                    answer = await ask(node.identity, peer, "rescues", args, ASK_SECONDS)
            who = node.identity.fingerprint if peer is None else peer.id
            return [found for copy in list(answer["copies"])[:_MOST] for found in _read(copy, who, name)]
        except TimeoutError:
            return [Silent(name, f"no answer within {ASK_SECONDS:g} s")]
        except FarshoreError as error:
            return [Silent(name, error.what)]
        except (KeyError, TypeError, ValueError) as error:
            return [Silent(name, f"its answer is malformed: {error!r}")]

    said = await asyncio.gather(*(heard(peer) for peer in (None, *node.peers.all())))
    rescues = [each for some in said for each in some if isinstance(each, Rescue)]
    silent = [each for some in said for each in some if isinstance(each, Silent)]
    return sorted(rescues, key=lambda each: (each.layer.time or "", each.node_name)), silent


def _read(copy: Mapping[str, Any], node: str, name: str) -> list[Rescue | Silent]:
    """Raises FarshoreError, KeyError, TypeError or ValueError."""
    why = copy_layers.unusable(copy)
    if why:
        return [Silent(name, f"its preserve store cannot be used: {why}")]
    return [
        Rescue(
            node=node,
            node_name=name,
            copy=placement.identifier(copy["copy"]).hex(),
            copy_name=str(copy["copy_name"])[:_WORD],
            layer=each,
        )
        for each in copy_layers.read(copy)
        if each.kind is LayerKind.RESCUE
    ]
