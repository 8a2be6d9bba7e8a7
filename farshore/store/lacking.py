"""What the layers of a preserve store cannot show, since a disk refused it when it was to be kept (rule E1).

A layer lacks what the first of itself and the ones that began after it that has the region could not read.
How many regions that are is kept count of where the store changes: whoever reports on a copy, which is often
and on the loop of its engine, only reads numbers. Handing content down changes none of them.
"""

from __future__ import annotations

from collections.abc import Iterable

from farshore.model.layers import Layer
from farshore.store.layer_file import LayerFile

Chain = tuple[tuple[Layer, LayerFile], ...]
"""Layers, oldest first."""


def length_in(layer: Layer, volume: int, region: int, size: int) -> int:
    """Bytes of a region, which has up to `size`, at the layer's moment; 0 where the volume did not reach so
    far."""
    return max(0, min(size, dict(layer.sizes).get(volume, 0) - region * size))


def lacking(chain: Chain, layer: bytes, size: int) -> list[tuple[int, int]]:
    """(volume, region) of what this layer of the chain lacks."""
    place = next((place for place, (each, _) in enumerate(chain) if each.id == layer), len(chain))
    files = [file for _, file in chain[place:]]
    found = {
        lost
        for number, file in enumerate(files)
        for lost in file.lost
        if length_in(chain[place][0], *lost, size) and not any(e.has(*lost) for e in files[:number])
    }
    return sorted(found)


class Lacking:
    """How many regions each layer lacks. One thread changes it; any number may ask meanwhile."""

    def __init__(self, size: int) -> None:
        """`size`: bytes of a region."""
        self._size = size
        self._chain: Chain = ()
        self._regions: dict[bytes, int] = {}

    def renew(self, chain: Chain) -> None:
        """Other layers than before."""
        self._chain = chain
        self._regions = {each.id: len(lacking(chain, each.id, self._size)) for each, _ in chain}

    def lost(self, regions: Iterable[tuple[int, int]]) -> None:
        """The newest layer has just been refused these; older ones lack what they have not kept before."""
        newest = self._chain[-1][1]
        for region in regions:
            for layer, file in reversed(self._chain):
                if file is not newest and file.has(*region):
                    break
                if length_in(layer, *region, self._size):
                    self._regions[layer.id] += 1

    def bytes_of(self, layer: bytes) -> int:
        """How much a layer lacks, in bytes of regions; 0 for one that is not there."""
        return self._regions.get(layer, 0) * self._size
