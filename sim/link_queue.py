"""One link's queue at a simulated primary: frames in memory, and the files that ship, on a simulated disk.

Every touch of the files is a durable step in the link's own lane, so that a death falls before, within
or after it. What the core asks for while the lane is busy is done in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from farshore.core import actions as a
from farshore.core.primary import Primary
from farshore.core.queueing import QueueImage
from farshore.model.messages import Buffer, FrameHead
from farshore.store.queue_files import Kept, QueueFiles, Shelf
from farshore.wire import frame
from sim.files import SimFiles
from sim.outgoing import Outgoing
from sim.steps import Step, Steps

SEGMENT: Final = 4 << 10
Written = Callable[[bytes, int, int, int], None]


def shelf(files: SimFiles, directory: str, link: bytes) -> Shelf:
    """Where it lies."""
    return Shelf(files, f"{directory}/{link.hex()}.queue", link, SEGMENT)


def left(place: Shelf) -> QueueImage | None:
    """What an earlier process left. Raises OSError."""
    if not place.exists:
        return None
    segments = place.open()
    start, end = segments.start, segments.end
    segments.close()
    if start is None or end is None:
        return None
    return QueueImage(start, end, segments.bytes_used, segments.damaged)


class LinkQueue:
    """See the module. `written` is told (link, last sequence on disk, bytes there, errno)."""

    def __init__(self, place: Shelf, steps: Steps, written: Written) -> None:
        self._files = QueueFiles(place)
        self._link = place.link
        self._steps = steps
        self._written = written
        self._lane = f"queue:{place.link.hex()}"
        self._memory: deque[Kept] = deque()
        self._durable = 0

    def keep(self, kept: Kept) -> None:
        """Behind all others."""
        self._memory.append(kept)

    def kept_after(self, sequence: int) -> list[Buffer]:
        """The frames in memory behind a sequence."""
        return [each.body for each in self._memory if each.reaches.sequence > sequence]

    def append(self) -> None:
        """Everything in memory goes to the disk."""
        frames = list(self._memory)
        self._memory.clear()
        if frames:
            self._begin(lambda: self._files.append(frames, self._durable))

    def trim(self, durable: int) -> None:
        """The peer has everything up to here durable."""
        while self._memory and self._memory[0].reaches.sequence <= durable:
            self._memory.popleft()
        self._durable = max(self._durable, durable)
        if self._files.end and self._steps.idle(self._lane):
            self._begin(self._give_back)

    def _give_back(self) -> None:
        if self._files.end <= self._durable:
            self._files.clear()
        else:
            self._files.trim(self._durable)

    def drop(self) -> None:
        """Everything is forgotten."""
        self._memory.clear()
        self._begin(self._files.clear, quiet=True)

    def _begin(self, run: Callable[[], None], *, quiet: bool = False) -> None:
        def done(errno: int) -> None:
            if not (errno and quiet):
                last = self._files.end if errno else max(self._files.end, self._durable)
                self._written(self._link, last, self._files.size, errno)

        self._steps.begin(self._lane, Step(run, done))

    def read(self, action: a.QueueRead, done: Callable[[list[tuple[FrameHead, object]], str], None]) -> None:
        """Frames behind a sequence."""
        found: list[Buffer] = []

        def run() -> None:
            found.extend(self._files.read(action.after, action.most))

        def read(errno: int) -> None:
            frames = [(frame.decode_head(each), bytes(each)) for each in found]
            done([*frames], f"errno {errno}" if errno else "")

        self._steps.begin(self._lane, Step(run, read))

    def sync(self, done: Callable[[int], None]) -> None:
        """Everything appended becomes durable."""
        self._steps.begin(self._lane, Step(self._files.sync, done))


class Site(Protocol):
    """What the queues need of a primary's site."""

    files: SimFiles
    steps: Steps
    outgoing: Outgoing

    def turn(self, do: Callable[..., list[a.Action]], *arguments: Any) -> None:
        """One input to the core."""


class LinkQueues:
    """The queues of all links of one process; made when they are first spoken of."""

    def __init__(self, site: Site, core: Primary, directory: str) -> None:
        self._site = site
        self._core = core
        self._directory = directory
        self._queues: dict[bytes, LinkQueue] = {}
        self.table: dict[type, Callable[[Any], None]] = {
            a.QueueAppend: lambda action: self._of(action.link).append(),
            a.QueueRead: self._read,
            a.SendFrames: lambda action: site.outgoing.send_frames(action.channel, action.frames),
            a.QueueSend: lambda action: site.outgoing.send_frames(
                action.channel, self._of(action.channel).kept_after(action.after)
            ),
            a.QueueTrim: lambda action: self._of(action.link).trim(action.durable),
            a.QueueDrop: lambda action: self._of(action.link).drop(),
            a.QueueSync: self._sync,
        }

    def _of(self, link: bytes) -> LinkQueue:
        if link not in self._queues:
            place = shelf(self._site.files, self._directory, link)
            self._queues[link] = LinkQueue(place, self._site.steps, self._written)
        return self._queues[link]

    def keep(self, where: tuple[tuple[bytes, bool], ...], kept: Kept) -> None:
        """A frame that was issued just now."""
        for link, to_disk in where:
            self._of(link).keep(kept)
            if to_disk:
                self._of(link).append()

    def _written(self, link: bytes, last: int, disk_bytes: int, errno: int) -> None:
        self._site.turn(self._core.queue_written, link, last, disk_bytes, errno)

    def _read(self, action: a.QueueRead) -> None:
        def done(frames: object, why: str) -> None:
            self._site.turn(self._core.queue_read, action.ticket, frames, why)

        self._of(action.link).read(action, done)

    def _sync(self, action: a.QueueSync) -> None:
        self._of(action.link).sync(
            lambda errno: self._site.turn(self._core.queue_synced, action.ticket, errno)
        )
