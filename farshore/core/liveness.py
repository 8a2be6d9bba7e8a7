"""Signs of life on a session, and when to try again after one has ended.

Any byte from the peer counts as its heartbeat, and a stall of our own loop does not count against
it. Both ends of a link use the same rules.
"""

from __future__ import annotations

from typing import Final

from farshore.model.messages import Heartbeat
from farshore.model.options import Timing

MEASURED_AGAIN: Final = 30.0
"""Seconds after which a measurement of the clocks gives way to a slower one: clocks drift and are set."""
ANSWER_LIMITS: Final = 12
"""Limits of silence that an answer may take from a peer that is alive: it may have much to make durable."""


class Liveness:
    """One session's heartbeats. Times are monotonic seconds."""

    __slots__ = ("_asked_at", "_beat_at", "_heard_at", "_measured", "_timing", "clock_difference", "rtt")

    def __init__(self, timing: Timing, now: float) -> None:
        self._timing = timing
        self._heard_at = now
        self._beat_at = now
        self._asked_at: float | None = None
        self.rtt: float | None = None
        """Seconds between a heartbeat and its echo, None before the first."""
        self.clock_difference: float | None = None
        """Seconds by which the peer's clock is ahead of ours, None before it is known; by the quickest round
        trip of late."""
        self._measured = (0.0, 0.0)
        """The round trip of that measurement, and when it was made."""

    @property
    def clock_uncertainty(self) -> float | None:
        """Seconds by which `clock_difference` may be wrong: half of the round trip that gave it."""
        return None if self.clock_difference is None else self._measured[0] / 2

    def heard(self, now: float) -> None:
        """Bytes arrived."""
        self._heard_at = now

    def stalled(self, seconds: float) -> None:
        """Our own loop stood still for so long."""
        self._heard_at += seconds
        if self._asked_at is not None:
            self._asked_at += seconds

    def silent(self, now: float) -> bool:
        """Whether the peer has been silent beyond the limit."""
        return now - self._heard_at > self._timing.limit

    def asked(self, now: float) -> None:
        """The peer owes an answer."""
        self._asked_at = now

    def answered(self) -> None:
        """It has given it."""
        self._asked_at = None

    def owing(self, now: float) -> bool:
        """Whether an answer has not come in all the time that even a busy peer may take."""
        return self._asked_at is not None and now - self._asked_at > ANSWER_LIMITS * self._timing.limit

    def take(self, beat: Heartbeat, now: float, wall: float = 0.0) -> Heartbeat | None:
        """The peer's heartbeat, or the echo of ours; returns the echo to send back at once, if any."""
        if beat.echo:
            self.rtt = max(0.0, now - beat.echo / 1e9)
            if beat.wall and wall:
                self._measure(self.rtt, beat.wall / 1e9 + self.rtt / 2 - wall, now)
        return Heartbeat(0, beat.clock, int(wall * 1e9)) if beat.clock else None

    def _measure(self, rtt: float, difference: float, now: float) -> None:
        """An echo that waited in a queue on its way says little; a quick one holds for a while."""
        quickest, at = self._measured
        if self.clock_difference is None or rtt <= quickest or now - at > MEASURED_AGAIN:
            self.clock_difference, self._measured = difference, (rtt, now)

    def beat(self, now: float) -> Heartbeat | None:
        """Our heartbeat when it is due."""
        if now - self._beat_at < self._timing.beat:
            return None
        self._beat_at = now
        return Heartbeat(int(now * 1e9))

    def hasten(self) -> None:
        """The next heartbeat is due now."""
        self._beat_at = -self._timing.beat


class Retry:
    """When to connect next: at once after good news, else after a pause that doubles up to a bound."""

    __slots__ = ("_at", "_pause", "_timing")

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._at = 0.0
        self._pause = timing.first_retry

    def due(self, now: float) -> bool:
        """Whether an attempt may begin."""
        return now >= self._at

    def failed(self, now: float) -> None:
        """An attempt or a session has ended."""
        self._at = now + self._pause
        self._pause = min(self._pause * 2, self._timing.last_retry)

    def slow(self, now: float) -> None:
        """The peer has said that trying soon is of no use."""
        self._at = now + self._timing.last_retry

    def succeeded(self) -> None:
        """The peer has answered."""
        self._pause = self._timing.first_retry

    def at_once(self) -> None:
        """The peer, or the host's network, says that the line is back."""
        self._at = 0.0
        self._pause = self._timing.first_retry
