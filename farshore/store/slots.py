"""Two alternating slots: a small record that is replaced whole and survives a torn replacement.

A replacement goes to the slot that does not hold the newest record and counts one up; it is in
force once it is synced. Whatever a crash does to it, the record before it is still there. Reading
never guesses: where neither slot holds, it is an error, and a record of a newer version is another.
`SlotPair` works inside a file that holds more; `SlotFile` is a file of its own, which grows by
being replaced. Format: `docs/formats.md`.
"""

from __future__ import annotations

import posixpath
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from xxhash import xxh3_64

from farshore.errors import FarshoreError
from farshore.store.platform import File, FileLayer

_HEAD: Final = struct.Struct("<8sHHIIIQ")
_CHECKSUM: Final = struct.Struct("<Q")
SLOT_HEAD: Final = _HEAD.size + _CHECKSUM.size
"""Bytes of a slot before its payload."""
ALIGNMENT: Final = 4096
_MAX_SLOT: Final = 64 << 20

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class RecordKind:
    """What a record is: the 8 bytes that it begins with, and the version that is written."""

    magic: bytes
    version: int


def slot_bytes_for(payload: int) -> int:
    """The size of a slot with room for a payload, in whole pages."""
    return -(-(SLOT_HEAD + payload) // ALIGNMENT) * ALIGNMENT


def slot_bytes_of(head: bytes) -> int:
    """The size of the slots of which `head` begins the first one; 0 where that is no size of a slot."""
    size: int = _HEAD.unpack_from(head)[4] if len(head) >= _HEAD.size else 0
    return size if size <= _MAX_SLOT and not size % ALIGNMENT else 0


def damaged(path: str, what: str) -> FarshoreError:
    """The error for a record that cannot be trusted."""
    return FarshoreError(
        "state-damaged",
        f"{path}: {what}",
        means="This record of the copy cannot be trusted; the volumes themselves were not touched.",
        next_step="farshore doctor",
    )


def newer(path: str, version: int, known: int) -> FarshoreError:
    """The error for a record that a later Farshore wrote."""
    return FarshoreError(
        "state-newer",
        f"{path} has version {version}, and this Farshore knows versions up to {known}",
        means="A newer Farshore has used this state directory; nothing was changed.",
        next_step="install the newer Farshore again",
    )


class SlotPair:
    """Two slots of `slot_bytes` each from `offset` of a file that someone else owns."""

    __slots__ = ("_counter", "_file", "_kind", "_offset", "_slot", "slot_bytes")

    def __init__(self, file: File, kind: RecordKind, slot_bytes: int, offset: int = 0) -> None:
        self._file = file
        self._kind = kind
        self._offset = offset
        self.slot_bytes = slot_bytes
        self._counter = 0
        self._slot = 1

    def load(self, path: str) -> bytes | None:
        """The newest record, None where none was ever written; then the pair can be written.

        The record is written once more, to its own slot, and synced: after a process that died, or
        whose sync failed, what the cache shows need not be on the disk, and the next replacement
        would go to the only slot that is. Raises FarshoreError `state-damaged` or `state-newer`.
        """
        slots = [self._file.pread(self.slot_bytes, self._offset + n * self.slot_bytes) for n in (0, 1)]
        good: list[tuple[int, int]] = []
        for number, slot in enumerate(slots):
            if self._holds(slot):
                good.append((_HEAD.unpack_from(slot)[6], number))
        versions = [_HEAD.unpack_from(slots[number])[1] for _, number in good]
        if not good:
            if not any(map(any, slots)) and all(len(slot) == self.slot_bytes for slot in slots):
                return None
            versions = [_HEAD.unpack_from(slot)[1] for slot in slots if slot[:8] == self._kind.magic]
        if max(versions, default=0) > self._kind.version:
            raise newer(path, max(versions), self._kind.version)
        if not good:
            raise damaged(path, "both slots of the record are damaged")
        self._counter, self._slot = max(good)
        newest = slots[self._slot]
        end = SLOT_HEAD + _HEAD.unpack_from(newest)[3]
        self._file.pwrite(newest[:end], self._offset + self._slot * self.slot_bytes)
        self._file.fdatasync()
        return newest[SLOT_HEAD:end]

    def _holds(self, slot: bytes) -> bool:
        if len(slot) != self.slot_bytes:
            return False
        magic, _, _, length, slot_bytes, _, _ = _HEAD.unpack_from(slot)
        if magic != self._kind.magic or slot_bytes != self.slot_bytes or length > slot_bytes - SLOT_HEAD:
            return False
        return (
            _checksum(slot[: _HEAD.size], slot[SLOT_HEAD : SLOT_HEAD + length])
            == slot[_HEAD.size : SLOT_HEAD]
        )

    def fits(self, payload: int) -> bool:
        """Whether a record of this many bytes has room."""
        return payload <= self.slot_bytes - SLOT_HEAD

    def write(self, payload: bytes) -> None:
        """Replaces the record, durably: one write and one sync.

        After an error the record is the old or the new one; writing again goes to the same slot.
        """
        if not self.fits(len(payload)):
            raise ValueError(f"a record of {len(payload)} bytes does not fit into {self.slot_bytes}")
        slot, counter = 1 - self._slot, self._counter + 1
        kind = self._kind
        head = _HEAD.pack(kind.magic, kind.version, 0, len(payload), self.slot_bytes, 0, counter)
        data = b"".join((head, _checksum(head, payload), payload))
        self._file.pwrite(data, self._offset + slot * self.slot_bytes)
        self._file.fdatasync()
        self._slot, self._counter = slot, counter


def _checksum(head: bytes, payload: bytes) -> bytes:
    checksum = xxh3_64(head)
    checksum.update(payload)
    return _CHECKSUM.pack(checksum.intdigest())


class SlotFile:
    """A file that is one pair of slots."""

    __slots__ = ("_file", "_kind", "_layer", "_pair", "_path", "_payload")

    def __init__(self, layer: FileLayer, path: str, kind: RecordKind, slot_bytes: int) -> None:
        """Use `create` or `open`."""
        self._layer = layer
        self._path = path
        self._kind = kind
        self._file = layer.open(path)
        self._pair = SlotPair(self._file, kind, slot_bytes)
        self._payload: bytes | None = None

    @classmethod
    def create(cls, layer: FileLayer, path: str, kind: RecordKind, payload: bytes, room: int) -> SlotFile:
        """Makes the file, which must not exist, with its first record and room for `room` bytes of it.

        The record is durable on return, the name once the caller has synced the directory.
        """
        slot_bytes = slot_bytes_for(max(room, len(payload)))
        file = layer.open(path, create=True)
        try:
            file.allocate_zeroed(2 * slot_bytes)
            SlotPair(file, kind, slot_bytes).write(payload)
        finally:
            file.close()
        return cls.open(layer, path, kind)

    @classmethod
    def replace(cls, layer: FileLayer, path: str, kind: RecordKind, payload: bytes, room: int) -> SlotFile:
        """Like `create`, but takes the place of the file of that name, if any, durably and at once."""
        beside = path + ".new"
        if layer.exists(beside):
            layer.remove(beside)
        slots = cls.create(layer, beside, kind, payload, room)
        layer.rename(beside, path)
        layer.fsync_dir(posixpath.dirname(path))
        slots._path = path
        return slots

    @classmethod
    def open(cls, layer: FileLayer, path: str, kind: RecordKind) -> SlotFile:
        """Raises FarshoreError `state-damaged` (also where the file is missing) or `state-newer`."""
        if not layer.exists(path):
            raise damaged(path, "the file is missing")
        slots = cls(layer, path, kind, ALIGNMENT)
        try:
            size = slots._file.size()
            if size % (2 * ALIGNMENT) or not 0 < size <= 2 * _MAX_SLOT:
                raise damaged(path, f"the file cannot have {size} bytes")
            slots._pair = SlotPair(slots._file, kind, size // 2)
            slots._payload = slots._pair.load(path)
            if slots._payload is None:
                raise damaged(path, "the file is empty")
        except (FarshoreError, OSError):
            slots.close()
            raise
        return slots

    @classmethod
    def decoded(
        cls, layer: FileLayer, path: str, kind: RecordKind, decode: Callable[[bytes, str], _Value]
    ) -> tuple[SlotFile, _Value]:
        """Opens the file and decodes its record, which `decode` is given with the path. Raises what `open`
        and `decode` raise; the file is closed then."""
        slots = cls.open(layer, path, kind)
        try:
            return slots, decode(slots.read(), path)
        except FarshoreError:
            slots.close()
            raise

    def read(self) -> bytes:
        """The record as it was opened or last written."""
        assert self._payload is not None
        return self._payload

    def write(self, payload: bytes) -> None:
        """Replaces the record, durably. A record that has outgrown the file goes to a new file, which
        takes the old one's name. Raises OSError; the record is then the old or the new one."""
        if self._pair.fits(len(payload)):
            self._pair.write(payload)
        else:
            self._grow(payload)
        self._payload = payload

    def _grow(self, payload: bytes) -> None:
        room = 2 * len(payload)
        if slot_bytes_for(room) > _MAX_SLOT:
            raise ValueError(f"a record of {len(payload)} bytes is too long for {self._path}")
        grown = SlotFile.replace(self._layer, self._path, self._kind, payload, room)
        self._file.close()
        self._file, self._pair = grown._file, grown._pair

    def close(self) -> None:
        """Ends the use of the file."""
        self._file.close()
