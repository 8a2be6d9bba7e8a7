"""How fast a link may send: a token bucket, and the channel that keeps to it.

A link has a bound of its own (`max_rate`) and may be given a share of what its node may send; the smaller
one counts. What may not leave yet waits in the link's own queue, where the core sees it, and may drop
it, exactly as with a line of that speed: so the core needs no rule for it, and no message overtakes.
"""

from __future__ import annotations

from typing import Final

from farshore.engine.channel import Channel
from farshore.engine.channel_layer import QueueingLayer
from farshore.engine.reactor import Reactor, Timer

_DEPTH: Final = 0.05
"""Seconds of the rate that an idle link may save up."""
_LEAST_DEPTH: Final = 16 << 10
_STEP: Final = 0.01
"""Seconds of the rate that are worth a timer: sending byte by byte would cost more than it evens out."""
_LEAST_STEP: Final = 256
_AHEAD: Final = 256 << 10
"""Bytes that may wait in the channel below; what is there can no longer be dropped."""
UNBOUND: Final = 1 << 62


class Pace:
    """A link's bucket. Times are the loop's; rates bytes per second, 0 is no bound."""

    __slots__ = ("_at", "_tokens", "own", "share")

    def __init__(self, own: int = 0) -> None:
        self.own = own
        self.share = 0
        self._tokens = 0.0
        self._at = 0.0

    @property
    def rate(self) -> int:
        """What counts; 0 is no bound."""
        return min(self.own or UNBOUND, self.share or UNBOUND) % UNBOUND

    def allowance(self, now: float) -> int:
        """Bytes that may be sent now."""
        rate = self.rate
        if not rate:
            return UNBOUND
        earned = max(0.0, now - self._at) * rate
        self._tokens = min(self._tokens + earned, max(rate * _DEPTH, _LEAST_DEPTH))
        self._at = now
        return max(0, int(self._tokens))

    def spend(self, size: int) -> None:
        """So many bytes were sent."""
        if self.rate:
            self._tokens -= size

    def wait(self, queued: int) -> float:
        """Seconds until sending is worth while again."""
        rate = self.rate
        wanted = min(queued, max(int(rate * _STEP), _LEAST_STEP))
        return max(0.001, (wanted - self._tokens) / rate) if rate else 0.001


class PacedChannel(QueueingLayer):
    """`Channel` on top of another one. `when_ready` is called from the loop when more may be sent."""

    def __init__(self, inner: Channel, pace: Pace, reactor: Reactor) -> None:
        super().__init__(inner)
        self._pace = pace
        self._reactor = reactor
        self._timer: Timer | None = None

    def flush(self) -> None:
        inner, queue, pace = self.inner, self.outbound, self._pace
        inner.flush()
        while queue and inner.backlog < _AHEAD and not inner.waits_to_send:
            allowed = min(pace.allowance(self._reactor.now), _AHEAD)
            if not allowed:
                break
            while queue and allowed:
                piece = queue.first(allowed)
                inner.outbound.append(piece)
                queue.sent(len(piece))
                pace.spend(len(piece))
                allowed -= len(piece)
            inner.flush()
        if queue and not inner.waits_to_send and self._timer is None and not self.closed:
            self._timer = self._reactor.after(pace.wait(queue.size), self._go_on)

    def _go_on(self) -> None:
        self._timer = None
        if not self.closed:
            self.when_ready()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().close()
