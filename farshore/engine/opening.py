"""Drives the steps of `line` on the loop, within a time limit, to a channel or a plain reason.

Exactly one of the two callbacks is called, once, unless `cancel` comes first. Whatever the other end
does wrong ends this opening and nothing else.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Final

from farshore.engine.channel import Channel
from farshore.engine.line import NodeRefusal, Steps
from farshore.engine.reactor import Reactor
from farshore.errors import FarshoreError

LIMIT: Final = 10.0
"""Seconds from the first step to the channel."""
PAIR_AGAIN: Final = "pair the two nodes again: farshore node invite at one, farshore node join at the other"


class Opening:
    """One attempt. `on_failure` is told why, and the next command where waiting would not help."""

    def __init__(
        self,
        reactor: Reactor,
        steps: Steps,
        on_open: Callable[[Channel], None],
        on_failure: Callable[[str, str], None],
        limit: float = LIMIT,
    ) -> None:
        self._reactor = reactor
        self._steps = steps
        self._on_open = on_open
        self._on_failure = on_failure
        self._socket: socket.socket | None = None
        self._events = 0
        self._timer = reactor.after(limit, self._too_late)
        self._ended = False
        self.refused = ""
        """Why the peer or its node would not have us: a code of the catalogue, or nothing."""

    def start(self) -> None:
        """Takes the first step; call it once, after which the sockets are this object's."""
        self._step()

    def cancel(self) -> None:
        """Closes what was opened; no callback will come."""
        if not self._ended:
            self._end()

    def _ready(self, _events: int) -> None:
        self._step()

    def _step(self) -> None:
        if self._ended:
            return
        try:
            sock, events = next(self._steps)
        except StopIteration as stop:
            self._release()
            self._timer.cancel()
            self._ended = True
            self._on_open(stop.value)
        except (OSError, FarshoreError) as error:
            self._end()
            self.refused = refused(error)
            self._on_failure(reason(error), remedy(error))
        else:
            self._wait_on(sock, events)

    def _wait_on(self, sock: socket.socket, events: int) -> None:
        if sock is not self._socket:
            self._close()
            self._reactor.add(sock.fileno(), self._ready, events)
            self._socket = sock
        elif events != self._events:
            self._reactor.change(sock.fileno(), events)
        self._events = events

    def _too_late(self) -> None:
        self._end()
        self._on_failure("no answer within the time for opening a link", "")

    def _end(self) -> None:
        self._ended = True
        self._timer.cancel()
        self._steps.close()
        self._close()

    def _close(self) -> None:
        sock = self._release()
        if sock is not None:
            sock.close()

    def _release(self) -> socket.socket | None:
        sock, self._socket = self._socket, None
        if sock is not None:
            self._reactor.remove(sock.fileno())
        return sock


def reason(error: OSError | FarshoreError) -> str:
    """A sentence for the operator."""
    if isinstance(error, FarshoreError):
        return error.what
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the peer's certificate is not the one that was pinned ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    text = error.strerror or str(error)
    return f"{text}: {error.filename}" if error.filename else text


def remedy(error: OSError | FarshoreError) -> str:
    """The next command for the operator; empty where time alone may help."""
    if isinstance(error, FarshoreError):
        return error.next_step
    alert = (error.reason or "") if isinstance(error, ssl.SSLError) else ""
    if isinstance(error, ssl.SSLCertVerificationError) or ("ALERT" in alert and "CA" in alert):
        return PAIR_AGAIN
    return ""


def refused(error: OSError | FarshoreError) -> str:
    """The code of a refusal by the peer or its node; empty for an error that is none."""
    if isinstance(error, NodeRefusal):
        return error.code.name
    return "unknown-peer" if remedy(error) == PAIR_AGAIN else ""
