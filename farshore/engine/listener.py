"""A listening socket on the loop, which survives that there are no descriptors left.

Where the system cannot give another descriptor, clients wait in the listener's queue and are taken
when a second has passed, instead of waking the loop in every turn.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Final

from farshore.engine.reactor import READABLE, Reactor, Timer

PAUSE: Final = 1.0
"""Seconds."""
_SHORT_OF: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


class Listener:
    """Takes `sock` over and hands each connection, non-blocking, to `on_client`."""

    def __init__(
        self, reactor: Reactor, sock: socket.socket, on_client: Callable[[socket.socket], None]
    ) -> None:
        self._reactor = reactor
        self._sock = sock
        self._on_client = on_client
        self._timer: Timer | None = None
        reactor.add(sock.fileno(), self._ready)

    @property
    def address(self) -> tuple[str, int]:
        """Where a TCP listener is bound."""
        host, port = self._sock.getsockname()[:2]
        return host, port

    def _ready(self, _events: int) -> None:
        try:
            client, _ = self._sock.accept()
        except (BlockingIOError, ConnectionError):
            return  # it has gone again
        except OSError as error:
            if error.errno not in _SHORT_OF:
                raise
            self._reactor.change(self._sock.fileno(), 0)
            self._timer = self._reactor.after(PAUSE, self._go_on)
            return
        client.setblocking(False)
        self._on_client(client)

    def _go_on(self) -> None:
        self._timer = None
        self._reactor.change(self._sock.fileno(), READABLE)

    def close(self) -> None:
        """Ends it; a Unix socket's path is its owner's to remove."""
        if self._timer is not None:
            self._timer.cancel()
        self._reactor.remove(self._sock.fileno())
        self._sock.close()
