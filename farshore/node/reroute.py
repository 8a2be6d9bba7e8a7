"""`link reroute`: a far copy gets another feeder, this node or one that it feeds.

Order, and why it is safe to die anywhere in it: (1) everything that could be refused is looked at, nothing is
changed; (2) what is about to happen is written down (`reroutes`), and counts as unprotected from here on;
(3) a link of this node that feeds the far copy rests; (4) the far copy is pointed at the new feeder under a
higher epoch, durably, and the old feeder's session ends there: from now on nobody else can feed it, whoever
comes back (rule B8); (5) the new feeder takes the link; (6) what this node remembers follows; (7) the old
feeder is told to rest, if it answers; (8) what was written down is crossed out. Cut off after (2) the far
copy waits, and the same command again goes on from there, with the next epoch; so does one that leads
back. Where the far node itself refuses, and says that it follows whom it followed, all is as before. No data
is moved: the new feeder and the far copy find out what is lacking when they meet.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

from farshore.errors import FarshoreError, ProtocolError
from farshore.model.copy_config import HopIntent, RerouteIntent
from farshore.model.options import LinkOptions
from farshore.node import groups, hops, links, placement, reroutes, taking, topology
from farshore.node.copies import StoredCopy
from farshore.node.node import Node
from farshore.node.peer_client import ask
from farshore.node.peers import Peer
from farshore.node.pointing import Pointing
from farshore.node.taking import Taking

ASK_SECONDS = 10.0
TAKE_SECONDS = 30.0
_NO_WORD = ("unreachable", "timeout", "protocol", "internal")
"""Errors of a question whose answer was lost, or never given: it may be carried out yet."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Routed:
    """A link as this node knows it. `stored`: the copy here that is above it, or feeds it."""

    stored: StoredCopy
    link: bytes
    name: str
    far: Peer
    options: LinkOptions


@dataclass(frozen=True, slots=True)
class Plan:
    """A link as it is, and who is to feed by it from now on."""

    routed: Routed
    held: dict[str, Any]
    """What the far node said of its copy before."""
    goal: Peer | None
    """The new feeder's node, None for this one."""
    via: str
    """The new feeder as the operator names it."""
    wish: Taking
    point: Pointing
    copy: str
    """Name of the copy that is to be the feeder."""


async def reroute(node: Node, group: str, name: str, via: str) -> dict[str, Any]:
    """Points the far copy of a link at another feeder, NODE or NODE/COPY; what it is then.

    Raises FarshoreError, which says what stands where it is not known that all is as before.
    """
    async with node.changing(group):
        try:
            return await _reroute(node, group, name, via)
        except FarshoreError as error:
            raise reroutes.explained(node, group, name, error) from error


async def _reroute(node: Node, group: str, name: str, via: str) -> dict[str, Any]:
    where, copy = hops.split(via)
    routed = await _routed(node, group, name)
    try:
        held = await _held(node, routed)
    except FarshoreError as error:
        rests = any(each.spec.id == routed.link for each in routed.stored.config.links)
        if error.code.name == "not-found" and not rests:
            reroutes.end(node, routed.stored, routed.link)  # of a copy that is gone
        raise
    wish = _wish(routed, held, copy)
    goal = None if where == node.name else node.peers.named(where)
    if goal is not None and goal.id == routed.far.id:
        raise FarshoreError("usage", f"{where} cannot feed itself", next_step="name another node")
    seen = await _look(node, group, goal, wish)
    feeder = node.identity.fingerprint if goal is None else goal.id
    stands = held["feeder"] == feeder and seen["stands"] == held["epoch"]
    if stands:  # all was done but for what this node knows of it
        if _is_remembered(routed, goal):
            raise FarshoreError(
                "wrong-state",
                f"{where} feeds the copy of {group} at {routed.far.name} already",
                means="nothing was changed",
                next_step=f"farshore topology {group}",
            )
        wish = replace(wish, epoch=held["epoch"])
    point = Pointing(wish.group, routed.link, wish.epoch, feeder, seen["above"])
    plan = Plan(routed, held, goal, via, wish, point, seen["copy"])
    if not stands:
        await _point(node, plan)
        await _take(node, group, goal, wish)
    _remember(node, plan)
    rested = await _leave(node, plan, where)
    reroutes.end(node, routed.stored, routed.link)
    text = f"link {name} of {group} to {routed.far.name} begins at {where} now (epoch {wish.epoch})"
    node.journal.add("link-rerouted", text, group=group, link=name, peer=routed.far.name, via=where)
    return {"group": group, "name": name, "via": where, "epoch": wish.epoch, "old_feeder_told": rested}


def _wish(routed: Routed, held: dict[str, Any], copy: str | None) -> Taking:
    return Taking(
        group=routed.stored.config.group,
        link=routed.link,
        epoch=held["epoch"] + 1,
        name=routed.name,
        far=routed.far.id,
        far_name=routed.far.name,
        options=replace(routed.options, wire=held["wire"]),
        volumes=held["volumes"],
        copy=copy,
    )


async def _routed(node: Node, group: str, name: str) -> Routed:
    """The link of that name: a hop made from here, one that begins here, or one that others speak of."""
    copies = node.copies.of_group(group)
    for stored in copies:
        for hop in stored.config.hops:
            if hop.name == name:
                return Routed(stored, hop.link, name, _peer(node, hop.peer, hop.peer_name), hop.options)
    for stored in copies:
        for link in stored.config.links:
            if link.spec.name == name and not reroutes.replaced_by(stored.config, link):
                far = _peer(node, link.spec.peer, link.peer_name)
                return Routed(stored, link.spec.id, name, far, link.spec.options)
    begun = reroutes.named(node, group, name)
    if begun is not None:
        stored, known = begun
        return Routed(stored, known.link, name, _peer(node, known.peer, known.peer_name), known.options)
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
            "feeder_name": str(answer["feeder_name"])[:64],
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


async def _point(node: Node, plan: Plan) -> None:
    """A link of ours rests before its far copy is told: a primary that starts again in between would take a
    copy that it believes to feed, and that follows somebody else, for a sign of a newer primary (rule D6)."""
    routed, held, point = plan.routed, plan.held, plan.point
    earlier = _begin(node, plan)
    ours = held["feeder"] == node.identity.fingerprint and point.feeder != held["feeder"]
    try:
        if ours:
            where, _ = hops.split(plan.via)
            await taking.rest(node, point.group, routed.link, point.epoch, where)
        await ask(node.identity, routed.far, "point-copy", point.to_json(), ASK_SECONDS * 3)
    except FarshoreError as error:
        if not await _follows_as_before(node, plan, error):
            raise FarshoreError(
                error.code.name,
                f"whether {routed.far.name} follows {plan.via} now is not known: {error.what}",
                means=error.means,
                next_step=error.next_step,
            ) from error
        fed = await taking.stay(node, point.group, routed.link, held["epoch"]) if ours else earlier is None
        if fed:
            reroutes.end(node, routed.stored, routed.link)
        elif earlier is not None:
            reroutes.begin(node, routed.stored, earlier)
        raise


def _begin(node: Node, plan: Plan) -> RerouteIntent | None:
    """Writes down what is about to happen; what was written down before, if that is not done."""
    routed, via = plan.routed, plan.via
    earlier = reroutes.under_way(routed.stored.config, routed.link)
    peer = node.peers.by_id(plan.held["feeder"])
    feeder = plan.held["feeder_name"] if peer is None else peer.name
    if plan.held["feeder"] == node.identity.fingerprint:
        feeder = node.name
    if earlier is not None:
        feeder = earlier.feeder
    far = routed.far
    begun = RerouteIntent(routed.link, routed.name, far.id, far.name, feeder, via, plan.wish.options)
    stored = reroutes.begin(node, routed.stored, begun)
    group = stored.config.group_name
    node.journal.add("link-rerouting", reroutes.why(begun), group=group, link=routed.name, via=via)
    return earlier


async def _follows_as_before(node: Node, plan: Plan, error: FarshoreError) -> bool:
    """Whether the far copy was not told, and will not be: only what its node says itself proves that."""
    if error.code.name in _NO_WORD:
        return False
    try:
        now = await _held(node, plan.routed)
    except FarshoreError as silent:
        _log.info("%s does not say whom its copy follows: %s", plan.routed.far.name, silent)
        return False
    return (now["feeder"], now["epoch"]) == (plan.held["feeder"], plan.held["epoch"])


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
            next_step=error.next_step,
        ) from error


def _is_remembered(routed: Routed, goal: Peer | None) -> bool:
    """Whether this node knows already who feeds the far copy."""
    if reroutes.under_way(routed.stored.config, routed.link):
        return False
    at = [hop.via for hop in routed.stored.config.hops if hop.link == routed.link]
    return at == ([] if goal is None else [goal.id])


def _remember(node: Node, plan: Plan) -> None:
    """A hop begins elsewhere now, or a link of ours became one, or one became a link of ours."""
    routed, goal, copy = plan.routed, plan.goal, plan.copy
    stored = node.copies.get(routed.stored.key)
    if stored is None:
        return
    kept = tuple(each for each in stored.config.hops if each.link != routed.link)
    if goal is not None:
        far = routed.far
        hop = HopIntent(
            routed.link, routed.name, goal.id, goal.name, copy, far.id, far.name, plan.wish.options
        )
        kept = (*kept, hop)
    if kept != stored.config.hops:
        node.put(replace(stored, config=replace(stored.config, hops=kept)))


async def _leave(node: Node, plan: Plan, where: str) -> bool:
    """Has every earlier feeder rest that can be told: the copies here, and the node that fed it until now.
    One that is not is refused by the far copy when it comes back."""
    routed, feeder, epoch, group = plan.routed, plan.held["feeder"], plan.wish.epoch, plan.wish.group
    await taking.rest(node, group, routed.link, epoch, where)
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
