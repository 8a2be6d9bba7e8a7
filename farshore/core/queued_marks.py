"""Marks of the frames that lie in a link's disk queue (rules A1, A4): they fall with their acknowledgement.

A queue may hold millions of frames, so nothing is kept per frame or per region but bits. There are two
maps: the older one is complete up to a sequence and is cleared as a whole once that is durable at the
peer; meanwhile new marks go to the younger one, which then takes its place. So a mark may stay a
little longer than it has to, which rule A1 allows, and never falls early.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bitarray import bitarray

from farshore.core.geometry import PAGE_BITS, Geometry
from farshore.model.volumes import Operation

Page = tuple[int, int]
"""(volume id, page number)."""


class QueuedMarks:
    """See the module."""

    __slots__ = ("__weakref__", "_geometry", "_maps", "_reach", "changed")

    def __init__(self, geometry: Geometry) -> None:
        self._geometry = geometry
        self._maps: list[dict[int, bitarray]] = [{}, {}]
        self._reach = [0, 0]
        """The newest sequence that each map holds a mark of; 0 where it holds none."""
        self.changed: set[Page] = set()
        """Pages with other bits than when somebody last emptied this."""
        geometry.keep_in_step(self)

    def grown(self, volume: int) -> None:
        """The volume has become larger; its new regions have no marks."""
        for maps in self._maps:
            if volume in maps:
                lengthen(maps[volume], self._geometry.regions(volume))

    def __bool__(self) -> bool:
        return bool(self._reach[0] or self._reach[1])

    def mark(self, operations: Iterable[Operation], sequence: int) -> None:
        """The regions of a frame whose last sequence this is."""
        for volume, _, offset, length in operations:
            if length:
                touched = self._geometry.regions_of(offset, length)
                self._bits(1, volume)[touched.start : touched.stop] = 1
                pages = range(touched.start // PAGE_BITS, -(-touched.stop // PAGE_BITS))
                self.changed.update([(volume, page) for page in pages])
        self._reach[1] = max(self._reach[1], sequence)

    def adopt(self, bits: dict[int, bitarray], sequence: int) -> None:
        """Marks that an earlier process left; all of them are of frames up to `sequence`."""
        for volume, found in bits.items():
            self._bits(1, volume)[:] |= found
        self._reach[1] = max(self._reach[1], sequence)

    def _bits(self, which: int, volume: int) -> bitarray:
        found = self._maps[which].get(volume)
        if found is None:
            found = self._maps[which][volume] = bitarray(self._geometry.regions(volume), endian="little")
            found.setall(0)
        return found

    def acknowledge(self, durable: int) -> None:
        """Everything up to `durable` is durable at the peer."""
        if self._reach[1] and self._reach[1] <= durable:
            self.clear()
        elif self and self._reach[0] <= durable:
            self._empty(0)
            self._maps.reverse()
            self._reach.reverse()

    def clear(self) -> None:
        """No mark is left."""
        self._empty(0)
        self._empty(1)

    def _empty(self, which: int) -> None:
        if self._reach[which]:
            for volume, bits in self._maps[which].items():
                self.changed.update([(volume, region // PAGE_BITS) for region in _one_per_page(bits)])
            self._maps[which] = {}
            self._reach[which] = 0

    def merged(self, volume: int) -> bitarray | None:
        """Every mark of a volume; None where there is none."""
        found = [maps[volume] for maps in self._maps if volume in maps]
        if not found:
            return None
        return found[0] | found[1] if len(found) == 2 else found[0]

    def count(self) -> int:
        """How many regions are marked."""
        return sum(bits.count() for volume in self._geometry.sizes if (bits := self.merged(volume)))

    def regions(self) -> Iterator[tuple[int, int]]:
        """(volume, region) of every mark."""
        for volume in self._geometry.sizes:
            bits = self.merged(volume)
            if bits is not None:
                yield from ((volume, region) for region in bits.search(1))


def lengthen(bits: bitarray, regions: int) -> None:
    """Clear bits behind the last one, until there are so many."""
    if regions > len(bits):
        more = bitarray(regions - len(bits), endian="little")
        more.setall(0)
        bits.extend(more)


def _one_per_page(bits: bitarray) -> Iterator[int]:
    """A marked region of each page that has any."""
    found = bits.find(1)
    while found >= 0:
        yield found
        found = bits.find(1, (found // PAGE_BITS + 1) * PAGE_BITS)
