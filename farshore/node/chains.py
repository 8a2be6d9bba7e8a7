"""What lies above a copy: the copy that feeds it, that one's feeder, and so on up to the primary.

Each node knows only who feeds its own copy, so the chain is asked for node by node, upwards. Where a node
does not answer, what was told to the nearest node below it when its copy was placed or pointed there stands
in. No chain passes a node twice: what would lead back to a node above is refused before anything is made;
the engines refuse a ring once more, by the copies that they meet. Nothing here waits for a group's lock, so
that a node that changes a group may ask.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from farshore.errors import FarshoreError, ProtocolError
from farshore.model.copy_config import UpstreamIntent
from farshore.node import placement, reroutes
from farshore.node.copies import StoredCopy
from farshore.node.node import Node
from farshore.node.peer_client import ask
from farshore.node.peers import Peer
from farshore.node.placement import MOST_ABOVE

ASK_SECONDS = 6.0
_LEAST_SECONDS = 1.0
_LESS_SECONDS = 0.5
"""Each node asks the one above it for a little shorter than it is asked itself."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Feeding:
    """One copy of a chain. `copy` is its id in hex, empty where its node was not heard."""

    node: str
    name: str
    copy: str = ""


async def above(
    node: Node, stored: StoredCopy, seconds: float = ASK_SECONDS, most: int = MOST_ABOVE
) -> tuple[Feeding, ...]:
    """The copies that feed this one, the nearest first.

    Raises FarshoreError `ring` for a chain of more than `most`.
    """
    upstream = stored.upstream
    if upstream is None:
        return ()
    if most <= 0:
        raise FarshoreError("ring", f"a chain of more than {MOST_ABOVE} copies, or a ring of them")
    peer = node.peers.by_id(upstream.peer)
    if peer is None:
        return _remembered(node, upstream)
    args = {
        "group": stored.config.group.hex(),
        "link": upstream.link.hex(),
        "seconds": seconds,
        "most": most,
    }
    try:
        answer = await ask(node.identity, peer, "chain", args, seconds)
        found = tuple(_feeding(each) for each in answer["chain"])
    except (FarshoreError, KeyError, TypeError, ValueError) as error:
        _log.info("the chain above %s is not known to its end: %s", stored.config.group_name, error)
        return _remembered(node, upstream)
    if not found or found[0].node != peer.id or len(found) > most:
        return _remembered(node, upstream)
    return found


async def let_go(node: Node, stored: StoredCopy, feeder: Peer) -> bool:
    """Whether the node that our copy takes for its feeder says that it has no such link (any more)."""
    upstream = stored.upstream
    assert upstream is not None
    which = {"group": stored.config.group.hex(), "link": upstream.link.hex()}
    try:
        await ask(node.identity, feeder, "chain", {**which, "seconds": ASK_SECONDS, "most": 1}, ASK_SECONDS)
    except FarshoreError as error:
        return error.code.name == "not-found"
    return False


async def stands_in(node: Node, peer: Peer, stored: StoredCopy) -> bool:
    """Whether a node that holds another copy of the group may have this one follow it in place of its feeder:
    that one says that it feeds it no more, or neither its node nor its engine is heard any more."""
    upstream = stored.upstream
    if upstream is None:
        return False
    feeder = node.peers.by_id(upstream.peer)
    if feeder is not None and await let_go(node, stored, feeder):
        return True
    try:
        if feeder is not None:
            await ask(node.identity, feeder, "ping", {}, _LEAST_SECONDS)
            return False
    except FarshoreError as error:
        _log.info("%s, which feeds %s, is not heard: %s", feeder, stored.config.group_name, error)
    try:
        entry = (await stored.engine.ask("status", seconds=_LEAST_SECONDS))["group"]
    except (FarshoreError, KeyError) as error:
        _log.info("whether %s is still fed is not known: %s", stored.config.group_name, error)
        return False
    return entry.get("connected") is False


async def tell(node: Node, peer: Peer, args: Mapping[str, Any]) -> dict[str, Any]:
    """`chain`: our copy that feeds a copy of this peer by that link, and what is above it.

    Raises FarshoreError `not-found` where no copy here does, `wrong-state` where that is not known.
    """
    try:
        group, link = placement.identifier(args["group"]), placement.identifier(args["link"])
        seconds, most = float(args["seconds"]), int(args["most"])
        if not seconds > 0:
            raise ValueError("a time to answer in is wanted")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"a malformed question for a chain: {error!r}") from error
    for stored in node.copies.all():
        fed = any(
            each.spec.id == link
            and each.spec.peer == peer.id
            and not reroutes.replaced_by(stored.config, each)
            for each in stored.config.links
        )
        if stored.config.group == group and fed:
            left = max(_LEAST_SECONDS, min(seconds, ASK_SECONDS) - _LESS_SECONDS)
            chain = (own(node, stored), *await above(node, stored, left, min(most, MOST_ABOVE) - 1))
            return {"chain": [asdict(each) for each in chain]}
    if node.copies.unreadable:
        raise FarshoreError(
            "wrong-state", f"{node.name} has a copy that it cannot read, and may feed others by it"
        )
    raise FarshoreError("not-found", f"{node.name} feeds no copy of {peer.name} by that link")


def own(node: Node, stored: StoredCopy) -> Feeding:
    """A copy of this node as a part of a chain."""
    return Feeding(node.identity.fingerprint, node.name, stored.key)


def refuse_ring(group: str, chain: Sequence[Feeding], far: Peer) -> None:
    """Raises FarshoreError `ring` where the node of the far copy is in the chain that is to feed it.

    `chain` begins with the copy that is to be the feeder.
    """
    for place, each in enumerate(chain):
        if each.node == far.id:
            way = " -> ".join((each.name or far.name, *[one.name or "?" for one in reversed(chain[:place])]))
            raise FarshoreError(
                "ring",
                f"{far.name} feeds the copy of {group} at {chain[0].name} itself ({way}):"
                " the link would close a ring",
                means="nothing was changed on any node",
                next_step=f"farshore topology {group}",
            )


async def require_fed_by(node: Node, peer: Peer, stored: StoredCopy) -> None:
    """Raises FarshoreError `wrong-feeder` unless that node feeds this copy, directly or through others."""
    upstream = stored.upstream
    if upstream is not None and upstream.peer == peer.id:
        return
    if any(each.node == peer.id for each in await above(node, stored)):
        return
    what = "is the primary" if upstream is None else f"is fed by {upstream.peer_name or 'another node'}"
    raise FarshoreError(
        "wrong-feeder",
        f"the copy of {stored.config.group_name} at {node.name} {what}, not by way of {peer.name}",
        means="only a node that feeds a copy, directly or through others, may have its links made or changed"
        " there; nothing was changed",
        next_step=f"run the command on {node.name}",
    )


def _remembered(node: Node, upstream: UpstreamIntent) -> tuple[Feeding, ...]:
    known = {peer.id: peer.name for peer in node.peers.all()}
    higher = tuple(Feeding(each, known.get(each, "")) for each in upstream.above)
    return (Feeding(upstream.peer, upstream.peer_name), *higher)


def _feeding(value: Mapping[str, Any]) -> Feeding:
    """Raises KeyError, TypeError or ValueError."""
    (number,) = placement.fingerprints([value["node"]])
    copy = str(value["copy"])
    return Feeding(number, str(value["name"])[:64], placement.identifier(copy).hex() if copy else "")
