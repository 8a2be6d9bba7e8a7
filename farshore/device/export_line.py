"""The engine's end of a device: one connection to an export, made again and again while there is a device.

It negotiates, sends requests, receives replies in whatever order they come, and says when the connection
is over. Which requests are under way, and whether what answers is the right volume, is decided elsewhere.
A connection is over when the other end has closed it, never before: where we do not want it any more (a
reply makes no sense, the engine says that it stops) we close our half and wait. Else requests that the
engine had not read yet could be carried out after those of the next connection.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import Final, Protocol

from farshore.device.requests import Request
from farshore.engine.outbound import Outbound
from farshore.engine.reactor import READABLE, WRITABLE, Reactor, Timer
from farshore.errors import ProtocolError
from farshore.model.messages import Buffer
from farshore.wire.nbd import client
from farshore.wire.nbd.constants import NBD_CMD_DISC

NEGOTIATION_LIMIT: Final = 5.0
"""Seconds until the export must have been served."""
_RECEIVED: Final = 2 << 20
"""Bytes of the buffer for replies: more than the longest."""
_LARGE: Final = 64 << 10
"""Bytes of data from which on they count as long."""
_SOCKET_BUFFER: Final = 4 << 20
_SO_SNDBUFFORCE: Final = 32
_COPIED: Final = 32 << 10


class Owner(Protocol):
    """Who uses the connection."""

    def served(self, export: client.Served) -> str:
        """The export is there. Why it is not to be used, or nothing: then requests may be sent."""

    def replied(self, cookie: int, error: int, data: Buffer | None) -> None:
        """A request was answered; `data` is valid during the call."""

    def data_of(self, cookie: int) -> int | None:
        """As `ReplyParser` wants it."""

    def lost(self, why: str) -> None:
        """The connection is over, or could not be made."""


class ExportLine:
    """See the module. `connect` begins; `send` takes requests once `served` was told and liked."""

    def __init__(self, reactor: Reactor, path: str, export: str, owner: Owner) -> None:
        self._reactor = reactor
        self._path = path
        self._export = export
        self._owner = owner
        self._sock: socket.socket | None = None
        self._fd = -1
        self._negotiation: client.ClientNegotiation | None = None
        self._timer: Timer | None = None
        self._outbound = Outbound()
        self._small: list[Buffer] = []
        self._events = READABLE
        self._parser = client.ReplyParser(owner.data_of)
        self._buffer = memoryview(bytearray(_RECEIVED))
        self._filled = 0
        self._begins = 0  # where in it a reply begins
        self._missing = 0  # of long data that has begun
        self.ready = False
        """Requests may be sent."""
        self._over = ""
        reactor.at_turn_end(self._flush)

    # -- a connection -----------------------------------------------------------------------

    def connect(self) -> None:
        """Tries once; `served` or `lost` follows, or both."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            sock.connect(self._path)
            _enlarge(sock)
        except OSError as error:
            sock.close()
            self._owner.lost(_reason(error))
            return
        self._sock, self._fd = sock, sock.fileno()
        self._negotiation = client.ClientNegotiation(self._export)
        self._outbound.clear()
        self._small.clear()
        self._filled = 0
        self._begins = self._missing = 0
        self._over = ""
        self._events = READABLE
        self._reactor.add(self._fd, self._ready)
        self._timer = self._reactor.after(NEGOTIATION_LIMIT, lambda: self.drop("the engine does not answer"))

    def drop(self, why: str) -> None:
        """Ends the connection at once. Only for one on which nothing was sent, or which is over anyway."""
        sock, self._sock = self._sock, None
        if sock is None:
            return
        self.ready = False
        if self._timer is not None:
            self._timer.cancel()
        self._reactor.remove(self._fd)
        sock.close()
        self._fd = -1
        self._outbound.clear()
        self._small.clear()
        self._owner.lost(self._over or why)

    def finish(self, why: str) -> None:
        """Sends nothing more; the connection is lost when the engine has closed its end."""
        self._over = self._over or why
        self.ready = False
        self._outbound.clear()
        self._small.clear()
        if self._sock is not None:
            with contextlib.suppress(OSError):  # it is broken, and that is noticed below
                self._sock.shutdown(socket.SHUT_WR)
            self._wait_for(READABLE)

    def close(self) -> None:
        """Says goodbye and ends; nothing is told to the owner."""
        sock, self._sock = self._sock, None
        if sock is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._reactor.remove(self._fd)
        with sock, contextlib.suppress(OSError):  # nobody has to hear it
            sock.send(client.request(NBD_CMD_DISC, 0, 0, 0, 0))
        self.ready = False

    # -- requests ---------------------------------------------------------------------------

    def send(self, request: Request) -> None:
        """Queues it; it leaves at the end of the turn. Its payload is kept, not copied, where it is long."""
        small, payload = self._small, request.payload
        small.append(
            client.request(
                request.command, request.flags, request.unique, request.offset, request.end - request.offset
            )
        )
        if payload is not None:
            if len(payload) <= _COPIED:
                small.append(payload)
            else:
                self._outbound.append(b"".join(small))
                small.clear()
                self._outbound.append(payload)

    def _flush(self) -> None:
        small = self._small
        if small:
            self._outbound.append(small[0] if len(small) == 1 else b"".join(small))
            small.clear()
        elif not self._outbound:
            return
        if self._sock is None or self._events & WRITABLE:
            return
        self._send()

    def _send(self) -> None:
        assert self._sock is not None
        try:
            self._outbound.send_to(self._sock)
        except OSError as error:
            # Answers that were on their way are passed over: their requests are sent again.
            self.finish(_reason(error))
            return
        self._wait_for(READABLE | WRITABLE if self._outbound else READABLE)

    def _wait_for(self, events: int) -> None:
        if events != self._events and self._fd >= 0:
            self._events = events
            self._reactor.change(self._fd, events)

    # -- replies ----------------------------------------------------------------------------

    def _ready(self, events: int) -> None:
        if events & WRITABLE:
            self._send()
        if events & ~WRITABLE and self._sock is not None:
            if self._over:
                self._pass_over()
            elif self._negotiation is not None:
                self._negotiate(self._negotiation)
            else:
                self._receive()

    def _received(self, view: memoryview) -> int:
        """How many bytes came; 0 when none are here, or the connection is over: then it was dropped."""
        assert self._sock is not None
        try:
            size = self._sock.recv_into(view)
        except BlockingIOError:
            return 0
        except OSError as error:
            self.drop(_reason(error))
            return 0
        if not size:
            self.drop("the engine closed the connection")
        return size

    def _pass_over(self) -> None:
        self._received(self._buffer)

    def _negotiate(self, negotiation: client.ClientNegotiation) -> None:
        size = self._received(self._buffer)
        if not size:
            return
        try:
            answer = negotiation.feed(self._buffer[:size])
        except ProtocolError as error:
            self.drop(error.what)
            return
        if answer:
            self._outbound.append(answer)
        outcome = negotiation.outcome
        if isinstance(outcome, client.Refused):
            self.drop(outcome.reason)
        elif outcome is not None:
            self._negotiation = None
            if self._timer is not None:
                self._timer.cancel()
            unfit = self._owner.served(outcome)
            if unfit:
                self.drop(unfit)
            else:
                self.ready = True

    def _receive(self) -> None:
        """Long data is received to its end and no further, so that the next reply begins at the buffer's
        beginning again, and nothing has to be moved."""
        most = self._filled + self._missing if self._missing else _RECEIVED
        size = self._received(self._buffer[self._filled : most])
        if not size:
            return
        self._filled += size
        if size < self._missing:
            self._missing -= size
            return
        self._missing = 0
        try:
            consumed, replies, partial = self._parser.parse(self._buffer, self._begins, self._filled)
        except ProtocolError as error:
            self.finish(error.what)
            return
        replied = self._owner.replied
        for cookie, failure, data in replies:
            replied(cookie, failure, data)
        self._keep(consumed, partial)

    def _keep(self, begins: int, partial: client.Partial | None) -> None:
        """What stands from `begins` on is the beginning of a reply."""
        have = self._filled - begins
        whole = client.REPLY_HEADER + (partial.length if partial is not None else 0)
        if not have or begins + whole > _RECEIVED:
            self._buffer[:have] = bytes(self._buffer[begins : self._filled])
            begins = 0
        self._begins, self._filled = begins, begins + have
        if partial is not None and partial.length >= _LARGE:
            self._missing = partial.length - partial.have


def _enlarge(sock: socket.socket) -> None:
    """Room for whole writes, so that they leave in one piece: as much as we may have."""
    with contextlib.suppress(PermissionError):
        sock.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _SOCKET_BUFFER)
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)


def _reason(error: OSError) -> str:
    if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
        return "the engine does not run"
    return f"the engine cannot be reached: {os.strerror(error.errno or 0)}"
