"""Two ends of a link's connection on loopback, and an owner for each that notes what it is told."""

import socket
from collections.abc import Callable

from farshore.engine.channel import prepare
from farshore.engine.link_connection import LinkConnection
from farshore.errors import FarshoreError


def connected() -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection over loopback TCP, as links have them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    prepare(near)
    prepare(far)
    return near, far


class Owner:
    """Collects what a connection says."""

    def __init__(self) -> None:
        self.holding = False
        self.units: list[tuple[int, bytes]] = []
        self.ends: list[str] = []
        self.heard_count = 0
        self.refuse: Callable[[], FarshoreError] | None = None
        self.hold_after: int | None = None

    def heard(self, connection: LinkConnection) -> None:
        self.heard_count += 1

    def unit(self, connection: LinkConnection, kind: int, body: memoryview) -> None:
        if self.refuse is not None:
            raise self.refuse()
        self.units.append((kind, bytes(body)))
        if len(self.units) == self.hold_after:
            self.holding = True

    def ended(self, connection: LinkConnection, why: str) -> None:
        self.ends.append(why)
