"""Entries in order, kept in files of a fixed size: what the apply journal and the disk queue lie in.

An entry is some bytes (a frame, here nobody looks inside) and the position that is reached behind it; an
entry without bytes is a mere change of position. Appending is seen by every process at once and durable
after the next sync. Opening keeps everything up to the first entry that is not whole and wipes out
what lies behind, so that it can never be taken for an entry later; but where that had been durable
already, it is damage: it is told, and nothing is appended before `clear`.

One thread owns a `Segments`. Only `Unsynced.run` and `read` may run on another one, beside it.
Format: `docs/formats.md`.
"""

from __future__ import annotations

import errno
import posixpath
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from farshore.errors import FarshoreError
from farshore.model.messages import Buffer
from farshore.model.positions import Position
from farshore.store import segment_file as sf
from farshore.store.past_segments import PastSegments
from farshore.store.platform import File, FileLayer
from farshore.store.segment_file import ENTRY_BYTES, FIRST, Segment
from farshore.store.segment_sync import FREE, Unsynced, make_file
from farshore.store.slots import damaged

DEFAULT_BYTES: Final = 16 << 20
_ZEROES: Final = bytes(1 << 16)

Entry = tuple[Position, Buffer]
"""The position that is reached with it, and its bytes."""


class Cursor(NamedTuple):
    """A place between two entries."""

    number: int
    offset: int


@dataclass(slots=True)
class _Write:
    """What one append means for one segment."""

    segment: Segment
    offset: int
    pieces: list[Buffer]
    length: int
    last: Position


class Segments:
    """See the module."""

    def __init__(self, layer: FileLayer, directory: str, stream: bytes, segment_bytes: int) -> None:
        """Use `open`."""
        self._layer = layer
        self.directory = directory
        self.stream = stream
        self.segment_bytes = segment_bytes
        self.damaged: str | None = None
        """Why entries that had been durable cannot be read any more; None when all is well."""
        self.synced = 0
        """The place up to which a sync has reached, as `segment_file.place` counts."""
        self.free: deque[tuple[str, File]] = deque()
        """Files with nothing in them that is needed, ready to be used again."""
        self._segments: dict[int, Segment] = {}
        self._ahead: dict[int, Segment] = {}
        """Files that were made for an append that failed."""
        self._next = 1
        self._touched: set[File] = set()
        self._names_changed = False
        self._given_back: list[Segment] = []
        self.past: PastSegments | None = None
        """Where segments go that were given back, if there is use for them."""

    @classmethod
    def open(
        cls, layer: FileLayer, directory: str, stream: bytes, segment_bytes: int = DEFAULT_BYTES
    ) -> Segments:
        """What is there, or nothing in a directory that is made where it is missing. All of it is durable
        when this returns, read from the disk itself: what an earlier process could not make durable is
        not believed (rule C3). Raises OSError, or FarshoreError `state-newer`."""
        if not layer.exists(directory):
            layer.mkdir(directory)
            layer.fsync_dir(posixpath.dirname(directory))
        opened = cls(layer, directory, stream, segment_bytes)
        try:
            opened._load()
        except (FarshoreError, OSError):
            opened.close()
            raise
        return opened

    # -- opening ----------------------------------------------------------------------------

    def _load(self) -> None:
        files: dict[int, File] = {}
        try:
            for name in self._layer.listdir(self.directory):
                if name.endswith(FREE):
                    self._layer.remove(self._path(name))
                elif (number := sf.number_of(name)) is not None:
                    files[number] = file = self._layer.open(self._path(name))
                    file.settle()
            self._layer.fsync_dir(self.directory)
            self._next = max(files, default=0) + 1
            self._read_segments(files)
        finally:
            for number, file in files.items():
                if number not in self._segments:
                    file.close()

    def _read_segments(self, files: dict[int, File]) -> None:
        """Segment by segment up to the first place where there is no whole entry."""
        if not files:
            return
        number = min(files)
        position: Position | None = None
        torn = sf.place(number, 0)
        while number in files:
            data = memoryview(files[number].pread(files[number].size(), 0))
            follows = sf.take_header(data, self._path(sf.name_of(number)), self.stream, number)
            if follows is None or position not in (None, follows):
                break
            end, position = sf.scan(data, self.stream, number, follows)
            self._segments[number] = Segment(number, files[number], len(data), follows, position, end)
            torn = sf.place(number, end)
            number += 1
        self._end_at(torn, files)

    def _end_at(self, torn: int, files: dict[int, File]) -> None:
        """Entries end here: what lies behind had never been durable, or else it is damage."""
        for number in sorted(files):
            if number >= torn >> 32:
                start = torn & 0xFFFFFFFF if number == torn >> 32 else 0
                data = memoryview(files[number].pread(files[number].size(), 0))
                if sf.known_durable(data[start:], self.stream, number) > torn:
                    where = self._path(sf.name_of(torn >> 32))
                    self.damaged = f"{where}: entries that were durable are missing from byte {start} on"
                    return
                if sf.is_foreign(data, self.stream):
                    self.damaged = f"{self._path(sf.name_of(number))}: it belongs to something else"
                    return
        # The newest first: a crash in between leaves a front of the row.
        for number in sorted(files, reverse=True):
            if number not in self._segments:
                self._layer.remove(self._path(sf.name_of(number)))
                self._layer.fsync_dir(self.directory)
        if self._segments:
            newest = self._segments[max(self._segments)]
            self._wipe(newest.file, newest.end, newest.capacity)
            newest.file.fdatasync()
            self._next = newest.number + 1
        self.synced = torn

    def _wipe(self, file: File, start: int, end: int) -> None:
        for offset in range(start, end, len(_ZEROES)):
            length = min(len(_ZEROES), end - offset)
            if any(file.pread(length, offset)):
                file.pwrite(_ZEROES[:length], offset)

    def _path(self, name: str) -> str:
        return posixpath.join(self.directory, name)

    # -- facts ------------------------------------------------------------------------------

    @property
    def start(self) -> Position | None:
        """The position that the first entry follows; None where nothing was ever begun."""
        return next(iter(self._segments.values())).follows if self._segments else None

    @property
    def end(self) -> Position | None:
        """The position behind the last entry."""
        return self._newest.last if self._segments else None

    @property
    def front(self) -> Cursor:
        """The place before the first entry."""
        return Cursor(next(iter(self._segments), self._next), FIRST)

    @property
    def back(self) -> Cursor:
        """The place behind the last entry."""
        return Cursor(self._newest.number, self._newest.end) if self._segments else self.front

    @property
    def bytes_used(self) -> int:
        """Bytes of entries in the segments that were not given back, with what they need around them."""
        return sum(segment.end - FIRST for segment in self._segments.values())

    @property
    def bytes_on_disk(self) -> int:
        """Bytes of the files that hold entries."""
        return sum(segment.capacity for segment in self._segments.values())

    @property
    def _newest(self) -> Segment:
        return self._segments[next(reversed(self._segments))]

    def cursor_at(self, position: Position) -> Cursor:
        """A place at or before the first entry behind `position`, at the start of a segment."""
        found = self.front
        for segment in self._segments.values():
            if segment.follows.sequence <= position.sequence:
                found = Cursor(segment.number, FIRST)
        return found

    # -- appending --------------------------------------------------------------------------

    def append(self, entries: Sequence[Entry], follows: Position) -> None:
        """Appends entries, of which the first one follows `follows`, with one write per segment.

        Raises ValueError where that is not `end`, and OSError where not all of it could be written: then
        none of it counts, and appending may be tried again unless `damaged` says otherwise.
        """
        if self.damaged:
            raise OSError(errno.EIO, self.damaged)
        if self.end not in (None, follows):
            raise ValueError(f"entries that follow {follows} cannot come behind {self.end}")
        writes = self._plan(entries, follows)
        for index, write in enumerate(writes):
            try:
                write.segment.file.pwrite_many(write.pieces, write.offset)
            except OSError:
                self._undo(writes[: index + 1])
                raise
        for write in writes:
            segment = write.segment
            segment.end, segment.last = write.offset + write.length, write.last
            self._segments[segment.number] = segment
            self._ahead.pop(segment.number, None)
            self._touched.add(segment.file)
            self._next = segment.number + 1

    def _plan(self, entries: Sequence[Entry], follows: Position) -> list[_Write]:
        """Room for all of it is made before anything is written."""
        segment = self._newest if self._segments else None
        at = segment.end if segment is not None else 0
        writes: list[_Write] = []
        number = self._next
        for position, data in entries:
            size = ENTRY_BYTES + len(data)
            if segment is None or at + size > segment.capacity:
                segment, at = self._made(number, size, follows), FIRST
                number += 1
            if not writes or writes[-1].segment is not segment:
                writes.append(_Write(segment, at, [], 0, follows))
            write = writes[-1]
            write.pieces.append(sf.entry_head(self.stream, segment.number, self.synced, position, data))
            write.pieces.append(data)
            write.length += size
            write.last = follows = position
            at += size
        return writes

    def _made(self, number: int, room: int, follows: Position) -> Segment:
        """The file of a new segment, with its header; in use only once an append has succeeded."""
        segment = self._ahead.pop(number, None)
        if segment is not None and FIRST + room > segment.capacity:
            segment.file.close()
            self._layer.remove(self._path(sf.name_of(number)))
            segment = None
        if segment is None:
            file, capacity = self._file_for(number, max(self.segment_bytes, FIRST + room))
            segment = Segment(number, file, capacity, follows, follows, FIRST)
        self._ahead[number] = segment
        segment.follows = segment.last = follows
        segment.file.pwrite(sf.put_header(self.stream, number, follows), 0)
        self._touched.add(segment.file)
        return segment

    def _file_for(self, number: int, capacity: int) -> tuple[File, int]:
        self._names_changed = True
        path = self._path(sf.name_of(number))
        if self.free and capacity == self.segment_bytes:
            name, file = self.free.popleft()
            self._layer.rename(name, path)
            return file, capacity
        return make_file(self._layer, path, capacity), capacity

    def _undo(self, writes: list[_Write]) -> None:
        """What an append has left behind must not look like entries, ever."""
        try:
            for write in writes:
                self._wipe(write.segment.file, write.offset, write.offset + write.length)
        except OSError as error:
            self.damaged = f"{self.directory}: a failed write cannot be taken back: {error.strerror}"

    # -- making durable ---------------------------------------------------------------------

    def begin_sync(self) -> Unsynced:
        """Everything appended before this call; durable once `run` has returned, on whatever thread.
        They are run one after the other, in the order in which they were begun."""
        touched, self._touched = self._touched, set()
        names, self._names_changed = self._names_changed, False
        given_back, self._given_back = self._given_back, []
        reach = sf.place(*self.back) if self._segments else self.synced
        newest = self._newest if self._segments else None
        spare = newest is not None and not self.free and newest.end * 2 > newest.capacity
        return Unsynced(self, self._layer, tuple(touched), names, given_back, reach, spare)

    def sync(self) -> None:
        """`begin_sync` and all of its work at once."""
        self.begin_sync().run()

    def trim(self, position: Position) -> None:
        """Gives back the segments in front in which everything lies at or below `position`. Nobody may
        be reading in them. Their files are dealt with by the next sync."""
        for number in list(self._segments)[:-1]:
            last = self._segments[number].last
            if last != position and last.sequence >= position.sequence:
                break
            if self.past is not None:
                self.past.announce(self._segments[number])
            self._given_back.append(self._segments.pop(number))

    def continue_at(self, position: Position) -> None:
        """Makes `position` the end if it is not: the same sequence under another generation. Raises
        ValueError for another sequence, and OSError."""
        end = self.end
        if end is None or end.sequence != position.sequence:
            raise ValueError(f"entries that end at {end} do not go on at {position}")
        if end != position:
            self.append([(position, b"")], end)

    def clear(self, follows: Position | None = None) -> None:
        """Drops every entry, durably, damaged or not; with `follows` a first segment is begun there,
        durably too. For the owner alone: no sync may be under way."""
        if self.past is not None:
            self.past.clear()
        gone = {*self._given_back, *self._ahead.values(), *self._segments.values()}
        self._given_back, self._ahead, self._segments = [], {}, {}
        for segment in gone:
            segment.file.close()
        for name in reversed(self._layer.listdir(self.directory)):
            number = sf.number_of(name)
            if number is not None:
                self._layer.remove(self._path(name))
                self._layer.fsync_dir(self.directory)
                self._next = max(self._next, number + 1)
        self._touched.clear()
        self.damaged = None
        self.synced = sf.place(self._next, 0)
        if follows is not None:
            segment = self._made(self._next, 0, follows)
            self._segments[self._next] = self._ahead.pop(self._next)
            self._next = segment.number + 1
            self.sync()

    # -- reading ----------------------------------------------------------------------------

    def read(self, cursor: Cursor, most: int, through: int | None = None) -> tuple[list[Entry], Cursor]:
        """Entries from a place on, about `most` bytes of them but at least one, and the place behind
        them; no entries at the end, nor behind the sequence `through`. Raises FarshoreError `state-damaged`
        where one is not whole any more, and ValueError where the place was given back."""
        segment = self._segments.get(cursor.number)
        if segment is None:
            if cursor.number >= self._next:
                return [], cursor
            raise ValueError(f"segment {cursor.number} was given back")
        offset, end = cursor.offset, segment.end
        if offset >= end:
            following = Cursor(segment.number + 1, FIRST)
            return self.read(following, most, through) if following.number in self._segments else ([], cursor)
        data = memoryview(segment.file.pread(min(max(most, ENTRY_BYTES), end - offset), offset))
        need = sf.entry_size(data)
        if len(data) < need <= end - offset:
            data = memoryview(segment.file.pread(need, offset))
        entries: list[Entry] = []
        used = sf.take_entries(data, self.stream, segment.number, entries)
        if not entries:
            raise damaged(self._path(sf.name_of(segment.number)), f"the entry at byte {offset} is not whole")
        while through is not None and entries and entries[-1][0].sequence > through:
            used -= ENTRY_BYTES + len(entries.pop()[1])
        return entries, Cursor(segment.number, offset + used)

    def close(self) -> None:
        """Ends the use of the files; makes nothing durable."""
        for segment in (*self._segments.values(), *self._ahead.values(), *self._given_back):
            segment.file.close()
        while self.free:
            self.free.pop()[1].close()
