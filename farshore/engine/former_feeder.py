"""The answer of a primary to whoever fed it before it was promoted (rule D6).

A former primary that comes back asks its peers before it lets writes flow. It proves its key as it always
did; all that it gets to hear is that this copy is the primary now. Nothing that it says changes anything
here, and it is kept no longer than that takes.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final

from farshore.core.turning import answer_to_former
from farshore.engine.arrivals import Arrivals
from farshore.engine.channel import Channel
from farshore.engine.line import Identity
from farshore.engine.link_connection import LinkConnection
from farshore.engine.workshop import Workshop
from farshore.errors import ProtocolError
from farshore.model.header import Header
from farshore.model.messages import Hello, Refusal
from farshore.wire import session

_WINDOW: Final = 64 << 10
_LIMIT: Final = 10.0
"""Seconds from the end of the handshake to its hello."""
_MOST: Final = 4
"""Callers at once, in either stage; the oldest gives way."""


class FormerFeeder:
    """See the module. `header` gives the copy's header as it is now."""

    def __init__(self, shop: Workshop, header: Callable[[], Header]) -> None:
        self._shop = shop
        self._header = header
        self.identity: Identity | None = None
        """Ours and the former feeder's; None where this copy never followed anybody."""
        self._arrivals = Arrivals(shop, _MOST, lambda: "the former feeder", self._opened)
        self._callers: list[LinkConnection] = []

    def adopt(self, sock: socket.socket) -> None:
        """A socket whose preface named the link that once fed this copy. Raises FarshoreError
        `wrong-feeder` if there was none."""
        self._arrivals.adopt(sock, self.identity, "this copy is the primary and follows nobody")

    def close(self) -> None:
        """Ends everything that is open."""
        self._arrivals.close()
        for caller in self._callers:
            caller.abort()
        self._callers.clear()

    def _opened(self, channel: Channel) -> None:
        if len(self._callers) >= _MOST:
            self._callers.pop(0).abort()
        caller = LinkConnection(self._shop.reactor, channel, self, _WINDOW)
        self._callers.append(caller)
        self._shop.reactor.after(_LIMIT, lambda: self._give_up(caller))

    def _give_up(self, caller: LinkConnection) -> None:
        if caller in self._callers:
            self._callers.remove(caller)
            caller.abort()

    # -- the connection's handler -----------------------------------------------------------

    @property
    def holding(self) -> bool:
        """One message is all that is read."""
        return False

    def heard(self, connection: LinkConnection) -> None:
        """Nobody waits for signs of life."""

    def unit(self, connection: LinkConnection, kind: int, body: memoryview) -> None:
        """Its hello."""
        hello = session.decode(kind, body) if kind != session.FRAME else None
        if not isinstance(hello, Hello):
            raise ProtocolError("the feeder does not begin with a hello")
        code, text = answer_to_former(self._header(), hello)
        connection.send(Refusal(code, text))
        self._callers.remove(connection)
        connection.close()
        head = hello.history.head
        self._shop.journal.note(
            "former-feeder",
            {"answer": code, "sequence": None if head is None else head.sequence},
        )
        self._shop.tidy()

    def ended(self, connection: LinkConnection, why: str) -> None:
        """It is gone without a word."""
        if connection in self._callers:
            self._callers.remove(connection)
            self._shop.tidy()
