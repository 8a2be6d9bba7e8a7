"""One link's queue at the primary, as its core asks for it: frames in memory, and behind them on disk.

What is on disk lies in segments of the copy's directory. Appends run on the loop, into the page
cache, while the disk is fast; after a slow one, a large one, or while the lane is busy they go through
one lane of the pool, in order, with everything else that touches the files: reads, syncs, clearing.
So the segments have one user at a time. Which frame is where, and what a failure means, is the
core's decision; here nothing is tried twice.
"""

from __future__ import annotations

import errno as errnos
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple, TypeAlias, TypeVar

from farshore.engine.pool import Pool, errno_of
from farshore.errors import FarshoreError
from farshore.model.messages import Buffer, FrameHead
from farshore.model.positions import Position
from farshore.store.platform import FileLayer
from farshore.store.segments import DEFAULT_BYTES, Cursor, Entry, Segments
from farshore.wire import frame

SLOW: Final = 0.005
"""Seconds of an append after which the next one leaves the loop."""
_LARGE: Final = 1 << 20
"""Bytes of an append that leaves the loop in any case."""
_PIECES: Final = 16
"""A segment is at most 1/_PIECES of the queue's bound: room comes back in whole segments."""
_LEAST_SEGMENT: Final = 256 << 10

T = TypeVar("T")
Found: TypeAlias = tuple[list[tuple[FrameHead, object]], str]
"""What was read back, and why it could not be, if so."""


class Kept(NamedTuple):
    """A frame in memory."""

    reaches: Position
    follows: Position
    body: Buffer


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where a link's queue lies, and what its files are written with."""

    layer: FileLayer
    directory: str
    link: bytes
    bound: int
    """The queue's bound in bytes when it was opened."""

    def open(self) -> Segments:
        """Raises OSError or FarshoreError."""
        size = min(DEFAULT_BYTES, max(_LEAST_SEGMENT, self.bound // _PIECES))
        return Segments.open(self.layer, self.directory, self.link, size)


class DiskQueue:
    """See the module. `written` is told (last sequence on disk, bytes there, errno) after each change."""

    def __init__(self, shelf: Shelf, pool: Pool, written: Callable[[int, int, int], None]) -> None:
        self._shelf = shelf
        self._pool = pool
        self._written = written
        self._lane = ("queue", shelf.link)
        self._memory: deque[Kept] = deque()
        self._segments: Segments | None = None
        self._slow = False
        self._durable = 0
        self._read_to = 0
        self._cursor: Cursor | None = None

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
        memory = self._memory
        while memory and memory[0].reaches.sequence <= durable:
            memory.popleft()
        self._durable = max(self._durable, durable)
        segments = self._segments
        if segments is None or self._pool.busy(self._lane):
            return  # the lane's next job sees to it
        end = segments.end
        if end is not None and end.sequence <= durable:
            self._aside(self._give_back, self._told)
        elif end is not None and self._drop_front(segments):
            self._tell(0)

    def _drop_front(self, segments: Segments) -> bool:
        before = segments.bytes_used
        segments.trim(Position(b"", self._durable))
        return segments.bytes_used != before

    # -- the disk -------------------------------------------------------------------------------

    def append(self) -> None:
        """Everything in memory goes to the disk."""
        frames = list(self._memory)
        self._memory.clear()
        if not frames:
            return
        large = sum([len(each.body) for each in frames]) > _LARGE
        if self._slow or large or self._segments is None or self._pool.busy(self._lane):
            self._aside(partial(self._append, frames), self._told)
        else:
            try:
                self._append(frames)
            except OSError as error:
                self._tell(errno_of(error))
            else:
                self._tell(0)

    def _append(self, frames: list[Kept]) -> None:
        """Raises OSError; none of it is on disk then."""
        began = time.monotonic()
        segments = self._opened()
        follows, end = frames[0].follows, segments.end
        entries: list[Entry] = [(each.reaches, each.body) for each in frames]
        if end is None:
            end = follows
        elif end != follows and end.sequence == follows.sequence:
            entries.insert(0, (follows, b""))  # another generation begins here
        elif end != follows:
            segments.clear()  # the peer has all of it, and what followed it too
            end = follows
        segments.append(entries, end)
        self._slow = time.monotonic() - began > SLOW

    def _opened(self) -> Segments:
        """Raises OSError."""
        if self._segments is None:
            try:
                self._segments = self._shelf.open()
            except FarshoreError as error:
                raise OSError(errnos.EIO, error.what) from error
        return self._segments

    def read(
        self, after: int, most: int, done: Callable[[list[tuple[FrameHead, object]], str], None]
    ) -> None:
        """Frames behind a sequence, off the loop."""

        def finish(found: Found | OSError) -> None:
            if isinstance(found, OSError):
                done([], f"the disk queue cannot be read: {found.strerror or found}")
            else:
                done(*found)

        self._aside(partial(self._read, after, most), finish)

    def _read(self, after: int, most: int) -> Found:
        segments = self._opened()
        cursor = self._cursor if self._read_to == after else None
        if cursor is None:
            cursor = segments.cursor_at(Position(b"", after))
        frames: list[tuple[FrameHead, object]] = []
        try:
            while not frames:
                entries, cursor = segments.read(cursor, most)
                if not entries:
                    break
                frames = [
                    (frame.decode_head(body), body) for to, body in entries if body and to.sequence > after
                ]
        except FarshoreError as error:
            return [], error.what
        except ValueError as error:
            return [], str(error)
        self._cursor, self._read_to = cursor, frames[-1][0].last if frames else after
        return frames, ""

    def sync(self, done: Callable[[int], None]) -> None:
        """Everything appended so far becomes durable; `done` is told an errno."""

        def run() -> None:
            if self._segments is not None:
                self._drop_front(self._segments)
                self._segments.sync()

        self._aside(run, lambda result: done(errno_of(result)))

    def drop(self) -> None:
        """Everything is forgotten, in memory and on disk."""
        self._memory.clear()
        if self._segments is not None or self._pool.busy(self._lane):
            self._aside(self._clear, self._told)

    def _clear(self) -> None:
        self._cursor, self._read_to = None, 0
        if self._segments is not None and (self._segments.start is not None or self._segments.damaged):
            self._segments.clear()

    def _give_back(self) -> None:
        segments = self._segments
        if segments is not None and segments.end is not None and segments.end.sequence <= self._durable:
            self._clear()

    def _aside(self, job: Callable[[], T], done: Callable[[T | OSError], None]) -> None:
        self._pool.submit(self._lane, job, done)

    def _told(self, result: object) -> None:
        self._tell(errno_of(result))

    def _tell(self, errno: int) -> None:
        segments = self._segments
        if segments is None or segments.end is None:
            self._written(self._durable if not errno else 0, 0, errno)
        else:
            self._written(segments.end.sequence, segments.bytes_used, errno)

    def close(self, *, remove: bool = False) -> None:
        """Ends the use of the files, and empties them if the link is gone."""

        def end() -> None:
            segments, self._segments = self._segments, None
            if segments is not None:
                segments.close()
            layer, directory = self._shelf.layer, self._shelf.directory
            if remove and layer.exists(directory):
                for name in reversed(layer.listdir(directory)):
                    layer.remove(f"{directory}/{name}")
                layer.remove(directory)

        self._written = _nobody
        self._aside(end, _ended)


def _nobody(_last: int, _disk_bytes: int, _errno: int) -> None:
    """The queue is closed: nobody is told any more."""


def _ended(_: object) -> None:
    """What could not be removed holds nothing that is needed."""
