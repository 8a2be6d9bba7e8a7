"""The engine's control socket: requests of the node in, answers out, in whatever order they are ready.

Framing and versions are `farshore.wire.control`'s, what the operations do is `operations`'. A request
may bring one file descriptor. What breaks the protocol ends its connection; a connection whose
answers are not read is not read from either.
"""

from __future__ import annotations

import array
import contextlib
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from farshore.engine.listener import Listener
from farshore.engine.outbound import Outbound
from farshore.engine.reactor import BROKEN, READABLE, WRITABLE, Reactor
from farshore.errors import FarshoreError, ProtocolError
from farshore.wire import control

MOST_CONNECTIONS: Final = 64
UNREAD_LIMIT: Final = 4 << 20
"""Bytes of unread answers at which no more requests are taken from a connection."""
_READ: Final = 64 << 10
_DESCRIPTORS: Final = 4


@dataclass(slots=True)
class Call:
    """One request. Answer it once, now or later; answers to a connection that is gone go nowhere."""

    op: str
    args: dict[str, Any]
    descriptors: list[socket.socket]
    """What came with it; whoever handles the call takes them over."""
    _answer: Callable[[object, FarshoreError | None], None]

    def reply(self, result: object) -> None:
        """It worked."""
        self._answer(result, None)

    def fail(self, error: FarshoreError) -> None:
        """It did not."""
        self._answer(None, error)


class ControlServer:
    """See the module. `handle` answers each call, or raises FarshoreError."""

    def __init__(self, reactor: Reactor, path: str, handle: Callable[[Call], None]) -> None:
        self.reactor = reactor
        self.handle = handle
        self.connections: set[_Connection] = set()
        self._path = path
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # we hold the copy's lock, so whoever listened there is gone
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.setblocking(False)
            listener.bind(path)
            listener.listen(MOST_CONNECTIONS)
        except OSError:
            listener.close()
            raise
        self._listening = Listener(reactor, listener, self._take)

    def _take(self, sock: socket.socket) -> None:
        if len(self.connections) >= MOST_CONNECTIONS:
            sock.close()
        else:
            self.connections.add(_Connection(self, sock))

    def close(self) -> None:
        """Ends the listener, and each connection once it has got its answers, as far as they go now."""
        self._listening.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        for connection in list(self.connections):
            connection.close()


@dataclass(slots=True, eq=False)
class _Connection:
    """One node (or several, one after the other) asking."""

    _server: ControlServer
    _sock: socket.socket
    _decoder: control.Decoder = field(default_factory=control.Decoder)
    _outbound: Outbound = field(default_factory=Outbound)
    _descriptors: list[socket.socket] = field(default_factory=list)
    _fd: int = -1
    _events: int = READABLE

    def __post_init__(self) -> None:
        self._fd = self._sock.fileno()
        self._server.reactor.add(self._fd, self._ready)

    def _ready(self, events: int) -> None:
        if events & WRITABLE:
            self._flush()
        if events & (READABLE | BROKEN) and self._fd >= 0:
            try:
                self._receive()
            except OSError:
                self.close()

    def _receive(self) -> None:
        room = socket.CMSG_SPACE(_DESCRIPTORS * array.array("i").itemsize)
        try:
            data, ancillary, flags, _ = self._sock.recvmsg(_READ, room, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                numbers = array.array("i")
                numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
                self._descriptors += [socket.socket(fileno=number) for number in numbers]
        if not data or flags & socket.MSG_CTRUNC or len(self._descriptors) > _DESCRIPTORS:
            self.close()
            return
        try:
            for message in self._decoder.feed(data):
                self._call(control.as_request(message))
        except ProtocolError:
            self.close()

    def _call(self, request: control.Request) -> None:
        def answer(result: object, error: FarshoreError | None) -> None:
            if self._fd >= 0:
                self._outbound.append(control.encode_reply(control.Reply(request.id, result, error)))
                self._flush()

        descriptors, self._descriptors = self._descriptors, []
        call = Call(request.op, request.args, descriptors, answer)
        try:
            self._server.handle(call)
        except FarshoreError as error:
            call.fail(error)

    def _flush(self) -> None:
        try:
            self._outbound.send_to(self._sock)
        except OSError:
            self.close()
            return
        events = READABLE if self._outbound.size < UNREAD_LIMIT else 0
        events |= WRITABLE if self._outbound else 0
        if events != self._events:
            self._events = events
            self._server.reactor.change(self._fd, events)

    def close(self) -> None:
        """Ends the connection."""
        if self._fd >= 0:
            self._server.reactor.remove(self._fd)
            self._fd = -1
            self._sock.close()
            for descriptor in self._descriptors:
                descriptor.close()
            self._server.connections.discard(self)
