"""The frame: an immutable batch of consecutive operations of one group, and its one encoding.

A frame is encoded once and then sent, queued, journaled and relayed as the same bytes. It stands on
its own: it says which group, generation and sequences it holds and which position it follows. A
decoded frame has passed its checksum and every structural check, so whoever applies it needs no
further ones except against the volumes' sizes. Payloads are never copied on decoding.
Which frame may be applied is `farshore.core`'s decision. Format: `docs/formats.md`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from xxhash import xxh3_64_intdigest

from farshore.errors import ProtocolError
from farshore.model.messages import Buffer, FrameHead
from farshore.model.positions import Position
from farshore.model.volumes import CUT, FLUSH, RESIZE, TRIM, WRITE, ZERO, Operation

MAGIC: Final = b"FShr"
VERSION: Final = 1
KIND_BATCH: Final = 1
FLAG_FLUSH: Final = 1
FLAG_CUT: Final = 2
_ENDINGS: Final = {FLUSH: FLAG_FLUSH, CUT: FLAG_CUT}
"""The flag of a frame by its last record: these two end a frame, and are seen without a look inside."""

_HEADER: Final = struct.Struct("<4sBBHQII16s16sQQ16sQ")
_RECORD: Final = struct.Struct("<HBBIQ")
_SEED: Final = struct.Struct("<QQ")
"""The first eight bytes as a number, and the checksum behind them, which covers all that follows and has
that number as its seed: one call then digests a frame."""
_CHECKSUM: Final = struct.Struct("<Q")
HEADER_BYTES: Final = _HEADER.size
RECORD_BYTES: Final = _RECORD.size
_CHECKSUM_AT: Final = 8
_COVERED: Final = _SEED.size

MAX_BODY: Final = 40 << 20
"""Records and payloads of one frame, in bytes."""
MAX_FRAME: Final = HEADER_BYTES + MAX_BODY
MAX_SEQUENCE: Final = (1 << 64) - 1
MAX_NAME: Final = 64
"""Bytes of the name that a cut may carry."""
MAX_OFFSET: Final = (1 << 63) - 1
"""No operation reaches beyond this byte of a volume."""

Record: TypeAlias = tuple[int, int, int, int, int, memoryview | None]
"""(volume id, operation, flags, offset, length, payload or None)"""


@dataclass(slots=True)
class Step:
    """One operation of a frame, or a run of WRITEs to one volume. `end` is behind the last byte that any of
    it touches. A run has payloads, and an offset for each of them; its own `offset` is 0. Else only a CUT may
    have one, the name of the snapshot that it asks for."""

    volume: int
    operation: int
    offset: int = 0
    end: int = 0
    offsets: list[int] = field(default_factory=list)
    payloads: list[memoryview] = field(default_factory=list)


class FrameStamp(NamedTuple):
    """What a frame says of itself besides its operations. `timestamp` is nanoseconds since the epoch;
    `follows` is the position of the last operation before it, below `first`."""

    group: bytes
    generation: bytes
    first: int
    timestamp: int
    follows: Position


def payload_offset(count: int) -> int:
    """Where the payloads begin in a frame of `count` records."""
    return HEADER_BYTES + RECORD_BYTES * count


def encode(
    stamp: FrameStamp, operations: Sequence[Operation], payloads: Sequence[Buffer | None]
) -> bytearray:
    """The frame of these operations, in order; nobody changes it any more. `payloads` has one entry for
    each of them: the bytes of a WRITE (as long as the operation says, one byte per item), the name of a
    snapshot or None of a CUT, None for all others. Payloads are copied exactly once.

    Raises ValueError where the operations and payloads do not fit together or exceed `MAX_BODY`.
    """
    pack = _RECORD.pack
    records = b"".join([pack(v, op, 0, n, at) for v, op, at, n in operations])
    body = sum([n for _, op, _, n in operations if op == WRITE]) + len(records)
    if operations[-1][1] == CUT and payloads[-1]:
        _, op, at, _ = operations[-1]
        records = records[:-RECORD_BYTES] + pack(0, op, 0, len(payloads[-1]), at)
        body += len(payloads[-1])
    header = _header(stamp, len(operations), _ENDINGS.get(operations[-1][1], 0), body)
    frame = bytearray().join([header, records, *[piece for piece in payloads if piece is not None]])
    if len(frame) != HEADER_BYTES + body:
        raise ValueError("the payloads are not as long as the operations say")
    _seal(frame)
    return frame


def encode_into(buffer: bytearray, stamp: FrameStamp, operation: Operation) -> None:
    """Completes a frame of one WRITE in place: its payload stands in `buffer` already, from
    `payload_offset(1)` to the end.

    Raises ValueError where the operation is no WRITE of just that length.
    """
    volume, op, offset, length = operation
    start = HEADER_BYTES + RECORD_BYTES
    if op != WRITE or len(buffer) != start + length:
        raise ValueError("the buffer does not hold one write of the operation's length")
    buffer[:HEADER_BYTES] = _header(stamp, 1, 0, RECORD_BYTES + length)
    _RECORD.pack_into(buffer, HEADER_BYTES, volume, op, 0, length, offset)
    _seal(buffer)


def _seal(frame: bytearray) -> None:
    """Puts the checksum in."""
    view = memoryview(frame)
    seed, _ = _SEED.unpack_from(view)
    _CHECKSUM.pack_into(view, _CHECKSUM_AT, xxh3_64_intdigest(view[_COVERED:], seed))


def _header(stamp: FrameStamp, count: int, flags: int, body: int) -> bytes:
    """The header, its checksum still zero."""
    follows = stamp.follows
    if body > MAX_BODY or len(stamp.group) != 16 or len(stamp.generation) != 16:
        raise ValueError("the frame is too long or an id of its stamp is not 16 bytes")
    if not follows.sequence < stamp.first or len(follows.generation) != 16:
        raise ValueError("the frame does not come after the position that it follows")
    return _HEADER.pack(
        MAGIC,
        VERSION,
        KIND_BATCH,
        flags,
        0,
        count,
        body,
        stamp.group,
        stamp.generation,
        stamp.first,
        stamp.timestamp,
        follows.generation,
        follows.sequence,
    )


def decode_head(buffer: Buffer, offset: int = 0) -> FrameHead:
    """The head of the frame that begins at `offset`; only the header needs to be there.

    Reads nothing but the header and does not check the checksum. Raises ProtocolError.
    """
    if len(buffer) - offset < HEADER_BYTES:
        raise ProtocolError("a frame is shorter than its header")
    fields = _HEADER.unpack_from(buffer, offset)
    magic, version, kind, flags, _, count, body, group, generation, first, timestamp, parent, before = fields
    if magic != MAGIC:
        raise ProtocolError("a frame does not begin with the magic of a frame")
    if version != VERSION or kind != KIND_BATCH or flags > FLAG_CUT:
        raise ProtocolError(f"unknown frame: version {version}, kind {kind}, flags {flags:#x}")
    if not count or body > MAX_BODY or body < count * RECORD_BYTES:
        raise ProtocolError(f"a frame of {count} records cannot have a body of {body} bytes")
    if not before < first or first > MAX_SEQUENCE - count + 1:
        raise ProtocolError(f"a frame of {count} records cannot begin at {first} and follow {before}")
    follows = Position(parent, before)
    flush, cut = flags == FLAG_FLUSH, flags == FLAG_CUT
    return FrameHead(group, generation, first, count, follows, timestamp, flush, HEADER_BYTES + body, cut)


class Frame:
    """A frame that was checked. `data` is its encoding and refers to the buffer it was decoded from,
    as do the payloads of its steps: whoever keeps a frame beyond the life of that buffer copies it."""

    __slots__ = ("data", "head", "steps")

    def __init__(self, head: FrameHead, data: memoryview, steps: list[Step]) -> None:
        self.head = head
        self.data = data
        self.steps = steps
        """The operations in order. The list is the frame's own."""

    def records(self) -> list[Record]:
        """The operations in order, one by one."""
        records: list[Record] = []
        for step in self.steps:
            if step.operation == WRITE:
                writes = zip(step.offsets, step.payloads, strict=True)
                records += [(step.volume, WRITE, 0, offset, len(data), data) for offset, data in writes]
            else:
                data = step.payloads[0] if step.payloads else None
                records.append((step.volume, step.operation, 0, step.offset, step.end - step.offset, data))
        return records

    @property
    def operations(self) -> list[Operation]:
        """The same without payloads and flags."""
        return [(volume, code, offset, length) for volume, code, _, offset, length, _ in self.records()]


def check(data: Buffer) -> Frame:
    """Decodes exactly one frame, all of `data`.

    Raises ProtocolError unless the checksum holds, the records account for every byte, every
    operation is known and in range, and a FLUSH or CUT, if any, is the last one and flagged.
    """
    view = memoryview(data)
    head = decode_head(view)
    if head.size != len(view):
        raise ProtocolError(f"a frame of {head.size} bytes came as {len(view)}")
    seed, checksum = _SEED.unpack_from(view)
    if xxh3_64_intdigest(view[_COVERED:], seed) != checksum:
        raise ProtocolError(f"the frame at sequence {head.first} fails its checksum")
    steps = _steps(head, view)
    if head.cut and steps[-1].payloads:
        head = head._replace(snapshot=str(steps[-1].payloads[0], "utf-8"))
    return Frame(head, view, steps)


def _steps(head: FrameHead, view: memoryview) -> list[Step]:
    """This runs once per write at every follower, so what can be checked for a whole run is."""
    steps: list[Step] = []
    run, running = Step(-1, WRITE), -1
    put_offset, put_payload = run.offsets.append, run.payloads.append
    at = payload_offset(head.operations)
    for volume, op, flags, length, offset in _RECORD.iter_unpack(view[HEADER_BYTES:at]):
        if op == WRITE and not flags:
            if volume != running:
                running, run = volume, Step(volume, WRITE)
                steps.append(run)
                put_offset, put_payload = run.offsets.append, run.payloads.append
            stop = at + length
            put_offset(offset)
            put_payload(view[at:stop])
            at = stop
            if offset + length > run.end:
                run.end = offset + length
        elif flags:
            raise ProtocolError(f"a record has flags {flags:#x}")
        else:
            running = -1
            if op == CUT and length:
                steps.append(_named_cut(volume, offset, view[at : at + length], length))
                at += length
                continue
            if op not in (ZERO, TRIM):
                offset, length = _bare(op, volume, offset, length)
                if op == RESIZE and head.operations > 1:
                    raise ProtocolError("a resize is not the only record of its frame")
            steps.append(Step(volume, op, offset, offset + length))
    if at != len(view):
        raise ProtocolError("the records of a frame do not account for its payload")
    if max(step.end for step in steps) > MAX_OFFSET:
        raise ProtocolError("a record reaches beyond the last byte that a volume can have")
    if any(step.operation in _ENDINGS for step in steps[:-1]):
        raise ProtocolError("a flush or a cut is not the last record of its frame")
    # A flush is a barrier (rule B3), a cut a position between frames.
    last = steps[-1].operation
    if (head.flush, head.cut) != (last == FLUSH, last == CUT):
        raise ProtocolError("the flags of a frame and its last record disagree about a flush or a cut")
    return steps


def _named_cut(volume: int, number: int, name: memoryview, length: int) -> Step:
    """A cut that asks for a snapshot of this name."""
    try:
        text = str(name, "utf-8")
    except ValueError:
        text = ""
    if volume or length > MAX_NAME or len(name) != length or not text.isprintable() or not text:
        raise ProtocolError("malformed operation: a cut whose payload is no name of a snapshot")
    return Step(0, CUT, number, number, payloads=[name])


def _bare(op: int, volume: int, offset: int, length: int) -> tuple[int, int]:
    """Offset and length, as the model has them, of an operation that is not about a range."""
    if op == RESIZE and offset and not length:
        return offset, length  # a size needs more than the 32 bits of the length field
    if op in _ENDINGS and not (volume or length) and (op == CUT or not offset):
        return offset, length
    raise ProtocolError(f"unknown or malformed operation {op}")
