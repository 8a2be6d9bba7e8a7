"""The loop: one thread, one epoll, turns.

A turn waits until something is ready, lets every ready descriptor be read, then runs the timers that
are due, and then, once, what was registered with `at_turn_end`: there the copy hands everything that
this turn received to the core as one batch. That shape is why there is no general event loop here
(`docs/decisions/0002-own-reactor.md`). Callbacks run on the loop's thread only; `post` is the one
method that other threads may call. An exception in a callback is a defect and ends the loop.

`now` is monotonic seconds *without* the time in which this process itself stood still: a machine that
was suspended, or a loop that was kept busy, does not hold its own absence against a peer.
"""

from __future__ import annotations

import heapq
import itertools
import os
import select
import time
from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

READABLE: Final = select.EPOLLIN
WRITABLE: Final = select.EPOLLOUT
BROKEN: Final = select.EPOLLERR | select.EPOLLHUP

STALL: Final = 0.25
"""Seconds. What a turn takes beyond this, or comes late by, is not counted in `now`."""
SPIN: Final = 100e-6
"""Seconds. To put a thread to sleep and wake it again takes longer than the answer of a peer on a fast
line. So a loop that was needed again within moments looks for events that long, giving way to whoever
wants the processor, before it sleeps (`docs/decisions/0011-looking-before-sleeping.md`)."""
_LOOKS: Final = 1_000
"""More than fit into that time."""
_WORTH_IT: Final = 2 * SPIN
_MAY_SPIN: Final = len(os.sched_getaffinity(0)) > 1
_RESOLUTION: Final = 0.001
_LONGEST_WAIT: Final = 60.0
_EVENTS: Final = 256
"""Descriptors of one turn; more that are ready come in the next one."""

Callback: TypeAlias = Callable[[], None]
OnEvent: TypeAlias = Callable[[int], None]
Events: TypeAlias = list[tuple[int, int]]


class Timer:
    """A callback at a time; `cancel` it and it never runs."""

    __slots__ = ("callback", "when")

    def __init__(self, when: float, callback: Callback | None) -> None:
        self.when = when
        self.callback = callback

    def cancel(self) -> None:
        """Cancelling twice, or after it ran, has no effect."""
        self.callback = None


class Reactor:
    """See the module. Close it on its own thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._epoll = select.epoll()
        self._poll = self._epoll.poll
        self._told_time = float("-inf")
        self._callbacks: dict[int, OnEvent] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._soon: deque[Callback] = deque()
        self._posted: deque[Callback] = deque()
        self._signalled = False
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._turn_starts: list[Callback] = []
        self._turn_ends: list[Callback] = []
        self._running = False
        self._eager = False
        self._woke = clock()
        self.stalled = 0.0
        """Seconds in which this process stood still, in all."""
        self.stalls = 0
        self.longest_stall = 0.0
        self.now = self._woke
        """The time of this turn, as above."""
        self.add(self._wake, self._on_wake)

    def add(self, fd: int, callback: OnEvent, events: int = READABLE) -> None:
        """Calls `callback(ready events)` in every turn in which the descriptor is ready."""
        self._callbacks[fd] = callback
        self._epoll.register(fd, events)

    def change(self, fd: int, events: int) -> None:
        """What to wait for from now on; errors and hang-ups always come."""
        self._epoll.modify(fd, events)

    def on_event(self, fd: int, callback: OnEvent) -> None:
        """Calls another callback for this descriptor from now on."""
        self._callbacks[fd] = callback

    def remove(self, fd: int) -> None:
        """Forgets the descriptor; call it before the descriptor is closed."""
        del self._callbacks[fd]
        self._epoll.unregister(fd)

    def after(self, seconds: float, callback: Callback) -> Timer:
        """Runs `callback` once, that many seconds of `now` after this turn's beginning."""
        timer = Timer(self.now + seconds, callback)
        heapq.heappush(self._timers, (timer.when, next(self._order), timer))
        return timer

    def soon(self, callback: Callback) -> None:
        """Runs `callback` among the events of the next turn, which then begins without waiting."""
        self._soon.append(callback)

    def post(self, callback: Callback) -> None:
        """Like `soon`, from any thread."""
        self._posted.append(callback)
        # Appended first, flag read second; the loop clears the flag first and looks second. So either
        # the loop finds the callback or this thread wakes it.
        if not self._signalled:
            self._signalled = True
            os.eventfd_write(self._wake, 1)

    def at_turn_start(self, callback: Callback) -> None:
        """Runs before the events of a turn, `now` being set; not again within a millisecond."""
        self._turn_starts.append(callback)

    def at_turn_end(self, callback: Callback) -> None:
        """Runs in every turn after all events and timers."""
        self._turn_ends.append(callback)

    def run(self) -> None:
        """Turns until `stop`."""
        self._running = True
        self._woke = self._clock()
        while self._running:
            self.turn()

    def stop(self) -> None:
        """Lets `run` return at the end of this turn."""
        self._running = False

    def turn(self, wait: float = _LONGEST_WAIT) -> None:
        """One turn, waiting at most `wait` seconds for its first event."""
        clock, timers = self._clock, self._timers
        waits_from = clock()
        # Both halves of a stall: the last turn worked too long, or this one came later than it had to.
        if waits_from - self._woke > STALL:
            self._count_stall(waits_from - self._woke)
        if self._soon:
            wait = 0.0
        elif timers:
            wait = max(0.0, min(wait, timers[0][0] + self.stalled - waits_from))
        events = self._poll(0.0, _EVENTS)
        if wait and not events:
            events = self._wait(waits_from, wait)
        woke = self._woke = clock()
        if woke - waits_from - wait > STALL:
            self._count_stall(woke - waits_from - wait)
        now = self.now = woke - self.stalled
        if now - self._told_time > _RESOLUTION:
            self._told_time = now
            for callback in self._turn_starts:
                callback()
        if self._soon:
            for _ in range(len(self._soon)):
                self._soon.popleft()()
        callbacks = self._callbacks
        for fd, ready in events:
            on_event = callbacks.get(fd)
            if on_event is not None:  # an earlier callback of this turn may have removed it
                on_event(ready)
        if timers and timers[0][0] <= now:
            self._run_timers()
        for callback in self._turn_ends:
            callback()

    def _wait(self, since: float, wait: float) -> Events:
        """Nothing is ready. Looks again and again for a moment before it sleeps; see `SPIN`."""
        if not self._eager:
            return self._sleep(since, wait)
        clock, poll, give_way = self._clock, self._poll, os.sched_yield
        limit = since + min(wait, SPIN)
        for _ in range(_LOOKS):
            if clock() >= limit:
                break
            give_way()
            events = poll(0.0, _EVENTS)
            if events:
                return events
        self._eager = False
        return self._sleep(since, wait)

    def _sleep(self, since: float, wait: float) -> Events:
        """When something came so soon that looking for it would have found it, the next turn looks."""
        events = self._poll(wait, _EVENTS)
        self._eager = _MAY_SPIN and self._clock() - since < _WORTH_IT
        return events

    def close(self) -> None:
        """Ends the use of the loop; descriptors that were added stay open."""
        self._epoll.close()
        os.close(self._wake)
        self._callbacks.clear()
        self._timers.clear()

    def _run_timers(self) -> None:
        while self._timers and self._timers[0][0] <= self.now:
            callback = heapq.heappop(self._timers)[2].callback
            if callback is not None:
                callback()

    def _on_wake(self, _ready: int) -> None:
        os.eventfd_read(self._wake)
        self._signalled = False
        posted = self._posted
        while posted:
            posted.popleft()()

    def _count_stall(self, seconds: float) -> None:
        self.stalled += seconds
        self.stalls += 1
        self.longest_stall = max(self.longest_stall, seconds)
