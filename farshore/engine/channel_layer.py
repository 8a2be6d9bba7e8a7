"""A channel on top of another one: what every such layer hands down, in one place.

A layer changes what passes and leaves the connection itself alone: descriptor, totals and what waits for
the socket are those of the channel below. `ChannelLayer` hands everything down; a `QueueingLayer` holds
back what is sent until the channel below may have it. Neither adds a bound or a promise of its own.
"""

from __future__ import annotations

from collections.abc import Callable

from farshore.engine.channel import Channel
from farshore.engine.outbound import Outbound
from farshore.model.messages import Buffer


class ChannelLayer:
    """`Channel` that is `inner` in everything that a layer does not say otherwise."""

    def __init__(self, inner: Channel) -> None:
        self.inner = inner
        """The channel below. Below a `QueueingLayer` another layer may be put in between later."""
        self.outbound = inner.outbound
        self.wire = inner.wire

    def fileno(self) -> int:
        return self.inner.fileno()

    @property
    def sent_total(self) -> int:
        return self.inner.sent_total

    @property
    def received_total(self) -> int:
        return self.inner.received_total

    @property
    def backlog(self) -> int:
        return self.inner.backlog

    def recv_into(self, view: memoryview) -> int:
        return self.inner.recv_into(view)

    def send_frame(self, prefix: bytes, body: Buffer) -> bool:
        return self.inner.send_frame(prefix, body)

    def flush(self) -> None:
        self.inner.flush()

    @property
    def waits_to_send(self) -> bool:
        return self.inner.waits_to_send

    def end(self) -> None:
        self.inner.end()

    def close(self) -> None:
        self.inner.close()


class QueueingLayer(ChannelLayer):
    """Holds back what is sent in a queue of its own. `flush` is the layer's: it hands down what may go."""

    def __init__(self, inner: Channel) -> None:
        super().__init__(inner)
        self.outbound = Outbound()
        self.when_ready: Callable[[], None] = _nobody
        """Called from the loop when more may be sent."""
        self.underway = 0
        """Bytes that have left the queue and have not reached the channel below."""
        self.closed = False

    @property
    def backlog(self) -> int:
        return self.outbound.size + self.underway + self.inner.backlog

    def send_frame(self, prefix: bytes, body: Buffer) -> bool:
        self.outbound.append_frame(prefix, body)
        self.flush()
        return not self.waits_to_send

    def end(self) -> None:
        if not self.outbound and not self.underway:  # else it comes again, once all has left
            self.inner.end()

    def close(self) -> None:
        self.closed = True
        self.outbound.clear()
        self.inner.close()


def _nobody() -> None:
    """Nobody waits."""
