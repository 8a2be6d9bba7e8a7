"""How large volumes are where the stream of a copy stands, which may know of more to come (section H).

A copy takes a size over as soon as it hears of it: from its feeder's greeting, or from the record, which may
wait for its turn behind other frames. What stands at a position before that record is of the size before it.
Of a size that was greeted with there may be no record to come: it was issued, if ever, at or before the
position that the feeder had reached by then, and from there on the size is so.

To be early with a size costs nothing: the content of a layer is the same, with zeroes behind what the volume
had. A start, which knows the newest sizes alone, is; so is the last copy of a chain, whose feeder may know of
a size ahead of what it relays. To be late would cost the layer what lies behind.
"""

from __future__ import annotations

from collections.abc import Mapping

from farshore.core.geometry import Geometry


class StreamSizes:
    """See the module."""

    def __init__(self, geometry: Geometry) -> None:
        self._geometry = geometry
        self._behind: dict[int, int] = {}
        """What volumes have here whose record is still to come."""
        self._latest: dict[tuple[int, int], int] = {}
        """At which sequence a volume has a size at the latest."""

    def heard(self, volume: int) -> None:
        """A volume is about to be known as larger, in the geometry."""
        self._behind.setdefault(volume, self._geometry.sizes[volume])

    def greeted(self, sizes: Mapping[int, int], reached: int) -> None:
        """A feeder that stands at `reached` has these: no record of them comes behind that."""
        for volume, size in sizes.items():
            if volume in self._behind:
                self._latest[volume, size] = min(reached, self._latest.get((volume, size), reached))

    def passes(self, volume: int, size: int) -> None:
        """The turn of a record has come."""
        if size >= self._geometry.sizes[volume]:
            self._behind.pop(volume, None)
        elif volume in self._behind:
            self._behind[volume] = max(size, self._behind[volume])

    def level(self) -> None:
        """A resync brings the copy past all records that it has heard of otherwise."""
        self._behind.clear()
        self._latest.clear()

    def at(self, sequence: int) -> tuple[tuple[int, int], ...]:
        """(id, bytes) of each volume, by id, where the stream has come to `sequence`."""
        for (volume, size), latest in sorted(self._latest.items()):
            if sequence >= latest:
                del self._latest[volume, size]
                self.passes(volume, size)
        return tuple(sorted((self._geometry.sizes | self._behind).items()))
