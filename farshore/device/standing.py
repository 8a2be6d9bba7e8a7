"""How a device stands: attached, waiting for its engine, or failed; and when to try the engine again.

    ATTACHED ── away ──> WAITING ── held too long ──> FAILED
       ^                   │  └──────── unfit ──────────^
       └────── back ───────┴────────── back ────────────┘

While it waits, requests are held. When `hold` seconds have passed since the engine went, or another volume
answers in its place, the device has failed: what is held is answered with an error, and so is what comes,
until the right engine is back. Time is told; the pauses between two tries grow from nothing to a second.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0


class State(StrEnum):
    """As status shows it."""

    ATTACHED = "attached"
    WAITING = "waiting"
    FAILED = "failed"


class Standing:
    """See the module. `now` is any clock's seconds, always the same one's."""

    def __init__(self, hold: float, now: float) -> None:
        self.hold = hold
        self.state = State.WAITING
        self.since = now
        """When this state began."""
        self.why = "the engine has not answered yet"
        self.reconnects = -1  # the first connection is none
        self._gone = now  # the engine
        self._pause = 0.0

    def back(self, now: float) -> None:
        """The right engine serves the volume."""
        self.reconnects += 1
        self._pause = 0.0
        self._enter(State.ATTACHED, now, "")

    def away(self, now: float, why: str) -> float:
        """The connection ended, or could not be made. Returns the seconds until the next try."""
        if self.state is State.ATTACHED:
            self._gone = now
            self._enter(State.WAITING, now, why)
        elif self.state is State.WAITING:
            self.why = why
        return self._next_pause()

    def unfit(self, now: float, why: str) -> float:
        """What answers must not be sent a single request. Returns the seconds until the next try."""
        self._enter(State.FAILED, now, why)
        self._pause = LONGEST_PAUSE
        return LONGEST_PAUSE

    def overdue(self, now: float) -> bool:
        """Whether the holding ends now; true once."""
        if self.state is not State.WAITING or now - self._gone < self.hold:
            return False
        self._enter(State.FAILED, now, f"the engine was away for longer than {self.hold:g} s ({self.why})")
        return True

    def _next_pause(self) -> float:
        pause = self._pause
        self._pause = min(max(FIRST_PAUSE, 2 * pause), LONGEST_PAUSE)
        return pause

    def _enter(self, state: State, now: float, why: str) -> None:
        if state is not self.state:
            self.state = state
            self.since = now
        self.why = why
