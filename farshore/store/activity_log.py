"""The activity log on disk: the extents that may hold writes which are not durable everywhere (A2).

Replaced whole, with one write and one sync, in two alternating slots of a file that was filled with
zeroes. A log that cannot be read is not an error but an answer: every extent is suspect (A3).
Which extents are in it, and when one may leave, is decided by `farshore.core`.
Format: `docs/formats.md`.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import Final

from farshore.errors import FarshoreError
from farshore.store.platform import FileLayer
from farshore.store.slots import RecordKind, SlotFile

KIND: Final = RecordKind(b"FShrActv", 1)
MAX_INDEX: Final = (1 << 48) - 1
_ENTRY: Final = 8

Extents = frozenset[tuple[int, int]]


def encode(extents: Collection[tuple[int, int]]) -> bytes:
    """Eight bytes for each extent, in ascending order."""
    entries = sorted([volume << 48 | index for volume, index in extents])
    if extents and not all(0 <= index <= MAX_INDEX for _, index in extents):
        raise ValueError("the index of an extent does not fit into 48 bits")
    return struct.pack(f"<{len(entries)}Q", *entries)


def decode(data: bytes) -> Extents | None:
    """The inverse of `encode`; None for bytes that it would not produce."""
    if len(data) % _ENTRY:
        return None
    entries = struct.unpack(f"<{len(data) // _ENTRY}Q", data)
    return frozenset([(entry >> 48, entry & MAX_INDEX) for entry in entries])


class ActivityLogFile:
    """The log's file, with room for a number of extents, which it can outgrow."""

    __slots__ = ("_capacity", "_extents", "_layer", "_path", "_slots")

    def __init__(self, layer: FileLayer, path: str, capacity: int) -> None:
        """Use `create` or `open`."""
        self._layer = layer
        self._path = path
        self._capacity = capacity
        self._slots: SlotFile | None = None
        self._extents: Extents | None = None

    @classmethod
    def create(cls, layer: FileLayer, path: str, capacity: int) -> ActivityLogFile:
        """Makes the file with no extent in it and room for `capacity` of them. Its name is durable
        once the caller has synced the directory."""
        log = cls(layer, path, capacity)
        log._slots = SlotFile.create(layer, path, KIND, b"", _ENTRY * capacity)
        log._extents = frozenset()
        return log

    @classmethod
    def open(cls, layer: FileLayer, path: str, capacity: int) -> ActivityLogFile:
        """A log that is damaged or missing reads as None, and goes on doing so until the first
        `replace`. Raises FarshoreError `state-newer`."""
        log = cls(layer, path, capacity)
        try:
            log._slots = SlotFile.open(layer, path, KIND)
        except FarshoreError as reason:
            if reason.code.name != "state-damaged":
                raise
            return log
        log._extents = decode(log._slots.read())
        return log

    def read(self) -> Extents | None:
        """The extents as (volume id, index); None when they are unknown, so that all are suspect."""
        return self._extents

    def replace(self, extents: Collection[tuple[int, int]]) -> None:
        """Replaces the log, durably. After an OSError it is the old or the new one."""
        data = encode(extents)
        if self._slots is None:
            room = max(_ENTRY * self._capacity, len(data))
            self._slots = SlotFile.replace(self._layer, self._path, KIND, data, room)
        else:
            self._slots.write(data)
        self._extents = frozenset(extents)

    def close(self) -> None:
        """Ends the use of the file."""
        if self._slots is not None:
            self._slots.close()
