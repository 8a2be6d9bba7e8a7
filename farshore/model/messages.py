"""What the two ends of a link say to each other besides frames.

`Hello`, `Welcome` and `Refusal` open a session; the welcome carries the session's nonce, and
every *link message* after it carries (nonce, ordinal or position), so that anything from another
session changes nothing (rule B7). Link messages are never queued, journaled or relayed.
Their bytes are `farshore.wire.session`'s business; what they cause is `farshore.core`'s.
Sequences are of the generation of the feeder's current history head.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, TypeAlias

from farshore.model.header import OpenResync
from farshore.model.options import ResyncKind
from farshore.model.positions import History, Position

Buffer: TypeAlias = bytes | bytearray | memoryview

PROTOCOL = 2
UNKNOWN_AGE = (1 << 64) - 1
MAX_CHAIN = 64
"""Copies that a hello may name as upstream of its sender."""
MAX_RANGES = 65_536
"""Ranges of a residue; more are made fewer by joining neighbours."""


@dataclass(frozen=True, slots=True)
class Hello:
    """First message of the feeder."""

    protocol: int
    group: bytes
    link: bytes
    epoch: int
    copy: bytes
    instance: bytes
    """128 random bits of this run of the engine (rule B8)."""
    history: History
    region: int
    volumes: tuple[tuple[int, int], ...]
    """(id, size in bytes) of each."""
    peer_copy: bytes | None
    """The copy id that the feeder expects, None at the first meeting."""
    first: ResyncKind = ResyncKind.FULL
    journal: bool = False
    """Frames are to go through the follower's journal (rule B2)."""
    chain: tuple[bytes, ...] = ()
    """The copies that the feeder itself follows, directly or through others, the nearest first."""
    queue: int = 0
    """Bytes that the link's queue may hold in memory (rule B4); 0 where the feeder does not say."""


@dataclass(frozen=True, slots=True)
class Residue:
    """What a former primary may hold and the feeder not, complete from `base` on its own history (A5)."""

    base: Position
    ranges: tuple[tuple[int, int, int], ...]
    """(volume, offset, length) in bytes, in order and apart; at most `MAX_RANGES`."""


@dataclass(frozen=True, slots=True)
class Welcome:
    """The follower's answer: what it holds."""

    session: int
    copy: bytes
    instance: bytes
    history: History
    """Up to the last position that is certain: applied after a process death, durable after a boot."""
    resync: OpenResync | None
    doubtful: bool
    """Rule B3: content beyond `history` may be there in part."""
    empty: bool
    """True when nothing but zeroes was found in blank volumes."""
    residue: Residue | None = None
    """Of a copy that was the primary and fed the one that greets it now, until it follows anybody."""
    undo: bool = False
    """Rule E1: the open resync can be taken back."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Either end ends the session and says why; `code` is one of `farshore.errors`."""

    code: str
    text: str
    turn: bytes = b""
    """Rules D5, D6: with `promoted` the turn by which the copy is the primary, with `fenced` the one of which
    it has durably taken notice; else empty."""


@dataclass(frozen=True, slots=True)
class Resume:
    """The follower lacks nothing: ordered frames follow from `position`; it adopts `history`."""

    session: int
    history: History
    position: Position


@dataclass(frozen=True, slots=True)
class ResyncBegin:
    """Fills follow; live frames follow from `position` on (an announced gap)."""

    session: int
    resync: bytes
    kind: ResyncKind
    history: History
    position: Position
    marked: int = 0
    """Bytes that are certain to be filled: what the undo needs (rule E1)."""
    unprotected: bool = False
    """The operator accepts that it cannot be taken back where there is no room for an undo."""
    rescue: str = ""
    """What it overwrites is to be kept under this name; empty where nobody asked for that."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The follower has made durable what `Resume` or `ResyncBegin` asked for."""

    session: int
    undo: bool = False
    """Rule E1: the resync that begins can be taken back."""


@dataclass(frozen=True, slots=True)
class Skip:
    """While resyncing: frames up to `position` were turned into marks and will not come (rule E4)."""

    session: int
    position: Position


@dataclass(frozen=True, slots=True)
class Fill:
    """Whole regions' content as of `sequence` (rule A4). `data` is None for zeroes."""

    session: int
    ordinal: int
    sequence: int
    volume: int
    offset: int
    length: int
    data: Buffer | None


class Purpose(IntEnum):
    """What a digest query is for."""

    RESYNC = 0
    """To clear marks: an answer may be of any later moment of the same stream (A4)."""
    VERIFY = 1
    """To compare: the answer is of exactly the query's position, or says that it cannot be (E7)."""
    VERIFY_HELD = 2
    """The same, and the follower takes nothing more of the stream before it has looked."""


@dataclass(frozen=True, slots=True)
class DigestQuery:
    """Digests (xxh3-128, 16 bytes each) of consecutive regions as of `sequence`."""

    session: int
    ordinal: int
    sequence: int
    volume: int
    offset: int
    length: int
    region: int
    digests: bytes
    purpose: Purpose = Purpose.RESYNC


@dataclass(frozen=True, slots=True)
class DigestReply:
    """Which regions of the query with this ordinal differ: one byte each, 1 differs, 0 is equal; 2, to a
    verify only: they were changed from behind the query's position while they were looked at."""

    session: int
    ordinal: int
    differing: bytes


@dataclass(frozen=True, slots=True)
class ReadQuery:
    """The feeder's own disk cannot give this range: what do the follower's volumes hold there, with every
    frame that went before this message?"""

    session: int
    ordinal: int
    volume: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class ReadReply:
    """The content of the query with this ordinal, or the errno of the follower's disk and no data."""

    session: int
    ordinal: int
    errno: int
    data: Buffer


@dataclass(frozen=True, slots=True)
class ResyncEnd:
    """The completion cut: with `position` the follower is consistent and adopts `history`."""

    session: int
    resync: bytes
    history: History
    position: Position


@dataclass(frozen=True, slots=True)
class ResyncDone:
    """The completion cut is durable at the follower."""

    session: int
    resync: bytes


class Ack(NamedTuple):
    """Cumulative; sequences, and ordinals of fills (rule C2). At most one per loop turn. (A tuple, as
    the head of a frame is: they are made for each frame.)"""

    session: int
    received: int
    applied: int
    durable: int
    fills_durable: int


@dataclass(frozen=True, slots=True)
class SyncNow:
    """The feeder would like everything so far to become durable soon."""

    session: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Nothing but a sign of life; `clock` is the sender's monotonic clock in nanoseconds, `echo` the
    newest clock heard from the other end (0 when none), `wall` what the sender takes for the time, in
    nanoseconds since the epoch (0 when it does not say). In a feeder's echo `age` says that all that the
    primary had so many nanoseconds before is in the frames ahead of it."""

    clock: int
    echo: int = 0
    wall: int = 0
    age: int = UNKNOWN_AGE


Message: TypeAlias = (
    Hello
    | Welcome
    | Refusal
    | Resume
    | ResyncBegin
    | Ready
    | Skip
    | Fill
    | DigestQuery
    | DigestReply
    | ReadQuery
    | ReadReply
    | ResyncEnd
    | ResyncDone
    | Ack
    | SyncNow
    | Heartbeat
)


class FrameHead(NamedTuple):
    """What the core needs of a frame; payload and records stay with the shell (design: the frame)."""

    group: bytes
    generation: bytes
    first: int
    operations: int
    """How many."""
    follows: Position
    timestamp: int
    """Nanoseconds since the epoch at the primary."""
    flush: bool
    """The last record is a FLUSH."""
    size: int
    """Encoded bytes."""
    cut: bool = False
    """The last record is a CUT."""
    snapshot: str = ""
    """The name of the snapshot that this cut asks for, empty where it asks for none; known of a frame that
    was looked into."""

    @property
    def last(self) -> int:
        """The sequence of the last record."""
        return self.first + self.operations - 1
