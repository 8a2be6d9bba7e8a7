"""Sockets of a feeder that prove themselves, until each is a channel or has been refused.

There are never more of them than `most`: the oldest gives way to one more, so that whoever opens
connections and says nothing keeps nobody out. What comes through is the owner's; what does not is
told to the journal.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from farshore.engine.channel import Channel
from farshore.engine.line import Identity, accept
from farshore.engine.opening import Opening
from farshore.engine.workshop import Workshop
from farshore.errors import FarshoreError


class Arrivals:
    """See the module. `name` says who is expected, for the journal."""

    def __init__(
        self, shop: Workshop, most: int, name: Callable[[], str], opened: Callable[[Channel], None]
    ) -> None:
        self._shop = shop
        self._most = most
        self._name = name
        self._opened = opened
        self._openings: list[Opening] = []

    def __len__(self) -> int:
        return len(self._openings)

    def adopt(self, sock: socket.socket, identity: Identity | None, nobody: str) -> None:
        """Takes a socket over whose preface named a link of ours. Raises FarshoreError `wrong-feeder`, with
        the sentence `nobody`, where there is no `identity` to meet it with."""
        if identity is None:
            sock.close()
            raise FarshoreError("wrong-feeder", nobody)
        if len(self._openings) >= self._most:
            self._openings.pop(0).cancel()
        opening = Opening(
            self._shop.reactor,
            accept(sock, identity),
            lambda channel: self._through(opening, channel),
            lambda why, _: self._refused(opening, why),
        )
        self._openings.append(opening)
        opening.start()

    def close(self) -> None:
        """Ends them all."""
        for opening in self._openings:
            opening.cancel()
        self._openings.clear()

    def _through(self, opening: Opening, channel: Channel) -> None:
        self._openings.remove(opening)
        self._opened(channel)

    def _refused(self, opening: Opening, why: str) -> None:
        self._openings.remove(opening)
        self._shop.journal.note("peer-refused", {"peer": self._name(), "why": why})
