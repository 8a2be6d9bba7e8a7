"""What a client's connection needs of the server that took it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from farshore.core.write_path import Batch
from farshore.engine.arena import Arena
from farshore.engine.nbd_tokens import Answers
from farshore.engine.reactor import Reactor
from farshore.wire.nbd.transmission import Request

if TYPE_CHECKING:
    from farshore.engine.nbd_connection import Connection


class Service(Protocol):
    """See the module."""

    reactor: Reactor
    arena: Arena
    answers: Answers
    batch: Batch

    def submit(self) -> None:
        """Hand the batch over now; a new one is begun."""

    def request(self, connection: Connection, request: Request) -> None:
        """A request that is no write: a READ, FLUSH, CACHE or BLOCK_STATUS."""

    def resume(self, connection: Connection) -> None:
        """Answers have left; go on with the reads that wait for that."""

    def forget(self, connection: Connection) -> None:
        """The connection has ended."""

    def turned_away(self, connection: Connection, reason: str) -> None:
        """A client may not come in at an address that speaks TLS; the connection ends."""
