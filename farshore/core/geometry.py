"""Regions, extents and scoreboard pages: arithmetic on byte ranges of one volume.

A region is what one scoreboard bit covers (4 KiB to 1 MiB, a power of two); an extent is a run of
regions that the activity log names as one. The last region and extent of a volume may be short.

A copy has one geometry for as long as it runs. It changes in one way only: a volume grows, and every map of
regions with it, at once; what is new is clear in all of them, as it holds zeroes at every copy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol
from weakref import WeakSet

from farshore.model.options import DEFAULT_EXTENT, DEFAULT_REGION, MAX_REGION, MIN_REGION

PAGE_BYTES = 4080
"""Bitmap bytes in one page of a scoreboard file; 16 more are its checksum."""
PAGE_BITS = PAGE_BYTES * 8


class Regional(Protocol):
    """Something with one entry for each region."""

    def grown(self, volume: int) -> None:
        """The volume has become larger."""
        ...


@dataclass(frozen=True, slots=True)
class Geometry:
    """Region and extent size in bytes, and the size of every volume by id."""

    sizes: dict[int, int]
    region: int = DEFAULT_REGION
    extent: int = DEFAULT_EXTENT
    _maps: WeakSet[Regional] = field(default_factory=WeakSet, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.region & (self.region - 1) or not MIN_REGION <= self.region <= MAX_REGION:
            raise ValueError(f"region size {self.region} is not a power of two from 4 KiB to 1 MiB")
        if self.extent % self.region or self.extent & (self.extent - 1):
            raise ValueError(f"extent size {self.extent} is not a power of two of whole regions")

    def __reduce__(self) -> tuple[type[Geometry], tuple[dict[int, int], int, int]]:
        """What it is; who follows it stays behind."""
        return Geometry, (self.sizes, self.region, self.extent)

    def keep_in_step(self, regional: Regional) -> None:
        """Has it told of volumes that grow, for as long as somebody holds it."""
        self._maps.add(regional)

    def grow(self, volume: int, size: int) -> None:
        """The volume has `size` bytes from now on. Raises ValueError for fewer than it had."""
        if size < self.sizes[volume]:
            raise ValueError(f"volume {volume} cannot shrink from {self.sizes[volume]} to {size} bytes")
        self.sizes[volume] = size
        for each in list(self._maps):
            each.grown(volume)

    def copied(self) -> Geometry:
        """The same, and not grown when this one is."""
        return Geometry(dict(self.sizes), self.region, self.extent)

    @property
    def extent_shift(self) -> int:
        """log2 of the extent size."""
        return self.extent.bit_length() - 1

    @property
    def region_shift(self) -> int:
        """log2 of the region size."""
        return self.region.bit_length() - 1

    def regions(self, volume: int) -> int:
        """How many regions the volume has."""
        return -(-self.sizes[volume] // self.region)

    def extents(self, volume: int) -> int:
        """How many extents the volume has."""
        return -(-self.sizes[volume] // self.extent)

    def regions_of(self, offset: int, length: int) -> range:
        """The regions that a byte range touches; empty for a length of 0."""
        return range(offset // self.region, -(-(offset + length) // self.region)) if length else range(0)

    def extents_of(self, offset: int, length: int) -> range:
        """The extents that a byte range touches; empty for a length of 0."""
        return range(offset // self.extent, -(-(offset + length) // self.extent)) if length else range(0)

    def regions_of_extent(self, volume: int, extent: int) -> range:
        """The regions that an extent covers, cut at the volume's end."""
        per_extent = self.extent // self.region
        return range(extent * per_extent, min((extent + 1) * per_extent, self.regions(volume)))

    def span(self, volume: int, first: int, count: int) -> tuple[int, int]:
        """(offset, length) in bytes of `count` regions from `first`, cut at the volume's end."""
        offset = first * self.region
        return offset, min(count * self.region, self.sizes[volume] - offset)
