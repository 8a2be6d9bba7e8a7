"""Asks another node for something: one connection, one request, one reply.

Both ends know each other's pinned certificate before the first byte of the request leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from farshore.errors import FarshoreError
from farshore.node import tls
from farshore.node.conversation import closing
from farshore.node.dial import dial
from farshore.node.identity import Identity
from farshore.node.peers import Peer
from farshore.wire.preface import PrefaceKind


async def ask(
    identity: Identity, peer: Peer, op: str, args: Mapping[str, object], seconds: float
) -> dict[str, Any]:
    """The result of `op` at `peer`, waited for at most `seconds` after connecting.

    Raises FarshoreError: what the peer answered, or `unreachable`, `timeout`, `unknown-peer`, `protocol`.
    """
    conversation = await dial(
        peer.address, PrefaceKind.CONTROL, tls.dialling_peer(identity, peer.certificate)
    )
    async with closing(conversation):
        shown = tls.fingerprint_at_other_end(conversation.writer)
        if shown != peer.id:
            raise FarshoreError(
                "unknown-peer", f"{peer.address} is not the node {peer.name} that we paired with"
            )
        await conversation.welcomed(peer.address, seconds)
        return await conversation.call(op, args, seconds)
