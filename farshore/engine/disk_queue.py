"""One link's queue at the primary, as its core asks for it: frames in memory, and behind them on disk.

Appends run on the loop, into the page cache, while the disk is fast; after a slow one, a large one, or
while the lane is busy they go through one lane of the pool, in order, with everything else that
touches the files: reads, syncs, clearing. So the files have one user at a time. Which frame is where,
and what a failure means, is the core's decision; here nothing is tried twice.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from farshore.engine.pool import Pool, errno_of
from farshore.errors import FarshoreError
from farshore.model.messages import Buffer, FrameHead
from farshore.store.queue_files import Kept, QueueFiles
from farshore.wire import frame

T = TypeVar("T")
SLOW: Final = 0.005
"""Seconds of an append after which the next one leaves the loop."""
_LARGE: Final = 1 << 20
"""Bytes of an append that leaves the loop in any case."""


class DiskQueue:
    """See the module. `written` is told (last sequence on disk, bytes there, errno) after each change."""

    def __init__(self, files: QueueFiles, pool: Pool, written: Callable[[int, int, int], None]) -> None:
        self._files = files
        self._pool = pool
        self._written = written
        self._lane = ("queue", files.shelf.link)
        self._memory: deque[Kept] = deque()
        self._slow = False
        self._durable = 0

    # -- frames in memory -----------------------------------------------------------------------

    @property
    def memory_bytes(self) -> int:
        """Bytes of the frames that are kept in memory only."""
        return sum([len(each.body) for each in self._memory])

    def keep(self, kept: Kept) -> None:
        """Behind all others."""
        self._memory.append(kept)

    def kept_after(self, sequence: int) -> list[Buffer]:
        """The frames in memory behind a sequence, in order."""
        return [each.body for each in self._memory if each.reaches.sequence > sequence]

    def trim(self, durable: int) -> None:
        """The peer has everything up to here durable."""
        memory, files = self._memory, self._files
        while memory and memory[0].reaches.sequence <= durable:
            memory.popleft()
        self._durable = max(self._durable, durable)
        if self._pool.busy(self._lane) or not files.end:
            return  # a thread has the files: the next sync sees to it
        if files.end <= durable:
            self._aside(self._give_back, self._told)
        elif files.trim(durable):
            self._tell(0)

    # -- the disk -------------------------------------------------------------------------------

    def append(self) -> None:
        """Everything in memory goes to the disk."""
        frames = list(self._memory)
        self._memory.clear()
        if not frames:
            return
        large = sum([len(each.body) for each in frames]) > _LARGE
        if self._slow or large or not self._files.opened or self._pool.busy(self._lane):
            self._aside(partial(self._append, frames), self._told)
            return
        try:
            self._append(frames)
        except OSError as error:
            self._told(error)
        else:
            self._tell(0)

    def _append(self, frames: list[Kept]) -> None:
        began = time.monotonic()
        self._files.append(frames, self._durable)
        self._slow = time.monotonic() - began > SLOW

    def read(
        self, after: int, most: int, done: Callable[[list[tuple[FrameHead, object]], str], None]
    ) -> None:
        """Frames behind a sequence, off the loop; or why they cannot be had."""

        def finish(found: list[Buffer] | OSError) -> None:
            if isinstance(found, OSError):
                done([], f"the disk queue cannot be read: {found.strerror or found}")
                return
            try:
                frames: list[tuple[FrameHead, object]] = [(frame.decode_head(each), each) for each in found]
            except FarshoreError as error:
                done([], error.what)
            else:
                done(frames, "")

        self._aside(partial(self._files.read, after, most), finish)

    def sync(self, done: Callable[[int], None]) -> None:
        """Everything appended so far becomes durable; `done` is told an errno."""

        def run() -> None:
            self._files.trim(self._durable)
            self._files.sync()

        self._aside(run, lambda result: done(errno_of(result)))

    def drop(self) -> None:
        """Everything is forgotten, in memory and on disk; what the next append needs is there then."""
        self._memory.clear()
        self._aside(self._files.clear, self._cleared)

    def _cleared(self, result: object) -> None:
        """Whatever went wrong is told by the next append, if there is one."""
        if not isinstance(result, OSError):
            self._tell(0)

    def _give_back(self) -> None:
        if self._files.end <= self._durable:
            self._files.clear()

    def _aside(self, job: Callable[[], T], done: Callable[[T | OSError], None]) -> None:
        self._pool.submit(self._lane, job, done)

    def _told(self, result: object) -> None:
        self._tell(errno_of(result))

    def _tell(self, errno: int) -> None:
        files = self._files
        last = files.end if errno else max(files.end, self._durable)
        self._written(last, files.size, errno)

    def close(self, *, remove: bool = False) -> None:
        """Ends the use of the files, and removes them if the link is gone."""
        self._written = _nobody
        self._aside(self._files.remove if remove else self._files.close, _ended)


def _nobody(_last: int, _disk_bytes: int, _errno: int) -> None:
    """The queue is closed: nobody is told any more."""


def _ended(_: object) -> None:
    """What could not be removed holds nothing that is needed."""
