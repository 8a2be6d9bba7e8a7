"""Makes, changes and deletes the links that begin at a copy of a group here, its primary or a secondary.

A link is first agreed on with the peer, which makes its copy ready, and only then written down here: when
the peer refuses, nothing has changed here; when we die in between, asking again under the same name
adopts what the peer made. The engine learns of a change by `reload`; if it does not take it, the change
is undone on both sides.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from farshore.errors import FarshoreError
from farshore.model.copy_config import CopyConfig, LinkIntent
from farshore.model.options import LinkOptions, LinkSpec, Role
from farshore.node import chains, groups, intent, placement, reroutes
from farshore.node.copies import StoredCopy
from farshore.node.node import Node
from farshore.node.peer_client import ask
from farshore.node.peers import Peer
from farshore.node.placement import Placement, VolumeShape

PLACE_SECONDS = 45.0
"""For the peer to look at the places, make files and start an engine."""
ASK_SECONDS = 5.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LinkWish:
    """A link to be. `options` are fields of LinkOptions, `places` volume name -> path at the peer."""

    peer: str
    name: str | None = None
    copy: str | None = None
    """Which copy of the group here is to feed it; None where there is but one."""
    places: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    asked_by: str = ""
    """Fingerprint of the node that wishes for it, empty where it is wished for here."""
    taken: frozenset[str] = frozenset()
    """Names that would be taken for others there."""


async def create(node: Node, group: str, wish: LinkWish) -> LinkIntent:
    """A new link from a copy here. Raises FarshoreError; nothing was changed here then."""
    async with node.changing(group):
        return await make(node, groups.feeder(node, group, wish.copy), node.peers.named(wish.peer), wish)


async def make(node: Node, stored: StoredCopy, peer: Peer, wish: LinkWish) -> LinkIntent:
    """`create`, for whoever holds the group's lock and has chosen the copy and the peer."""
    group = stored.config.group_name
    options = intent.link_options(wish.options)
    if stored.config.role is Role.SECONDARY:
        intent.check_hop(options)
    name = intent.link_name(wish.name, peer.name, wish.taken | names_taken(node, group))
    chain = await chains.above(node, stored)
    chains.refuse_ring(group, (chains.own(node, stored), *chain), peer)
    await stored.engine.ask("hello")  # an engine that is down could not take the link
    wished = _placement(node, stored.config, (name, options), wish.places)
    wished = replace(wished, above=tuple(each.node for each in chain))
    copy, epoch = await _place(node, peer, wished)
    spec = LinkSpec(wished.link, name, peer.id, options, epoch)
    link = LinkIntent(spec, peer.name, peer.address, wish.asked_by, peer_copy=copy)
    try:
        await apply(node, stored, replace(stored.config, links=(*stored.config.links, link)))
    except FarshoreError:
        await _tell_removed(node, stored.config, link)
        raise
    node.journal.add(
        "link-created", f"link {name} to {peer.name} was made", group=group, link=name, peer=peer.name
    )
    return link


async def change(node: Node, group: str, name: str, options: Mapping[str, Any]) -> LinkIntent:
    """Sets options of a link. Raises FarshoreError; nothing was changed then."""
    async with node.changing(group):
        stored = groups.feeding(node, group, name)
        return await set_options(node, stored, find(stored.config, name), options)


async def set_options(
    node: Node, stored: StoredCopy, link: LinkIntent, options: Mapping[str, Any]
) -> LinkIntent:
    """`change`, for whoever holds the group's lock and has found the link."""
    fixed = sorted({"first", "wire"} & set(options))
    if any(options[each] != asdict(link.spec.options)[each] for each in fixed):
        raise FarshoreError(
            "wrong-state",
            f"{fixed[0]} is settled when a link is made",
            means="nothing was changed",
            next_step="delete the link and make it again with --first digest",
        )
    merged = intent.link_options(options, link.spec.options)
    if stored.config.role is Role.SECONDARY:
        intent.check_hop(merged)
    fresh = replace(link, spec=replace(link.spec, options=merged))
    await apply(node, stored, with_link(stored.config, fresh))
    changes = ", ".join(f"{each}={value}" for each, value in options.items())
    group, name = stored.config.group_name, link.spec.name
    node.journal.add("link-changed", f"link {name}: {changes}", group=group, link=name)
    return fresh


async def delete(node: Node, group: str, name: str) -> bool:
    """Ends a link; True when the peer has stopped its copy too, or has another feeder.

    Raises FarshoreError; the link stands then.
    """
    async with node.changing(group):
        stored = groups.feeding(node, group, name)
        return await end(node, stored, find(stored.config, name))


async def end(node: Node, stored: StoredCopy, link: LinkIntent) -> bool:
    """`delete`, for whoever holds the group's lock and has found the link."""
    group, name = stored.config.group_name, link.spec.name
    replaced = reroutes.replaced_by(stored.config, link)
    if not replaced:
        await _refuse_needed(node, stored.config, link)
    links = tuple(each for each in stored.config.links if each is not link)
    fresh = replace(reroutes.without(stored.config, link.spec.id), links=links)
    await apply(node, stored, fresh)
    # A copy that was pointed at another feeder is no longer ours to remove; it refuses where we do not know.
    told = bool(replaced) or await _tell_removed(node, stored.config, link)
    node.journal.add("link-deleted", f"link {name} to {link.peer_name} was deleted", group=group, link=name)
    return told


def names_taken(node: Node, group: str) -> frozenset[str]:
    """Of links of this group's copies here, and of hops made from here: one name means one thing."""
    found: set[str] = set()
    for stored in node.copies.all():
        if stored.config.group_name == group:
            found |= {link.spec.name for link in stored.config.links}
            found |= {hop.name for hop in stored.config.hops}
    return frozenset(found)


def with_link(config: CopyConfig, fresh: LinkIntent) -> CopyConfig:
    """The configuration with a link in place of the one of the same id, or as one more."""
    known = any(each.spec.id == fresh.spec.id for each in config.links)
    links = tuple(fresh if each.spec.id == fresh.spec.id else each for each in config.links)
    return replace(config, links=links if known else (*links, fresh))


def find(config: CopyConfig, name: str) -> LinkIntent:
    """A link that begins here. Raises FarshoreError `not-found`, or `wrong-role` for one that does not."""
    for hop in config.hops:
        if hop.name == name:
            raise FarshoreError(
                "wrong-role",
                f"link {name} of {config.group_name} begins at {hop.via_name}",
                means="nothing was changed",
                next_step=f"run the command on {hop.via_name}",
            )
    for link in config.links:
        if link.spec.name == name:
            return link
    raise FarshoreError(
        "not-found",
        f"group {config.group_name} has no link {name!r}",
        next_step="its links: " + (", ".join(link.spec.name for link in config.links) or "none"),
    )


def document(config: CopyConfig, link: LinkIntent) -> dict[str, Any]:
    """A link as `link show --json` prints it."""
    under_way = reroutes.under_way(config, link.spec.id)
    return {
        "group": config.group_name,
        "name": link.spec.name,
        "id": link.spec.id.hex(),
        "peer": link.peer_name,
        "peer_id": link.spec.peer,
        "address": link.address,
        "epoch": link.spec.epoch,
        "options": asdict(link.spec.options),
        "copy": config.copy_name,
        "via": None,
        "asked_by": link.asked_by or None,
        "left_for": reroutes.replaced_by(config, link) or None,
        "rerouting": None if under_way is None else under_way.via,
    }


async def readdress(node: Node, peer: Peer) -> None:
    """Tells every engine with a link to this peer where it is found now."""
    for stored in node.copies.all():
        if any(link.spec.peer == peer.id and link.address != peer.address for link in stored.config.links):
            async with node.changing(stored.config.group_name):
                current = node.copies.get(stored.key)
                if current is None:
                    continue
                links = tuple(
                    replace(link, address=peer.address, peer_name=peer.name)
                    if link.spec.peer == peer.id
                    else link
                    for link in current.config.links
                )
                node.put(replace(current, config=replace(current.config, links=links)))
                if _running(node, current):
                    await current.engine.ask("reload")


def _placement(
    node: Node, config: CopyConfig, link: tuple[str, LinkOptions], places: Mapping[str, str]
) -> Placement:
    name, options = link
    return Placement(
        group=config.group,
        group_name=config.group_name,
        copy_name=name,
        link=intent.new_id(),
        epoch=1,
        feeder=node.identity.fingerprint,
        volumes=tuple(VolumeShape(each.id, each.name, each.size) for each in config.volumes),
        region=config.region,
        extent=config.extent,
        hot_extents=config.hot_extents,
        wire=options.wire,
        first=options.first,
        places=places,
    )


async def _place(node: Node, peer: Peer, wish: Placement) -> tuple[str, int]:
    """The id of the peer's copy in hex, and the epoch that it agreed to."""
    answer = await ask(node.identity, peer, "place-copy", wish.to_json(), PLACE_SECONDS)
    epoch = answer.get("epoch")
    if not isinstance(epoch, int) or epoch < 1:
        raise FarshoreError("protocol", f"{peer.name} answered without an epoch")
    try:
        return placement.identifier(answer.get("copy")).hex(), epoch
    except ValueError as error:
        raise FarshoreError("protocol", f"{peer.name} answered without its copy's id") from error


async def apply(node: Node, stored: StoredCopy, fresh: CopyConfig) -> None:
    """Writes the new intent and has the engine take it; the old one stands when it does not."""
    node.put(replace(stored, config=fresh))
    try:
        await stored.engine.ask("reload", seconds=15.0)
    except FarshoreError as error:
        if error.code.name == "unreachable":
            return  # the engine is being restarted and reads the new intent then
        node.put(stored)
        raise


async def _tell_removed(node: Node, config: CopyConfig, link: LinkIntent) -> bool:
    peer = node.peers.by_id(link.spec.peer)
    if peer is None:
        return False
    args = {"group": config.group.hex(), "link": link.spec.id.hex(), "epoch": link.spec.epoch}
    try:
        await ask(node.identity, peer, "remove-copy", args, PLACE_SECONDS)
    except FarshoreError as error:
        text = f"{peer.name} still holds its copy of {config.group_name}: {error.what}"
        node.journal.add("copy-left", text, group=config.group_name, peer=peer.name, code=error.code.name)
        return False
    return True


async def _refuse_needed(node: Node, config: CopyConfig, link: LinkIntent) -> None:
    """Raises FarshoreError `wrong-state` where the copy that the link feeds is known to feed others."""
    peer = node.peers.by_id(link.spec.peer)
    if peer is None:
        return
    try:
        args = {"group": config.group.hex(), "link": link.spec.id.hex()}
        answer = await ask(node.identity, peer, "whose-copy", args, ASK_SECONDS)
        feeds = [str(each) for each in answer["feeds"]]
    except (FarshoreError, KeyError, TypeError) as error:
        _log.info("whether the copy at %s feeds others is not known: %s", peer.name, error)
        return
    if feeds:
        raise FarshoreError(
            "wrong-state",
            f"the copy of {config.group_name} at {peer.name} feeds others itself: " + ", ".join(feeds),
            means="without this link nobody would feed them; nothing was changed on any node",
            next_step=f"delete or reroute these links first, at {peer.name}:"
            f" farshore link delete {config.group_name} {feeds[0]}",
        )


def _running(node: Node, stored: StoredCopy) -> bool:
    seen = node.supervisor.seen(stored.key)
    return seen is not None and seen.running
