"""The feeder's end of one link: opens its connection when the core asks, and carries what it sends.

At most one attempt or connection exists. The core is told `connected` or `disconnected` once for each
`Connect`, and `disconnected` once for a connection that breaks; of what the core has closed itself
it hears nothing more. The peer's address is looked up anew for each attempt, off the loop.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from farshore.engine.channel import Channel, PlainChannel, TlsChannel
from farshore.engine.line import PLAINLY, Address, Identity, Manner, connect
from farshore.engine.link_connection import LinkConnection
from farshore.engine.opening import Opening, reason
from farshore.engine.pace import Pace, PacedChannel
from farshore.engine.packing import PackingChannel
from farshore.engine.pool import Pool
from farshore.engine.reactor import Reactor
from farshore.errors import ProtocolError
from farshore.model.messages import Buffer, Message
from farshore.wire import preface, session

_WINDOW: Final = 64 << 10
_REPORT_EVERY: Final = 256 << 10
"""Bytes that may be queued and sent before the core is told that they have left; sooner at a tick."""


class Events(Protocol):
    """What the core is told of a link."""

    def connected(self, link: bytes) -> None: ...
    def disconnected(self, link: bytes, why: str, next_step: str = "", code: str = "") -> None: ...
    def received(self, link: bytes, message: Message) -> None: ...
    def heard(self, link: bytes) -> None: ...
    def backlog(self, link: bytes, size: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Route:
    """Where a link leads and how it proves itself."""

    group: bytes
    link: bytes
    address: str
    """HOST:PORT."""
    identity: Identity
    manner: Manner = PLAINLY
    epoch: int = 0


class LinkRunner:
    """See the module."""

    holding = False

    def __init__(self, reactor: Reactor, pool: Pool, route: Route, events: Events) -> None:
        self._reactor = reactor
        self._pool = pool
        self.route = route
        """Replaced when the operator changes it; holds from the next attempt on."""
        self._events = events
        self._attempt = 0
        self._opening: Opening | None = None
        self.connection: LinkConnection | None = None
        self._reported = 0
        self._unreported = 0
        self._unsent = False
        self._sent_before = 0
        self._received_before = 0
        self._pace = Pace()
        self._paced: PacedChannel | None = None
        self._packing: PackingChannel | None = None
        self._packers: Pool | None = None

    # -- what the core asks for -------------------------------------------------------------

    def connect(self) -> None:
        """Begins an attempt."""
        self._abandon()
        attempt = self._attempt
        self._pool.submit(
            ("address", self.route.link),
            partial(_look_up, self.route.address),
            lambda found: self._found(attempt, found),
        )

    def send(self, message: Message) -> None:
        """Queues a message."""
        if self.connection is not None:
            self._unsent = True
            self._unreported += _REPORT_EVERY + 1
            self.connection.send(message)

    def send_frame(self, prefix: bytes, body: Buffer) -> None:
        """Queues a frame and sends what goes at once, so that the peer has it while we write."""
        if self.connection is not None:
            self._unreported += len(body)
            self.connection.send_frame(prefix, body)

    def close(self) -> None:
        """Ends the attempt or, after what messages are queued, the connection."""
        connection, self.connection = self.connection, None
        if connection is not None:
            self._count(connection)
            connection.close()
        self._abandon()

    def abort(self) -> None:
        """Ends everything at once."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.abort()
        self._abandon()
        self.end()

    def end(self) -> None:
        """The link is not used any more: its thread ends."""
        if self._packers is not None:
            self._packers.close()
            self._packers = None

    def bound(self, own: int | None = None, share: int | None = None) -> None:
        """What the link may send from now on, in bytes per second: its own bound, its share of the
        node's; 0 is no bound, None leaves it as it is."""
        pace = self._pace
        pace.own = pace.own if own is None else own
        pace.share = pace.share if share is None else share
        if self.connection is not None and pace.rate and self._paced is None:
            self._dress(self.connection)

    def end_turn(self) -> None:
        """Sends what this turn has queued and tells the core what could not go."""
        connection = self.connection
        if connection is None:
            return
        if self._unsent:
            self._unsent = False
            connection.flush()
        if self._unreported > _REPORT_EVERY or connection.channel.backlog != self._reported:
            self.report()

    def report(self) -> None:
        """Tells the core how much waits here: of what it queued it knows only that it did."""
        connection = self.connection
        if connection is None:
            return
        if self._unreported or connection.channel.backlog != self._reported:
            self._unreported = 0
            self._reported = connection.channel.backlog
            self._events.backlog(self.route.link, self._reported)

    # -- facts ------------------------------------------------------------------------------

    @property
    def sent_total(self) -> int:
        """Bytes handed to sockets since the engine started."""
        return self._sent_before + (self.connection.channel.sent_total if self.connection else 0)

    @property
    def received_total(self) -> int:
        """Bytes received since the engine started."""
        return self._received_before + (self.connection.channel.received_total if self.connection else 0)

    @property
    def rate(self) -> int:
        """Bytes per second that count now, 0 without a bound."""
        return self._pace.rate

    @property
    def backlog(self) -> int:
        """Bytes that wait to be sent."""
        return self.connection.channel.backlog if self.connection else 0

    @property
    def packed(self) -> tuple[int, int] | None:
        """(bytes before, bytes after packing) on this connection; None where nothing is packed."""
        packing = self._packing if self.connection is not None else None
        return (packing.raw_total, packing.packed_total) if packing is not None else None

    # -- opening ----------------------------------------------------------------------------

    def _abandon(self) -> None:
        self._attempt += 1
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None

    def _found(self, attempt: int, found: Sequence[Address] | OSError) -> None:
        if attempt != self._attempt:
            return
        if isinstance(found, OSError):
            self._events.disconnected(self.route.link, f"{self.route.address}: {reason(found)}")
            return
        route = self.route
        shown = preface.Preface(preface.PrefaceKind.LINK, route.group, route.link, route.epoch)
        hello = preface.encode(shown)
        self._opening = Opening(
            self._reactor,
            connect(found, hello, self.route.identity, self.route.manner),
            self._opened,
            self._failed,
        )
        self._opening.start()

    def _opened(self, channel: Channel) -> None:
        self._opening = None
        self._reported = self._unreported = 0
        self._paced = self._packing = None
        self.connection = LinkConnection(self._reactor, channel, self, _WINDOW)
        if isinstance(channel, PlainChannel | TlsChannel) and channel.packs:
            self._packers = self._packers or Pool(self._reactor, "packing", 1)
            self._packing = PackingChannel(channel, self._packers)
            self._packing.when_ready = self.connection.flush
            self.connection.channel = self._packing
        if self._pace.rate:
            self._dress(self.connection)
        self._events.connected(self.route.link)

    def _dress(self, connection: LinkConnection) -> None:
        """Puts the link's pace right above the socket, below the packing if there is any."""
        packing = self._packing
        inner = connection.channel if packing is None else packing.inner
        self._paced = PacedChannel(inner, self._pace, self._reactor)
        self._paced.when_ready = connection.flush
        if packing is None:
            connection.channel = self._paced
        else:
            packing.inner = self._paced

    def _failed(self, why: str, next_step: str) -> None:
        opening, self._opening = self._opening, None
        self._events.disconnected(
            self.route.link, why, next_step, opening.refused if opening is not None else ""
        )

    # -- the connection's handler -----------------------------------------------------------

    def heard(self, connection: LinkConnection) -> None:
        """Any byte is a sign of life."""
        if connection is self.connection:
            self._events.heard(self.route.link)

    def unit(self, connection: LinkConnection, kind: int, body: memoryview) -> None:
        """A follower sends messages only."""
        if connection is not self.connection:
            return
        if kind == session.FRAME:
            raise ProtocolError("a follower sent a frame")
        self._events.received(self.route.link, session.decode(kind, body))

    def ended(self, connection: LinkConnection, why: str) -> None:
        """The connection broke."""
        if connection is self.connection:
            self.connection = None
            self._count(connection)
            self._events.disconnected(self.route.link, why)

    def _count(self, connection: LinkConnection) -> None:
        self._sent_before += connection.channel.sent_total
        self._received_before += connection.channel.received_total


def _look_up(address: str) -> Sequence[Address]:
    """Raises OSError."""
    host, _, port = address.rpartition(":")
    try:
        number = int(port)
    except ValueError:
        raise OSError(22, f"{address!r} is not HOST:PORT") from None
    return socket.getaddrinfo(host.strip("[]"), number, type=socket.SOCK_STREAM)
