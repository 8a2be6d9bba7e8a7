"""Operations on the pairing itself: invite, join, readdress, forget, grants, as the API offers them."""

from __future__ import annotations

import time
from typing import Any

from farshore.errors import FarshoreError
from farshore.node import addresses, announce, invitations, links, pairing
from farshore.node.invitations import Token
from farshore.node.node import Node
from farshore.node.peers import Peer


def invite(node: Node, ttl: float) -> Token:
    """A token for one pairing within `ttl` seconds. Raises FarshoreError `usage`."""
    address = str(addresses.reachable(node.listening))
    return node.invitations.make(address, node.identity.fingerprint, ttl, time.time())


async def join(node: Node, address: str, token: str) -> Peer:
    """Pairs with the node that made the token. Raises what `pairing.join` raises."""
    peer = await pairing.join(node.household, address, invitations.decode(token))
    node.journal.add("node-paired", f"paired with {peer.name} at {peer.address}", peer=peer.name)
    await links.readdress(node, peer)
    return peer


async def set_address(node: Node, name: str, address: str) -> Peer:
    """Where a peer is found from now on; its links use it at once. Raises FarshoreError."""
    peer = node.peers.set_address(name, address)
    await links.readdress(node, peer)
    announce.tell_own_engines(node, peer)
    return peer


def set_max_rate(node: Node, name: str, rate: int) -> int:
    """What may be sent to a peer, or under this node's own name to all of them; bytes per second, 0 is no
    bound. Holds within a second or two. Raises FarshoreError `not-found` or `usage`."""
    fingerprint = node.identity.fingerprint if name == node.name else node.peers.named(name).id
    node.rates.set(fingerprint, rate)
    bound = f"at most {rate} bytes per second" if rate else "as much as the line carries"
    node.journal.add("max-rate-set", f"links to {name} may send {bound}", peer=name, max_rate=rate or None)
    return rate


async def forget(node: Node, name: str) -> Peer:
    """Ends a pairing, and sessions of that node that feed copies here; the copies stay as they are.

    Raises FarshoreError `not-found`, or `wrong-state` while links lead there.
    """
    peer = node.peers.named(name)
    for stored in node.copies.all():
        for link in stored.config.links:
            if link.spec.peer == peer.id:
                group = stored.config.group_name
                raise FarshoreError(
                    "wrong-state",
                    f"link {link.spec.name} of group {group} leads to {name}",
                    means="nothing was changed",
                    next_step=f"farshore link delete {group} {link.spec.name}",
                )
    gone = node.peers.forget(name)
    for stored in node.copies.all():
        upstream = stored.config.upstream
        if upstream is not None and upstream.peer == gone.id:
            # The listener lets the forgotten node in no more; a session that it has open ends here.
            await node.supervisor.take_down(stored)
            node.supervisor.want(stored)
    node.journal.add("node-forgotten", f"the pairing with {name} was ended", peer=name)
    return gone


def document(peer: Peer, connected: bool | None, max_rate: int = 0) -> dict[str, Any]:
    """A peer as `node list --json` shows it."""
    return {
        "name": peer.name,
        "id": peer.id,
        "connected": connected,
        "address": peer.address,
        "grants": list(peer.grants),
        "max_rate": max_rate or None,
    }
