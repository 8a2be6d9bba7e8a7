"""A copy here is pointed at another feeder, at a peer's request (rule B8).

Only the node that feeds the copy, or one above that node as it was told when the copy was placed or pointed
there, may do that, and only under a higher epoch; where the feeder is gone, or says that it feeds the copy
no more, a node with another copy of the group may have it follow that one (`chains.stands_in`). The new
feeder has to be a node that this one is paired with. The intent is durable before the engine hears of it;
the engine ends the session of the old feeder and meets nobody under the new epoch before its own record is
durable. The volumes are not touched: what the copy lacks is for the new feeder and the copy to find out
when they meet.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from farshore.errors import FarshoreError, ProtocolError
from farshore.model.copy_config import UpstreamIntent
from farshore.node import chains, placement, reroutes
from farshore.node.copies import StoredCopy
from farshore.node.node import Node
from farshore.node.peer_client import ask
from farshore.node.peers import Peer

RELOAD_SECONDS = 15.0
TELL_SECONDS = 5.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pointing:
    """Who is to feed a copy from now on, under which epoch, and which nodes are above that one."""

    group: bytes
    link: bytes
    epoch: int
    feeder: str
    above: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The arguments of `point-copy`."""
        return {
            "group": self.group.hex(),
            "link": self.link.hex(),
            "epoch": self.epoch,
            "feeder": self.feeder,
            "above": list(self.above),
        }


def pointing_from_json(value: Mapping[str, Any]) -> Pointing:
    """The inverse of `Pointing.to_json`. Raises ProtocolError."""
    try:
        (feeder,) = placement.fingerprints([value["feeder"]])
        if not 0 < int(value["epoch"]) <= placement.MOST_EPOCH:
            raise ValueError("an epoch is a number above 0")
        return Pointing(
            placement.identifier(value["group"]),
            placement.identifier(value["link"]),
            int(value["epoch"]),
            feeder,
            placement.fingerprints(value["above"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"a malformed wish to point a copy at another feeder: {error!r}") from error


async def whose(node: Node, peer: Peer, args: Mapping[str, Any]) -> dict[str, Any]:
    """`whose-copy`: which copy here follows the link, whom, and what it is like. Raises FarshoreError."""
    try:
        group, link = placement.identifier(args["group"]), placement.identifier(args["link"])
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"a malformed question for a copy: {error!r}") from error
    stored, upstream = await _followed(node, peer, group, link)
    return {
        "copy": stored.key,
        "copy_name": stored.config.copy_name,
        "epoch": upstream.epoch,
        "feeder": upstream.peer,
        "feeder_name": upstream.peer_name,
        "wire": upstream.wire,
        "region": stored.config.region,
        "volumes": [{"id": each.id, "name": each.name, "size": each.size} for each in stored.config.volumes],
        "feeds": [
            each.spec.name for each in stored.config.links if not reroutes.replaced_by(stored.config, each)
        ],
    }


async def point(node: Node, peer: Peer, args: Mapping[str, Any]) -> dict[str, Any]:
    """`point-copy`. Raises FarshoreError; the copy follows whom it followed then."""
    wish = pointing_from_json(args)
    await _followed(node, peer, wish.group, wish.link)
    return await move(node, wish, peer.name)


async def move(node: Node, wish: Pointing, asked_by: str) -> dict[str, Any]:
    """`point`, for whoever may. Raises FarshoreError; the copy follows whom it followed then."""
    group = _following(node, wish.group, wish.link)[0].config.group_name
    async with node.changing(group):
        stored, upstream = _following(node, wish.group, wish.link)
        feeder = _new_feeder(node, wish, upstream, group)
        fresh = UpstreamIntent(wish.link, wish.epoch, feeder.id, feeder.name, upstream.wire, wish.above)
        stored = node.put(replace(stored, config=replace(stored.config, upstream=fresh)))
        await _have_it_followed(node, stored)
    text = f"the copy of {group} here follows {feeder.name} from now on, at the wish of {asked_by}"
    node.journal.add("copy-pointed", text, group=group, peer=feeder.name, epoch=wish.epoch)
    _tell_below(node, stored)
    return {"copy": stored.key, "epoch": wish.epoch}


async def chain_changed(node: Node, peer: Peer, args: Mapping[str, Any]) -> dict[str, Any]:
    """`chain-changed`: other nodes than before are above the one that feeds a copy here; they may point it
    elsewhere, and those that are gone may not."""
    try:
        group, link = placement.identifier(args["group"]), placement.identifier(args["link"])
        above = placement.fingerprints(args["above"])
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"a malformed word of a chain: {error!r}") from error
    stored, _ = await _followed(node, peer, group, link)
    async with node.changing(stored.config.group_name):
        stored, upstream = await _followed(node, peer, group, link)
        if upstream.peer != peer.id:
            raise FarshoreError("wrong-feeder", f"the copy is not fed by {peer.name}")
        if upstream.above == above or node.identity.fingerprint in above:
            return {}
        fresh = replace(upstream, above=above)
        stored = node.put(replace(stored, config=replace(stored.config, upstream=fresh)))
    _tell_below(node, stored)
    return {}


async def _followed(node: Node, peer: Peer, group: bytes, link: bytes) -> tuple[StoredCopy, UpstreamIntent]:
    """The copy that follows the link, where this peer has a say in it.

    Raises FarshoreError `not-found` or `wrong-feeder`.
    """
    stored, upstream = _following(node, group, link)
    if peer.id in (upstream.peer, *upstream.above) or await chains.stands_in(node, peer, stored):
        return stored, upstream
    raise FarshoreError(
        "wrong-feeder",
        f"the copy of {stored.config.group_name} at {node.name} is fed by"
        f" {upstream.peer_name or 'another node'}, and {peer.name} does not feed that",
        means="nothing was changed on any node",
        next_step=f"run the command on {upstream.peer_name or 'the node that feeds it'}",
    )


def _following(node: Node, group: bytes, link: bytes) -> tuple[StoredCopy, UpstreamIntent]:
    """Raises FarshoreError `not-found`."""
    stored = node.copies.following(group, link)
    upstream = stored.upstream if stored is not None else None
    if stored is None or upstream is None:
        raise FarshoreError(
            "not-found",
            f"no copy at {node.name} follows that link",
            means="nothing was changed there",
            next_step="make a new link to that node; --first digest compares what is there already",
        )
    return stored, upstream


def _new_feeder(node: Node, wish: Pointing, upstream: UpstreamIntent, group: str) -> Peer:
    if wish.epoch <= upstream.epoch:
        raise FarshoreError(
            "wrong-feeder",
            f"the copy of {group} at {node.name} was pointed elsewhere meanwhile (epoch {upstream.epoch})",
            means="nothing was changed there",
            next_step=f"farshore topology {group}, then run the command again if it is still wanted",
        )
    if node.identity.fingerprint in (wish.feeder, *wish.above):
        raise FarshoreError(
            "ring",
            f"{node.name} is above the node that would feed its copy of {group}: that would close a ring",
            means="nothing was changed there",
        )
    feeder = node.peers.by_id(wish.feeder)
    if feeder is None:
        raise FarshoreError(
            "wrong-state",
            f"{node.name} is not paired with the node that is to feed its copy of {group}",
            means="nothing was changed there",
            next_step="pair the two: farshore node invite on one of them, farshore node join on the other",
        )
    return feeder


async def _have_it_followed(node: Node, stored: StoredCopy) -> None:
    """The intent stands already: an engine that does not take it is started anew with it, and an old epoch
    is never written back over a higher one that the engine may have made durable."""
    try:
        await stored.engine.ask("reload", seconds=RELOAD_SECONDS)
    except FarshoreError as error:
        if error.code.name == "unreachable":
            return  # it is being started, and reads the new intent then
        _log.warning("the engine of %s is started anew: %s", stored.config.group_name, error)
        await node.supervisor.take_down(stored)
        await node.supervisor.bring_up(stored)


def _tell_below(node: Node, stored: StoredCopy) -> None:
    """Has the nodes that this copy feeds know who is above them now. Their copies work without knowing."""
    upstream = stored.upstream
    if upstream is None:
        return
    above = [upstream.peer, *upstream.above][: placement.MOST_ABOVE]
    for link in stored.config.links:
        peer = node.peers.by_id(link.spec.peer)
        if peer is not None and not reroutes.replaced_by(stored.config, link):
            args = {"group": stored.config.group.hex(), "link": link.spec.id.hex(), "above": above}
            node.background.start(_tell(node, peer, args), f"chain above {peer.name}")


async def _tell(node: Node, peer: Peer, args: Mapping[str, Any]) -> None:
    try:
        await ask(node.identity, peer, "chain-changed", args, TELL_SECONDS)
    except FarshoreError as error:
        _log.info("%s was not told who is above it: %s", peer.name, error)
