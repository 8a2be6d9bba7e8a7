"""A link's scoreboard on disk: a small record of what it is bound to, and pages of its bitmaps.

False dirty is allowed, false clean never (rule A1): a page that does not hold its checksum reads as
all ones, and a file that is missing, of another size or bound to other sizes reads as damaged.
Where volumes of the group came or went since, the marks of those that stayed are carried over.
A base that moves is durable before any page that it allows to clear (rule A5). Pages hold a valid
checksum from the creation of the file on, so a page of nothing but zeroes is damage as well.
What the bits mean is decided by `farshore.core.scoreboard`. Format: `docs/formats.md`.
"""

from __future__ import annotations

import json
import posixpath
import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final

from xxhash import xxh3_64_intdigest

from farshore.core.geometry import PAGE_BITS, PAGE_BYTES, Geometry
from farshore.core.scoreboard import DIRTY, MAPS, BoardImage, Page
from farshore.errors import FarshoreError
from farshore.model.positions import Position
from farshore.store.platform import File, FileLayer
from farshore.store.slots import (
    SLOT_HEAD,
    RecordKind,
    SlotPair,
    damaged,
    slot_bytes_for,
    slot_bytes_of,
)

KIND: Final = RecordKind(b"FShrBord", 1)
PAGE_ON_DISK: Final = 4096
_TRAILER: Final = struct.Struct("<QQ")
_SUMMED: Final = PAGE_ON_DISK - 8
_ZEROES: Final = bytes(PAGE_BYTES)
_ONES: Final = b"\xff" * PAGE_BYTES
_CHUNK_PAGES: Final = 256
_BEFORE_FOUND: Final = MAPS[:-1]
"""The maps of a file from before there was a verify."""


def encode_page(seed: int, bitmap: bytes, counter: int) -> bytes:
    """One page; `bitmap` is padded with zeroes. `seed` says which page it is (`page_seed`), so that a
    page in the place of another one does not hold."""
    head = b"".join((bitmap, bytes(PAGE_BYTES - len(bitmap)), counter.to_bytes(8, "little")))
    return head + xxh3_64_intdigest(head, seed=seed).to_bytes(8, "little")


def decode_page(seed: int, page: bytes) -> tuple[bytes, int] | None:
    """Bitmap and counter of a page; None when it does not hold."""
    if len(page) != PAGE_ON_DISK:
        return None
    counter, checksum = _TRAILER.unpack_from(page, PAGE_BYTES)
    if checksum != xxh3_64_intdigest(memoryview(page)[:_SUMMED], seed=seed):
        return None
    return page[:PAGE_BYTES], counter


def page_seed(name: str, volume: int, number: int) -> int:
    """The checksum's seed of a page: map, volume id and page number."""
    return (MAPS.index(name) + 1) << 56 | volume << 40 | number


class ScoreboardFile:
    """The file of one link, for the volumes of `geometry`."""

    __slots__ = (
        "_bound",
        "_counter",
        "_current",
        "_file",
        "_geometry",
        "_image",
        "_maps",
        "_pair",
        "_place",
        "_starts",
    )

    def __init__(
        self, place: tuple[FileLayer, str], file: File, geometry: Geometry, maps: tuple[str, ...] = MAPS
    ) -> None:
        """Use `create` or `open`. `place` is where the file is, or will be once it is whole."""
        self._place = place
        self._file = file
        self._current, self._geometry = geometry, geometry.copied()
        """As it is at any time, and as this file was made for."""
        self._maps = maps
        self._pair = SlotPair(file, KIND, slot_bytes_for(1024 + 64 * len(geometry.sizes)))
        self._bound: tuple[Position | None, bytes | None] = (None, None)
        self._counter = 0
        self._image = BoardImage(None, None, {}, damaged=True)
        self._starts: dict[tuple[str, int], int] = {}
        at = 2 * self._pair.slot_bytes
        for name, volume, count in self._runs():
            self._starts[name, volume] = at
            at += count * PAGE_ON_DISK

    def _runs(self) -> Iterator[tuple[str, int, int]]:
        """(map, volume, pages) in the order in which they stand in the file."""
        for name in self._maps:
            for volume in sorted(self._geometry.sizes):
                yield name, volume, -(-self._geometry.regions(volume) // PAGE_BITS)

    def _size(self) -> int:
        return 2 * self._pair.slot_bytes + sum(count for *_, count in self._runs()) * PAGE_ON_DISK

    @classmethod
    def create(
        cls, layer: FileLayer, path: str, geometry: Geometry, *, dirty: bool = False
    ) -> ScoreboardFile:
        """Makes the file, with no base, and no region marked or (`dirty`, reads as damaged) every region
        dirty. Takes the place of a file of that name, if any; all of it is durable on return."""
        return cls._make(layer, path, geometry, BoardImage(None, None, {}, damaged=dirty))

    @classmethod
    def _make(cls, layer: FileLayer, path: str, geometry: Geometry, image: BoardImage) -> ScoreboardFile:
        """A file with this content, in the place of the one of that name."""
        beside = path + ".new"
        if layer.exists(beside):
            layer.remove(beside)
        board = cls((layer, path), layer.open(beside, create=True), geometry)
        try:
            board._file.allocate_zeroed(board._size())
            for name, volume, count in board._runs():
                unknown = _ONES if image.damaged and name == DIRTY else _ZEROES
                board._fill(name, volume, count, image.maps.get((name, volume), unknown * count))
            board._pair.write(board._record(image.base, image.peer_copy))
            layer.rename(beside, path)
            layer.fsync_dir(posixpath.dirname(path))
        except OSError:
            board.close()
            raise
        board._bound = (image.base, image.peer_copy)
        board._image = image
        return board

    def _fill(self, name: str, volume: int, count: int, bitmap: bytes) -> None:
        for first in range(0, count, _CHUNK_PAGES):
            numbers = range(first, min(first + _CHUNK_PAGES, count))
            pages = [
                encode_page(
                    page_seed(name, volume, number),
                    bitmap[number * PAGE_BYTES : (number + 1) * PAGE_BYTES],
                    0,
                )
                for number in numbers
            ]
            self._file.pwrite(b"".join(pages), self._starts[name, volume] + first * PAGE_ON_DISK)

    @classmethod
    def open(cls, layer: FileLayer, path: str, geometry: Geometry) -> ScoreboardFile:
        """A file of a group that has gained or lost volumes since is replaced by one in which the new ones
        are dirty and the others as they were; what volumes have grown by is clear, as it began with zeroes
        everywhere; and one of an earlier build is replaced by one with every map. One that
        is missing or damaged as a whole is replaced by one in which everything is dirty, and reads as
        damaged. Raises FarshoreError `state-newer`."""
        try:
            return cls._open(layer, path, geometry)
        except FarshoreError as reason:
            if reason.code.name != "state-damaged":
                raise
        earlier = cls._earlier(layer, path, geometry)
        if earlier is None:
            return cls.create(layer, path, geometry, dirty=True)
        image = earlier.read()
        earlier.close()
        return cls._make(layer, path, geometry, _carried_over(image, geometry))

    @classmethod
    def _earlier(cls, layer: FileLayer, path: str, geometry: Geometry) -> ScoreboardFile | None:
        """The file as it was made for other volumes, or without all of the maps; None when it is neither."""
        for maps in (MAPS, _BEFORE_FOUND):
            try:
                return cls._open(layer, path, _recorded(layer, path, geometry), maps)
            except FarshoreError as reason:
                if reason.code.name != "state-damaged":
                    raise
        return None

    @classmethod
    def _open(
        cls, layer: FileLayer, path: str, geometry: Geometry, maps: tuple[str, ...] = MAPS
    ) -> ScoreboardFile:
        if not layer.exists(path):
            raise damaged(path, "the file is missing")
        board = cls((layer, path), layer.open(path), geometry, maps)
        try:
            # The record first: a newer version may well have another size.
            record = board._pair.load(path)
            if record is None or board._file.size() != board._size():
                raise damaged(path, "the file is not as long as its volumes need")
            board._bound = board._taken(record, path)
            board._load()
        except (FarshoreError, OSError):
            board.close()
            raise
        return board

    def _record(self, base: Position | None, peer_copy: bytes | None) -> bytes:
        value = {
            "base": None if base is None else [base.generation.hex(), base.sequence],
            "peer_copy": None if peer_copy is None else peer_copy.hex(),
            "region": self._geometry.region,
            "volumes": sorted(self._geometry.sizes.items()),
        }
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

    def _taken(self, record: bytes, path: str) -> tuple[Position | None, bytes | None]:
        try:
            value: dict[str, Any] = json.loads(record)
            base, peer = value["base"], value["peer_copy"]
            bound = (
                None if base is None else Position(bytes.fromhex(base[0]), base[1]),
                None if peer is None else bytes.fromhex(peer),
            )
        except (ValueError, KeyError, TypeError, IndexError) as reason:
            raise damaged(path, f"the record cannot be read: {reason}") from reason
        if self._record(*bound) != record:
            raise damaged(path, "the scoreboard is of other volumes or regions")
        return bound

    def _load(self) -> None:
        """Reads every page, and writes those that were ever written once more: after a process that
        died, or whose sync failed, what the cache shows need not be on the disk."""
        maps = {(name, volume): self._bitmap(name, volume, count) for name, volume, count in self._runs()}
        self._file.fdatasync()
        self._image = BoardImage(*self._bound, maps)

    def _bitmap(self, name: str, volume: int, count: int) -> bytes:
        bitmaps: list[bytes] = []
        for first in range(0, count, _CHUNK_PAGES):
            pages = min(_CHUNK_PAGES, count - first)
            offset = self._starts[name, volume] + first * PAGE_ON_DISK
            data = self._file.pread(pages * PAGE_ON_DISK, offset)
            written = False
            for index in range(pages):
                page = data[index * PAGE_ON_DISK : (index + 1) * PAGE_ON_DISK]
                bitmap, counter = decode_page(page_seed(name, volume, first + index), page) or (_ONES, 0)
                bitmaps.append(bitmap)
                self._counter = max(self._counter, counter)
                written = written or counter > 0
            if written:
                self._file.pwrite(data, offset)
        return _cut(b"".join(bitmaps), self._geometry.regions(volume))

    def read(self) -> BoardImage:
        """The scoreboard as it was opened. `maps` has the bitmap of each map and volume, cut to the
        volume's regions, none for a new file; it is empty when the whole is damaged."""
        return self._image

    def write(self, base: Position | None, peer_copy: bytes | None, pages: Sequence[Page]) -> None:
        """First the binding, if it changed, durably; then the pages, durably. After an OSError each
        page is the old one, the new one or all ones, and no page is new under the old binding. A file whose
        volumes have grown since is replaced first by one that is as long as they need."""
        if self._current.sizes != self._geometry.sizes:
            self._regrow()
        if (base, peer_copy) != self._bound:
            self._pair.write(self._record(base, peer_copy))
            self._bound = (base, peer_copy)
        if pages:
            self._counter += 1
            for offset, data in self._runs_of(pages):
                self._file.pwrite(data, offset)
            self._file.fdatasync()

    def _regrow(self) -> None:
        maps = {(name, volume): self._bitmap(name, volume, count) for name, volume, count in self._runs()}
        (layer, path), earlier = self._place, self._file
        image = _carried_over(BoardImage(*self._bound, maps), self._current.copied())
        made = ScoreboardFile._make(layer, path, self._current, image)
        for name in ("_file", "_geometry", "_pair", "_bound", "_counter", "_starts"):
            setattr(self, name, getattr(made, name))
        earlier.close()

    def _runs_of(self, pages: Sequence[Page]) -> Iterator[tuple[int, bytes]]:
        """The pages as they stand in the file, neighbours joined."""
        placed = sorted(
            (self._starts[name, volume] + number * PAGE_ON_DISK, page_seed(name, volume, number), bitmap)
            for name, volume, number, bitmap in pages
        )
        run: list[bytes] = []
        start = 0
        for offset, seed, bitmap in placed:
            if run and (offset != start + len(run) * PAGE_ON_DISK or len(run) == _CHUNK_PAGES):
                yield start, b"".join(run)
                run = []
            if not run:
                start = offset
            run.append(encode_page(seed, bitmap, self._counter))
        yield start, b"".join(run)

    def close(self) -> None:
        """Ends the use of the file."""
        self._file.close()


def _recorded(layer: FileLayer, path: str, geometry: Geometry) -> Geometry:
    """What a file was made for, if that is `geometry` but for volumes that came, went or have grown; the
    slots have the size that the file says. Raises FarshoreError `state-damaged`."""
    if not layer.exists(path):
        raise damaged(path, "the file is missing")
    file = layer.open(path)
    try:
        size = slot_bytes_of(file.pread(SLOT_HEAD, 0))
        record = SlotPair(file, KIND, size).load(path) if size else None
    finally:
        file.close()
    try:
        value = json.loads(record or b"")
        sizes, region = {int(volume): int(size) for volume, size in value["volumes"]}, int(value["region"])
    except (ValueError, KeyError, TypeError) as reason:
        raise damaged(path, f"the record cannot be read: {reason}") from reason
    stayed = sizes.keys() & geometry.sizes.keys()
    if region != geometry.region or any(sizes[volume] > geometry.sizes[volume] for volume in stayed):
        raise damaged(path, "the scoreboard is of larger volumes, or of other regions")
    return Geometry(sizes, region, geometry.extent)


def _carried_over(image: BoardImage, geometry: Geometry) -> BoardImage:
    """What is known of the volumes that stayed; of a new one, that all of it is dirty. A map of a volume that
    has grown is shorter than it: what is missing reads as clear."""
    maps = {(name, volume): data for (name, volume), data in image.maps.items() if volume in geometry.sizes}
    for volume in geometry.sizes:
        if (DIRTY, volume) not in maps:
            regions = geometry.regions(volume)
            size = -(-regions // 8)
            maps |= {(name, volume): bytes(size) for name in MAPS}
            maps[DIRTY, volume] = _cut(b"\xff" * size, regions)
    return BoardImage(image.base, image.peer_copy, maps)


def _cut(bitmap: bytes, regions: int) -> bytes:
    """The first `regions` bits, the rest of the last byte cleared."""
    data = bytearray(bitmap[: -(-regions // 8)])
    if regions % 8:
        data[-1] &= (1 << regions % 8) - 1
    return bytes(data)
