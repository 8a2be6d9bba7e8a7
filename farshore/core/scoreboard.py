"""Scoreboards: which regions of the group a link's peer may differ in (rules A1, A3, A4, A5).

A `RegionMap` is one bit per region and volume. A `Scoreboard` holds a link's three maps:
`dirty` (to be filled), `suspect` (to be compared, A3) and `second` (A4: what an open resync has
cleared, resolved or passed on live; still counted dirty until the completion cut is durable),
besides `queued` and `spooled`, the marks of frames that are only waiting for their acknowledgement.
A fourth, `found`, says what a verify has found to differ (E7): it is shown, and nothing is copied for it
before an operator wants it repaired, since either side may be the good one.

On disk a bit may be set that is clear here, never the other way round: while a resync is open the
written dirty and suspect pages contain `second` as well, so that a crash ORs it back by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from bitarray import bitarray

from farshore.core.geometry import PAGE_BITS, PAGE_BYTES, Geometry
from farshore.core.queued_marks import QueuedMarks, lengthen
from farshore.model.options import ResyncKind
from farshore.model.positions import Position
from farshore.model.volumes import Operation

DIRTY, SUSPECT, SECOND, FOUND = "dirty", "suspect", "second", "found"
MAPS = (DIRTY, SUSPECT, SECOND, FOUND)

Page = tuple[str, int, int, bytes]
"""(map name, volume id, page number, bitmap bytes): one page of a scoreboard file."""


class RegionMap:
    """One bit per region of every volume, with the pages that changed since they were written."""

    __slots__ = ("__weakref__", "bits", "changed", "geometry")

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.bits: dict[int, bitarray] = {}
        for volume in geometry.sizes:
            self.bits[volume] = bitarray(geometry.regions(volume), endian="little")
            self.bits[volume].setall(0)
        self.changed: set[tuple[int, int]] = set()
        geometry.keep_in_step(self)

    def grown(self, volume: int) -> None:
        """The volume has become larger; its new regions are clear."""
        lengthen(self.bits[volume], self.geometry.regions(volume))

    def load(self, volume: int, data: bytes) -> None:
        """Take a bitmap as it was read from disk; bits beyond the volume's end are dropped."""
        loaded = bitarray(endian="little")
        loaded.frombytes(data)
        regions = self.geometry.regions(volume)
        del loaded[regions:]
        loaded.extend([0] * (regions - len(loaded)))
        self.bits[volume] = loaded

    def mark(self, volume: int, offset: int, length: int) -> None:
        """Set the bits of a byte range."""
        shift = self.geometry.region_shift
        first = offset >> shift
        last = (offset + length - 1) >> shift
        if first == last:
            bits = self.bits[volume]
            if not bits[first]:
                bits[first] = 1
                self.changed.add((volume, first // PAGE_BITS))
        elif last > first:
            self.set(volume, first, last + 1, 1)

    def mark_operations(self, operations: Iterable[Operation]) -> None:
        """Set the bits of every operation that changes bytes."""
        for volume, _, offset, length in operations:
            if length:
                self.mark(volume, offset, length)

    def set(self, volume: int, first: int, stop: int, value: int) -> None:
        """Set or clear the regions from `first` up to, not including, `stop`."""
        self.bits[volume][first:stop] = value
        self.changed.update((volume, page) for page in range(first // PAGE_BITS, -(-stop // PAGE_BITS)))

    def clear(self) -> None:
        """Clear every region; only pages that held a bit count as changed."""
        self.changed |= self.pages()
        for bits in self.bits.values():
            bits.setall(0)

    def pages(self) -> frozenset[tuple[int, int]]:
        """(volume, page) of every page that holds a bit."""
        found: list[tuple[int, int]] = []
        for volume, bits in self.bits.items():
            first = bits.find(1)
            while first >= 0:
                number = first // PAGE_BITS
                found.append((volume, number))
                first = bits.find(1, (number + 1) * PAGE_BITS)
        return frozenset(found)

    def set_all(self, value: int) -> None:
        """Set or clear every region."""
        if not value:
            self.clear()
            return
        for volume, bits in self.bits.items():
            if not bits.all():
                self.set(volume, 0, len(bits), 1)

    def merge(self, other: RegionMap) -> None:
        """Set every bit that is set in `other`."""
        for volume, bits in other.bits.items():
            self.bits[volume] |= bits
        self.changed |= other.pages()

    def any(self) -> bool:
        """True when any bit is set."""
        return any(bits.any() for bits in self.bits.values())

    def count(self) -> int:
        """How many bits are set."""
        return sum(bits.count() for bits in self.bits.values())

    def page(self, volume: int, number: int) -> bytes:
        """The bitmap bytes of one page, padded with zeroes to a whole page."""
        part = self.bits[volume][number * PAGE_BITS : (number + 1) * PAGE_BITS]
        return part.tobytes().ljust(PAGE_BYTES, b"\0")


@dataclass(frozen=True, slots=True)
class BoardImage:
    """A scoreboard as read from its file. `damaged` means: nothing in it can be relied on."""

    base: Position | None
    peer_copy: bytes | None
    maps: Mapping[tuple[str, int], bytes]
    damaged: bool = False


class Scoreboard:
    """All that is known of one link's differences, and the base from which it is complete (A5)."""

    __slots__ = (
        "base",
        "dirty",
        "found",
        "geometry",
        "open",
        "peer_copy",
        "queued",
        "second",
        "spooled",
        "spooled_on_disk",
        "suspect",
    )

    def __init__(self, geometry: Geometry, image: BoardImage | None) -> None:
        self.geometry = geometry
        self.dirty, self.suspect, self.second, self.found = (RegionMap(geometry) for _ in MAPS)
        self.queued: dict[tuple[int, int], int] = {}
        """(volume, region) -> highest sequence of a queued frame that touches it (A4)."""
        self.spooled = QueuedMarks(geometry)
        """The same for frames that lie in the disk queue."""
        self.spooled_on_disk = True
        """Whether the written pages contain `spooled`; a hop's do not: its frames are in the journal."""
        self.base: Position | None = None
        self.peer_copy: bytes | None = None
        self.open = False
        """True while a resync is open, that is: while `second` counts."""
        if image is None or image.damaged:
            self.dirty.set_all(1)
            return
        self.base, self.peer_copy = image.base, image.peer_copy
        for (name, volume), data in image.maps.items():
            self._map(name).load(volume, data)

    def _map(self, name: str) -> RegionMap:
        return {DIRTY: self.dirty, SUSPECT: self.suspect, SECOND: self.second, FOUND: self.found}[name]

    @property
    def clean(self) -> bool:
        """True when no map holds a bit (queued frames are the ledger's)."""
        return not (self.dirty.any() or self.suspect.any() or self.second.any())

    def regions(self) -> int:
        """How many regions are dirty by any of the maps."""
        total = 0
        for volume, bits in self.dirty.bits.items():
            marked = bits | self.suspect.bits[volume] | self.second.bits[volume]
            spooled = self.spooled.merged(volume)
            total += (marked if spooled is None else marked | spooled).count()
        return total

    def dirty_bytes(self) -> int:
        """Bytes of the regions that any map marks, the last region of a volume cut at its end."""
        total = self.regions() * self.geometry.region
        for volume in self.geometry.sizes:
            last = self.geometry.regions(volume) - 1
            maps = (self.dirty.bits[volume], self.suspect.bits[volume], self.second.bits[volume])
            spooled = self.spooled.merged(volume)
            if any(bits[last] for bits in maps) or (spooled is not None and spooled[last]):
                total -= self._missing_at_the_end(volume)
        return total

    def found_bytes(self) -> int:
        """The same for what a verify has found to differ."""
        total = self.found.count() * self.geometry.region
        for volume, bits in self.found.bits.items():
            if bits[-1]:
                total -= self._missing_at_the_end(volume)
        return total

    def _missing_at_the_end(self, volume: int) -> int:
        return self.geometry.regions(volume) * self.geometry.region - self.geometry.sizes[volume]

    def settle_found(self, volume: int, first: int, stop: int) -> None:
        """These regions were filled, or found equal: what a verify had found there is no more."""
        if self.found.bits[volume].find(1, first, stop) >= 0:
            self.found.set(volume, first, stop, 0)

    def suspect_extents(self, extents: Iterable[tuple[int, int]]) -> None:
        """Rule A3: what was being written when the copy stopped uncleanly."""
        for volume, extent in extents:
            if volume in self.suspect.bits:
                covered = self.geometry.regions_of_extent(volume, extent)
                self.suspect.set(volume, covered.start, covered.stop, 1)

    def suspect_ranges(self, ranges: Iterable[tuple[int, int, int]]) -> None:
        """What a peer says that it may hold and we not: (volume, offset, length), cut at a volume's end."""
        for volume, offset, length in ranges:
            length = min(length, self.geometry.sizes.get(volume, 0) - offset)
            if length > 0:
                self.suspect.mark(volume, offset, length)

    def or_back(self) -> None:
        """Rule A4: the resync cannot be proved to be still open, so nothing that it did counts."""
        self.dirty.merge(self.second)
        self.second.clear()

    def require(self, kind: ResyncKind) -> None:
        """Mark what a resync of this kind would look at, for whichever resync comes next."""
        if kind is ResyncKind.FULL:
            self.dirty.set_all(1)
        elif kind is ResyncKind.DIGEST:
            self.suspect.set_all(1)

    def prepare(self, kind: ResyncKind) -> None:
        """Mark what a resync of this kind has to look at, besides what is marked already."""
        self.require(kind)
        if kind is ResyncKind.DIGEST:
            self.second.merge(self.dirty)  # no order among pages may show a mark in neither map
            self.dirty.set_all(0)

    def forget_second(self) -> None:
        """Rule A4: the completion cut is durable at the peer."""
        pages = self.second.pages()
        for region_map in (self.dirty, self.suspect, self.second):
            region_map.changed |= pages  # on disk, the pages of all three contain `second`
        self.second.clear()
        self.open = False

    def mark_queued(self, operations: Iterable[Operation], sequence: int) -> None:
        """Marks for frames that wait in a queue; they fall with their acknowledgement (A4)."""
        for volume, _, offset, length in operations:
            for region in self.geometry.regions_of(offset, length):
                self.queued[volume, region] = max(sequence, self.queued.get((volume, region), 0))
                self.dirty.changed.add((volume, region // PAGE_BITS))

    def acknowledge_queued(self, durable: int) -> None:
        """Drop the marks of queued frames that are durable at the peer by now."""
        for key in [key for key, sequence in self.queued.items() if sequence <= durable]:
            del self.queued[key]
            self.dirty.changed.add((key[0], key[1] // PAGE_BITS))

    def keep_queued(self) -> None:
        """The queue was dropped: its marks are ordinary ones from now on."""
        for volume, region in self.queued:
            self.dirty.set(volume, region, region + 1, 1)
        self.queued.clear()
        for volume, region in self.spooled.regions():
            self.dirty.set(volume, region, region + 1, 1)
        self.spooled.clear()

    def adopt_spooled(self, sequence: int) -> None:
        """After a clean stop with a whole disk queue: its frames, up to `sequence`, are the marks."""
        self.spooled.adopt(self.dirty.bits, sequence)
        self.dirty.clear()

    def pages(self, exact: bool = False) -> list[Page]:
        """Every page that changed since the last call, as it should stand on disk.

        With `exact` (a clean stop, once `second` itself is durable) the maps are written as they
        are; else dirty and suspect pages contain `second` while a resync is open.
        """
        if exact:
            self.every_page()
        elif self.open:
            self.dirty.changed |= self.second.changed
        self.dirty.changed |= self.spooled.changed
        self.spooled.changed.clear()
        found: list[Page] = []
        for name in MAPS:
            region_map = self._map(name)
            for volume, number in sorted(region_map.changed):
                data = region_map.page(volume, number)
                if name == DIRTY:
                    data = self._with_queued(volume, number, data)
                if name in (DIRTY, SUSPECT) and self.open and not exact:
                    data = _either(data, self.second.page(volume, number))
                found.append((name, volume, number, data))
            region_map.changed.clear()
        return found

    def every_page(self) -> None:
        """Consider every page changed."""
        for name in MAPS:
            region_map = self._map(name)
            for volume, bits in region_map.bits.items():
                region_map.changed.update((volume, page) for page in range(-(-len(bits) // PAGE_BITS)))

    def _with_queued(self, volume: int, number: int, data: bytes) -> bytes:
        wanted = [
            region - number * PAGE_BITS
            for owner, region in self.queued
            if owner == volume and region // PAGE_BITS == number
        ]
        spooled = self.spooled.merged(volume) if self.spooled_on_disk else None
        if spooled is not None:
            part = spooled[number * PAGE_BITS : (number + 1) * PAGE_BITS]
            data = _either(data, part.tobytes().ljust(PAGE_BYTES, b"\0"))
        if not wanted:
            return data
        merged = bytearray(data)
        for bit in wanted:
            merged[bit >> 3] |= 1 << (bit & 7)
        return bytes(merged)

    def dirty_extents(
        self, span: tuple[int, int, int], unacknowledged: Iterable[Operation] = ()
    ) -> Iterator[tuple[int, bool]]:
        """(length in bytes, dirty) runs of a (volume, offset, length), for block status. Dirty is what
        rule A1 calls so; `unacknowledged` are the operations that the peer has not made durable."""
        volume, offset, length = span
        region_size, end = self.geometry.region, offset + length
        first, stop = offset // region_size, -(-end // region_size)
        bits = self.dirty.bits[volume][first:stop]
        bits |= self.suspect.bits[volume][first:stop]
        bits |= self.second.bits[volume][first:stop]
        for owner, region in self.queued:
            if owner == volume and first <= region < stop:
                bits[region - first] = 1
        spooled = self.spooled.merged(volume)
        if spooled is not None:
            bits |= spooled[first:stop]
        for owner, _, at, size in unacknowledged:
            if owner == volume:
                touched = self.geometry.regions_of(at, size)
                begin, until = max(touched.start, first), min(touched.stop, stop)
                if begin < until:
                    bits[begin - first : until - first] = 1
        while offset < end:
            region = offset // region_size - first
            state = bits[region]
            change = bits.find(0 if state else 1, region)
            until = end if change < 0 else min(end, (first + change) * region_size)
            yield until - offset, bool(state)
            offset = until


def _either(left: bytes, right: bytes) -> bytes:
    size = len(left)
    merged = int.from_bytes(left, "little") | int.from_bytes(right, "little")
    return merged.to_bytes(size, "little")
