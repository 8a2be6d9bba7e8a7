"""Segments of a journal that hold nothing but applied frames, kept for a rewind: a row that ends where the
journal begins.

A segment gets here by a new name, once the journal has given it back, and goes for good when it is the
oldest one and there is no more use or room for it (`farshore.core.rewinding.surplus`). Nothing but a rewind
ever reads here, and that checks what it reads, frame by frame: so whatever is lost here shortens the way back
and nothing else. What is out of its place when a row is opened is removed. One thread changes a row, beside
which others may look at `kept` and read; who reads a file that is just going is told by an OSError.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from farshore.core import rewinding
from farshore.model.messages import Buffer
from farshore.model.positions import Position
from farshore.store import segment_file as sf
from farshore.store.platform import FileLayer
from farshore.store.segment_file import FIRST, Segment
from farshore.store.slots import damaged

SUFFIX: Final = ".past"
LEAST: Final = 256 << 20


def default_limit(size: int) -> int:
    """Bytes that a row may take where nobody has chosen: as much as the volumes have, and some segments at
    least."""
    return max(size, LEAST)


@dataclass(frozen=True, slots=True)
class PastSegment(rewinding.Kept):
    """One file, and the position that its first frame follows."""

    follows: Position


class PastSegments:
    """See the module. `limit` bounds the bytes of all files."""

    def __init__(self, files: FileLayer, directory: str, stream: bytes) -> None:
        """Use `open`."""
        self._files = files
        self._directory = directory
        self._stream = stream
        self.limit = 0
        self.marks: tuple[int, ...] = ()
        """Sequences of the snapshots that frames may lead on from."""
        self.kept: tuple[PastSegment, ...] = ()
        self._coming: tuple[PastSegment, ...] = ()
        """Segments that the journal has given back, and that get their names with its next sync."""
        self._newest = 0
        """The number of the newest segment that has come, or that there was no use for."""

    @classmethod
    def open(cls, files: FileLayer, directory: str, stream: bytes, limit: int) -> PastSegments:
        """The row beside a journal that is not open yet. Raises OSError or FarshoreError `state-newer`."""
        row = cls(files, directory, stream)
        row.limit = limit
        if files.exists(directory):
            row._load()
        return row

    def _load(self) -> None:
        names = self._files.listdir(self._directory)
        past = {int(each.removesuffix(SUFFIX), 16) for each in names if each.endswith(SUFFIX)}
        journal = sorted(number for each in names if (number := sf.number_of(each)) is not None)
        if not past:
            return
        # Segments come here in order. Where a loss of power has kept the new names in another one, it is
        # made up for before anybody takes that for a gap in the journal.
        for number in [each for each in journal if each < max(past)]:
            self._files.rename(self._path(sf.name_of(number)), self._path(_name_of(number)))
            past.add(number)
            journal.remove(number)
        found: list[PastSegment] = []
        following = journal[0] if journal else 0
        last = self._follows(sf.name_of(following), following) if journal else None
        for number in sorted(past, reverse=True):
            if last is None or number != following - 1 or (made := self._known(number, last)) is None:
                break
            found.append(made)
            following, last = number, made.follows
        for number in sorted(past - {each.number for each in found}):
            self._files.remove(self._path(_name_of(number)))
        self._files.fsync_dir(self._directory)
        self.kept = tuple(reversed(found))

    def _follows(self, name: str, number: int) -> Position | None:
        file = self._files.open(self._path(name))
        try:
            return sf.take_header(memoryview(file.pread(FIRST, 0)), self._path(name), self._stream, number)
        finally:
            file.close()

    def _known(self, number: int, last: Position) -> PastSegment | None:
        """None for a file that is no segment of ours."""
        name = _name_of(number)
        follows = self._follows(name, number)
        if follows is None:
            return None
        file = self._files.open(self._path(name))
        try:
            return PastSegment(number, file.size(), last.sequence, follows)
        finally:
            file.close()

    def _path(self, name: str) -> str:
        return posixpath.join(self._directory, name)

    # -- facts ------------------------------------------------------------------------------

    @property
    def row(self) -> tuple[PastSegment, ...]:
        """All up to where the journal begins, also those that have no name of their own yet. For the thread
        that owns the journal."""
        newest, kept = self._newest, self.kept  # in this order: one that is just coming is in either of both
        newest = max(newest, kept[-1].number) if kept else newest
        return (*kept, *[each for each in self._coming if each.number > newest])

    @property
    def start(self) -> Position | None:
        """The position that the first frame here follows; None for an empty row."""
        row = self.row
        return row[0].follows if row else None

    @property
    def bytes_on_disk(self) -> int:
        """Of all files."""
        return sum(each.size for each in self.row)

    # -- coming and going -------------------------------------------------------------------

    def announce(self, segment: Segment) -> None:
        """The journal does not have it any more. For the thread that owns the journal."""
        coming = [each for each in self._coming if each.number > self._newest]
        if self._useful(segment, self.row):
            coming.append(_made(segment))
        self._coming = tuple(coming)

    def _useful(self, segment: Segment, before: tuple[PastSegment, ...]) -> bool:
        start = before[0].follows if before else segment.follows
        after = rewinding.kept_from(self.marks, start.sequence)
        return after is not None and segment.last.sequence >= after

    def take(self, segment: Segment) -> bool:
        """One more segment, the next one; False where it is of no use, and stays the caller's. Its name is
        durable once the directory is."""
        if self.kept and self.kept[-1].number != segment.number - 1:
            self._drop(len(self.kept))
        if not self._useful(segment, self.kept):
            self._newest = segment.number
            return False
        name = sf.name_of(segment.number)
        self._files.rename(self._path(name), self._path(_name_of(segment.number)))
        segment.file.close()
        self.kept = (*self.kept, _made(segment))
        self._newest = segment.number
        return True

    @property
    def overdue(self) -> int:
        """Segments for which there is no use or no room."""
        kept = self.kept
        return rewinding.surplus(kept, kept[0].follows.sequence, self.marks, self.limit) if kept else 0

    def settle(self) -> bool:
        """Removes these; whether any."""
        gone = self.overdue
        self._drop(gone)
        return gone > 0

    def clear(self) -> None:
        """The journal begins anew, or ends: nothing here leads anywhere."""
        self._coming = ()
        self._drop(len(self.kept))

    def _drop(self, count: int) -> None:
        gone, self.kept = self.kept[:count], self.kept[count:]
        for each in gone:
            self._files.remove(self._path(_name_of(each.number)))

    # -- reading ----------------------------------------------------------------------------

    def entries(self, segment: PastSegment) -> Iterator[tuple[Position, Buffer]]:
        """The entries of one segment. Raises OSError, or FarshoreError `state-damaged` where not all are
        whole."""
        path = self._path(_name_of(segment.number))
        if not self._files.exists(path):
            path = self._path(sf.name_of(segment.number))  # it gets its name with the next sync
            if not self._files.exists(path):
                path = self._path(_name_of(segment.number))  # or has just got it
        file = self._files.open(path)
        try:
            data = memoryview(file.pread(segment.size, 0))
        finally:
            file.close()
        found: list[tuple[Position, Buffer]] = []
        sf.take_entries(data[FIRST:], self._stream, segment.number, found)
        # One without entries is whole where the first of a row was too large for the file it began with.
        reached = found[-1][0] if found else segment.follows
        if reached.sequence != segment.last:
            raise damaged(path, "not all of its entries are whole")
        yield from found


def _made(segment: Segment) -> PastSegment:
    return PastSegment(segment.number, segment.capacity, segment.last.sequence, segment.follows)


def _name_of(number: int) -> str:
    return f"{number:016x}{SUFFIX}"
