"""Threads for calls that may block: fdatasync, cold reads, small durable records.

A job is one call that releases the interpreter lock while it waits; work in Python does not belong
here. Jobs of one key run one after the other, in the order in which they were given, so a descriptor
never has two fdatasyncs in flight; jobs of different keys run side by side. Results come back on the
loop's thread. A job that fails with OSError gives that error to its `done`; any other exception is a
defect: it leaves a traceback and ends the loop.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

from farshore.engine.reactor import Reactor

T = TypeVar("T")
_Job: TypeAlias = tuple[Hashable, Callable[[], Any], Callable[[Any], None]]


class JobCrashed(RuntimeError):
    """A job raised what it may not raise; its traceback was printed by its thread."""


class Pool:
    """A fixed number of daemon threads. All methods are for the loop's thread."""

    def __init__(self, reactor: Reactor, name: str, threads: int) -> None:
        self._reactor = reactor
        self._ready: SimpleQueue[_Job | None] = SimpleQueue()
        self._waiting: dict[Hashable, deque[_Job]] = {}
        self.unfinished = 0
        """Jobs given and not yet reported."""
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, key: Hashable, job: Callable[[], T], done: Callable[[T | OSError], None]) -> None:
        """Runs `job` on a thread after all earlier ones of `key`, then `done` with its result."""
        self.unfinished += 1
        queue = self._waiting.get(key)
        if queue is None:
            self._waiting[key] = deque()
            self._ready.put((key, job, done))
        else:
            queue.append((key, job, done))

    def busy(self, key: Hashable) -> bool:
        """Whether a job of this key has not been reported yet."""
        return key in self._waiting

    def close(self) -> None:
        """Lets the threads end after what was given to them; reports of it are still delivered."""
        for _ in self._threads:
            self._ready.put(None)

    def _work(self) -> None:
        while True:
            item = self._ready.get()
            if item is None:
                return
            key, job, done = item
            report: Callable[[], None] = self._crashed
            try:
                report = partial(self._finished, key, done, job())
            except OSError as error:
                report = partial(self._finished, key, done, error)
            finally:
                self._reactor.post(report)
                # A thread may wait for hours: what it still named would be kept for so long, with its files.
                del item, key, job, done, report

    def _finished(self, key: Hashable, done: Callable[[Any], None], result: Any) -> None:
        self.unfinished -= 1
        done(result)  # before the next job of the key begins: what the two share has one user at a time
        queue = self._waiting[key]
        if queue:
            self._ready.put(queue.popleft())
        else:
            del self._waiting[key]

    def _crashed(self) -> None:
        raise JobCrashed("a job of the pool failed in a way that it may not")


def errno_of(result: object) -> int:
    """The errno of a job's result: 0 unless it is an OSError; EIO's number where the error has none."""
    if isinstance(result, OSError):
        return result.errno or 5
    return 0
