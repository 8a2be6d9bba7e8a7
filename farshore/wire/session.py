"""The stream of one link connection: units of a prefix and a body, and the bodies of link messages.

A unit is a frame, whose bytes are `farshore.wire.frame`'s, or one of the messages of
`farshore.model.messages`. Every message carries a checksum over its type, length and fields, since
lines without TLS exist. Nothing malformed gets further than a ProtocolError, and no unit is longer
than the bound of its type. Which message may come when is `farshore.core`'s decision.
Format: `docs/formats.md`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final, NamedTuple, TypeAlias

from xxhash import xxh3_64, xxh3_64_intdigest

from farshore.errors import ProtocolError
from farshore.model.messages import (
    PROTOCOL,
    Ack,
    Buffer,
    DigestQuery,
    DigestReply,
    Fill,
    Heartbeat,
    Hello,
    Message,
    Purpose,
    ReadQuery,
    ReadReply,
    Ready,
    Refusal,
    Resume,
    ResyncBegin,
    ResyncDone,
    ResyncEnd,
    Skip,
    SyncNow,
    Welcome,
)
from farshore.model.options import MAX_REGION, MIN_REGION
from farshore.model.volumes import MAX_REQUEST
from farshore.wire import fields, frame
from farshore.wire.fields import U16, U32, U64, Fields

_Put: TypeAlias = Callable[[Any], bytes]
_Take: TypeAlias = Callable[[memoryview], Message]

FRAME: Final = 0
"""The unit type of a frame."""

_PREFIX: Final = struct.Struct("<II")
_FILL: Final = struct.Struct("<QQQHHIQQ")
_QUERY: Final = struct.Struct("<QQQHHIQQ")
_READ: Final = struct.Struct("<QQQQ")
PREFIX_BYTES: Final = _PREFIX.size
_CHECKSUM_BYTES: Final = U64.size
_FILL_DATA: Final = 1

MAX_CODE: Final = 64
MAX_TEXT: Final = 4_096
MAX_QUERIED: Final = 65_536
"""Regions in one digest query."""
DIGEST_BYTES: Final = 16
MAX_MESSAGE: Final = 2 << 20
"""Bytes in the body of a message that is no fill."""


def frame_prefix(size: int) -> bytes:
    """What goes before a frame of `size` bytes on a link."""
    return _PREFIX.pack(size, FRAME)


def encode(message: Message) -> list[Buffer]:
    """The unit of a message, in pieces to be sent in order; the data of a fill, or of a read, is the last,
    not copied.

    Raises ValueError for a message that no peer would accept.
    """
    number, put = _ENCODERS[type(message)]
    body, data = put(message), None
    if isinstance(message, Fill | ReadReply):
        data = message.data
    length = _CHECKSUM_BYTES + len(body) + (0 if data is None else len(data))
    if length > _BOUNDS[number]:
        raise ValueError(f"a message of {length} bytes is too long")
    prefix = _PREFIX.pack(length, number)
    if data is None:
        return [b"".join((prefix, U64.pack(xxh3_64_intdigest(body, _seed(length, number))), body))]
    checksum = xxh3_64(body, _seed(length, number))
    checksum.update(data)
    return [b"".join((prefix, U64.pack(checksum.intdigest()), body)), data]


def _seed(length: int, kind: int) -> int:
    """The prefix as one number: the checksum of a message covers it as its seed."""
    return kind << 32 | length


def decode(kind: int, body: memoryview) -> Message:
    """The message in the body of a unit. A fill's data refers to `body`; all else is copied out of it.

    Raises ProtocolError.
    """
    take = _DECODERS.get(kind)
    if take is None:
        raise ProtocolError(f"unknown message type {kind}")
    if not _CHECKSUM_BYTES <= len(body) <= _BOUNDS[kind]:
        raise ProtocolError(f"a message of type {kind} cannot have {len(body)} bytes")
    checksum = xxh3_64_intdigest(body[_CHECKSUM_BYTES:], _seed(len(body), kind))
    if checksum != U64.unpack_from(body)[0]:
        raise ProtocolError(f"a message of type {kind} fails its checksum")
    return take(body)


class Batch(NamedTuple):
    """What a receive buffer holds: (type, body) of each whole unit, the bytes that these take, and how
    many bytes are missing from the unit, or from its prefix, that begins after them (0: none began)."""

    units: list[tuple[int, memoryview]]
    consumed: int
    missing: int


def split(buffer: Buffer, start: int, end: int, bound: int = frame.MAX_FRAME) -> Batch:
    """Splits what stands in `buffer` from `start` to `end`. The bodies refer to the buffer. `bound`
    lowers the bounds of all types (before a peer has said hello, say).

    Raises ProtocolError as soon as a prefix announces something unknown or too long.
    """
    view = memoryview(buffer)
    units: list[tuple[int, memoryview]] = []
    at = start
    while end - at >= PREFIX_BYTES:
        length, kind = _PREFIX.unpack_from(view, at)
        if kind not in _BOUNDS:
            raise ProtocolError(f"unknown unit of type {kind}")
        if length > _BOUNDS[kind] or length > bound:
            raise ProtocolError(f"a unit of type {kind} and {length} bytes is too long")
        body = at + PREFIX_BYTES
        if end - body < length:
            return Batch(units, at - start, body + length - end)
        at = body + length
        units.append((kind, view[body:at]))
    return Batch(units, at - start, PREFIX_BYTES - (end - at) if at < end else 0)


def _put_hello(m: Hello) -> bytes:
    return b"".join(
        (
            U16.pack(m.protocol),
            fields.put_id(m.group),
            fields.put_id(m.link),
            U64.pack(m.epoch),
            fields.put_id(m.copy),
            fields.put_id(m.instance),
            fields.put_history(m.history),
            U32.pack(m.region),
            fields.put_volumes(m.volumes),
            fields.put_optional_id(m.peer_copy),
            fields.put_kind(m.first),
            bytes((m.journal,)),
            fields.put_ids(m.chain),
            U64.pack(m.queue),
        )
    )


def _take_hello(body: memoryview) -> Hello:
    take = Fields(body, _CHECKSUM_BYTES)
    protocol = take.u16()
    if protocol != PROTOCOL:
        raise ProtocolError(f"the peer speaks protocol {protocol}, and we speak {PROTOCOL}")
    message = Hello(
        protocol=protocol,
        group=take.id(),
        link=take.id(),
        epoch=take.u64(),
        copy=take.id(),
        instance=take.id(),
        history=take.history(),
        region=_region(take.u32()),
        volumes=take.volumes(),
        peer_copy=take.optional_id(),
        first=take.kind(),
        journal=take.flag(),
        chain=take.ids(),
        queue=take.u64(),
    )
    take.done()
    return message


def _region(size: int) -> int:
    if size & (size - 1) or not MIN_REGION <= size <= MAX_REGION:
        raise ProtocolError(f"{size} is not the size of a region")
    return size


def _put_welcome(m: Welcome) -> bytes:
    return b"".join(
        (
            U64.pack(m.session),
            fields.put_id(m.copy),
            fields.put_id(m.instance),
            fields.put_history(m.history),
            fields.put_resync(m.resync),
            bytes((m.doubtful, m.empty, m.undo)),
            fields.put_residue(m.residue),
        )
    )


def _take_welcome(take: Fields) -> Welcome:
    return Welcome(
        session=take.u64(),
        copy=take.id(),
        instance=take.id(),
        history=take.history(),
        resync=take.resync(),
        doubtful=take.flag(),
        empty=take.flag(),
        undo=take.flag(),
        residue=take.residue(),
    )


def _put_refusal(m: Refusal) -> bytes:
    # Without a turn it is as in every protocol so far: whoever speaks another one can read why it is refused.
    said = fields.put_text(m.code, MAX_CODE) + fields.put_text(m.text, MAX_TEXT)
    return said + (fields.put_id(m.turn) if m.turn else b"")


def _take_refusal(take: Fields) -> Refusal:
    return Refusal(take.text(MAX_CODE), take.text(MAX_TEXT), take.last_id())


def _put_resume(m: Resume) -> bytes:
    return U64.pack(m.session) + fields.put_history(m.history) + fields.put_position(m.position)


def _put_begin(m: ResyncBegin) -> bytes:
    head = U64.pack(m.session) + fields.put_id(m.resync) + fields.put_kind(m.kind)
    place = fields.put_history(m.history) + fields.put_position(m.position)
    return b"".join(
        (head, place, U64.pack(m.marked), bytes((m.unprotected,)), fields.put_text(m.rescue, MAX_CODE))
    )


def _take_begin(t: Fields) -> ResyncBegin:
    head = (t.u64(), t.id(), t.kind(), t.history(), t.position())
    return ResyncBegin(*head, marked=t.u64(), unprotected=t.flag(), rescue=t.text(MAX_CODE))


def _put_ready(m: Ready) -> bytes:
    return U64.pack(m.session) + bytes((m.undo,))


def _put_skip(m: Skip) -> bytes:
    return U64.pack(m.session) + fields.put_position(m.position)


def _put_fill(m: Fill) -> bytes:
    if m.data is not None and len(m.data) != m.length:
        raise ValueError("the data of a fill is not as long as its range")
    kind = 0 if m.data is None else _FILL_DATA
    return _FILL.pack(m.session, m.ordinal, m.sequence, m.volume, kind, 0, m.offset, m.length)


def _take_fill(body: memoryview) -> Fill:
    start = _CHECKSUM_BYTES + _FILL.size
    if len(body) < start:
        raise ProtocolError("a fill ends within its fields")
    session, ordinal, sequence, volume, kind, zero, offset, length = _FILL.unpack_from(body, _CHECKSUM_BYTES)
    if kind > _FILL_DATA or zero or not 0 < length <= frame.MAX_OFFSET - offset:
        raise ProtocolError(f"a malformed fill of kind {kind}, offset {offset} and length {length}")
    if len(body) - start != (length if kind else 0):
        raise ProtocolError("the data of a fill is not as long as its range")
    return Fill(session, ordinal, sequence, volume, offset, length, body[start:] if kind else None)


def _put_query(m: DigestQuery) -> bytes:
    if len(m.digests) != DIGEST_BYTES * -(-m.length // m.region):
        raise ValueError("a digest query needs one digest for each region")
    head = _QUERY.pack(m.session, m.ordinal, m.sequence, m.volume, m.purpose, m.region, m.offset, m.length)
    return head + m.digests


def _take_query(body: memoryview) -> DigestQuery:
    start = _CHECKSUM_BYTES + _QUERY.size
    if len(body) < start:
        raise ProtocolError("a digest query ends within its fields")
    numbers = _QUERY.unpack_from(body, _CHECKSUM_BYTES)
    session, ordinal, sequence, volume, purpose, region, offset, length = numbers
    count = -(-length // _region(region))
    if purpose > max(Purpose) or not 0 < length <= frame.MAX_OFFSET - offset or not 0 < count <= MAX_QUERIED:
        raise ProtocolError(f"a malformed digest query of offset {offset} and length {length}")
    digests = bytes(body[start:])
    if len(digests) != DIGEST_BYTES * count:
        raise ProtocolError("a digest query needs one digest for each region")
    return DigestQuery(session, ordinal, sequence, volume, offset, length, region, digests, Purpose(purpose))


def _put_read(m: ReadReply) -> bytes:
    return _READ.pack(m.session, m.ordinal, m.errno, len(m.data))


def _take_read(body: memoryview) -> ReadReply:
    start = _CHECKSUM_BYTES + _READ.size
    if len(body) < start:
        raise ProtocolError("what was read ends within its fields")
    session, ordinal, errno, length = _READ.unpack_from(body, _CHECKSUM_BYTES)
    if len(body) - start != length or (errno and length):
        raise ProtocolError("what was read is not as long as it says, or has data and an error")
    return ReadReply(session, ordinal, errno, bytes(body[start:]))


def _put_differing(m: DigestReply) -> bytes:
    return U64.pack(m.session) + U64.pack(m.ordinal) + fields.put_blob(m.differing)


def _differing(take: Fields) -> bytes:
    differing = take.blob(MAX_QUERIED)
    if differing.strip(b"\0\1\2"):
        raise ProtocolError("a digest reply says neither equal nor different nor changed")
    return differing


def _put_end(m: ResyncEnd) -> bytes:
    head = U64.pack(m.session) + fields.put_id(m.resync)
    return head + fields.put_history(m.history) + fields.put_position(m.position)


def _put_done(m: ResyncDone) -> bytes:
    return U64.pack(m.session) + fields.put_id(m.resync)


def _numbers(cls: type[Message], *names: str) -> tuple[_Put, _Take]:
    """Both directions of a message that consists of 64-bit numbers."""
    layout = struct.Struct(f"<{len(names)}Q")
    get = attrgetter(*names)

    def put(message: Any) -> bytes:
        return layout.pack(*get(message)) if len(names) > 1 else layout.pack(get(message))

    def take(body: memoryview) -> Message:
        if len(body) != _CHECKSUM_BYTES + layout.size:
            raise ProtocolError(f"{cls.__name__} does not have {len(body)} bytes")
        return cls(*layout.unpack_from(body, _CHECKSUM_BYTES))

    return put, take


def _taking(build: Callable[[Fields], Message]) -> _Take:
    def take(body: memoryview) -> Message:
        left = Fields(body, _CHECKSUM_BYTES)
        message = build(left)
        left.done()
        return message

    return take


_TABLE: Final[tuple[tuple[int, type[Message], _Put, _Take], ...]] = (
    (1, Hello, _put_hello, _take_hello),
    (2, Welcome, _put_welcome, _taking(_take_welcome)),
    (3, Refusal, _put_refusal, _taking(_take_refusal)),
    (4, Resume, _put_resume, _taking(lambda t: Resume(t.u64(), t.history(), t.position()))),
    (5, ResyncBegin, _put_begin, _taking(_take_begin)),
    (6, Ready, _put_ready, _taking(lambda t: Ready(t.u64(), t.flag()))),
    (7, Skip, _put_skip, _taking(lambda t: Skip(t.u64(), t.position()))),
    (8, Fill, _put_fill, _take_fill),
    (9, DigestQuery, _put_query, _take_query),
    (10, DigestReply, _put_differing, _taking(lambda t: DigestReply(t.u64(), t.u64(), _differing(t)))),
    (11, ResyncEnd, _put_end, _taking(lambda t: ResyncEnd(t.u64(), t.id(), t.history(), t.position()))),
    (12, ResyncDone, _put_done, _taking(lambda t: ResyncDone(t.u64(), t.id()))),
    (13, Ack, *_numbers(Ack, "session", "received", "applied", "durable", "fills_durable")),
    (14, SyncNow, *_numbers(SyncNow, "session")),
    (15, Heartbeat, *_numbers(Heartbeat, "clock", "echo", "wall", "age")),
    (20, ReadQuery, *_numbers(ReadQuery, "session", "ordinal", "volume", "offset", "length")),
    (21, ReadReply, _put_read, _take_read),
)
_ENCODERS: Final = {cls: (number, put) for number, cls, put, _ in _TABLE}
_DECODERS: Final = {number: take for number, _, _, take in _TABLE}
_BOUNDS: Final = {
    FRAME: frame.MAX_FRAME,
    **dict.fromkeys(_DECODERS, MAX_MESSAGE),
    _ENCODERS[Fill][0]: _CHECKSUM_BYTES + _FILL.size + MAX_REQUEST,
}
