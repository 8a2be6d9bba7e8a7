"""Makes, changes and deletes the links of a group whose primary copy is here.

A link is first agreed on with the peer, which makes its copy ready, and only then written down here: when
the peer refuses, nothing has changed here; when we die in between, asking again under the same name
adopts what the peer made. The engine learns of a change by `reload`; if it does not take it, the change
is undone on both sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from farshore.errors import FarshoreError
from farshore.model.copy_config import CopyConfig, LinkIntent
from farshore.model.options import LinkOptions, LinkSpec
from farshore.node import groups, intent
from farshore.node.copies import StoredCopy
from farshore.node.node import Node
from farshore.node.peer_client import ask
from farshore.node.peers import Peer
from farshore.node.placement import Placement, VolumeShape

PLACE_SECONDS = 45.0
"""For the peer to look at the places, make files and start an engine."""


@dataclass(frozen=True, slots=True)
class LinkWish:
    """A link to be. `options` are fields of LinkOptions, `places` volume name -> path at the peer."""

    peer: str
    name: str | None = None
    via: str | None = None
    places: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


async def create(node: Node, group: str, wish: LinkWish) -> LinkIntent:
    """A new link. Raises FarshoreError; nothing was changed here then."""
    if wish.via is not None:
        raise FarshoreError("wrong-state", "chains are not available yet", next_step="leave --via out")
    async with node.changing(group):
        stored = groups.primary(node, group)
        peer = node.peers.named(wish.peer)
        options = intent.link_options(wish.options)
        name = intent.link_name(wish.name, peer.name, stored.config.links)
        await stored.engine.ask("hello")  # an engine that is down could not take the link
        placement = _placement(node, stored.config, (name, options), wish.places)
        epoch = await _place(node, peer, placement)
        spec = LinkSpec(placement.link, name, peer.id, options, epoch)
        link = LinkIntent(spec, peer.name, peer.address)
        fresh = replace(stored.config, links=(*stored.config.links, link))
        try:
            await _apply(node, stored, fresh)
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
        stored = groups.primary(node, group)
        link = find(stored.config, name)
        fixed = sorted({"first", "wire"} & set(options))
        if any(options[each] != asdict(link.spec.options)[each] for each in fixed):
            raise FarshoreError(
                "wrong-state",
                f"{fixed[0]} is settled when a link is made",
                means="nothing was changed",
                next_step="delete the link and make it again with --first digest",
            )
        spec = replace(link.spec, options=intent.link_options(options, link.spec.options))
        fresh = replace(link, spec=spec)
        links = tuple(fresh if each is link else each for each in stored.config.links)
        await _apply(node, stored, replace(stored.config, links=links))
    changes = ", ".join(f"{each}={value}" for each, value in options.items())
    node.journal.add("link-changed", f"link {name}: {changes}", group=group, link=name)
    return fresh


async def delete(node: Node, group: str, name: str) -> bool:
    """Ends a link; True when the peer has stopped its copy too.

    Raises FarshoreError; the link stands then.
    """
    async with node.changing(group):
        stored = groups.primary(node, group)
        link = find(stored.config, name)
        links = tuple(each for each in stored.config.links if each is not link)
        await _apply(node, stored, replace(stored.config, links=links))
        told = await _tell_removed(node, stored.config, link)
    node.journal.add("link-deleted", f"link {name} to {link.peer_name} was deleted", group=group, link=name)
    return told


def find(config: CopyConfig, name: str) -> LinkIntent:
    """Raises FarshoreError `not-found`."""
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
    return {
        "group": config.group_name,
        "name": link.spec.name,
        "id": link.spec.id.hex(),
        "peer": link.peer_name,
        "peer_id": link.spec.peer,
        "address": link.address,
        "epoch": link.spec.epoch,
        "options": asdict(link.spec.options),
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


async def _place(node: Node, peer: Peer, placement: Placement) -> int:
    """The epoch that the peer agreed to."""
    answer = await ask(node.identity, peer, "place-copy", placement.to_json(), PLACE_SECONDS)
    epoch = answer.get("epoch")
    if not isinstance(epoch, int) or epoch < 1:
        raise FarshoreError("protocol", f"{peer.name} answered without an epoch")
    return epoch


async def _apply(node: Node, stored: StoredCopy, fresh: CopyConfig) -> None:
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
    args = {"group": config.group.hex(), "link": link.spec.id.hex()}
    try:
        await ask(node.identity, peer, "remove-copy", args, PLACE_SECONDS)
    except FarshoreError as error:
        text = f"{peer.name} still holds its copy of {config.group_name}: {error.what}"
        node.journal.add("copy-left", text, group=config.group_name, peer=peer.name, code=error.code.name)
        return False
    return True


def _running(node: Node, stored: StoredCopy) -> bool:
    seen = node.supervisor.seen(stored.key)
    return seen is not None and seen.running
