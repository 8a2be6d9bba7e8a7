"""The durable self-knowledge of one copy: who it is, what it holds, what it promised.

The header is one immutable value; the core replaces it whole and asks for it to be made durable,
the store writes it to two alternating slots. It holds nothing that can be derived and no intent
of the operator beyond what the data path needs after a crash.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from farshore.model.layers import EVERY_LAYER
from farshore.model.options import ResyncKind, Role
from farshore.model.positions import History, Position

HEADER_FORMAT = 2
"""2 adds what changes of the role need, from `turn` on. A header of format 1 can be read as well."""


class FaultKind(StrEnum):
    """What a fault leaves in doubt (rule C3)."""

    VOLUMES = "volumes"
    """What was acknowledged may be missing in the volumes."""
    RECORDS = "records"
    """Only the copy's own records could not be written."""
    REPLACED = "replaced"
    """The volumes are others than those that this primary has written (rule D3)."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a copy is faulted, for its operator, and what that leaves in doubt; None where the header was
    written before that was recorded, so that the text alone tells."""

    text: str
    kind: FaultKind | None

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class OpenResync:
    """A resync that has overwritten, or may have overwritten, part of this copy (rules A4, E1)."""

    id: bytes
    kind: ResyncKind
    start: Position


@dataclass(frozen=True, slots=True)
class Upstream:
    """The one feeder of a secondary (rule B8)."""

    link: bytes
    epoch: int
    copy: bytes | None = None
    """The feeder's copy id, known from its first hello on."""


class VerifyState(StrEnum):
    """How the newest verify of a link stands (rule E7)."""

    RUNNING = "running"
    FINISHED = "finished"
    HALTED = "halted"
    """It found a difference, and was asked to stop the link at the first one."""
    STOPPED = "stopped"
    """An operator ended it."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class VerifyRecord:
    """The newest verify of a link: what a restart goes on with, and what is shown of it."""

    state: VerifyState
    begun: float
    """Seconds since the epoch, as all times here."""
    volume: int = 0
    region: int = 0
    """Everything before this region is compared; volumes come in the order of their ids."""
    halt: bool = False
    rate: int = 0
    """Bytes per second that are compared at most; 0 is unbounded."""
    ended: float | None = None
    at: Position | None = None
    """Where the stream stood when it ended."""
    found: int = 0
    """Bytes that it has found to differ."""
    why: str = ""
    """Why it failed."""


@dataclass(frozen=True, slots=True)
class LinkRecord:
    """What a copy remembers of one outgoing link."""

    link: bytes
    epoch: int
    peer_copy: bytes | None = None
    """The copy id at the other end, None until its first hello (rule D3)."""
    open_resync: OpenResync | None = None
    """Our side of a resync that has not completed."""
    alone_since: Position | None = None
    """Rule C4: the application was told of writes after this point that the peer may lack."""
    ever_replicated: bool = False
    """Rule C4, freeze: true from the first time the link was replicating."""
    paused: bool = False
    """The operator stopped the link; autosync leaves it alone."""
    paused_for: str = ""
    """Rule C3: the fault of ours after which the link was stopped, empty when the operator stopped it. What a
    resync would copy may be older than what the peer holds."""
    stopped_at: Position | None = None
    stopped_time: float | None = None
    """When the link last stopped sending (rule B5), seconds since the epoch."""
    once: bool = False
    """The operator wants a single resync: the link logs again at its completion cut."""
    verify: VerifyRecord | None = None
    queue_whole: bool = False
    """Set by a clean stop only: the disk queue reaches to the head of the history, and every mark of the
    scoreboard is one of a frame in it."""
    unmet: bool = False
    """The link begins with a promotion, and its peer has not been in step since: the scoreboard's base says
    from where our own writes are marked, and nothing of where the peer stands, which may be beyond us."""
    retired: bool = False
    """The link of an earlier life as primary. Its scoreboard is the residue: what this copy may hold and the
    peer not, complete from the board's base, until this copy takes a history of somebody else (rule A5)."""


@dataclass(frozen=True, slots=True)
class Successor:
    """By whom a primary was told that there is another one (rule D6): the link over which it was said, and
    the turn of that promotion."""

    link: bytes
    turn: bytes


@dataclass(frozen=True, slots=True)
class VolumeRoom:
    """How large a volume is here that has grown, or is about to, and what its file or device has been made to
    hold, in bytes; what lies between the two reads as zeroes."""

    volume: int
    size: int
    room: int


@dataclass(frozen=True, slots=True)
class VolumeIdentity:
    """What a volume says of itself, as `store.volume_identity` names it."""

    volume: int
    text: str


RENEWED = bytes(16)
"""Id of the open resync of a secondary with another volume than it had, which a plan has accepted: it holds
nothing, and is to get everything (rule D3)."""


@dataclass(frozen=True, slots=True)
class Header:
    """See the module. `ceiling` is the highest sequence reserved for use (rule D1)."""

    group: bytes
    copy: bytes
    role: Role
    history: History = field(default_factory=History)
    ceiling: int = 0
    clean: bool = True
    """True between a clean stop and the next start."""
    boot: str = ""
    """Boot id under which the copy last ran."""
    links: tuple[LinkRecord, ...] = ()
    upstream: Upstream | None = None
    resync: OpenResync | None = None
    """Set while this copy is inconsistent because it is being resynced."""
    undo: bytes = b""
    """Rule E1: the layer of the preserve store that takes that resync back, empty where there is none."""
    doubtful_until: int = 0
    """Rule B3: after a power loss, not a prefix before this sequence has been passed again."""
    highest_seen: int = 0
    """Highest sequence that a secondary had applied when the header was last written."""
    journaling: bool = False
    """Rule B2: the volumes lack what the journal holds behind the durable position."""
    fault: Fault | None = None
    """Rule C3: why this copy is faulted, None when it is well."""
    loose_until: int = 0
    """A process died while it wrote frames to the volumes itself: part of one may be there beyond the
    position, until this sequence is passed. Only the feeder that had sent it knows what of it may differ."""
    turn: bytes = b""
    """The id of the last turn (role change) that was carried out here, empty before the first."""
    fenced: str = ""
    """Rule D6: why this primary takes no writes any more, empty while it may; only a turn ends it."""
    successor: Successor | None = None
    """Of a fence: which promotion it is for. None where nobody said, or where two were told of."""
    rooms: tuple[VolumeRoom, ...] = ()
    """Of volumes that were ever to grow, by id; all others have the size that they began with."""
    broken_layers: tuple[bytes, ...] = ()
    """Layers of the preserve store that lack something which was overwritten: nobody reads them any more.
    `EVERY_LAYER` stands for all that a store has which could not be opened."""
    identities: tuple[VolumeIdentity, ...] = ()
    """Rule D3: what each volume is known by, by id; those of which nothing is known are not among them."""
    format: int = HEADER_FORMAT

    def broken(self, layer: bytes) -> bool:
        """Whether this layer of the preserve store lacks something."""
        return layer in self.broken_layers or EVERY_LAYER in self.broken_layers

    def link(self, link: bytes) -> LinkRecord | None:
        """The record of one outgoing link, None when it is unknown."""
        for record in self.links:
            if record.link == link:
                return record
        return None

    def with_link(self, record: LinkRecord) -> tuple[LinkRecord, ...]:
        """The links with `record` added or replaced."""
        others = tuple(each for each in self.links if each.link != record.link)
        return (*others, record)
