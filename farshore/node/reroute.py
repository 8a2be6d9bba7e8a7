"""`link reroute`: a far copy gets another feeder, this node or one that it feeds.

Order, and why it is safe to die anywhere in it: (1) everything that could be refused is looked at, nothing is
changed; (2) a link of this node that feeds the far copy rests; (3) the far copy is pointed at the new feeder
under a higher epoch, durably, and the old feeder's session ends there: from now on nobody else can feed it,
whoever comes back (rule B8); (4) the new feeder takes the link; (5) what this node remembers follows; (6) the
old feeder is told to rest, if it answers. Cut off after (2) the far copy waits, and the same command again
goes on from there, with the next epoch. No data is moved: the new feeder and the far copy find out what is
lacking when they meet.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

from farshore.errors import FarshoreError, ProtocolError
from farshore.model.copy_config import HopIntent
from farshore.model.options import LinkOptions
from farshore.node import groups, hops, links, placement, taking, topology
from farshore.node.copies import StoredCopy
from farshore.node.node import Node
from farshore.node.peer_client import ask
from farshore.node.peers import Peer
from farshore.node.pointing import Pointing
from farshore.node.taking import Taking

ASK_SECONDS = 10.0
TAKE_SECONDS = 30.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Routed:
    """A link as this node knows it. `stored`: the copy here that is above it, or feeds it."""

    stored: StoredCopy
    link: bytes
    name: str
    far: Peer
    options: LinkOptions


async def reroute(node: Node, group: str, name: str, via: str) -> dict[str, Any]:
    """Points the far copy of a link at another feeder, NODE or NODE/COPY; what it is then.

    Raises FarshoreError; nothing was changed then unless the error says so.
    """
    where, copy = hops.split(via)
    async with node.changing(group):
        routed = await _routed(node, group, name)
        held = await _held(node, routed)
        options = replace(routed.options, wire=held["wire"])
        config = routed.stored.config
        wish = Taking(
            group=config.group,
            link=routed.link,
            epoch=held["epoch"] + 1,
            name=name,
            far=routed.far.id,
            far_name=routed.far.name,
            options=options,
            volumes=held["volumes"],
            copy=copy,
        )
        goal = None if where == node.name else node.peers.named(where)
        if goal is not None and goal.id == routed.far.id:
            raise FarshoreError("usage", f"{where} cannot feed itself", next_step="name another node")
        seen = await _look(node, group, goal, wish)
        feeder = node.identity.fingerprint if goal is None else goal.id
        stands = held["feeder"] == feeder and seen["stands"] == held["epoch"]
        if stands and _is_remembered(routed, goal):
            raise FarshoreError(
                "wrong-state",
                f"{where} feeds the copy of {group} at {routed.far.name} already",
                means="nothing was changed",
                next_step=f"farshore topology {group}",
            )
        if stands:  # all was done but for what this node knows of it
            wish = replace(wish, epoch=held["epoch"])
        else:
            point = Pointing(config.group, routed.link, wish.epoch, feeder, seen["above"])
            await _point(node, routed, point, held, where)
            await _take(node, group, goal, wish)
        _remember(node, routed, goal, wish, seen["copy"])
        rested = await _leave(node, routed, held["feeder"], wish.epoch, where)
    text = f"link {name} of {group} to {routed.far.name} begins at {where} now (epoch {wish.epoch})"
    node.journal.add("link-rerouted", text, group=group, link=name, peer=routed.far.name, via=where)
    return {"group": group, "name": name, "via": where, "epoch": wish.epoch, "old_feeder_told": rested}


async def _routed(node: Node, group: str, name: str) -> Routed:
    """The link of that name: a hop made from here, one that begins here, or one that others speak of."""
    copies = node.copies.of_group(group)
    for stored in copies:
        for hop in stored.config.hops:
            if hop.name == name:
                return Routed(stored, hop.link, name, _peer(node, hop.peer, hop.peer_name), hop.options)
    for stored in copies:
        for link in stored.config.links:
            if link.spec.name == name and not link.left_for:
                far = _peer(node, link.spec.peer, link.peer_name)
                return Routed(stored, link.spec.id, name, far, link.spec.options)
    others = await topology.copies_named(node, copies[0], name)
    if len(others) == 1:
        (number, far, options) = others[0]
        return Routed(copies[0], number, name, far, options)
    if others:
        raise FarshoreError(
            "usage",
            f"several copies of {group} are called {name}: at " + ", ".join(far.name for _, far, _ in others),
            means="nothing was changed",
            next_step="run the command on the node where the link begins",
        )
    links.find(groups.feeding(node, group, name).config, name)
    raise FarshoreError(
        "wrong-state",
        f"the copy that link {name} of {group} fed has another feeder, and its node does not answer",
        means="nothing was changed",
        next_step=f"farshore topology {group}",
    )


def _peer(node: Node, number: str, name: str) -> Peer:
    peer = node.peers.by_id(number)
    if peer is None:
        raise FarshoreError(
            "wrong-state",
            f"{node.name} is not paired with {name}, which holds the far copy",
            means="nothing was changed",
            next_step=f"pair the two: farshore node invite at {name}, farshore node join here",
        )
    return peer


async def _held(node: Node, routed: Routed) -> dict[str, Any]:
    """What the far node says of its copy, checked for its shape. Raises FarshoreError."""
    args = {"group": routed.stored.config.group.hex(), "link": routed.link.hex()}
    answer = await ask(node.identity, routed.far, "whose-copy", args, ASK_SECONDS)
    try:
        if answer["wire"] not in ("tls", "plain"):
            raise ValueError("wire")
        return {
            "epoch": int(answer["epoch"]),
            "feeder": str(answer["feeder"]),
            "wire": str(answer["wire"]),
            "volumes": placement.shapes(answer["volumes"]),
        }
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"{routed.far.name} did not say what its copy is like: {error!r}") from error


async def _look(node: Node, group: str, goal: Peer | None, wish: Taking) -> dict[str, Any]:
    """Whether the new feeder could, and what is above it. Raises FarshoreError."""
    if goal is None:
        seen = await taking.look(node, groups.feeder(node, group, wish.copy), wish)
    else:
        args = replace(wish, check=True).to_json()
        seen = await ask(node.identity, goal, "take-link", args, ASK_SECONDS * 2)
    try:
        above = placement.fingerprints(list(seen["chain"])[1:])
        return {"above": above, "stands": seen["stands"], "copy": str(seen["copy"])}
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"{wish.name}: a malformed answer about a link: {error!r}") from error


async def _point(node: Node, routed: Routed, point: Pointing, held: dict[str, Any], where: str) -> None:
    """A link of ours rests before its far copy is told: a primary that starts again in between would take a
    copy that it believes to feed, and that follows somebody else, for a sign of a newer primary (rule D6)."""
    ours = held["feeder"] == node.identity.fingerprint and point.feeder != held["feeder"]
    if ours:
        await taking.leave(node, point.group, routed.link, point.epoch, where)
    try:
        await ask(node.identity, routed.far, "point-copy", point.to_json(), ASK_SECONDS * 3)
    except FarshoreError as error:
        # Only what the far node has said itself proves that it did not do it.
        if ours and error.code.name not in ("unreachable", "timeout", "protocol", "internal"):
            await taking.stay(node, point.group, routed.link)
        raise


async def _take(node: Node, group: str, goal: Peer | None, wish: Taking) -> None:
    try:
        if goal is None:
            await taking.take(node, groups.feeder(node, group, wish.copy), wish)
        else:
            await ask(node.identity, goal, "take-link", wish.to_json(), TAKE_SECONDS)
    except FarshoreError as error:
        where = node.name if goal is None else goal.name
        raise FarshoreError(
            error.code.name,
            f"{where} was to feed {wish.far_name} and did not take the link: {error.what}",
            means=f"{wish.far_name} waits for {where} and takes nothing from anybody else until this is done",
            next_step="run the same command again, or name another node with --via",
        ) from error


def _is_remembered(routed: Routed, goal: Peer | None) -> bool:
    """Whether this node knows already who feeds the far copy."""
    at = [hop.via for hop in routed.stored.config.hops if hop.link == routed.link]
    return at == ([] if goal is None else [goal.id])


def _remember(node: Node, routed: Routed, goal: Peer | None, wish: Taking, copy: str) -> None:
    """A hop begins elsewhere now, or a link of ours became one, or one became a link of ours."""
    stored = node.copies.get(routed.stored.key)
    if stored is None:
        return
    kept = tuple(each for each in stored.config.hops if each.link != routed.link)
    if goal is not None:
        far = routed.far
        hop = HopIntent(routed.link, routed.name, goal.id, goal.name, copy, far.id, far.name, wish.options)
        kept = (*kept, hop)
    if kept != stored.config.hops:
        node.put(replace(stored, config=replace(stored.config, hops=kept)))


async def _leave(node: Node, routed: Routed, feeder: str, epoch: int, where: str) -> bool:
    """Has every earlier feeder rest that can be told: the copies here, and the node that fed it until now.
    One that is not is refused by the far copy when it comes back."""
    group = routed.stored.config.group
    await taking.leave(node, group, routed.link, epoch, where)
    peer = node.peers.by_id(feeder)
    if feeder == node.identity.fingerprint:
        return True
    if peer is None:
        return False
    args = {"group": group.hex(), "link": routed.link.hex(), "epoch": epoch, "for": where}
    try:
        await ask(node.identity, peer, "leave-link", args, ASK_SECONDS)
    except FarshoreError as error:
        _log.info("%s was not told that it feeds %s no more: %s", peer.name, routed.far.name, error)
        return False
    return True
