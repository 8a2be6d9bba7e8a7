"""Work that asks the file system that we are, in a child process, one piece after the other.

To open our own file, to put a loop device on it, to take it off: all of that ends in questions to us, and may
wait for the engine where no signal reaches it. A thread of ours that waits like that would keep our end of
the kernel's connection open even after we were killed, and both would stay for ever. A child holds nothing of
ours: when we die, the kernel ends the connection, and with it the child's wait. What a job returns comes back
as JSON; objects that it changes are its own copies.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from farshore.engine.os_failures import as_farshore_error
from farshore.engine.reactor import Reactor
from farshore.errors import FarshoreError

_STDIO: Final = 3
_MOST_DESCRIPTORS: Final = 1 << 20
_READ: Final = 64 << 10
_MEANS: Final = "The device is not as it was wanted; the volume's data was not changed."

Job: TypeAlias = Callable[[], Any]
Done: TypeAlias = Callable[[Any], None]


class Chores:
    """`done` is given what the job returned, or the FarshoreError that it raised."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._waiting: deque[tuple[Job, Done]] = deque()
        self._pipe = -1
        self._child = 0
        self._told = b""
        self._done: Done = lambda _: None

    def submit(self, job: Job, done: Done) -> None:
        """Runs it after those that were given before."""
        self._waiting.append((job, done))
        if self._pipe < 0:
            self._next()

    def _next(self) -> None:
        job, self._done = self._waiting.popleft()
        self._pipe, theirs = os.pipe()
        self._child = os.fork()
        if not self._child:
            _be_the_child(job, theirs)
        os.close(theirs)
        self._told = b""
        self._reactor.add(self._pipe, self._ready)

    def _ready(self, _events: int) -> None:
        data = os.read(self._pipe, _READ)
        self._told += data
        if not data:
            self._end()

    def _end(self) -> None:
        self._reactor.remove(self._pipe)
        os.close(self._pipe)
        self._pipe = -1
        os.waitpid(self._child, 0)
        if self._told:
            told = json.loads(self._told)
            error = told.get("error")
            result = told["result"] if error is None else FarshoreError.from_dict(error)
        else:
            result = FarshoreError("internal", "a step of making or removing the device died", means=_MEANS)
        self._done(result)
        if self._waiting and self._pipe < 0:
            self._next()


def _be_the_child(job: Job, pipe: int) -> None:
    """Never returns: whatever becomes of the job, the parent's code must not run here as well."""
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.closerange(_STDIO, pipe)
        os.closerange(pipe + 1, _MOST_DESCRIPTORS)
        try:
            told: dict[str, Any] = {"result": job()}
        except FarshoreError as error:
            told = {"error": error.as_dict()}
        except OSError as error:
            told = {"error": as_farshore_error(error, _MEANS).as_dict()}
        os.write(pipe, json.dumps(told).encode())
        os._exit(0)
    finally:
        traceback.print_exc(file=sys.stderr)
        os._exit(1)
