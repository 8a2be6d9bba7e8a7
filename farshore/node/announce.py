"""A line that is back is used at once: who tells whom.

The node tells its peers "I am reachable again" when it starts, when an engine of a secondary starts, and
when the host's network changed; a peer that says so is believed, and the engines with links to it connect
without waiting for their next attempt. Nothing depends on these messages arriving: links try again by
themselves.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from farshore.errors import FarshoreError
from farshore.node.copies import StoredCopy
from farshore.node.node import Node
from farshore.node.peer_client import ask
from farshore.node.peers import Peer

TELL_SECONDS = 5.0
_log = logging.getLogger(__name__)


def tell_peers(node: Node, peers: Iterable[Peer], address: str | None = None) -> None:
    """Says "I am back" to each, in the background; with `address`, also where we listen from now on."""
    for peer in peers:
        node.background.start(_tell_peer(node, peer, address), f"peer-back to {peer.name}")


def tell_own_engines(node: Node, peer: Peer | None) -> None:
    """Has engines connect at once: their links to `peer`, or all."""
    for stored in node.copies.all():
        concerned = peer is None or any(link.spec.peer == peer.id for link in stored.config.links)
        if concerned and stored.config.links:
            node.background.start(
                _tell_engine(stored, None if peer is None else peer.id),
                f"peer-back to {stored.config.group_name}",
            )


def network_changed(node: Node) -> None:
    """The host's network is another than before: try everything at once, and let the peers try."""
    tell_own_engines(node, None)
    tell_peers(node, node.peers.all())


def engine_is_up(node: Node, stored: StoredCopy) -> None:
    """A secondary that runs again can be fed again."""
    upstream = stored.upstream
    feeder = node.peers.by_id(upstream.peer) if upstream is not None else None
    if feeder is not None:
        tell_peers(node, (feeder,))


async def _tell_peer(node: Node, peer: Peer, address: str | None) -> None:
    try:
        if address is not None:
            await ask(node.identity, peer, "set-address", {"address": address}, TELL_SECONDS)
        await ask(node.identity, peer, "peer-back", {}, TELL_SECONDS)
    except FarshoreError as error:
        _log.info("%s was not told that we are back: %s", peer.name, error)


async def _tell_engine(stored: StoredCopy, peer: str | None) -> None:
    try:
        await stored.engine.ask("peer-back", {"peer": peer})
    except FarshoreError as error:
        _log.info("the engine of %s was not told: %s", stored.config.group_name, error)
