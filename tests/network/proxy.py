"""The line itself: a TCP proxy that delays, shapes, cuts, stalls and swallows, told so by JSON lines.

    python -m tests.network.proxy --listen 127.0.0.1:0 --to HOST:PORT --control UNIXSOCK

It prints the address that it listens on, then `orders` on the control socket change the line. One
thread, one selector; what it holds of each connection and direction is bounded, and a full line
pushes back on the sender. While cut, the port refuses connections and stays reserved. A connection
that has lost bytes never goes on after healing: it is reset, since its stream has a hole.

It does not delay the handshake of TCP, and the kernel's own buffers on both sides come on top.
"""

import argparse
import errno
import select
import selectors
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.network.flow import Flow, Shape, Way
from tests.network.orders import Orders

_KERNEL_BUFFER = 256 * 1024
_RESET = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # struct linger: on, 0 s


@dataclass(frozen=True, slots=True)
class Places:
    """Where the line begins, where it leads, where it is controlled, and how many bytes it may hold."""

    listen: tuple[str, int]
    to: tuple[str, int]
    control: str
    limit: int


class End:
    """One socket of a connection: what comes from it flows `away`, what flows `here` goes to it."""

    __slots__ = ("away", "blocked", "here", "mask", "socket")

    def __init__(self, conn: socket.socket, away: Flow, here: Flow) -> None:
        self.socket = conn
        self.away = away
        self.here = here
        self.blocked = False
        self.mask = 0


class Connection:
    """A client's socket and, unless it came while nothing gets through, one to where the line leads."""

    __slots__ = ("connecting", "ends", "lost")

    def __init__(self, ends: list[End], *, connecting: bool) -> None:
        self.ends = ends
        self.connecting = connecting
        self.lost = not connecting
        """It has a hole in its stream, or never had another end."""


class Proxy:
    """The line with all its connections."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._selector = selectors.EpollSelector()
        self._connections: list[Connection] = []
        self._listener: socket.socket | None = None
        self._reserved = _bound(places.listen)
        self.forward = Shape()
        self.back = Shape()
        Orders(self, places.control, self._selector)

    @property
    def address(self) -> tuple[str, int]:
        """Where clients connect."""
        found: tuple[str, int] = self._reserved.getsockname()[:2]
        return found

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)

    def run(self) -> None:
        """Until killed, or until the standard input ends where that was asked for."""
        while True:
            # Not the selector's own timeout: epoll takes whole milliseconds, which adds up on a short line.
            select.select([self._selector], [], [], self._timeout())
            for key, mask in self._selector.select(0):
                key.data(mask)
            now = time.monotonic()
            for connection in tuple(self._connections):
                self._advance(connection, now)

    def cut(self) -> None:
        """Reset all connections and refuse new ones."""
        if self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None
        for connection in tuple(self._connections):
            self._reset(connection)

    def heal(self) -> None:
        """Let everything through again; what has lost bytes is reset."""
        for shape in (self.forward, self.back):
            shape.way = Way.OPEN
        for connection in tuple(self._connections):
            if connection.lost:
                self._reset(connection)
        if self._listener is None:
            self._listener = _bound(self.address)
            self._listener.listen(128)
            self._selector.register(self._listener, selectors.EVENT_READ, lambda _: self._accept())

    def until_input_ends(self) -> None:
        """Exit when whoever holds the other end of the standard input is gone."""
        self._selector.register(sys.stdin, selectors.EVENT_READ, lambda _: sys.exit(0))

    def _timeout(self) -> float | None:
        now = time.monotonic()
        flows = (end for each in self._connections for end in each.ends if not each.connecting)
        # A flow whose receiver is full is looked at again when that has room, not by the clock.
        times = [end.here.wakes_at(now) for end in flows if not end.blocked]
        wake = min((each for each in times if each is not None), default=None)
        return None if wake is None else max(0.0, wake - now)

    def _accept(self) -> None:
        if self._listener is None:
            return  # cut by an earlier event of the same turn
        with suppress(BlockingIOError, ConnectionAbortedError):
            client, _ = self._listener.accept()
            there, back = Flow(self.forward, self._places.limit), Flow(self.back, self._places.limit)
            reachable = Way.SWALLOWED not in (self.forward.way, self.back.way)
            ends = [End(_tuned(client), there, back)]
            connection = Connection(ends, connecting=reachable)
            self._connections.append(connection)
            if reachable:
                upstream = _tuned(socket.socket())
                upstream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _KERNEL_BUFFER)
                ends.append(End(upstream, back, there))
                if upstream.connect_ex(self._places.to) not in (0, errno.EINPROGRESS):
                    self._reset(connection)

    def _advance(self, connection: Connection, now: float) -> None:
        """Hand over what has arrived, then ask for just the events that this connection can use."""
        if not connection.connecting:
            for end in connection.ends:
                self._deliver(connection, end, now)
            if all(end.away.told for end in connection.ends) and not connection.lost:
                self._close(connection)
        if connection not in self._connections:
            return
        for end in connection.ends:
            waits = end.blocked or (connection.connecting and end is connection.ends[-1])
            reads = not connection.connecting and end.away.room(now) > 0
            mask = (selectors.EVENT_WRITE if waits else 0) | (selectors.EVENT_READ if reads else 0)
            self._ask(connection, end, mask)

    def _ask(self, connection: Connection, end: End, mask: int) -> None:
        if mask == end.mask:
            return
        event = partial(self._event, connection, end)
        if not mask:
            self._selector.unregister(end.socket)
        elif end.mask:
            self._selector.modify(end.socket, mask, event)
        else:
            self._selector.register(end.socket, mask, event)
        end.mask = mask

    def _event(self, connection: Connection, end: End, mask: int) -> None:
        if connection not in self._connections:
            return  # reset by an earlier event of the same turn
        if connection.connecting:
            if end.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._reset(connection)
            connection.connecting = False
            return
        if mask & selectors.EVENT_WRITE:
            end.blocked = False
        if mask & selectors.EVENT_READ:
            self._receive(connection, end)

    def _receive(self, connection: Connection, end: End) -> None:
        now = time.monotonic()
        room = end.away.room(now)
        if not room:
            return
        try:
            data = end.socket.recv(room)
        except BlockingIOError:
            return
        except OSError:
            self._broken(connection)
            return
        if end.away.shape.way is Way.SWALLOWED:
            connection.lost = True
            end.away.ended = not data
        elif data:
            end.away.take(data, now)
        else:
            end.away.ended = True

    def _deliver(self, connection: Connection, end: End, now: float) -> None:
        flow = end.here
        try:
            while not end.blocked and (pieces := flow.arrived(now)):
                sent = end.socket.sendmsg(pieces)
                end.blocked = sent < sum(map(len, pieces))
                flow.delivered(sent)
            if flow.ended and flow.empty and not flow.told and flow.shape.way is Way.OPEN:
                flow.told = True
                end.socket.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            end.blocked = True
        except OSError:
            self._broken(connection)

    def _broken(self, connection: Connection) -> None:
        """One end is gone. The other learns of it, unless something is swallowed: then it is left alone."""
        if Way.OPEN is self.forward.way is self.back.way:
            self._reset(connection)
            return
        connection.lost = True
        for end in connection.ends:
            end.away.discard()
            end.away.ended = True

    def _reset(self, connection: Connection) -> None:
        for end in connection.ends:
            with suppress(OSError):
                end.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._close(connection)

    def _close(self, connection: Connection) -> None:
        if connection not in self._connections:
            return
        self._connections.remove(connection)
        for end in connection.ends:
            if end.mask:
                self._selector.unregister(end.socket)
            end.socket.close()


def _bound(address: tuple[str, int]) -> socket.socket:
    """A socket that holds the port. Two of ours share it, so that a cut line's port stays ours."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _KERNEL_BUFFER)
    held.setblocking(False)
    held.bind(address)
    return held


def _tuned(conn: socket.socket) -> socket.socket:
    conn.setblocking(False)
    conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return conn


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host, int(port)


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.network.proxy")
    parser.add_argument("--listen", type=_address, default=("127.0.0.1", 0), metavar="HOST:PORT")
    parser.add_argument("--to", type=_address, required=True, metavar="HOST:PORT")
    parser.add_argument("--control", required=True, metavar="UNIXSOCK")
    parser.add_argument("--limit", type=int, default=16 << 20, help="bytes held per connection and direction")
    parser.add_argument("--while-stdin", action="store_true", help="end when standard input ends")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        proxy = Proxy(Places(given.listen, given.to, given.control, given.limit))
        if given.while_stdin:
            proxy.until_input_ends()
        proxy.heal()
        host, port = proxy.address
        print(f"{host}:{port}", flush=True)
        proxy.run()
    finally:
        Path(given.control).unlink(missing_ok=True)


if __name__ == "__main__":
    main()
