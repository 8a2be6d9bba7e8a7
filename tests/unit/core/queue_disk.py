"""A link's disk queue as a shell keeps it: frames in memory, frames on a disk that may fill up or fail.

Frames are the `Issue` actions themselves. What was not synced is lost with the cache.
"""

from dataclasses import dataclass, field

from farshore.core import actions as a
from farshore.core.queueing import QueueImage
from farshore.model.positions import Position

ENOSPC = 28


def size_of(frame: a.Issue) -> int:
    """Bytes of a frame."""
    return 96 + sum(16 + operation[3] for operation in frame.operations)


def last_of(frame: a.Issue) -> int:
    """Its last sequence."""
    return frame.first + len(frame.operations) - 1


@dataclass
class QueueDisk:
    """Of one link."""

    memory: list[a.Issue] = field(default_factory=list)
    disk: list[a.Issue] = field(default_factory=list)
    safe: int = 0
    """How many of `disk` are durable."""
    room: int | None = None
    """Bytes that the disk has for it."""
    damaged: bool = False
    """What is read back is not whole."""
    deaf: int = 0
    """So many times it is too busy to give anything back."""
    appends: int = 0

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(size_of(frame) for frame in self.disk)

    @property
    def end(self) -> int:
        """The last sequence on disk."""
        return last_of(self.disk[-1]) if self.disk else 0

    def keep(self, frame: a.Issue) -> None:
        """In memory."""
        self.memory.append(frame)

    def append(self) -> int:
        """All that is in memory goes to the disk; the errno."""
        self.appends += 1
        if self.disk and self.memory:
            assert self.memory[0].first == self.end + 1, "the disk queue has a gap"
        more = sum(size_of(frame) for frame in self.memory)
        if self.room is not None and self.size + more > self.room:
            return ENOSPC
        self.disk += self.memory
        self.memory.clear()
        return 0

    def read(self, after: int, most: int) -> list[a.Issue]:
        """Frames behind a sequence."""
        found: list[a.Issue] = []
        for frame in self.disk:
            if last_of(frame) > after and not self.damaged:
                found.append(frame)
                most -= size_of(frame)
                if most <= 0:
                    break
        return found

    def trim(self, durable: int) -> None:
        """The peer has these durable."""
        if self.deaf:
            self.deaf -= 1
            return
        while self.memory and last_of(self.memory[0]) <= durable:
            del self.memory[0]
        while self.disk and last_of(self.disk[0]) <= durable:
            del self.disk[0]
            self.safe = max(0, self.safe - 1)

    def drop(self) -> None:
        """All of it is forgotten."""
        self.memory.clear()
        self.disk.clear()
        self.safe = 0

    def forget(self, lose_cache: bool) -> None:
        """The process is gone, or the machine."""
        self.memory.clear()
        if lose_cache:
            del self.disk[self.safe :]

    def image(self) -> QueueImage | None:
        """As the next process finds it."""
        if not self.disk:
            return None
        first, newest = self.disk[0], self.disk[-1]
        end = Position(newest.follows.generation, last_of(newest))
        return QueueImage(first.follows, end, self.size)
