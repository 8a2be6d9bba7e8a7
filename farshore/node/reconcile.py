"""What to do about one copy's engine, from what is wanted and what is seen. Pure.

`decide` is asked again after each step and each change; it never waits itself. An engine that is
found running is adopted, never doubled; one that died is started again at once, and one that keeps dying
with growing pauses; one that is not wanted is asked to stop, and killed only after a long silence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
STEADY_SECONDS = 10.0
"""An engine that answered for this long is healthy: its next death counts as the first."""
STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of one copy's engine. Times are monotonic seconds."""

    holder: int | None
    """Pid of the process that holds the copy's directory, None when nobody does."""
    watched: bool = False
    """The holder is known to be that copy's engine, and its death will be noticed."""
    failures: int = 0
    """Starts that went wrong since the engine was last steady."""
    ended: float | None = None
    """When the engine was last seen to end or refused to start."""
    stop_asked: float | None = None
    needed: bool = False
    """It has what is nowhere else: it may refuse to stop, and is never killed."""


@dataclass(frozen=True, slots=True)
class Start:
    """Start an engine."""


@dataclass(frozen=True, slots=True)
class Adopt:
    """Somebody holds the directory: find out whether it is the engine, and watch it."""

    pid: int


@dataclass(frozen=True, slots=True)
class AskStop:
    """Ask the engine to stop cleanly."""


@dataclass(frozen=True, slots=True)
class Kill:
    """The engine did not stop when asked. Its durable state is made for this."""

    pid: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do for `seconds`, or until something changes (None)."""

    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """Not wanted and not there."""


Step: TypeAlias = Start | Adopt | AskStop | Kill | Wait | Done


def decide(wanted: bool, seen: Seen, now: float) -> Step:
    """The next step for one copy."""
    return _towards_running(seen, now) if wanted else _towards_nothing(seen, now)


def pause(failures: int) -> float:
    """Seconds to wait after the last end: none after the first, then doubling up to the longest."""
    if failures <= 1:
        return 0.0
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 2, 16))


def failures_after_end(failures: int, answered_for: float | None) -> int:
    """The count after an engine ended that had answered for so many seconds (None: never)."""
    return 1 if answered_for is not None and answered_for >= STEADY_SECONDS else failures + 1


def _towards_running(seen: Seen, now: float) -> Step:
    if seen.holder is not None:
        return Wait() if seen.watched else Adopt(seen.holder)
    if seen.ended is None:
        return Start()
    left = seen.ended + pause(seen.failures) - now
    return Wait(left) if left > 0 else Start()


def _towards_nothing(seen: Seen, now: float) -> Step:
    if seen.holder is None:
        return Done()
    if not seen.watched:
        return Adopt(seen.holder)
    if seen.stop_asked is None:
        return AskStop()
    if seen.needed:
        return Wait()
    left = seen.stop_asked + STOP_SECONDS - now
    return Wait(left) if left > 0 else Kill(seen.holder)
