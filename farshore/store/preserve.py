"""A copy's preserve store: what its regions held at chosen moments (rules E1 to E3, F1, H).

A region of a layer reads as the first of this layer and the ones that began after it has it, else as the
volume has it now. So each overwrite costs one save at most, into the newest layer, and whoever would
overwrite a region waits until that save is durable. Bytes are bounded: what would go beyond the bound, or
does not fit on the disk, is an OSError with ENOSPC, and changes nothing. Which regions have to be saved, and
when, is decided by `farshore.core`; nobody here writes to a volume. Format: `docs/formats.md`.
"""

from __future__ import annotations

import errno
import os
import posixpath
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Final

from farshore.core.geometry import Geometry
from farshore.errors import FarshoreError
from farshore.model.layers import Layer, LayerKind, Run
from farshore.store.lacking import Chain, Lacking, lacking, length_in
from farshore.store.layer_file import FIRST, UNREAD, LayerFile, Piece, entries_of, room_for
from farshore.store.layer_list import NAME, LayerList
from farshore.store.platform import FileLayer
from farshore.store.slots import damaged

DIRECTORY: Final = "preserve"
_SUFFIX: Final = ".layer"
_READ: Final = 1 << 20


def default_limit(size: int) -> int:
    """Bytes that a store may take where nobody has chosen: twice as much as the volumes have, and what it
    costs to keep that. A rescue, which stays, may take all they have, and the next resync needs as much."""
    return 2 * (size + size // 64) + (1 << 20)


Read = Callable[[int, int, int], bytes]
"""Reads (volume, offset, length) of the live volumes."""
Put = Callable[[int, int, int, bytes | None], None]
"""Writes (volume, offset, length, content) to the live volumes; None for zeroes."""


class PreserveStore:
    """See the module. One thread changes it; any number may read meanwhile."""

    def __init__(self, files: FileLayer, path: str, geometry: Geometry, limit: int) -> None:
        """Use `open`."""
        self._files = files
        self._path = path
        self._geometry = geometry
        self.limit = limit
        self.broken: Collection[bytes] = frozenset()
        """Layers that nobody reads any more: said here before anything that they lack is overwritten."""
        self._list: LayerList
        self._layers: dict[bytes, LayerFile] = {}
        self._lacking = Lacking(geometry.region)
        self._chain: Chain = ()
        """What readers go by, oldest first; replaced in one piece, so that they never see half a change."""

    @classmethod
    def open(cls, files: FileLayer, path: str, geometry: Geometry, limit: int) -> PreserveStore:
        """The store in a directory, which is made where it is missing. `limit` bounds its bytes.

        Raises FarshoreError `state-damaged` or `state-newer`, and OSError.
        """
        store = cls(files, path, geometry, limit)
        if not files.exists(path):
            files.mkdir(path)
            files.fsync_dir(posixpath.dirname(path))
        names = files.listdir(path)
        listed = posixpath.join(path, NAME)
        if NAME in names:
            store._list = LayerList.open(files, listed)
        elif any(name.endswith(_SUFFIX) for name in names):
            raise damaged(listed, "the file is missing")
        else:
            store._list = _made(files, listed, names)
        try:
            store._load()
        except (FarshoreError, OSError):
            store.close()
            raise
        return store

    def _load(self) -> None:
        wanted = {_name_of(each.id): each for each in self._list.layers}
        for name in self._files.listdir(self._path):
            if name.endswith(_SUFFIX) and name not in wanted:
                self._files.remove(posixpath.join(self._path, name))
        for name, layer in wanted.items():
            path = posixpath.join(self._path, name)
            self._layers[layer.id] = LayerFile.open(self._files, path, layer.id)
        self._rechain()

    def _rechain(self) -> None:
        self._chain = tuple((each, self._layers[each.id]) for each in self.layers)
        self._lacking.renew(self._chain)

    def close(self) -> None:
        """Ends the use of all files."""
        for each in self._layers.values():
            each.close()
        self._list.close()

    # -- facts ------------------------------------------------------------------------------

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Oldest first; the last one collects."""
        return self._list.layers

    @property
    def region(self) -> int:
        """Bytes that are kept together."""
        return self._geometry.region

    @property
    def used(self) -> int:
        """Bytes of all layers, reserved ones included."""
        return sum(each.room for each in self._layers.values())

    @property
    def full(self) -> bool:
        """Whether not even an empty layer has room within the bound."""
        return self.used + FIRST > self.limit

    def bytes_of(self, layer: bytes) -> int:
        """Bytes of one layer, reserved ones included; 0 for one that is not there."""
        file = self._layers.get(layer)
        return 0 if file is None else file.room

    def saved(self) -> list[Run]:
        """What the newest layer keeps."""
        return self.kept(self.layers[-1].id) if self.layers else []

    def kept(self, layer: bytes) -> list[Run]:
        """What one layer keeps itself, as runs of regions."""
        runs: list[Run] = []
        for volume, region in self._layers[layer].kept():
            if runs and runs[-1][0] == volume and runs[-1][2] == region:
                runs[-1] = (volume, runs[-1][1], region + 1)
            else:
                runs.append((volume, region, region + 1))
        return runs

    def _since(self, layer: bytes) -> list[bytes]:
        """This layer and those that began after it, oldest first."""
        ids = [each.id for each in self.layers]
        return ids[ids.index(layer) :]

    def _length(self, layer: bytes, volume: int, region: int) -> int:
        """Bytes of a region at the layer's moment; 0 where the volume did not reach so far."""
        return self._length_in(next(each for each in self.layers if each.id == layer), volume, region)

    def _length_in(self, layer: Layer, volume: int, region: int) -> int:
        return length_in(layer, volume, region, self._geometry.region)

    # -- saving -----------------------------------------------------------------------------

    def begin(self, layer: Layer, reserve: int) -> None:
        """A new layer, from this moment on; with room for `reserve` bytes of content in regions."""
        room = room_for(-(-reserve // self._geometry.region), reserve) if reserve else 0
        self._admit(FIRST + room)
        path = posixpath.join(self._path, _name_of(layer.id))
        made = LayerFile.create(self._files, path, layer.id, room)
        try:
            self._files.fsync_dir(self._path)
            self._list.write((*self.layers, layer))
        except OSError:
            made.close()
            raise
        self._layers[layer.id] = made
        self._rechain()

    def retitle(self, layer: bytes, kind: LayerKind, name: str) -> None:
        """Another kind and name for a layer, durably; what it keeps stays."""
        self._list.write(
            tuple(replace(each, kind=kind, name=name) if each.id == layer else each for each in self.layers)
        )
        self._rechain()

    def _admit(self, more: int) -> None:
        if self.used + more > self.limit:
            raise OSError(
                errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: the preserve store's bound", self._path
            )

    def save(self, runs: Sequence[Run], read: Read) -> int:
        """Keeps what these regions hold now in the newest layer, if there is one, durably; what it has
        already stays. Of a region that `read` raises an OSError for it keeps that. 0 if the layer lacks none
        of these, else the errno of the last such error, EIO where it was refused some before."""
        if not self.layers:
            return 0
        layer, refused = self.layers[-1].id, [errno.EIO]
        before = self._layers[layer].lost

        def reading(volume: int, offset: int, length: int) -> bytes:
            try:
                return read(volume, offset, length)
            except OSError as error:
                refused[0] = error.errno or errno.EIO
                raise

        try:
            for pieces in entries_of(self._pieces(layer, runs, reading)):
                self._append(layer, pieces)
        finally:
            lost = self._layers[layer].lost
            self._lacking.lost(lost - before if lost is not before else ())
        lacks = any(volume == v and first <= r < stop for volume, first, stop in runs for v, r in lost)
        return refused[0] if lacks else 0

    def _append(self, layer: bytes, pieces: list[Piece]) -> None:
        file = self._layers[layer]
        self._admit(max(0, file.end + file.size_of(pieces) - file.room))
        file.append(pieces)

    def _pieces(self, layer: bytes, runs: Sequence[Run], read: Read) -> Iterator[Piece]:
        file, region = self._layers[layer], self._geometry.region
        zeroes = bytes(region)
        at_once = _READ // region
        for volume, first, stop in runs:
            for begin in range(first, stop, at_once):
                wanted = [
                    each for each in range(begin, min(begin + at_once, stop)) if not file.has(volume, each)
                ]
                if not wanted:
                    continue
                offset = wanted[0] * region
                length = sum(self._length(layer, volume, each) for each in range(wanted[0], wanted[-1] + 1))
                data = _read_or_none(read, volume, offset, length)
                for each in wanted:
                    size = self._length(layer, volume, each)
                    if not size:
                        continue
                    at = each * region
                    if data is not None:
                        content: bytes | None = data[at - offset : at - offset + size]
                    else:  # some of them can be read
                        content = _read_or_none(read, volume, at, size)
                    if content is None:
                        yield volume, each, size, UNREAD
                    else:
                        blank = content == (zeroes if size == region else zeroes[:size])
                        yield volume, each, size, None if blank else content

    # -- reading ----------------------------------------------------------------------------

    def read(self, layer: bytes, volume: int, region: int, live: Read) -> bytes:
        """What a region held at the layer's moment; b"" where the volume did not reach so far.

        Safe beside saves and overwrites: what was not saved when it was read had not been overwritten.
        """
        length = self._length_in(self._read_from(layer)[0][0], volume, region)
        if not length:
            return b""
        found = self._saved_in(layer, volume, region, length)
        if found is not None:
            return found
        content = live(volume, region * self._geometry.region, length)
        found = self._saved_in(layer, volume, region, length)
        return content if found is None else found

    def lacking(self, layer: bytes) -> list[tuple[int, int]]:
        """(volume, region) of what this layer cannot show, since it could not be read when it was to be kept;
        safe as `read`."""
        return lacking(self._chain, layer, self._geometry.region)

    def lacking_bytes(self, layer: bytes) -> int:
        """How much that is, in bytes of regions, without a look."""
        return self._lacking.bytes_of(layer)

    def keeps(self, layer: bytes, volume: int, region: int) -> bool:
        """Whether a region of the layer is read from the store, not from the volume; safe as `read`."""
        return any(file.has(volume, region) for _, file in self._read_from(layer))

    def _read_from(self, layer: bytes) -> tuple[tuple[Layer, LayerFile], ...]:
        """As `_since`, for readers: files of layers that are dropped meanwhile stay open for them."""
        chain = self._chain
        self._refuse_broken(layer)
        for place, (each, _) in enumerate(chain):
            if each.id == layer:
                return chain[place:]
        raise OSError(errno.ESTALE, "this layer of the preserve store is gone", self._path)

    def _refuse_broken(self, layer: bytes) -> None:
        if layer in self.broken:
            raise OSError(errno.ESTALE, "this layer of the preserve store is broken", self._path)

    def _saved_in(self, layer: bytes, volume: int, region: int, length: int) -> bytes | None:
        for each, file in self._read_from(layer):
            if file.has(volume, region):
                stored = file.read(volume, region, self._length_in(each, volume, region))
                content = bytes(length) if stored is None else stored[:length]
                return content.ljust(length, b"\0")
        return None

    def changed_since(self, layer: bytes) -> list[tuple[int, int]]:
        """(volume, region) of all that may differ from the layer's moment. Raises OSError where it is broken:
        what it lacks nobody knows."""
        self._refuse_broken(layer)
        found: set[tuple[int, int]] = set()
        for each in self._since(layer):
            found.update(self._layers[each].kept())
        return sorted(found)

    def restore(self, layer: bytes, put: Put) -> None:
        """Writes back what regions held at the layer's moment, but for what it is `lacking`. Nothing of the
        store changes, so it can be done again; the volumes are for the caller to sync. Layers that began
        later are worth nothing from then on, but for doing it again. What volumes have grown by since reads
        as zeroes. Raises OSError, before anything is written where the layer is broken."""
        changed = self.changed_since(layer)
        moment = next(each for each in self.layers if each.id == layer)
        for volume, size in moment.sizes:
            grown = self._geometry.sizes.get(volume, 0) - size
            if grown > 0:
                put(volume, size, grown, None)
        lacking = set(self.lacking(layer))
        for volume, region in changed:
            if (volume, region) in lacking:
                continue
            length = self._length(layer, volume, region)
            for each in self._since(layer):
                file = self._layers[each]
                if length and file.has(volume, region):
                    content = file.read(volume, region, self._length(each, volume, region))
                    put(volume, region * self._geometry.region, length, content and content[:length])
                    break

    # -- giving up --------------------------------------------------------------------------

    def hand_down(self, layer: bytes) -> bool:
        """What an older layer needs of this one goes there, a part at a time; True once nothing is left.
        What is saved into this layer meanwhile, if it is the newest, is left again."""
        ids = [each.id for each in self.layers]
        place = ids.index(layer)
        if not place:
            return True
        older, file = ids[place - 1], self._layers[layer]
        missing = [each for each in file.kept() if not self._layers[older].has(*each)]
        parts = entries_of(self._handed(older, layer, missing))
        part = next(parts, None)
        if part is None:
            return True
        self._append(older, part)
        return next(parts, None) is None

    def _handed(self, older: bytes, layer: bytes, regions: list[tuple[int, int]]) -> Iterator[Piece]:
        for volume, region in regions:
            length = self._length(older, volume, region)
            if (volume, region) in self._layers[layer].lost:
                if length:
                    yield volume, region, length, UNREAD
                continue
            content = self._layers[layer].read(volume, region, self._length(layer, volume, region))
            if length:
                yield (
                    volume,
                    region,
                    length,
                    None if content is None else content[:length].ljust(length, b"\0"),
                )

    def drop(self, *layers: bytes) -> None:
        """Forgets layers, all at once, of which nothing is left to be handed down."""
        self._list.write(tuple(each for each in self.layers if each.id not in layers))
        gone = [self._layers.pop(layer) for layer in layers]
        self._rechain()
        while gone:
            gone.pop().leave()
        for layer in layers:
            self._files.remove(posixpath.join(self._path, _name_of(layer)))
        self._files.fsync_dir(self._path)


def _read_or_none(read: Read, volume: int, offset: int, length: int) -> bytes | None:
    """None where the disk refuses any of it."""
    try:
        return read(volume, offset, length) if length else b""
    except OSError:
        return None


def _made(files: FileLayer, path: str, names: list[str]) -> LayerList:
    """An attempt that was cut off has left nothing that matters."""
    beside = path + ".new"
    if posixpath.basename(beside) in names:
        files.remove(beside)
    LayerList.create(files, beside).close()
    files.rename(beside, path)
    files.fsync_dir(posixpath.dirname(path))
    return LayerList.open(files, path)


def _name_of(layer: bytes) -> str:
    return layer.hex() + _SUFFIX
