"""The file of one layer of a preserve store: what regions held, in entries one behind the other.

An entry is a table of regions and their content, each with its checksum; it is appended in one piece and
counts once it is synced. Opening finds all entries again. At most the last one can be torn, since one
is synced before the next is written; it is dropped then, and nothing can have relied on it. What is known to
have been durable and cannot be read is damage and is told as such, never guessed. Format: `docs/formats.md`.
"""

from __future__ import annotations

import errno
import struct
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from xxhash import xxh3_64_intdigest

from farshore.errors import FarshoreError
from farshore.model.messages import Buffer
from farshore.store.platform import File, FileLayer
from farshore.store.slots import damaged, newer

MAGIC: Final = b"FShrLayr"
VERSION: Final = 2
"""2 adds rows of regions that could not be read. A file of version 1 has none; it becomes one of ours when
it is opened, before any can be added."""
ENTRY_MAGIC: Final = b"FShl"
_HEADER: Final = struct.Struct("<8sHHI16s")
_ENTRY: Final = struct.Struct("<4sIQQ")
_ROW: Final = struct.Struct("<HHIQ")
_CHECKSUM: Final = struct.Struct("<Q")
_REACHED: Final = 512
"""Where a sector tells how far a sync had come, as of some moment: it is never synced for itself."""
_CELL: Final = struct.Struct("<QQ")
FIRST: Final = 1024
"""Where the first entry begins: header and cell have a sector each."""
ENTRY_HEAD: Final = _ENTRY.size + _CHECKSUM.size
MOST_ROWS: Final = 1 << 16
MOST_DATA: Final = 32 << 20
"""Bytes of content in one entry."""
_ZERO: Final = 1
_UNREAD: Final = 2
UNREAD: Final = b""
"""In place of the content of a region that the disk refused when it was to be kept."""

Piece = tuple[int, int, int, Buffer | None]
"""(volume, region, bytes, content); None for zeroes, or `UNREAD`."""
_NOWHERE: Final = -1
_LOST: Final = -2
_MOST_ENTRY: Final = ENTRY_HEAD + MOST_ROWS * (_ROW.size + _CHECKSUM.size) + MOST_DATA


def room_for(regions: int, size: int) -> int:
    """Bytes that so many regions with so much content may take in a file, in entries of any length."""
    return regions * (ENTRY_HEAD + _ROW.size + _CHECKSUM.size) + size


def _header_of(layer: bytes) -> bytes:
    head = _HEADER.pack(MAGIC, VERSION, 0, 0, layer)
    return head + _CHECKSUM.pack(xxh3_64_intdigest(head))


def _key(volume: int, region: int) -> int:
    return volume << 48 | region


class LayerFile:
    """See the module. One thread saves; any number may read meanwhile."""

    __slots__ = ("__weakref__", "_file", "_id", "_path", "_places", "_synced", "end", "lost", "room")

    def __init__(self, file: File, path: str, layer: bytes) -> None:
        """Use `create` or `open`."""
        self._file = file
        self._path = path
        self._id = layer
        self._places: dict[int, int] = {}
        self._synced = FIRST
        self.end = FIRST
        """Where the next entry goes."""
        self.room = FIRST
        """Bytes of the file, also what is kept free for entries to come."""
        self.lost: frozenset[tuple[int, int]] = frozenset()
        """(volume, region) of what could not be read when it was to be kept."""

    @classmethod
    def create(cls, files: FileLayer, path: str, layer: bytes, reserve: int) -> LayerFile:
        """An empty file with room for `reserve` bytes of entries, durably but for its name. Raises OSError,
        and leaves nothing behind then."""
        file = files.open(path, create=True)
        try:
            file.pwrite(_header_of(layer), 0)
            file.reserve(FIRST + reserve)
            file.fdatasync()
        except OSError:
            file.close()
            files.remove(path)
            raise
        made = cls(file, path, layer)
        made.room = FIRST + reserve
        return made

    @classmethod
    def open(cls, files: FileLayer, path: str, layer: bytes) -> LayerFile:
        """Raises FarshoreError `state-damaged` (also where the file is missing) or `state-newer`."""
        if not files.exists(path):
            raise damaged(path, "the file is missing")
        opened = cls(files.open(path), path, layer)
        try:
            opened._load()
        except (FarshoreError, OSError):
            opened.close()
            raise
        return opened

    def _load(self) -> None:
        """What the cache shows may not be on the disk, and what is found is about to count as saved."""
        file = self._file
        file.settle()
        head = file.pread(_HEADER.size + _CHECKSUM.size, 0)
        body = head[: _HEADER.size]
        if len(head) < _HEADER.size + _CHECKSUM.size or body[:8] != MAGIC:
            raise damaged(self._path, "this is no layer of a preserve store")
        if _CHECKSUM.unpack_from(head, _HEADER.size)[0] != xxh3_64_intdigest(body):
            raise damaged(self._path, "the layer's header is damaged")
        _, version, _, _, layer = _HEADER.unpack(body)
        if version > VERSION:
            raise newer(self._path, version, VERSION)
        if layer != self._id:
            raise damaged(self._path, "the file is of another layer")
        size = file.size()
        self._find_entries(size)
        reached, checksum = _CELL.unpack(file.pread(_CELL.size, _REACHED).ljust(_CELL.size, b"\0"))
        if checksum == self._of_cell(reached) and reached > self.end:
            raise damaged(self._path, f"what was durable from byte {self.end} to {reached} cannot be read")
        self._refuse_gap(size)
        file.truncate(self.end)  # no rest of a torn entry is ever read behind a later one
        if version != VERSION:
            file.pwrite(_header_of(layer), 0)
        file.fdatasync()
        self._synced = self.room = self.end

    def _find_entries(self, size: int) -> None:
        last = self._table_at(self.end, size)
        while last is not None:
            begin, rows, end = last
            following = self._table_at(end, size)
            if following is None and not self._whole(begin, rows):
                return
            self._index(begin, rows)
            self.end, last = end, following

    def _table_at(self, at: int, size: int) -> tuple[int, list[tuple[int, int, int, int]], int] | None:
        """(where its content begins, rows, its end) of the entry here; None where there is no whole one."""
        head = self._file.pread(ENTRY_HEAD, at)
        if len(head) < ENTRY_HEAD:
            return None
        magic, count, length, _ = _ENTRY.unpack_from(head)
        begin = at + ENTRY_HEAD + count * _ROW.size
        if magic != ENTRY_MAGIC or not 0 < count <= MOST_ROWS or begin + length > size:
            return None
        table = self._file.pread(count * _ROW.size, at + ENTRY_HEAD)
        if _CHECKSUM.unpack_from(head, _ENTRY.size)[0] != self._of_table(at, head[: _ENTRY.size], table):
            return None
        return begin, list(_ROW.iter_unpack(table)), begin + length

    def _of_table(self, at: int, head: bytes, table: bytes) -> int:
        """Its place belongs to what is checked: an entry counts nowhere else."""
        return xxh3_64_intdigest(head + table, seed=xxh3_64_intdigest(self._id + at.to_bytes(8, "little")))

    def _of_cell(self, reached: int) -> int:
        return xxh3_64_intdigest(self._id + reached.to_bytes(8, "little"))

    def _whole(self, begin: int, rows: list[tuple[int, int, int, int]]) -> bool:
        """Whether the content of the last entry is: it may never have been synced."""
        for _, flags, length, _ in rows:
            if not flags & (_ZERO | _UNREAD):
                stored = self._file.pread(_CHECKSUM.size + length, begin)
                if not _sound(stored, length):
                    return False
                begin += len(stored)
        return True

    def _index(self, begin: int, rows: Iterable[tuple[int, int, int, int]]) -> None:
        lost: list[tuple[int, int]] = []
        for volume, flags, length, region in rows:
            place = _NOWHERE if flags & _ZERO else _LOST if flags & _UNREAD else begin
            self._places[_key(volume, region)] = place
            if place == _LOST:
                lost.append((volume, region))
            elif place == begin:
                begin += _CHECKSUM.size + length
        if lost:
            self.lost = self.lost.union(lost)

    def _refuse_gap(self, size: int) -> None:
        """An entry behind this place: one is synced before the next is written, so this place was durable."""
        at, stop = self.end, min(size, self.end + 2 * _MOST_ENTRY)
        while at < stop:
            data = self._file.pread(min(1 << 20, stop - at) + ENTRY_HEAD, at)
            found = data.find(ENTRY_MAGIC)
            while 0 <= found < 1 << 20:
                place = at + found
                if place > self.end and self._table_at(place, size) is not None:
                    raise damaged(self._path, f"what was durable at byte {self.end} cannot be read")
                found = data.find(ENTRY_MAGIC, found + 1)
            at += 1 << 20

    # -- saving -----------------------------------------------------------------------------

    def append(self, pieces: Sequence[Piece]) -> None:
        """Writes one entry and makes it durable; only then are these regions kept. At most `MOST_DATA`
        bytes of content. After an OSError nobody may rely on any of them being kept."""
        rows: list[bytes] = []
        parts: list[Buffer] = []
        for volume, region, length, data in pieces:
            flags = _ZERO if data is None else 0 if data else _UNREAD
            rows.append(_ROW.pack(volume, flags, length, region))
            if data:
                parts.append(_CHECKSUM.pack(xxh3_64_intdigest(data)))
                parts.append(data)
        table, size = b"".join(rows), sum(map(len, parts))
        head = _ENTRY.pack(ENTRY_MAGIC, len(rows), size, self._synced)
        checksum = _CHECKSUM.pack(self._of_table(self.end, head, table))
        self._file.pwrite_many([head, checksum, table, *parts], self.end)
        self._file.fdatasync()
        begin = self.end + ENTRY_HEAD + len(table)
        self._index(begin, [_ROW.unpack(row) for row in rows])
        self.end = self._synced = begin + size
        self.room = max(self.room, self.end)
        self._file.pwrite(_CELL.pack(self.end, self._of_cell(self.end)), _REACHED)

    def size_of(self, pieces: Sequence[Piece]) -> int:
        """Bytes that these would take."""
        return ENTRY_HEAD + sum(
            _ROW.size + (_CHECKSUM.size + length if data else 0) for _, _, length, data in pieces
        )

    # -- reading ----------------------------------------------------------------------------

    def has(self, volume: int, region: int) -> bool:
        """Whether this layer keeps what the region held."""
        return _key(volume, region) in self._places

    def kept(self) -> list[tuple[int, int]]:
        """(volume, region) of all that it keeps, in the order of the volumes."""
        return [(key >> 48, key & (1 << 48) - 1) for key in sorted(self._places)]

    def read(self, volume: int, region: int, length: int) -> bytes | None:
        """What the region held, None for zeroes. Raises OSError, also for what could not be read when it was
        to be kept, and FarshoreError `state-damaged`."""
        place = self._places[_key(volume, region)]
        if place == _NOWHERE:
            return None
        if place == _LOST:
            text = f"region {region} of volume {volume} could not be read when it was to be kept"
            raise OSError(errno.EIO, text, self._path)
        stored = self._file.pread(_CHECKSUM.size + length, place)
        if not _sound(stored, length):
            raise damaged(self._path, f"region {region} of volume {volume} cannot be read")
        return stored[_CHECKSUM.size :]

    def close(self) -> None:
        """Ends the use of the file."""
        self._file.close()

    def leave(self) -> None:
        """The same, once the last thread that reads just now has let go of it."""
        weakref.finalize(self, self._file.close).atexit = False


def _sound(stored: bytes, length: int) -> bool:
    whole = len(stored) == _CHECKSUM.size + length
    return whole and _CHECKSUM.unpack_from(stored)[0] == xxh3_64_intdigest(stored[_CHECKSUM.size :])


def entries_of(pieces: Iterator[Piece]) -> Iterator[list[Piece]]:
    """Pieces in lists that fit into one entry each."""
    part: list[Piece] = []
    size = 0
    for piece in pieces:
        length = piece[2] if piece[3] else 0
        if part and (size + length > MOST_DATA or len(part) >= MOST_ROWS):
            yield part
            part, size = [], 0
        part.append(piece)
        size += length
    if part:
        yield part
