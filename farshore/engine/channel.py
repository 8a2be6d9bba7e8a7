"""The two kinds of line that a link may use, behind one interface: plain TCP, and TLS 1.3 over it.

A channel is made by `opening` once both ends have proved who they are. Sockets are non-blocking; a
channel reads when it is asked to and sends when it is flushed, and never waits. Everything it holds
is bounded: `Outbound` by the core, 256 KiB of ciphertext in either direction by this file, the
kernel's unsent bytes by TCP_NOTSENT_LOWAT. What the bytes mean is none of its business.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Final, Protocol

from farshore.engine.outbound import Outbound
from farshore.model.messages import Buffer

NOTHING: Final = -1
"""`recv_into`: no byte is here now."""
END: Final = 0
"""`recv_into`: the other end has closed."""

UNSENT_LIMIT: Final = 1 << 20
"""Bytes that the kernel may hold without having sent them; the rest waits where it can be dropped."""
_CIPHER_BYTES: Final = 256 << 10
_PLAIN_PIECE: Final = 64 << 10


class Channel(Protocol):
    """One connection of a link, after its handshake."""

    outbound: Outbound
    wire: str
    """`tls` or `plain`."""

    @property
    def sent_total(self) -> int:
        """Bytes handed to the socket, those of the handshake not counted."""

    @property
    def received_total(self) -> int:
        """Bytes taken from the socket."""

    @property
    def backlog(self) -> int:
        """Bytes that wait to be sent, here and in channels below this one."""

    def fileno(self) -> int:
        """The descriptor to wait on."""

    def recv_into(self, view: memoryview) -> int:
        """Fills the beginning of `view`; the number of bytes, `NOTHING` or `END`. Raises OSError when the
        connection is broken. A result that fills `view` says nothing about what else is there; any
        shorter one means that everything that has arrived was taken."""

    def send_frame(self, prefix: bytes, body: Buffer) -> bool:
        """Queues a frame behind `outbound` and sends what goes without waiting; True if all of that has
        gone. Raises OSError."""

    def flush(self) -> None:
        """Sends from `outbound` what goes without waiting. Raises OSError when the connection is broken."""

    @property
    def waits_to_send(self) -> bool:
        """Something is left that needs the socket to become writable."""

    def end(self) -> None:
        """Nothing more will be sent; what was sent still arrives."""

    def close(self) -> None:
        """Ends the connection at once; unsent bytes are lost."""


def prepare(sock: socket.socket) -> None:
    """Options of every link's socket. Its buffers are left to the kernel, which fits them to the line
    (`docs/decisions/0013-the-line.md`)."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_LIMIT)


def mark(sock: socket.socket, dscp: int) -> None:
    """Gives what this socket sends a traffic class, 0 to 63; 0 leaves the system's own."""
    if not dscp:
        return
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, dscp << 2)
    if sock.family in (
        socket.AF_INET,
        socket.AF_INET6,
    ):  # IPv4 addresses are reached through IPv6 sockets too
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)


class PlainChannel:
    """`Channel` on the socket itself."""

    __slots__ = ("_arrived", "_sock", "outbound", "packs", "received_total", "sent_total")
    wire = "plain"

    def __init__(self, sock: socket.socket, arrived: bytes = b"") -> None:
        """`arrived`: bytes of the stream that the handshake took from the socket."""
        self._sock = sock
        self._arrived = arrived
        self.outbound = Outbound()
        self.packs = False
        """The peer expects blocks of `farshore.wire.compression`, and not bare units."""
        self.sent_total = 0
        self.received_total = 0

    def fileno(self) -> int:
        return self._sock.fileno()

    @property
    def backlog(self) -> int:
        return self.outbound.size

    def recv_into(self, view: memoryview) -> int:
        if self._arrived:
            taken = min(len(view), len(self._arrived))
            view[:taken] = self._arrived[:taken]
            self._arrived = self._arrived[taken:]
            if taken == len(view):
                return taken
            more = self.recv_into(view[taken:])
            return taken + max(more, 0)
        try:
            size = self._sock.recv_into(view)
        except BlockingIOError:
            return NOTHING
        self.received_total += size
        return size

    def send_frame(self, prefix: bytes, body: Buffer) -> bool:
        outbound = self.outbound
        if outbound.size:
            outbound.append_frame(prefix, body)
            return False  # what waits before it waits for the socket
        try:
            sent = self._sock.sendmsg((prefix, body))
        except BlockingIOError:
            sent = 0
        self.sent_total += sent
        if sent == len(prefix) + len(body):
            return True
        outbound.append_frame(prefix, body)
        outbound.sent(sent)
        return False

    def flush(self) -> None:
        if self.outbound.size:
            self.sent_total += self.outbound.send_to(self._sock)

    @property
    def waits_to_send(self) -> bool:
        return self.outbound.size > 0

    def end(self) -> None:
        _shut(self._sock)

    def close(self) -> None:
        self.outbound.clear()
        self._sock.close()


class TlsChannel:
    """`Channel` through an `ssl.SSLObject`, which sees memory only: one call of the system then moves
    many records, where TLS on the socket itself would make one or two calls for each 16 KiB."""

    __slots__ = (
        "_cipher_in",
        "_cipher_out",
        "_incoming",
        "_outgoing",
        "_sock",
        "_tls",
        "outbound",
        "packs",
        "received_total",
        "sent_total",
    )
    wire = "tls"

    def __init__(
        self, sock: socket.socket, tls: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO
    ) -> None:
        self._sock = sock
        self._tls = tls
        self._incoming = incoming
        self._outgoing = outgoing
        self._cipher_in = bytearray(_CIPHER_BYTES)
        self._cipher_out = memoryview(b"")
        self.outbound = Outbound()
        self.packs = False
        """As in `PlainChannel`."""
        self.sent_total = 0
        self.received_total = 0

    def fileno(self) -> int:
        return self._sock.fileno()

    @property
    def backlog(self) -> int:
        return self.outbound.size

    def recv_into(self, view: memoryview) -> int:
        filled = 0
        # Into a buffer it returns a number, whatever its declaration says.
        read: Callable[[int, memoryview], int] = self._tls.read  # type: ignore[assignment]
        while filled < len(view):
            try:
                size = read(len(view) - filled, view[filled:])
            except ssl.SSLWantReadError:
                pulled = self._pull()
                if pulled > 0:
                    continue
                if filled:
                    break  # an end, if that was one, comes again
                return pulled
            if size == 0:
                return filled or END
            filled += size
        return filled

    def send_frame(self, prefix: bytes, body: Buffer) -> bool:
        self.outbound.append_frame(prefix, body)
        self.flush()
        return not self.waits_to_send

    def flush(self) -> None:
        while True:
            if not self._cipher_out and not self._encrypt():
                return
            try:
                sent = self._sock.send(self._cipher_out)
            except BlockingIOError:
                return
            self.sent_total += sent
            self._cipher_out = self._cipher_out[sent:]
            if self._cipher_out:
                return

    @property
    def waits_to_send(self) -> bool:
        return bool(self.outbound) or bool(self._cipher_out)

    def end(self) -> None:
        _shut(self._sock)

    def close(self) -> None:
        self.outbound.clear()
        self._cipher_out = memoryview(b"")
        self._sock.close()

    def _pull(self) -> int:
        """Takes ciphertext from the socket: the bytes, `NOTHING` or `END`."""
        try:
            size = self._sock.recv_into(self._cipher_in)
        except BlockingIOError:
            return NOTHING
        if size:
            self.received_total += size
            self._incoming.write(memoryview(self._cipher_in)[:size])
        return size

    def _encrypt(self) -> bool:
        """Turns the next pieces of `outbound` into ciphertext; False if there is none."""
        queue = self.outbound
        while queue and self._outgoing.pending < _CIPHER_BYTES:
            # Memory always takes it whole, so no write has to be repeated with the same buffer.
            queue.sent(self._tls.write(queue.first(_PLAIN_PIECE)))
        if not self._outgoing.pending:
            return False
        self._cipher_out = memoryview(self._outgoing.read())
        return True


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # an end that the peer has reached before us is one as well
        sock.shutdown(socket.SHUT_WR)
