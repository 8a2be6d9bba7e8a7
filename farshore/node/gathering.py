"""Asks every node how its copies of a group stand, all side by side and for a short time only.

Whoever names a group's id, 128 random bits, has a copy of it. Nodes that hold none, as far as those that
answer know, are not missed when they are silent. A node that cannot read one of its copies says so: that one
counts as not heard, and never as gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any, Final

from farshore.errors import FarshoreError, ProtocolError
from farshore.model.copy_config import CopyConfig, LinkIntent
from farshore.node import placement, reroutes, standings, status
from farshore.node.copies import StoredCopy
from farshore.node.node import Node
from farshore.node.peer_client import ask
from farshore.node.peers import Peer
from farshore.node.placement import VolumeShape
from farshore.node.standings import Fed, LinkStanding, Scene, Silent, Standing

ASK_SECONDS: Final = 6.0
_log = logging.getLogger(__name__)
_MOST: Final = 64
"""Copies of a group at one node."""
_SAID: Final = (
    "turn",
    "generation",
    "sequence",
    "durable",
    "writes",
    "fault",
    "fenced",
    "promotable",
    "promotable_why",
    "promotable_risk",
    "usable_as_of",
    "newest_write_at",
    "connected",
)
_SAID_OF_LINK: Final = ("state", "reason", "dirty_bytes", "peer_head", "peer_copy", "alone_since")


async def scene(node: Node, group: str) -> Scene:
    """All copies of a group of which one is here. Raises FarshoreError `not-found`."""
    own = node.copies.of_group(group)
    number = own[0].config.group
    here, heard = await asyncio.gather(
        asyncio.gather(*(standing(node, stored) for stored in own)),
        asyncio.gather(*(_heard(node, peer, number) for peer in node.peers.all())),
    )
    copies = [*here, *[each for said, _ in heard for each in said]]
    silent = [each for _, each in heard if each is not None]
    if _unread(node, own):
        silent.append(_damaged(node.identity.fingerprint, node.name))
    return Scene(
        group=group,
        number=number.hex(),
        here=node.identity.fingerprint,
        copies=standings.acquainted(copies),
        silent=tuple(each for each in silent if each.node in _named(copies)),
    )


async def serve(node: Node, args: Mapping[str, Any]) -> dict[str, Any]:
    """`copies-stand`: how our copies of a group stand, for whoever names its id. Raises FarshoreError."""
    try:
        number = placement.identifier(args["group"])
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"a malformed question for copies: {error!r}") from error
    own = [stored for stored in node.copies.all() if stored.config.group == number]
    found = await asyncio.gather(*(standing(node, stored) for stored in own))
    return {"copies": [each.to_json() for each in found], "unread": _unread(node, own)}


def _unread(node: Node, own: Collection[StoredCopy]) -> bool:
    """Whether a copy here that cannot be read may be one of the group of these. Of which group it is only its
    directory tells, and that only to a node that knows the group by another copy."""
    names = {each.config.group_name for each in own}
    return any(not names or path.parent.name in names for path in node.copies.unreadable)


def _damaged(number: str, name: str) -> Silent:
    return Silent(number, name, "it has a copy that it cannot read", "state-damaged")


async def standing(node: Node, stored: StoredCopy) -> Standing:
    """One copy of this node."""
    config, entry = stored.config, await status.entry(node, stored)
    seen = node.supervisor.seen(stored.key)
    acts = entry.get("role") if seen is not None and seen.running and not entry.get("code") else None
    shown = {each.get("name"): each for each in entry.get("links") or ()}
    history = () if acts is None else await _history(stored)
    return Standing(
        node=node.identity.fingerprint,
        node_name=node.name,
        copy=stored.key,
        copy_name=config.copy_name,
        role=config.role.value,
        acts=acts,
        due=None if config.turn is None else config.turn.id.hex(),
        whole=config.whole,
        closed=config.closed,
        fed_by=_fed(config),
        links=tuple(_link(config, link, shown.get(link.spec.name, {})) for link in config.links),
        volumes=tuple(VolumeShape(each.id, each.name, each.size) for each in config.volumes),
        on_start=config.on_start,
        ignored=tuple(each.id for each in config.volumes if each.outage == "ignore"),
        attached=tuple(
            each.config.volume for each in node.devices.all() if each.config.group == config.group_name
        ),
        paired=tuple(peer.id for peer in node.peers.all()),
        change=config.change,
        stretches=history,
        residue=any(entry.get("retired") or ()),
        resync_open=None if acts is None else bool(entry.get("resync_open")),
        **{key: entry.get(key) for key in _SAID},
    )


async def _history(stored: StoredCopy) -> tuple[tuple[str, int], ...]:
    """Empty where the engine does not say; then it is compared by its head alone."""
    try:
        answer = await stored.engine.ask("history", seconds=status.STATUS_SECONDS)
        return standings.stretches(answer.get("history") or ())
    except (FarshoreError, TypeError, ValueError) as error:
        _log.info("the %s does not say its history: %s", stored.called, error)
        return ()


def _fed(config: CopyConfig) -> Fed | None:
    upstream = config.upstream
    if upstream is None:
        return None
    return Fed(
        link=upstream.link.hex(),
        epoch=upstream.epoch,
        peer=upstream.peer,
        peer_name=upstream.peer_name,
        wire=upstream.wire,
    )


def _link(config: CopyConfig, link: LinkIntent, seen: Mapping[str, Any]) -> LinkStanding:
    said: dict[str, Any] = {key: seen.get(key) for key in _SAID_OF_LINK}
    parted = seen.get("diverged_from") or {}
    options = link.spec.options
    return LinkStanding(
        id=link.spec.id.hex(),
        name=link.spec.name,
        peer=link.spec.peer,
        peer_name=link.peer_name,
        epoch=link.spec.epoch,
        mode=options.mode.value,
        ack=options.ack.value,
        left_for=reroutes.replaced_by(config, link),
        options=asdict(options),
        found_bytes=(seen.get("verify") or {}).get("found_bytes"),
        own_bytes=parted.get("own_bytes"),
        fork=parted.get("fork"),
        **{**said, "peer_copy": said["peer_copy"] or link.peer_copy or None},
    )


async def _heard(node: Node, peer: Peer, number: bytes) -> tuple[list[Standing], Silent | None]:
    """What it says of its copies, and why some are missing."""
    try:
        async with asyncio.timeout(ASK_SECONDS):
            answer = await ask(node.identity, peer, "copies-stand", {"group": number.hex()}, ASK_SECONDS)
        said = list(answer["copies"])[:_MOST]
        unread = _damaged(peer.id, peer.name) if answer.get("unread") else None
        return [standings.from_json(each, peer.id, peer.name) for each in said], unread
    except TimeoutError:
        why = f"no answer within {ASK_SECONDS:g} s"
    except FarshoreError as error:
        why = error.what
    except (KeyError, TypeError) as error:
        why = f"its answer is malformed: {error!r}"
    return [], Silent(peer.id, peer.name, why)


def _named(copies: list[Standing]) -> set[str]:
    """Nodes of which some copy says that they feed it or are fed by it."""
    named = {copy.fed_by.peer for copy in copies if copy.fed_by is not None}
    return named | {link.peer for copy in copies for link in copy.links}
