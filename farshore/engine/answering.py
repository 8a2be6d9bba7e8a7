"""The answer of a primary to a copy that greets it as its feeder (rules D5, D6).

Two do: a former primary that comes back, and the copy that was promoted in place of this one. Each asks its
peers before it lets writes flow, proves its key as ever, and gets one sentence to hear (`core/fences`).
Nothing that it says changes anything here, and it is kept no longer than that takes.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final

from farshore.engine.arrivals import Arrivals
from farshore.engine.channel import Channel
from farshore.engine.line import Identity
from farshore.engine.link_connection import LinkConnection
from farshore.engine.workshop import Workshop
from farshore.errors import ProtocolError
from farshore.model.messages import Hello, Refusal
from farshore.wire import session

_WINDOW: Final = 64 << 10
_LIMIT: Final = 10.0
"""Seconds from the end of the handshake to its hello."""
_MOST: Final = 4
"""Callers at once, in either stage; the oldest gives way."""


class Answering:
    """See the module. `who` it answers, in words; `answer` makes the one sentence for a hello."""

    def __init__(self, shop: Workshop, who: str, answer: Callable[[Hello], Refusal]) -> None:
        self._shop = shop
        self._who = who
        self._answer = answer
        self._arrivals = Arrivals(shop, _MOST, lambda: who, self._opened)
        self._callers: list[LinkConnection] = []
        self._noted: tuple[str, int | None] | None = None
        """What was told last of an answer: whoever waits asks again and again."""

    def adopt(self, sock: socket.socket, identity: Identity | None) -> None:
        """A socket whose preface named a link to this copy. Raises FarshoreError `wrong-feeder` where there
        is no `identity`, ours and that of whoever may ask, to meet it with."""
        self._arrivals.adopt(sock, identity, "this copy is the primary and follows nobody")

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
        said = self._answer(hello)
        connection.send(said)
        self._callers.remove(connection)
        connection.close()
        head = hello.history.head
        told = (said.code, None if head is None else head.sequence)
        if told != self._noted:
            self._noted = told
            fields: dict[str, object] = {"who": self._who, "answer": said.code, "sequence": told[1]}
            self._shop.journal.note("asked-by-another", fields)
        self._shop.tidy()

    def ended(self, connection: LinkConnection, why: str) -> None:
        """It is gone without a word."""
        if connection in self._callers:
            self._callers.remove(connection)
            self._shop.tidy()
