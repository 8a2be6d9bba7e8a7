"""What this node does for its peers over the peer port: a table of operations and a loop that answers.

Only a connection whose certificate is pinned gets here. A peer whose pairing ends meanwhile is not served
its next request.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from farshore import __version__
from farshore.errors import FarshoreError
from farshore.node import (
    addresses,
    announce,
    chains,
    drills,
    gathering,
    group_layers,
    hops,
    hosted_volumes,
    hosting,
    links,
    pointing,
    rejoining,
    rescues,
    resizing,
    reverse,
    rewind,
    snapshots,
    split_brain,
    taking,
    topology,
    turns,
)
from farshore.node.conversation import WELCOME, Conversation
from farshore.node.node import Node
from farshore.node.peers import Peer
from farshore.wire.control import Reply

IDLE_SECONDS = 60.0
_log = logging.getLogger(__name__)

Operation = Callable[[Node, Peer, Mapping[str, Any], str], Awaitable[dict[str, Any]]]
"""(node, who asks, arguments, host that the connection came from) -> result."""


async def serve(node: Node, conversation: Conversation, fingerprint: str, source: str) -> None:
    """Answers requests until the peer closes, is silent too long, or breaks the protocol (raised)."""
    await conversation.answer(Reply(WELCOME))
    while True:
        request = await conversation.request(IDLE_SECONDS)
        peer = node.peers.by_id(fingerprint)
        if request is None or peer is None:
            return
        operation = OPERATIONS.get(request.op)
        try:
            if operation is None:
                raise FarshoreError("usage", f"{node.name} knows no operation {request.op!r}")
            reply = Reply(request.id, await operation(node, peer, request.args, source))
        except FarshoreError as error:
            _log.info("%s asked for %s and was refused: %s", peer.name, request.op, error)
            reply = Reply(request.id, error=error)
        await conversation.answer(reply)


async def _ping(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    return node.about()


async def _describe(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    held = [
        {"group": stored.config.group.hex(), "name": stored.config.group_name, "copy": stored.key}
        for stored in node.copies.all()
        if stored.upstream is not None and stored.upstream.peer == peer.id
    ]
    return {**node.about(), "version": __version__, "time": time.time(), "copies": held}


async def _peer_back(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    announce.tell_own_engines(node, peer)
    rejoining.peer_is_back(node, peer)
    return {}


async def _set_address(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    address = addresses.seen_from(addresses.parse(str(args.get("address"))), source)
    moved = node.peers.set_address(peer.name, str(address))
    if moved.address != peer.address:
        node.journal.add("node-moved", f"{peer.name} is found at {moved.address} now", peer=peer.name)
        await links.readdress(node, moved)
    return {}


def _of_a_peer(serve: Callable[[Node, Peer, Mapping[str, Any]], Awaitable[dict[str, Any]]]) -> Operation:
    """What needs to know who asks, and not from where."""
    return lambda node, peer, args, source: serve(node, peer, args)


def _of_anybody(serve: Callable[[Node, Mapping[str, Any]], Awaitable[dict[str, Any]]]) -> Operation:
    """What any peer is told."""
    return lambda node, peer, args, source: serve(node, args)


OPERATIONS: Final[dict[str, Operation]] = {
    "ping": _ping,
    "describe": _describe,
    "place-copy": _of_a_peer(hosting.place),
    "shape-copy": _of_a_peer(hosted_volumes.shape),
    "grow-copy": _of_a_peer(resizing.serve_grow),
    "remove-copy": _of_a_peer(hosting.remove),
    "whose-copy": _of_a_peer(pointing.whose),
    "point-copy": _of_a_peer(pointing.point),
    "chain": _of_a_peer(chains.tell),
    "chain-changed": _of_a_peer(pointing.chain_changed),
    "make-hop": _of_a_peer(hops.serve_make),
    "set-hop": _of_a_peer(hops.serve_set),
    "delete-hop": _of_a_peer(hops.serve_delete),
    "show-hops": _of_a_peer(hops.serve_show),
    "take-link": _of_a_peer(taking.serve_take),
    "leave-link": _of_a_peer(taking.serve_leave),
    "copies-stand": _of_anybody(gathering.serve),
    "turn-copy": _of_a_peer(turns.serve_turn),
    "feed-copy": _of_a_peer(turns.serve_feed),
    "note-change": _of_a_peer(turns.serve_note),
    "preview-copy": _of_a_peer(split_brain.serve_preview),
    "resync-link": _of_a_peer(reverse.serve_resync),
    "rescues": _of_anybody(rescues.serve_list),
    "drop-rescue": _of_a_peer(rescues.serve_drop),
    "rewind-look": _of_a_peer(rewind.serve_look),
    "drill": _of_a_peer(drills.serve),
    "group-layers": _of_anybody(group_layers.serve),
    "group-snapshots": _of_anybody(snapshots.serve),
    "peer-back": _peer_back,
    "topology": _of_anybody(topology.tell),
    "set-address": _set_address,
}
