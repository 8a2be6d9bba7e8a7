"""Where a secondary stands: its last durable position, and the last applied one.

The durable position is a record like any other, written and synced. The applied position is written
once per loop turn with a single call and never synced: it is true as long as the page cache is, so
it carries the boot id and is believed under that boot only. Which of the two counts after a start
is decided by `farshore.core` (a position of a history that was left behind since may be in either).
Format: `docs/formats.md`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from xxhash import xxh3_64_intdigest, xxh3_128_digest

from farshore.errors import FarshoreError
from farshore.model.positions import Position
from farshore.store.platform import File, FileLayer
from farshore.store.slots import ALIGNMENT, RecordKind, SlotPair, damaged

KIND: Final = RecordKind(b"FShrPosn", 1)
CELL_MAGIC: Final = b"FShA"
CELL_VERSION: Final = 1

_POSITION: Final = struct.Struct("<16sQ")
_CELL: Final = struct.Struct("<4sHHQ16sQ16s")
_CHECKSUM: Final = struct.Struct("<Q")
_CELL_BYTES: Final = _CELL.size + _CHECKSUM.size
# Each cell has a sector of its own, so that no write can touch both.
_CELLS: Final = (2 * ALIGNMENT, 2 * ALIGNMENT + 512)
FILE_BYTES: Final = 3 * ALIGNMENT


@dataclass(frozen=True, slots=True)
class PositionImage:
    """What the file held when it was opened. `applied` is None unless it is of this boot."""

    durable: Position | None
    applied: Position | None


def renew(layer: FileLayer, directory: str, boot: str, durable: Position | None = None) -> None:
    """Makes a copy's file durably anew, with this position if there is one; what was there goes."""
    path = f"{directory}/position"
    if layer.exists(path):
        layer.remove(path)
    file = PositionFile.create(layer, path, boot)
    if durable is not None:
        file.write_durable(durable)
    file.close()
    layer.fsync_dir(directory)


class PositionFile:
    """The file. `write_durable` may run beside `write_applied`, in another thread."""

    __slots__ = ("_boot", "_counter", "_file", "_image", "_pair")

    def __init__(self, file: File, boot: str) -> None:
        """Use `create` or `open`. `boot` is the kernel's boot id."""
        self._file = file
        self._boot = xxh3_128_digest(boot.encode())
        self._counter = 0
        self._pair = SlotPair(file, KIND, ALIGNMENT)
        self._image = PositionImage(None, None)

    @classmethod
    def create(cls, layer: FileLayer, path: str, boot: str) -> PositionFile:
        """Makes the file, with no position in it. Its name is durable once the caller has synced the
        directory."""
        file = layer.open(path, create=True)
        file.allocate_zeroed(FILE_BYTES)
        file.fdatasync()
        return cls(file, boot)

    @classmethod
    def open(cls, layer: FileLayer, path: str, boot: str) -> PositionFile:
        """Raises FarshoreError `state-damaged` (also where the file is missing) or `state-newer`."""
        if not layer.exists(path):
            raise damaged(path, "the file is missing")
        opened = cls(layer.open(path), boot)
        try:
            opened._load(path)
        except (FarshoreError, OSError):
            opened.close()
            raise
        return opened

    def _load(self, path: str) -> None:
        if self._file.size() != FILE_BYTES:
            raise damaged(path, f"the file has {self._file.size()} bytes instead of {FILE_BYTES}")
        record = self._pair.load(path)
        if record is not None and len(record) != _POSITION.size:
            raise damaged(path, "the durable position is malformed")
        durable = None if record is None else Position(*_POSITION.unpack(record))
        self._image = PositionImage(durable, self._newest_cell())

    def _newest_cell(self) -> Position | None:
        applied: Position | None = None
        for at in _CELLS:
            cell = self._file.pread(_CELL_BYTES, at)
            magic, version, _, counter, generation, sequence, boot = _CELL.unpack_from(cell)
            if magic != CELL_MAGIC or version != CELL_VERSION or counter <= self._counter:
                continue
            if _CHECKSUM.unpack_from(cell, _CELL.size)[0] != xxh3_64_intdigest(cell[: _CELL.size]):
                continue
            self._counter = counter
            applied = Position(generation, sequence) if boot == self._boot else None
        return applied

    def read(self) -> PositionImage:
        """What the file held when it was opened."""
        return self._image

    def write_durable(self, position: Position) -> None:
        """Replaces the durable position, durably. After an OSError it is the old or the new one."""
        self._pair.write(_POSITION.pack(position.generation, position.sequence))

    def write_applied(self, position: Position) -> None:
        """Replaces the applied position, in the page cache only, with one system call."""
        counter = self._counter = self._counter + 1
        generation, sequence = position.generation, position.sequence
        cell = _CELL.pack(CELL_MAGIC, CELL_VERSION, 0, counter, generation, sequence, self._boot)
        self._file.pwrite(cell + _CHECKSUM.pack(xxh3_64_intdigest(cell)), _CELLS[counter & 1])

    def forget_beyond(self, position: Position) -> None:
        """Takes the applied position back to this one, durably: it is the older cell that says more, and it
        must not come back with a page that could not be written."""
        self.write_applied(position)
        self._file.fdatasync()

    def close(self) -> None:
        """Ends the use of the file."""
        self._file.close()
