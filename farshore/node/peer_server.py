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


async def _place_copy(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    return await hosting.place(node, peer, args)


async def _shape_copy(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    return await hosted_volumes.shape(node, peer, args)


async def _grow_copy(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    return await resizing.serve_grow(node, peer, args)


async def _remove_copy(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    return await hosting.remove(node, peer, args)


async def _topology(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    return await topology.tell(node, args)


async def _whose_copy(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    return await pointing.whose(node, peer, args)


async def _point_copy(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    return await pointing.point(node, peer, args)


async def _chain_changed(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    return await pointing.chain_changed(node, peer, args)


async def _chain(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    return await chains.tell(node, peer, args)


async def _make_hop(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    return await hops.serve_make(node, peer, args)


async def _set_hop(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    return await hops.serve_set(node, peer, args)


async def _delete_hop(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    return await hops.serve_delete(node, peer, args)


async def _show_hops(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    return await hops.serve_show(node, peer, args)


async def _take_link(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    return await taking.serve_take(node, peer, args)


async def _leave_link(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    return await taking.serve_leave(node, peer, args)


async def _copies_stand(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    return await gathering.serve(node, args)


async def _turn_copy(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    return await turns.serve_turn(node, peer, args)


async def _feed_copy(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    return await turns.serve_feed(node, peer, args)


async def _note_change(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    return await turns.serve_note(node, peer, args)


async def _preview_copy(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    return await split_brain.serve_preview(node, peer, args)


async def _rescues(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    return await rescues.serve_list(node, args)


async def _drop_rescue(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    return await rescues.serve_drop(node, peer, args)


async def _resync_link(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    return await reverse.serve_resync(node, peer, args)


async def _rewind_look(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    return await rewind.serve_look(node, peer, args)


async def _drill(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    return await drills.serve(node, peer, args)


async def _group_layers(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    return await group_layers.serve(node, args)


async def _group_snapshots(node: Node, peer: Peer, args: Mapping[str, Any], source: str) -> dict[str, Any]:
    return await snapshots.serve(node, args)


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


OPERATIONS: Final[dict[str, Operation]] = {
    "ping": _ping,
    "describe": _describe,
    "place-copy": _place_copy,
    "shape-copy": _shape_copy,
    "grow-copy": _grow_copy,
    "remove-copy": _remove_copy,
    "whose-copy": _whose_copy,
    "point-copy": _point_copy,
    "chain": _chain,
    "chain-changed": _chain_changed,
    "make-hop": _make_hop,
    "set-hop": _set_hop,
    "delete-hop": _delete_hop,
    "show-hops": _show_hops,
    "take-link": _take_link,
    "leave-link": _leave_link,
    "copies-stand": _copies_stand,
    "turn-copy": _turn_copy,
    "feed-copy": _feed_copy,
    "note-change": _note_change,
    "preview-copy": _preview_copy,
    "resync-link": _resync_link,
    "rescues": _rescues,
    "drop-rescue": _drop_rescue,
    "rewind-look": _rewind_look,
    "drill": _drill,
    "group-layers": _group_layers,
    "group-snapshots": _group_snapshots,
    "peer-back": _peer_back,
    "topology": _topology,
    "set-address": _set_address,
}
