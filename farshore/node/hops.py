"""Hops that are made from further up a chain: `--via` another node, whose copy feeds the new one.

This node asks the other one, which makes the link exactly as if it had been asked for there, and remembers
here what is needed to show the hop, and to give its far copy another feeder when the middle node is lost. The
link itself, its options and its state belong to the node where it begins: what is shown of them is
asked for each time, and null when that node does not answer. A wish that was carried out but whose answer was
lost is found again when it is made again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from farshore.errors import FarshoreError, ProtocolError
from farshore.model.copy_config import CopyConfig, HopIntent, LinkIntent
from farshore.model.options import options_from_json
from farshore.node import chains, groups, intent, links, names, placement, reroutes, status, taking
from farshore.node.copies import StoredCopy
from farshore.node.links import LinkWish
from farshore.node.node import Node
from farshore.node.peer_client import ask
from farshore.node.peers import Peer

MAKE_SECONDS = 70.0
"""For the other node to have a copy placed at a third one."""
ASK_SECONDS = 5.0
_STATE = ("state", "reason", "lag_seconds", "dirty_bytes")
_log = logging.getLogger(__name__)


async def create(node: Node, group: str, wish: LinkWish, via: str) -> dict[str, Any]:
    """A new hop from the copy at `via`, NODE or NODE/COPY, or a link from that copy here; its document.

    Raises FarshoreError; nothing was changed here then.
    """
    name, copy = split(via)
    if name == node.name:
        link = await links.create(node, group, replace(wish, copy=copy))
        return links.document(groups.feeding(node, group, link.spec.name).config, link)
    async with node.changing(group):
        stored = node.copies.of_group(group)[0]
        middle = node.peers.named(name)
        if wish.peer == name:
            raise FarshoreError("usage", f"{name} cannot feed itself", next_step="leave --via out")
        taken = links.names_taken(node, group)
        if wish.name is not None:
            intent.link_name(wish.name, wish.peer, taken)  # refused here, before anybody is asked
        far = next((peer for peer in node.peers.all() if peer.name == wish.peer), None)
        args = {
            "group": stored.config.group.hex(),
            "copy": copy,
            "peer": wish.peer,
            "peer_id": None if far is None else far.id,
            "name": wish.name,
            "taken": sorted(taken),
            "known": _known(stored.config),
            "places": dict(wish.places),
            "options": dict(wish.options),
        }
        answer = await ask(node.identity, middle, "make-hop", args, MAKE_SECONDS)
        hop = _remembered(answer, middle)
        config = replace(stored.config, hops=(*stored.config.hops, hop))
        node.put(replace(stored, config=config))
    text = f"link {hop.name} from {middle.name} to {hop.peer_name} was made"
    node.journal.add("hop-created", text, group=group, link=hop.name, peer=hop.peer_name, via=middle.name)
    return _document(config, hop, None)


async def change(node: Node, group: str, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Sets options of a link here, or of a hop where it begins. Raises FarshoreError; nothing was changed."""
    if find(node, group, name) is None:
        link = await links.change(node, group, name, options)
        return links.document(groups.feeding(node, group, name).config, link)
    async with node.changing(group):
        stored, hop = _held(node, group, name)
        args = {"group": stored.config.group.hex(), "link": hop.link.hex(), "options": dict(options)}
        answer = await ask(node.identity, _middle(node, hop), "set-hop", args, ASK_SECONDS * 4)
        try:
            fresh = replace(hop, options=options_from_json(dict(answer["options"])))
        except (KeyError, TypeError, ValueError) as error:
            raise ProtocolError(f"{hop.via_name} answered without the options: {error!r}") from error
        kept = tuple(fresh if each is hop else each for each in stored.config.hops)
        stored = node.put(replace(stored, config=replace(stored.config, hops=kept)))
    return _document(stored.config, fresh, None)


async def delete(node: Node, group: str, name: str) -> bool:
    """Ends a link here, or a hop where it begins; True when the far node has stopped its copy too.

    Raises FarshoreError; the link stands then.
    """
    if find(node, group, name) is None:
        return await links.delete(node, group, name)
    async with node.changing(group):
        stored, hop = _held(node, group, name)
        told = await _have_it_ended(node, stored.config, hop)
        config = stored.config
        config = reroutes.without(config, hop.link)
        fresh = replace(config, hops=tuple(each for each in config.hops if each is not hop))
        stored = node.put(replace(stored, config=fresh))
        for link in fresh.links:  # ours from before the copy was pointed at that node
            if link.spec.id == hop.link:
                await links.end(node, stored, link)
    text = f"link {name} from {hop.via_name} to {hop.peer_name} was deleted"
    node.journal.add("hop-deleted", text, group=group, link=name, peer=hop.peer_name, via=hop.via_name)
    return told


async def documents(node: Node, group: str, name: str | None = None) -> list[dict[str, Any]]:
    """The links of all copies of a group here and the hops that were made from here, or those of one name.

    Raises FarshoreError `not-found` for an unknown group or name.
    """
    found: list[dict[str, Any]] = []
    copies = node.copies.of_group(group)
    for stored in copies:
        config = stored.config
        hops = [hop for hop in config.hops if name in (None, hop.name)]
        hidden = {hop.link for hop in config.hops}
        shown = [
            each for each in config.links if each.spec.id not in hidden and name in (None, each.spec.name)
        ]
        found += [links.document(config, link) for link in shown]
        heard = await _heard(node, config, hops)
        found += [_document(config, hop, heard.get(hop.link.hex())) for hop in hops]
    if name is not None and not found:
        links.find(groups.feeding(node, group, name).config, name)
    return found


def find(node: Node, group: str, name: str) -> HopIntent | None:
    """The hop of that name that was made from here. Raises FarshoreError `not-found` for an unknown group."""
    for stored in node.copies.of_group(group):
        for hop in stored.config.hops:
            if hop.name == name:
                return hop
    return None


def split(via: str) -> tuple[str, str | None]:
    """NODE or NODE/COPY. Raises FarshoreError `usage`."""
    name, slash, copy = via.partition("/")
    return names.check("node", name), names.check("copy", copy) if slash else None


# -- at the node where the hop begins ---------------------------------------------------------------


async def serve_make(node: Node, peer: Peer, args: Mapping[str, Any]) -> dict[str, Any]:
    """`make-hop` for a peer that feeds the copy here. Raises FarshoreError; nothing was changed then."""
    try:
        group = taking.name_of(node, placement.identifier(args["group"]))
        copy = None if args["copy"] is None else str(args["copy"])
        known = {str(each) for each in list(args["known"])}
        wish = LinkWish(
            str(args["peer"]),
            None if args["name"] is None else str(args["name"]),
            copy,
            {str(name): str(path) for name, path in dict(args["places"]).items()},
            dict(args["options"]),
            peer.id,
            frozenset(str(each) for each in list(args["taken"])),
        )
        number = args["peer_id"]
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"a malformed wish for a hop: {error!r}") from error
    async with node.changing(group):
        stored = groups.feeder(node, group, copy)
        await chains.require_fed_by(node, peer, stored)
        far = _far(node, wish.peer, number)
        left = _left_over(stored, wish, far, known)
        if left is None:
            link = await links.make(node, stored, far, wish)
        elif wish.options:
            link = await links.set_options(node, stored, left, wish.options)
        else:
            link = left
    return {
        "link": link.spec.id.hex(),
        "name": link.spec.name,
        "copy": stored.config.copy_name,
        "peer": far.name,
        "peer_id": far.id,
        "options": asdict(link.spec.options),
    }


async def serve_set(node: Node, peer: Peer, args: Mapping[str, Any]) -> dict[str, Any]:
    """`set-hop`. Raises FarshoreError; nothing was changed then."""
    stored, link, options = await _asked_for(node, peer, args)
    async with node.changing(stored.config.group_name):
        stored, link, options = await _asked_for(node, peer, args)
        fresh = await links.set_options(node, stored, link, options)
    return {"options": asdict(fresh.spec.options)}


async def serve_delete(node: Node, peer: Peer, args: Mapping[str, Any]) -> dict[str, Any]:
    """`delete-hop`; one that is not there any more is no error.

    Raises FarshoreError; the link stands then.
    """
    try:
        stored, link, _ = await _asked_for(node, peer, args)
    except FarshoreError as error:
        if error.code.name == "not-found":
            return {"told": True}
        raise
    async with node.changing(stored.config.group_name):
        stored, link, _ = await _asked_for(node, peer, args)
        return {"told": await links.end(node, stored, link)}


async def serve_show(node: Node, peer: Peer, args: Mapping[str, Any]) -> dict[str, Any]:
    """`show-hops`: documents and states of links that begin here. Raises FarshoreError."""
    try:
        group, wanted = placement.identifier(args["group"]), {str(each) for each in list(args["links"])}
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"a malformed question for hops: {error!r}") from error
    found: dict[str, Any] = {}
    for stored in node.copies.all():
        chosen = [each for each in stored.config.links if each.spec.id.hex() in wanted]
        if stored.config.group != group or not chosen:
            continue
        await chains.require_fed_by(node, peer, stored)
        shown = {each["name"]: each for each in (await status.entry(node, stored))["links"]}
        for link in chosen:
            seen = shown.get(link.spec.name, {})
            states = {key: seen.get(key) for key in _STATE}
            found[link.spec.id.hex()] = {**links.document(stored.config, link), **states}
    return {"links": found}


async def _asked_for(
    node: Node, peer: Peer, args: Mapping[str, Any]
) -> tuple[StoredCopy, LinkIntent, dict[str, Any]]:
    try:
        group, number = placement.identifier(args["group"]), placement.identifier(args["link"])
        options = dict(args.get("options", {}))
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"a malformed wish about a hop: {error!r}") from error
    for stored in taking.with_link(node, group, number):
        await chains.require_fed_by(node, peer, stored)
        return stored, next(each for each in stored.config.links if each.spec.id == number), options
    raise FarshoreError(
        "not-found",
        f"{node.name} has no such link any more",
        means="nothing was changed",
        next_step="farshore topology shows what there is",
    )


def _far(node: Node, name: str, number: object) -> Peer:
    """The node that is to hold the far copy, as the one that asks means it."""
    known = node.peers.by_id(str(number)) if number is not None else None
    if known is None and number is None:
        known = next((each for each in node.peers.all() if each.name == name), None)
    if known is None:
        raise FarshoreError(
            "not-found",
            f"{node.name} is not paired with {name}",
            means="nothing was changed on any node",
            next_step=f"pair {node.name} and {name}: farshore node invite on one, farshore node join on the"
            " other",
        )
    return known


def _left_over(stored: StoredCopy, wish: LinkWish, far: Peer, known: set[str]) -> LinkIntent | None:
    """The hop that an earlier wish of the same node has made, of which it does not know."""
    for link in stored.config.links:
        same = link.asked_by == wish.asked_by and link.spec.peer == far.id and not link.left_for
        if same and link.spec.id.hex() not in known and wish.name in (None, link.spec.name):
            return link
    return None


def _known(config: CopyConfig) -> list[str]:
    """Links that this node knows of, its own included: a bypassed middle may still have one of them."""
    own = [link.spec.id.hex() for link in config.links]
    return [*own, *[hop.link.hex() for hop in config.hops]]


# -- at the node from which it was made ---------------------------------------------------------------


def _remembered(answer: Mapping[str, Any], middle: Peer) -> HopIntent:
    try:
        (far,) = placement.fingerprints([answer["peer_id"]])
        return HopIntent(
            link=placement.identifier(answer["link"]),
            name=names.check("link", str(answer["name"])),
            via=middle.id,
            via_name=middle.name,
            via_copy=str(answer["copy"]),
            peer=far,
            peer_name=str(answer["peer"]),
            options=options_from_json(dict(answer["options"])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"{middle.name} did not say which link it made: {error!r}") from error


def _held(node: Node, group: str, name: str) -> tuple[StoredCopy, HopIntent]:
    """Again, with the group's lock. Raises FarshoreError `not-found`."""
    for stored in node.copies.of_group(group):
        for hop in stored.config.hops:
            if hop.name == name:
                return stored, hop
    raise FarshoreError("not-found", f"group {group} has no link {name!r} any more")


def _middle(node: Node, hop: HopIntent) -> Peer:
    peer = node.peers.by_id(hop.via)
    if peer is None:
        raise FarshoreError(
            "unreachable",
            f"{hop.via_name}, where link {hop.name} begins, is no peer of this node any more",
            means="nothing was changed",
            next_step="pair the two again, or farshore link reroute GROUP LINK --via another node",
        )
    return peer


async def _have_it_ended(node: Node, config: CopyConfig, hop: HopIntent) -> bool:
    args = {"group": config.group.hex(), "link": hop.link.hex()}
    try:
        answer = await ask(node.identity, _middle(node, hop), "delete-hop", args, MAKE_SECONDS)
    except FarshoreError as error:
        if error.code.name not in ("unreachable", "timeout"):
            raise
        raise FarshoreError(
            error.code.name,
            f"{hop.via_name}, where link {hop.name} begins, does not answer: {error.what}",
            means="nothing was changed",
            next_step="when it is back, the same command; if it is lost, first"
            f" farshore link reroute {config.group_name} {hop.name} --via {node.name}",
        ) from error
    return bool(answer.get("told", True))


async def _heard(node: Node, config: CopyConfig, hops: list[HopIntent]) -> dict[str, dict[str, Any]]:
    """What the nodes where these hops begin say of them, by link id; all are asked side by side."""
    asked = {hop.via: [each.link.hex() for each in hops if each.via == hop.via] for hop in hops}

    async def one(number: str, wanted: list[str]) -> dict[str, Any]:
        peer = node.peers.by_id(number)
        if peer is None:
            return {}
        args = {"group": config.group.hex(), "links": wanted}
        try:
            async with asyncio.timeout(ASK_SECONDS):
                answer = await ask(node.identity, peer, "show-hops", args, ASK_SECONDS)
            return {str(key): dict(value) for key, value in dict(answer["links"]).items()}
        except (FarshoreError, KeyError, TypeError, ValueError, TimeoutError) as error:
            _log.info("%s said nothing of its links: %s", peer.name, error)
            return {}

    answers = await asyncio.gather(*(one(number, wanted) for number, wanted in asked.items()))
    return {key: value for answer in answers for key, value in answer.items()}


def _document(config: CopyConfig, hop: HopIntent, heard: Mapping[str, Any] | None) -> dict[str, Any]:
    """As `links.document`, with the state where the node at which it begins was heard."""
    said = heard or {}
    options, under_way = said.get("options"), reroutes.under_way(config, hop.link)
    return {
        "group": config.group_name,
        "name": hop.name,
        "id": hop.link.hex(),
        "peer": hop.peer_name,
        "peer_id": hop.peer,
        "address": said.get("address"),
        "epoch": said.get("epoch"),
        "options": options if isinstance(options, dict) else asdict(hop.options),
        "copy": config.copy_name,
        "via": hop.via_name,
        "via_copy": hop.via_copy,
        "asked_by": None,
        "left_for": said.get("left_for"),
        "rerouting": None if under_way is None else under_way.via,
        **{key: said.get(key) for key in _STATE},
    }
