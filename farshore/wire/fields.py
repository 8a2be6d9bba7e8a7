"""Bounded fields of link messages: how ids, positions, histories, strings and lists are laid out.

Little-endian, without padding. Reading never trusts a length: every list, string and blob has a
bound, and running past the end, an unknown code or a value out of range is a ProtocolError.
"""

from __future__ import annotations

import struct
from typing import Final

from farshore.errors import ProtocolError
from farshore.model.header import OpenResync
from farshore.model.messages import MAX_CHAIN, MAX_RANGES, Residue
from farshore.model.options import ResyncKind
from farshore.model.positions import History, Position, Stretch

ID_BYTES: Final = 16
MAX_STRETCHES: Final = 65_535
MAX_VOLUMES: Final = 4_096

U8: Final = struct.Struct("<B")
U16: Final = struct.Struct("<H")
U32: Final = struct.Struct("<I")
U64: Final = struct.Struct("<Q")
_POSITION: Final = struct.Struct("<16sQ")
_VOLUME: Final = struct.Struct("<HQ")
_RANGE: Final = struct.Struct("<HQQ")

_KIND_CODES: Final = {ResyncKind.UPDATE: 1, ResyncKind.FULL: 2, ResyncKind.DIGEST: 3}
_KINDS: Final = {code: kind for kind, code in _KIND_CODES.items()}


def put_id(value: bytes) -> bytes:
    """16 bytes. Raises ValueError for another length."""
    if len(value) != ID_BYTES:
        raise ValueError(f"an id has {ID_BYTES} bytes, not {len(value)}")
    return value


def put_optional_id(value: bytes | None) -> bytes:
    """A byte that says whether there is one, then the id."""
    return b"\0" if value is None else b"\1" + put_id(value)


def put_ids(values: tuple[bytes, ...]) -> bytes:
    """Their number, then the ids. Raises ValueError for more than `MAX_CHAIN`."""
    if len(values) > MAX_CHAIN:
        raise ValueError(f"{len(values)} ids are too many")
    return U16.pack(len(values)) + b"".join([put_id(each) for each in values])


def put_position(value: Position) -> bytes:
    """Generation and sequence."""
    return put_id(value.generation) + U64.pack(value.sequence)


def put_history(value: History) -> bytes:
    """A 16-bit count, then each stretch like a position."""
    if len(value.stretches) > MAX_STRETCHES:
        raise ValueError(f"a history of {len(value.stretches)} stretches is too long")
    stretches = [put_id(each.generation) + U64.pack(each.last) for each in value.stretches]
    return b"".join((U16.pack(len(stretches)), *stretches))


def put_kind(value: ResyncKind) -> bytes:
    """One byte."""
    return U8.pack(_KIND_CODES[value])


def put_resync(value: OpenResync | None) -> bytes:
    """A byte that says whether there is one, then id, kind and start."""
    if value is None:
        return b"\0"
    return b"\1" + put_id(value.id) + put_kind(value.kind) + put_position(value.start)


def put_volumes(value: tuple[tuple[int, int], ...]) -> bytes:
    """A 16-bit count, then id and size in bytes of each."""
    if len(value) > MAX_VOLUMES:
        raise ValueError(f"{len(value)} volumes are too many")
    return b"".join((U16.pack(len(value)), *[_VOLUME.pack(volume, size) for volume, size in value]))


def put_residue(value: Residue | None) -> bytes:
    """A byte that says whether there is one, then its base, a 32-bit count, and the ranges."""
    if value is None:
        return b"\0"
    if len(value.ranges) > MAX_RANGES:
        raise ValueError(f"{len(value.ranges)} ranges are too many")
    ranges = [_RANGE.pack(*each) for each in value.ranges]
    return b"".join((b"\1", put_position(value.base), U32.pack(len(ranges)), *ranges))


def put_text(value: str, bound: int) -> bytes:
    """A 16-bit length and UTF-8, cut at a character's end where it exceeds `bound` bytes."""
    text = value.encode("utf-8", "replace")[:bound].decode("utf-8", "ignore").encode()
    return U16.pack(len(text)) + text


def put_blob(value: bytes) -> bytes:
    """A 32-bit length and the bytes."""
    return U32.pack(len(value)) + value


class Fields:
    """Takes the fields of one message in order; `done` checks that nothing is left over."""

    __slots__ = ("_at", "_view")

    def __init__(self, view: memoryview, at: int) -> None:
        self._view = view
        self._at = at

    def _take(self, length: int) -> memoryview:
        start, self._at = self._at, self._at + length
        if self._at > len(self._view):
            raise ProtocolError("a message ends within a field")
        return self._view[start : self._at]

    def _number(self, layout: struct.Struct) -> int:
        (value,) = layout.unpack(self._take(layout.size))
        return int(value)

    def u16(self) -> int:
        return self._number(U16)

    def u32(self) -> int:
        return self._number(U32)

    def u64(self) -> int:
        return self._number(U64)

    def flag(self) -> bool:
        value = self._number(U8)
        if value > 1:
            raise ProtocolError(f"{value} is neither yes nor no")
        return value == 1

    def id(self) -> bytes:
        return bytes(self._take(ID_BYTES))

    def last_id(self) -> bytes:
        """An id at the end of a message, or nothing."""
        return self.id() if self._at < len(self._view) else b""

    def optional_id(self) -> bytes | None:
        return self.id() if self.flag() else None

    def ids(self) -> tuple[bytes, ...]:
        """At most `MAX_CHAIN` ids."""
        number = self.u16()
        if number > MAX_CHAIN:
            raise ProtocolError(f"{number} ids are too many")
        return tuple([self.id() for _ in range(number)])

    def position(self) -> Position:
        return Position(*_POSITION.unpack(self._take(_POSITION.size)))

    def history(self) -> History:
        """Sequences along it never fall (rule D1)."""
        pairs = _POSITION.iter_unpack(self._take(self.u16() * _POSITION.size))
        stretches = tuple([Stretch(generation, last) for generation, last in pairs])
        floor = 0
        for stretch in stretches:
            if stretch.last < floor:
                raise ProtocolError("the sequences of a history fall")
            floor = stretch.last
        return History(stretches)

    def kind(self) -> ResyncKind:
        code = self._number(U8)
        if code not in _KINDS:
            raise ProtocolError(f"unknown kind of resync {code}")
        return _KINDS[code]

    def resync(self) -> OpenResync | None:
        return OpenResync(self.id(), self.kind(), self.position()) if self.flag() else None

    def volumes(self) -> tuple[tuple[int, int], ...]:
        """No id comes twice."""
        count = self.u16()
        if count > MAX_VOLUMES:
            raise ProtocolError(f"{count} volumes are too many")
        volumes: tuple[tuple[int, int], ...] = tuple(_VOLUME.iter_unpack(self._take(count * _VOLUME.size)))
        if len({volume for volume, _ in volumes}) != count:
            raise ProtocolError("a volume is named twice")
        return volumes

    def residue(self) -> Residue | None:
        """Its ranges are in order, and apart."""
        if not self.flag():
            return None
        base, count = self.position(), self.u32()
        if count > MAX_RANGES:
            raise ProtocolError(f"{count} ranges are too many")
        ranges = tuple(_RANGE.iter_unpack(self._take(count * _RANGE.size)))
        end = (0, 0)
        for volume, offset, length in ranges:
            if not 0 < length < 1 << 63 or (volume, offset) < end:
                raise ProtocolError("the ranges of a residue are not in order")
            end = (volume, offset + length)
        return Residue(base, ranges)

    def text(self, bound: int) -> str:
        length = self.u16()
        if length > bound:
            raise ProtocolError(f"a text of {length} bytes is too long")
        try:
            return str(self._take(length), "utf-8")
        except UnicodeDecodeError as reason:
            raise ProtocolError("a text is not UTF-8") from reason

    def blob(self, bound: int) -> bytes:
        length = self.u32()
        if length > bound:
            raise ProtocolError(f"{length} bytes are more than {bound}")
        return bytes(self._take(length))

    def done(self) -> None:
        if self._at != len(self._view):
            raise ProtocolError("a message goes on after its last field")
