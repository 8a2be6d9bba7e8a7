"""A link's disk queue on disk: frames in segments, row after row, from the oldest that is still needed.

It is opened by the first use, and made where it is missing. Every frame comes with the position that it
reaches and the one that it follows; where a generation has ended, the row says so with an entry of its
own. Every failure is an OSError: what it means is the core's decision. One user at a time.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Final, NamedTuple

from farshore.errors import FarshoreError
from farshore.model.messages import Buffer
from farshore.model.positions import Position
from farshore.store.platform import FileLayer
from farshore.store.segment_reader import SegmentReader
from farshore.store.segments import DEFAULT_BYTES, Entry, Segments

PIECES: Final = 16
"""A segment is at most 1/PIECES of the queue's bound: room comes back in whole segments."""
LEAST_SEGMENT: Final = 256 << 10


class Kept(NamedTuple):
    """A frame, with the positions behind it and before it."""

    reaches: Position
    follows: Position
    body: Buffer


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where a link's queue lies, and what its files are made with."""

    layer: FileLayer
    directory: str
    link: bytes
    segment_bytes: int

    @classmethod
    def for_bound(cls, layer: FileLayer, directory: str, link: bytes, bound: int) -> Shelf:
        """For a queue of so many bytes."""
        return cls(layer, directory, link, min(DEFAULT_BYTES, max(LEAST_SEGMENT, bound // PIECES)))

    @property
    def exists(self) -> bool:
        """Whether there is anything."""
        return self.layer.exists(self.directory)

    def open(self) -> Segments:
        """Raises OSError."""
        try:
            return Segments.open(self.layer, self.directory, self.link, self.segment_bytes)
        except FarshoreError as error:
            raise OSError(errno.EIO, error.what) from error


class QueueFiles:
    """See the module."""

    __slots__ = ("_reader", "_segments", "shelf")

    def __init__(self, shelf: Shelf, segments: Segments | None = None) -> None:
        """`segments` if somebody has opened them already."""
        self.shelf = shelf
        self._segments = segments
        self._reader: SegmentReader | None = None

    # -- facts ----------------------------------------------------------------------------------

    @property
    def opened(self) -> bool:
        """Whether the first use was made."""
        return self._segments is not None

    @property
    def end(self) -> int:
        """The last sequence that is here, 0 for none."""
        end = self._segments.end if self._segments is not None else None
        return end.sequence if end is not None else 0

    @property
    def size(self) -> int:
        """Bytes of what is here."""
        return self._segments.bytes_used if self._segments is not None else 0

    # -- use ------------------------------------------------------------------------------------

    def open(self) -> Segments:
        """The segments."""
        if self._segments is None:
            self._segments = self.shelf.open()
        return self._segments

    def append(self, frames: list[Kept], durable: int = 0) -> None:
        """All of these, or none: they follow each other and what is here. If they do not, what is here goes
        where the peer has it `durable`; else this is an error."""
        segments = self.open()
        follows, end = frames[0].follows, segments.end
        entries: list[Entry] = [(each.reaches, each.body) for each in frames]
        if end is None:
            end = follows
        elif end != follows and end.sequence == follows.sequence:
            entries.insert(0, (follows, b""))
        elif end != follows:
            if end.sequence > durable:
                raise OSError(errno.EIO, f"frames behind {follows.sequence} do not follow {end.sequence}")
            self.clear()
            end = follows
        segments.append(entries, end)

    def read(self, after: int, most: int) -> list[Buffer]:
        """Frames behind a sequence, about `most` bytes of them but at least one; none at the end."""
        segments = self.open()
        if self._reader is None:
            self._reader = SegmentReader(segments)
        return self._reader.begin(after, None, most)()

    def trim(self, durable: int) -> bool:
        """The peer has everything up to here durable; True if something was given back for it. What is
        given back for good is the next sync's work."""
        if self._segments is None:
            return False
        before = self.size
        self._segments.trim(Position(b"", durable))
        return self.size != before

    def sync(self) -> None:
        """Everything appended is durable when this returns."""
        if self._segments is not None:
            self._segments.sync()

    def clear(self) -> None:
        """Nothing is here any more, durably."""
        self._reader = None
        segments = self.open()
        if segments.start is None and not segments.damaged:
            return
        try:
            segments.clear()
        except OSError:
            self.close()  # the next use looks at what is there, and makes what is missing
            raise

    def close(self) -> None:
        """Ends the use of the files."""
        segments, self._segments = self._segments, None
        self._reader = None
        if segments is not None:
            segments.close()

    def remove(self) -> None:
        """Ends it and leaves nothing behind."""
        self.close()
        layer, directory = self.shelf.layer, self.shelf.directory
        if self.shelf.exists:
            for name in reversed(layer.listdir(directory)):
                layer.remove(f"{directory}/{name}")
            layer.remove(directory)
