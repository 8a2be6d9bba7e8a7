"""The bytes of a segment: its header, and entries one behind the other.

Checksums are seeded with the stream and the segment's number, so that what an earlier use of a file
has left there is never taken for an entry. Each entry says up to which place of the whole row a sync had
reached when it was written: a gap before that place was durable once. Pure but for `Segment`'s file.
Format: `docs/formats.md`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from xxhash import xxh3_64, xxh3_64_intdigest

from farshore.model.messages import Buffer
from farshore.model.positions import Position
from farshore.store.platform import File
from farshore.store.slots import newer

MAGIC: Final = b"FShrSegm"
VERSION: Final = 1
ENTRY_MAGIC: Final = b"FShe"
_HEADER: Final = struct.Struct("<8sHHI16sQ16sQ")
_ENTRY: Final = struct.Struct("<4sIQ16sQ")
_CHECKSUM: Final = struct.Struct("<Q")
HEADER_BYTES: Final = _HEADER.size + _CHECKSUM.size
ENTRY_BYTES: Final = _ENTRY.size + _CHECKSUM.size
FIRST: Final = 512
"""Where the first entry begins: the header has a sector to itself."""
_SUFFIX: Final = ".seg"


@dataclass(slots=True, eq=False)
class Segment:
    """One file in use. `end` is where the next entry goes, `last` the position behind the last one."""

    number: int
    file: File
    capacity: int
    follows: Position
    last: Position
    end: int


def place(number: int, offset: int) -> int:
    """A byte of the row of segments as one number that grows along it."""
    return number << 32 | offset


def name_of(number: int) -> str:
    """The file's name."""
    return f"{number:016x}{_SUFFIX}"


def number_of(name: str) -> int | None:
    """The inverse; None for a file that is no segment."""
    digits = name.removesuffix(_SUFFIX)
    if digits == name or len(digits) != 16 or set(digits) - set("0123456789abcdef"):
        return None
    return int(digits, 16)


@lru_cache(maxsize=8)
def _seed(stream: bytes, number: int) -> int:
    return xxh3_64_intdigest(stream + number.to_bytes(8, "little"))


def put_header(stream: bytes, number: int, follows: Position) -> bytes:
    """The first bytes of a segment."""
    head = _HEADER.pack(MAGIC, VERSION, 0, 0, stream, number, follows.generation, follows.sequence)
    return head + _CHECKSUM.pack(xxh3_64_intdigest(head))


def take_header(data: Buffer, path: str, stream: bytes, number: int) -> Position | None:
    """The position that the first entry follows; None where this is not the header of that segment.

    Raises FarshoreError `state-newer`.
    """
    if len(data) < FIRST or not _has_header(data):
        return None
    _, version, _, _, of_stream, of_number, generation, sequence = _HEADER.unpack_from(data)
    if version > VERSION:
        raise newer(path, version, VERSION)
    return Position(generation, sequence) if (of_stream, of_number) == (stream, number) else None


def is_foreign(data: Buffer, stream: bytes) -> bool:
    """Whether this is a whole segment of another stream."""
    return len(data) >= FIRST and _has_header(data) and _HEADER.unpack_from(data)[4] != stream


def _has_header(data: Buffer) -> bool:
    head = bytes(data[: _HEADER.size])
    return head[:8] == MAGIC and _CHECKSUM.unpack_from(data, _HEADER.size)[0] == xxh3_64_intdigest(head)


def entry_head(stream: bytes, number: int, synced: int, position: Position, data: Buffer) -> bytes:
    """What stands before the bytes of an entry."""
    head = _ENTRY.pack(ENTRY_MAGIC, len(data), synced, position.generation, position.sequence)
    return head + _CHECKSUM.pack(_checksum(head, data, _seed(stream, number)))


def _checksum(head: Buffer, data: Buffer, seed: int) -> int:
    checksum = xxh3_64(head, seed=seed)
    checksum.update(data)
    return checksum.intdigest()


def entry_size(data: memoryview) -> int:
    """The size that the entry at the front says it has; nothing is checked."""
    return ENTRY_BYTES + int(_ENTRY.unpack_from(data)[1]) if len(data) >= ENTRY_BYTES else ENTRY_BYTES


def take_entries(data: memoryview, stream: bytes, number: int, entries: list[tuple[Position, Buffer]]) -> int:
    """Appends whole entries from the front of `data` to `entries`; the bytes that they take."""
    seed, at, size = _seed(stream, number), 0, len(data)
    while at + ENTRY_BYTES <= size:
        magic, length, _, generation, sequence = _ENTRY.unpack_from(data, at)
        begin = at + ENTRY_BYTES
        if magic != ENTRY_MAGIC or begin + length > size:
            break
        body = data[begin : begin + length]
        if _CHECKSUM.unpack_from(data, begin - 8)[0] != _checksum(data[at : begin - 8], body, seed):
            break
        entries.append((Position(generation, sequence), body))
        at = begin + length
    return at


def scan(data: memoryview, stream: bytes, number: int, follows: Position) -> tuple[int, Position]:
    """Where the entries of a whole segment file end, and the position that is reached there."""
    entries: list[tuple[Position, Buffer]] = []
    end = FIRST + take_entries(data[FIRST:], stream, number, entries)
    return end, entries[-1][0] if entries else follows


def known_durable(data: memoryview, stream: bytes, number: int) -> int:
    """The furthest place that any whole entry in here, wherever it begins, says was durable before it."""
    found = 0
    content = bytes(data)
    at = content.find(ENTRY_MAGIC)
    while at >= 0:
        entries: list[tuple[Position, Buffer]] = []
        if at + ENTRY_BYTES <= len(content):
            size = entry_size(data[at : at + ENTRY_BYTES])
            if take_entries(data[at : at + size], stream, number, entries):
                found = max(found, int(_ENTRY.unpack_from(data, at)[2]))
        at = content.find(ENTRY_MAGIC, at + 1)
    return found
