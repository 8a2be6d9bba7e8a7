"""A volume as a layer of the preserve store shows it, for whoever reads it beside everything else.

What was not saved when it was looked at had not been overwritten: so the volume is read first, and the store
is asked behind that. Reads are calls for a thread; nothing is cached, nothing is written.
"""

from __future__ import annotations

import errno
from collections.abc import Hashable, Iterator

from farshore.errors import FarshoreError
from farshore.model.messages import Buffer
from farshore.store.preserve import PreserveStore
from farshore.store.volume import Volume


class LayerView:
    """See the module. Its size is what the volume had at the layer's moment."""

    fast_zero = False

    def __init__(self, store: PreserveStore, layer: bytes, number: int, volume: Volume) -> None:
        """Raises OSError ESTALE if the store has no such layer."""
        found = next((each for each in store.layers if each.id == layer), None)
        if found is None:
            raise OSError(errno.ESTALE, "this layer of the preserve store is gone")
        self.size = dict(found.sizes).get(number, 0)
        self._store = store
        self._layer = layer
        self._number = number
        self._volume = volume
        self._region = store.region

    @property
    def lane(self) -> Hashable:
        """The volume's: its extents are looked at."""
        return self._volume.lane

    def read_nowait(self, _offset: int, _length: int) -> Buffer | None:
        """Never on the loop, whose time is the replication's."""
        return None

    def read(self, offset: int, length: int) -> bytes:
        """Any range within the volume; behind the layer's own size it is zeroes, as whoever reads a volume
        that has grown since finds. Raises OSError: EIO where the store cannot be read, ESTALE once the layer
        is gone."""
        region, end = self._region, offset + length
        first = offset // region
        ahead = _Ahead(self._volume, end)
        parts: list[bytes] = []
        try:
            for each in range(first, -(-end // region)):
                content = self._store.read(self._layer, self._number, each, ahead.read)
                begin = each * region
                if offset > begin or end < begin + len(content):
                    content = content[max(0, offset - begin) : end - begin]
                parts.append(content)
        except FarshoreError as error:
            raise OSError(errno.EIO, error.what) from error
        whole = parts[0] if len(parts) == 1 else b"".join(parts)
        return whole if len(whole) == length else whole.ljust(length, b"\0")

    def prefetch(self, offset: int, length: int) -> None:
        """Most of it is in the volume."""
        self._volume.prefetch(offset, length)

    def extents(self, offset: int, length: int) -> Iterator[tuple[int, bool]]:
        """What is kept counts as data; of the rest the volume's holes were there at the layer's moment
        too."""
        runs = list(self._volume.extents(offset, length))
        region, end, at = self._region, offset + length, offset
        for run, hole in runs:
            stop = at + run
            while hole and at < stop:
                step = min((at // region + 1) * region, stop) - at
                yield step, not self._store.keeps(self._layer, self._number, at // region)
                at += step
            if not hole:
                yield run, False
            at = stop
        if at < end:
            yield end - at, False  # the volume was longer then


class _Ahead:
    """Reads a volume as a layer is read, region by region, with as few calls as it takes."""

    def __init__(self, volume: Volume, end: int) -> None:
        self._volume = volume
        self._end = end
        self._begin = 0
        self._data = b""

    def read(self, _volume: int, offset: int, length: int) -> bytes:
        """What was read ahead was read before the store was asked for the region, as it has to be."""
        if offset + length > self._begin + len(self._data) or offset < self._begin:
            stop = max(self._end, offset + length)
            self._begin, self._data = offset, self._volume.read(offset, stop - offset)
        return self._data[offset - self._begin : offset - self._begin + length]
