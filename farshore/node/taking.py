"""A copy here becomes the feeder of a far copy that another one fed, or stops being it.

The link keeps its id through all of its feeders; the epoch says which of them it is (rule B8). Who takes a
link that it had before finds its record and scoreboard again, so that an update may do; who never had it
begins with a comparison: the engines decide that when they meet. Who is left keeps the link as it is, without
knocking, so that it can be taken again. The far copy is pointed here before the link is taken; that order is
the business of `reroute`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from farshore.errors import FarshoreError, ProtocolError
from farshore.model.copy_config import LinkIntent
from farshore.model.options import LinkOptions, LinkSpec, ResyncKind, Role, options_from_json
from farshore.node import chains, groups, intent, links, names, placement
from farshore.node.copies import StoredCopy
from farshore.node.node import Node
from farshore.node.peers import Peer
from farshore.node.placement import VolumeShape


@dataclass(frozen=True, slots=True)
class Taking:
    """A link that a copy is to take. `copy`: which copy of the group, None where the node has but one."""

    group: bytes
    link: bytes
    epoch: int
    name: str
    far: str
    """Fingerprint of the far copy's node."""
    far_name: str
    options: LinkOptions
    volumes: tuple[VolumeShape, ...]
    copy: str | None = None
    check: bool = False
    """Only look whether it could be done."""

    def to_json(self) -> dict[str, Any]:
        """The arguments of `take-link`."""
        return {
            **asdict(self),
            "group": self.group.hex(),
            "link": self.link.hex(),
            "options": asdict(self.options),
            "volumes": [asdict(each) for each in self.volumes],
        }


def from_json(value: Mapping[str, Any]) -> Taking:
    """The inverse of `Taking.to_json`. Raises ProtocolError, or FarshoreError `usage`."""
    try:
        (far,) = placement.fingerprints([value["far"]])
        if not 0 < int(value["epoch"]) <= placement.MOST_EPOCH:
            raise ValueError("an epoch is a number above 0")
        return Taking(
            group=placement.identifier(value["group"]),
            link=placement.identifier(value["link"]),
            epoch=int(value["epoch"]),
            name=names.check("link", str(value["name"])),
            far=far,
            far_name=str(value["far_name"]),
            options=intent.link_options(asdict(options_from_json(dict(value["options"])))),
            volumes=placement.shapes(value["volumes"]),
            copy=None if value["copy"] is None else str(value["copy"]),
            check=bool(value["check"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"a malformed wish for a link: {error!r}") from error


async def serve_take(node: Node, peer: Peer, args: Mapping[str, Any]) -> dict[str, Any]:
    """`take-link` for a peer that feeds the copy here. Raises FarshoreError; nothing was changed then."""
    wish = from_json(args)
    group = name_of(node, wish.group)
    await chains.require_fed_by(node, peer, groups.feeder(node, group, wish.copy))
    if wish.check:
        return await look(node, groups.feeder(node, group, wish.copy), wish)
    async with node.changing(group):
        return await take(node, groups.feeder(node, group, wish.copy), wish, asked_by=peer.id)


async def serve_leave(node: Node, peer: Peer, args: Mapping[str, Any]) -> dict[str, Any]:
    """`leave-link` for a peer that feeds the copy here. Raises FarshoreError."""
    try:
        group, link = placement.identifier(args["group"]), placement.identifier(args["link"])
        epoch, name = int(args["epoch"]), str(args["for"])[:64]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"a malformed wish to leave a link: {error!r}") from error
    async with node.changing(name_of(node, group)):
        for stored in with_link(node, group, link):
            await chains.require_fed_by(node, peer, stored)
        rested = await rest(node, group, link, epoch, name)
        for each in rested:
            text = f"{name} feeds {each.peer_name} now: link {each.spec.name} logs what it would need"
            node.journal.add("link-left", text, group=name_of(node, group), link=each.spec.name)
    return {"left": bool(rested)}


async def look(node: Node, stored: StoredCopy, wish: Taking) -> dict[str, Any]:
    """Whether the copy could take the link: which copy it is, what is above it, and under which epoch it has
    the link already. Raises FarshoreError where it could not."""
    config, far = stored.config, node.peers.by_id(wish.far)
    if far is None:
        raise FarshoreError(
            "wrong-state",
            f"{node.name} is not paired with {wish.far_name}",
            means="nothing was changed on any node",
            next_step=f"pair {node.name} and {wish.far_name}: farshore node invite on one, farshore node join"
            " on the other",
        )
    if config.role is Role.SECONDARY:
        intent.check_hop(wish.options)
    shapes = {VolumeShape(each.id, each.name, each.size) for each in config.volumes}
    if shapes != set(wish.volumes):
        raise FarshoreError(
            "size-mismatch",
            f"the copies of {config.group_name} at {node.name} and {far.name} have other volumes",
            means="nothing was changed on any node",
            next_step=f"farshore group show {config.group_name}, on both nodes",
        )
    await stored.engine.ask("hello")  # an engine that is down could not take the link
    chain = (chains.own(node, stored), *await chains.above(node, stored))
    chains.refuse_ring(config.group_name, chain, far)
    known = _known(stored, wish.link)
    stands = None if known is None or known.left_for else known.spec.epoch
    return {"copy": config.copy_name, "chain": [each.node for each in chain], "stands": stands}


async def take(node: Node, stored: StoredCopy, wish: Taking, *, asked_by: str = "") -> dict[str, Any]:
    """Feeds the far copy, which follows us already, from now on; for whoever holds the group's lock.

    Raises FarshoreError; the link is as it was then.
    """
    config, far, known = stored.config, node.peers.by_id(wish.far), _known(stored, wish.link)
    if far is None:
        raise FarshoreError("wrong-state", f"{node.name} is not paired with {wish.far_name} any more")
    if known is not None and known.spec.epoch > wish.epoch:
        raise FarshoreError("wrong-feeder", f"{node.name} has that link under a later epoch already")
    if known is None:
        others = links.names_taken(node, config.group_name) - {
            hop.name for hop in config.hops if hop.link == wish.link
        }
        name, options = (
            intent.link_name(None, wish.name, others),
            replace(wish.options, first=ResyncKind.DIGEST),
        )
    else:
        name, options = known.spec.name, replace(wish.options, first=known.spec.options.first)
    spec = LinkSpec(wish.link, name, far.id, options, wish.epoch)
    far_copy = "" if known is None else known.peer_copy
    fresh = LinkIntent(spec, far.name, far.address, asked_by, peer_copy=far_copy)
    hops = tuple(hop for hop in config.hops if hop.link != wish.link)
    await links.apply(node, stored, replace(links.with_link(config, fresh), hops=hops))
    text = f"link {name} feeds {far.name} from now on"
    node.journal.add("link-taken", text, group=config.group_name, link=name, peer=far.name)
    return {"copy": config.copy_name, "name": name}


async def rest(node: Node, group: bytes, link: bytes, epoch: int, name: str) -> list[LinkIntent]:
    """Rests every link here that fed the far copy under a lower epoch, in favour of the node `name`; those
    that did not rest for it before. For whoever holds the lock of the group."""
    rested = []
    for stored in with_link(node, group, link):
        known = _known(stored, link)
        if known is None or known.spec.epoch >= epoch:
            continue
        await _set_left(node, stored, known, name)  # once more does no harm: its engine may not have heard
        if known.left_for != name:
            rested.append(known)
    return rested


async def stay(node: Node, group: bytes, link: bytes, epoch: int) -> bool:
    """The far copy follows the link of that epoch, as before: it rests no more. One that another feeder
    replaced long ago rests on. False where there is none of that epoch here."""
    for stored in with_link(node, group, link):
        known = _known(stored, link)
        if known is not None and known.spec.epoch == epoch:
            await _set_left(node, stored, known, "")
            return True
    return False


async def _set_left(node: Node, stored: StoredCopy, known: LinkIntent, name: str) -> None:
    fresh = replace(known, spec=replace(known.spec, resting=bool(name)), left_for=name)
    await links.apply(node, stored, links.with_link(stored.config, fresh))


def name_of(node: Node, group: bytes) -> str:
    """The name of a group of which a copy is here. Raises FarshoreError `not-found`."""
    for stored in node.copies.all():
        if stored.config.group == group:
            return stored.config.group_name
    raise FarshoreError(
        "not-found",
        f"{node.name} holds no copy of that group",
        means="nothing was changed on any node",
        next_step="farshore topology shows which nodes hold one",
    )


def with_link(node: Node, group: bytes, link: bytes) -> list[StoredCopy]:
    """The copies here that have the link, feeding by it or not."""
    found = [each for each in node.copies.all() if each.config.group == group]
    return [each for each in found if _known(each, link) is not None]


def _known(stored: StoredCopy, link: bytes) -> LinkIntent | None:
    return next((each for each in stored.config.links if each.spec.id == link), None)
