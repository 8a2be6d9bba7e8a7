"""The port for peers: reads each connection's preface and passes the connection on.

Strangers cost little: a connection has ten seconds for its 64 bytes and ten for its handshake, at most
`MOST_HALF_OPEN` may be on their way at once, and one more pushes out the oldest. The preface is read to the
byte, so that whoever takes the socket over misses nothing. Nothing is believed of it: a link's session is
checked again inside TLS by the engine. A link that cannot be handed on is told why in 32 bytes.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from functools import partial

from farshore.errors import FarshoreError
from farshore.node import pairing, peer_server, tls
from farshore.node.addresses import Address
from farshore.node.conversation import STRANGERS_BYTES, Conversation, closing, network_error
from farshore.node.copies import StoredCopy
from farshore.node.node import Node
from farshore.node.os_errors import as_farshore_error
from farshore.wire import preface
from farshore.wire.preface import Preface, PrefaceKind

MOST_HALF_OPEN = 1024
MOST_CONVERSATIONS = 256
PREFACE_SECONDS = 10.0
REFUSAL_SECONDS = 2.0
_MOST_UNREAD = 16
"""Reads of what a refused end has sent already; a handshake's first record takes one or two."""
_PAUSE_SECONDS = 0.2
_FULL = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_log = logging.getLogger(__name__)


def bind(address: Address) -> socket.socket:
    """A listening socket. Raises FarshoreError `address-in-use`, `permission` or `usage`."""
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as error:
        raise FarshoreError(
            "usage", f"{address.host}: {error.strerror}", next_step="listen on an address of this host"
        ) from error
    family, kind, protocol, _, where = found[0]
    door = socket.socket(family, kind, protocol)
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and address.wildcard:
            door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        door.bind(where)
        door.listen(512)
        door.setblocking(False)
    except OSError as error:
        door.close()
        raise as_farshore_error(error, str(address)) from error
    return door


class Listener:
    """Serves one listening socket for one node."""

    def __init__(self, node: Node, door: socket.socket) -> None:
        self._node = node
        self._door = door
        self._half_open: dict[socket.socket, asyncio.Task[None]] = {}
        self._conversations = 0

    @property
    def half_open(self) -> int:
        """Connections that have not shown yet who they are."""
        return len(self._half_open)

    async def run(self) -> None:
        """Accepts until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, source = await loop.sock_accept(self._door)
            except OSError as error:
                if error.errno in _FULL:
                    self._drop_oldest()
                    await asyncio.sleep(_PAUSE_SECONDS)
                continue  # the others concern a connection that is gone already
            if len(self._half_open) >= MOST_HALF_OPEN:
                self._drop_oldest()
            task = self._node.background.start(
                self._greet(connection, source[0]), f"connection from {source[0]}"
            )
            self._half_open[connection] = task
            task.add_done_callback(partial(self._greeted, connection))

    def _drop_oldest(self) -> None:
        for connection, task in self._half_open.items():
            task.cancel()
            self._settled(connection)
            return

    def _greeted(self, connection: socket.socket, _: asyncio.Task[None]) -> None:
        self._settled(connection)
        # Here, because a task that is cancelled before its first step runs none of its code.
        connection.close()

    def _settled(self, connection: socket.socket) -> None:
        self._half_open.pop(connection, None)

    async def _greet(self, connection: socket.socket, source: str) -> None:
        try:
            async with asyncio.timeout(PREFACE_SECONDS):
                data = await _exactly(connection, preface.PREFACE_BYTES)
            greeting = preface.decode(data)
            if greeting.kind is PrefaceKind.LINK:
                try:
                    await self._hand_over(connection, greeting, data)
                except FarshoreError as error:
                    await _refuse(connection, error)
                    raise
            else:
                await self._converse(connection, greeting.kind, source)
        except (FarshoreError, OSError, TimeoutError) as error:
            _log.info("connection from %s ended: %s", source, str(error) or "too slow")

    async def _hand_over(self, connection: socket.socket, greeting: Preface, data: bytes) -> None:
        stored = self._node.copies.answering(greeting.group, greeting.link)
        if stored is None:
            stored = self._node.copies.asked_by_another(greeting.group, greeting.link)
            if stored is not None:
                await self._adopted(stored, greeting, connection, data)
                return
            if self._node.copies.unreadable:  # it may be one of these, and is not gone
                raise FarshoreError("state-damaged", "no readable copy here follows that link")
            raise FarshoreError("not-found", "no copy here follows that link")
        upstream = stored.config.upstream
        if upstream is None or self._node.peers.by_id(upstream.peer) is None:
            raise FarshoreError("unknown-peer", "the pairing with the node that feeds that copy was ended")
        if 0 < greeting.epoch < upstream.epoch:
            # Rule B8, which the engine keeps: but it knows the new feeder's key alone, and would blame that.
            raise FarshoreError("wrong-feeder", "that copy was pointed at another feeder since")
        await self._adopted(stored, greeting, connection, data)

    async def _adopted(
        self, stored: StoredCopy, greeting: Preface, connection: socket.socket, data: bytes
    ) -> None:
        seen = self._node.supervisor.seen(stored.key)
        if seen is not None and seen.error is not None:
            if seen.error.code.name == "not-found":  # its volume, say: the copy itself is there
                raise FarshoreError("io-error", seen.error.what)
            raise seen.error.with_traceback(None)  # else it would grow with each attempt of the peer
        await stored.engine.adopt(greeting.link, data, connection)

    async def _converse(self, connection: socket.socket, kind: PrefaceKind, source: str) -> None:
        node = self._node
        if kind is PrefaceKind.PAIRING:
            context = tls.accepting_strangers(node.identity)
        else:
            context = tls.accepting_peers(node.identity, [peer.certificate for peer in node.peers.all()])
        conversation = await _secure(connection, context, kind)
        async with closing(conversation):
            if kind is PrefaceKind.PAIRING:
                peer = await pairing.admit(node.household, conversation, source)
                if peer is not None:
                    node.journal.add(
                        "node-paired", f"paired with {peer.name} at {peer.address}", peer=peer.name
                    )
                return
            fingerprint = tls.fingerprint_at_other_end(conversation.writer)
            if node.peers.by_id(fingerprint) is None:
                raise FarshoreError("unknown-peer", "the connection's certificate is not one we paired with")
            if self._conversations >= MOST_CONVERSATIONS:
                raise FarshoreError("unreachable", "too many conversations with peers at once")
            self._settled(connection)
            self._conversations += 1
            try:
                await peer_server.serve(node, conversation, fingerprint, source)
            finally:
                self._conversations -= 1


async def _exactly(connection: socket.socket, count: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < count:
        piece = await loop.sock_recv(connection, count - len(data))
        if not piece:
            raise FarshoreError("protocol", f"closed after {len(data)} bytes of its preface")
        data += piece
    return data


async def _refuse(connection: socket.socket, error: FarshoreError) -> None:
    """Says why, and reads until the other end closes: to close over unread bytes would take it back."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(REFUSAL_SECONDS):
        await loop.sock_sendall(connection, preface.encode_refusal(error.code.name))
        connection.shutdown(socket.SHUT_WR)
        for _ in range(_MOST_UNREAD):
            if not await loop.sock_recv(connection, 4096):
                return


async def _secure(connection: socket.socket, context: ssl.SSLContext, kind: PrefaceKind) -> Conversation:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    try:
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol, connection, ssl=context, ssl_handshake_timeout=tls.HANDSHAKE_SECONDS
        )
    except OSError as error:
        raise network_error(error) from error
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    if kind is PrefaceKind.PAIRING:
        return Conversation(reader, writer, STRANGERS_BYTES)
    return Conversation(reader, writer)
