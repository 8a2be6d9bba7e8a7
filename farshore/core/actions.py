"""What the core asks of its shell, as values in the order in which the shell must begin them.

The core never waits: it answers an input with a list of actions, and the shell, of which the engine is one
and the simulator another, reports the end of each action that has a `ticket` by calling the method named in
its docstring, once. It finishes those of one kind (and one target) in order, others in any order.

A *channel* is one connection of a link; its key is the link's id at the feeder, else the shell's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from farshore.core.layer_actions import RetitleLayer
from farshore.core.record_actions import ForgetBeyond
from farshore.core.resize_actions import OfSizes
from farshore.model.header import Header
from farshore.model.layers import Layer, Run
from farshore.model.messages import Buffer, DigestQuery, Fill, Message
from farshore.model.positions import Position
from farshore.model.volumes import Operation


class Relayable(Protocol):
    """A frame in the hands of a secondary's shell, as the shell gives it to the core and gets it back."""

    @property
    def operations(self) -> list[Operation]:
        """Its records, in order."""
        ...


@dataclass(slots=True)
class Issue:
    """Primary: make one frame of `operations`, queue it on the channel of every link in `links`, start
    sending, then write the operations to the local volumes in order. Report `written(ticket, errors)`, where
    errors maps the index of each failed operation to its errno. Tickets are reported in order."""

    ticket: int
    first: int
    follows: Position
    operations: list[Operation]
    payloads: Sequence[Buffer | None]
    links: tuple[bytes, ...]
    queues: tuple[tuple[bytes, bool], ...] = ()
    """Links whose queue keeps this frame, behind all it kept before. False: in memory. True: it, and all
    that is kept in memory, goes to the disk as `QueueAppend` says."""


@dataclass(slots=True)
class Reply:
    """Answer these requests of the application; errno 0 is success."""

    tokens: Sequence[object]
    errno: int = 0


@dataclass(slots=True)
class SyncVolumes:
    """fdatasync every volume of the copy that has unsynced writes. Report `synced(ticket, errno)`."""

    ticket: int


@dataclass(slots=True)
class WriteActivity:
    """Replace the activity log by these extents, durably. Report `activity_written(ticket, errno)`.
    An extent is (volume id, index)."""

    ticket: int
    extents: tuple[tuple[int, int], ...]


@dataclass(slots=True)
class WriteHeader:
    """Replace the header, durably. Report `header_written(ticket, errno)`."""

    ticket: int
    header: Header


@dataclass(slots=True)
class WriteBoard:
    """Write a link's scoreboard file: first the base (with the peer's copy id) and fdatasync, then the
    pages and fdatasync (rule A5: a bit may be clear on disk only under a base that allows it; so a
    base that moves is durable before bits that it clears). Report `board_written(ticket, errno)`.
    A page is (map name, volume id, page number, bytes)."""

    ticket: int
    link: bytes
    base: Position | None
    peer_copy: bytes | None
    pages: list[tuple[str, int, int, bytes]]


@dataclass(slots=True)
class Connect:
    """Open a connection for this link. Report `connected(link)` or `disconnected(link, why)`."""

    link: bytes


@dataclass(slots=True)
class QueueAppend:
    """Append the frames that a link's queue keeps in memory to its disk queue. Of any size and kind of
    append, report `queue_written(link, last, bytes on disk, errno)`, in order, with the last sequence that
    is on the disk by now."""

    link: bytes


@dataclass(slots=True)
class QueueRead:
    """Read frames behind a sequence back from the disk queue, about `most` bytes but at least one, off the
    loop. Report `queue_read(ticket, [(head, frame), ...], why)`, with a reason where it failed. At a
    secondary every queue is the journal (also under the link b"", for the core itself); nothing there
    behind the sequence is no failure."""

    ticket: int
    link: bytes
    after: int
    most: int


@dataclass(slots=True)
class SendFrames:
    """Queue these frames, as they came or as `queue_read` brought them, on the channel."""

    channel: bytes
    frames: Sequence[object]


@dataclass(slots=True)
class QueueSend:
    """Queue every frame that is kept in memory behind a sequence on the channel; it stays in memory."""

    channel: bytes
    after: int


@dataclass(slots=True)
class QueueTrim:
    """Frames up to this sequence are durable at the peer: they need not be kept."""

    link: bytes
    durable: int


@dataclass(slots=True)
class QueueDrop:
    """Forget everything that the link's queue keeps, in memory and on disk; be ready for the next append."""

    link: bytes


@dataclass(slots=True)
class QueueSync:
    """Make everything that was appended durable. Report `queue_synced(ticket, errno)`."""

    ticket: int
    link: bytes


@dataclass(slots=True)
class Close:
    """End this channel after sending what `Send` queued on it last; drop frames that are queued.
    Nothing is reported. `code` is a name of the error catalogue, or empty for a quiet end."""

    channel: bytes
    code: str
    text: str


@dataclass(slots=True)
class Send:
    """Queue a message on the channel, behind every frame queued before."""

    channel: bytes
    message: Message


@dataclass(slots=True)
class ReadRegion:
    """Read a range of a local volume, off the loop. Report `region_read(ticket, data, errno)`; data is
    None when all of it is zero (a hole, say) and `digest` is False. With `digest` report the digests
    of its regions, 16 bytes each, in place of the data."""

    ticket: int
    link: bytes
    volume: int
    offset: int
    length: int
    digest: bool
    awaited: bool = False
    """Writes are held until it has been read."""


@dataclass(slots=True)
class AnswerRead:
    """Primary: answer the read of `read_failed` with its own bytes and, in place of what the disk refused,
    these pieces of ((volume, offset, length), content); with the errno where it is not 0."""

    token: object
    found: Sequence[tuple[tuple[int, int, int], Buffer]]
    errno: int


@dataclass(slots=True)
class MendRegion:
    """Primary: write a region anew that could not be read; the application writes nothing there meanwhile.
    Report `mended(ticket, errno)`."""

    ticket: int
    volume: int
    offset: int
    data: Buffer


@dataclass(slots=True)
class ReadRange:
    """Secondary: read a range of a volume, off the loop. Report `looked_up(ticket, data, errno)`."""

    ticket: int
    volume: int
    offset: int
    length: int


@dataclass(slots=True)
class ApplyFrame:
    """Secondary: write the records of the frame in hand, in order, then record `applied` in the
    position file (unsynced, with the boot id). Report `applied_frame(errno)` before anything else."""

    frame: object
    applied: Position


@dataclass(slots=True)
class ApplyFill:
    """Secondary: write the fill's range. Report `filled(errno)` before anything else."""

    fill: Fill


@dataclass(slots=True)
class WriteDurable:
    """Secondary: record the durable position and fdatasync that record.
    Report `durable_written(ticket, errno)`."""

    ticket: int
    position: Position


@dataclass(slots=True)
class CompareDigests:
    """Secondary: digest the query's regions, off the loop, compare; what the disk cannot read (EIO) differs.
    Report `compared(ticket, differing, errno)`."""

    ticket: int
    query: DigestQuery


@dataclass(slots=True)
class AppendFrame:
    """Secondary: append the frame to the journal, at once or together with the others of this turn, in
    order. Report `appended(errno)` once for all that were handed over and not reported, before anything
    is reported or handed over that is no frame. After an error none of them is in the journal."""

    frame: object
    position: Position
    """What is reached with it."""


@dataclass(slots=True)
class SyncJournal:
    """Secondary: fdatasync what was appended to the journal. Report `journal_done(ticket, errno)`."""

    ticket: int


@dataclass(slots=True)
class ApplyFrames:
    """Secondary: write the records of these frames to the volumes, in order; where they overlap, the later
    one stands. Report `journal_done(ticket, errno)`."""

    ticket: int
    frames: list[object]


@dataclass(slots=True)
class BeginJournal:
    """Secondary: drop everything in the journal and begin it anew behind `position`, durably.
    Report `journal_done(ticket, errno)`."""

    ticket: int
    position: Position


@dataclass(slots=True)
class ContinueJournal:
    """Secondary: keep the journal, whose end has the sequence of `position`; if it is of another generation,
    append the mere change of position. Durably. Report `journal_done(ticket, errno)`."""

    ticket: int
    position: Position


@dataclass(slots=True)
class TrimJournal:
    """Secondary: what lies at or below `position` is needed by a rewind at most, from snapshots that stand
    at `keep`. Nothing is reported. A shell that reads in the journal lets it pass: it is said again."""

    position: Position
    keep: tuple[int, ...] = ()


@dataclass(slots=True)
class ReadJournal:
    """Secondary, at a start: read a piece of the journal behind `after`, in order and up to the first frame
    that does not follow. Report `journal_read(ticket, [(head, frame), ...], errno)`, empty at the end."""

    ticket: int
    after: Position


@dataclass(slots=True)
class BeginLayer:
    """A new layer of the preserve store, at this moment, with room for `reserve` bytes of content. Everything
    that was written is durable in the volumes. Report `preserved(ticket, errno)`. The actions on the store
    take effect in the order in which they are asked for."""

    ticket: int
    layer: Layer
    reserve: int


@dataclass(slots=True)
class SaveRegions:
    """Keep what these regions hold in the newest layer, if there is one, durably, off the loop; what it has
    stays. Report `preserved(ticket, errno)`, and what an operator is to know of regions that it lacks."""

    ticket: int
    runs: tuple[Run, ...]


@dataclass(slots=True)
class DropLayer:
    """Give a layer up, after handing down what the next older one lacks, where that is `needed`. Report
    `layer_dropped(ticket, errno, runs)`: what the newest has then."""

    ticket: int
    layer: bytes
    needed: bool = True


@dataclass(slots=True)
class RollBack:
    """Secondary: write back what the volumes held at the layer's moment, fdatasync them, then record
    `position` as the applied and the durable one. Report `preserved(ticket, errno)`."""

    ticket: int
    layer: bytes
    position: Position


@dataclass(slots=True)
class Note:
    """An event for the operator's journal. `fields` are JSON values."""

    kind: str
    fields: dict[str, object]


_OfQueues: TypeAlias = QueueAppend | QueueRead | QueueSend | QueueTrim | QueueDrop | QueueSync
_OfJournal: TypeAlias = (
    AppendFrame | SyncJournal | ApplyFrames | BeginJournal | ContinueJournal | TrimJournal | ReadJournal
)
_OfReads: TypeAlias = ReadRegion | AnswerRead | MendRegion | ReadRange
_OfLayers: TypeAlias = BeginLayer | SaveRegions | DropLayer | RollBack | RetitleLayer
_OfRecords: TypeAlias = SyncVolumes | WriteActivity | WriteHeader | WriteBoard | WriteDurable | ForgetBeyond
Action: TypeAlias = (
    Issue
    | Reply
    | Connect
    | SendFrames
    | Close
    | Send
    | ApplyFrame
    | ApplyFill
    | CompareDigests
    | _OfReads
    | _OfQueues
    | _OfJournal
    | _OfLayers
    | _OfRecords
    | OfSizes
    | Note
)
