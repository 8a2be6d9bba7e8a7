"""What an operator chooses for groups and links, and the words for states and health.

The strings are the ones users type and read. Defaults are those of the command line.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from farshore.model.positions import Position

DEFAULT_REGION = 32 << 10
MIN_REGION = 4 << 10
MAX_REGION = 1 << 20
DEFAULT_EXTENT = 4 << 20
DEFAULT_HOT_EXTENTS = 1024
MOST_HOT_EXTENTS = 65536


class Role(StrEnum):
    """What a copy is: takes the application's writes, or follows."""

    PRIMARY = "primary"
    SECONDARY = "secondary"


class Mode(StrEnum):
    """Whether an acknowledgement waits for the peer."""

    SYNC = "sync"
    ASYNC = "async"


class AckLevel(StrEnum):
    """What a sync link's acknowledgement means (rule C2)."""

    RECEIVED = "received"
    APPLIED = "applied"
    DURABLE = "durable"


class OnOutage(StrEnum):
    """What a sync link does to the application while the peer is lost (rule C4)."""

    CONTINUE = "continue"
    FREEZE = "freeze"


class OnFull(StrEnum):
    """What a link does when its last queue is full (rule F1)."""

    LOG = "log"
    BLOCK = "block"


class Apply(StrEnum):
    """How the peer applies frames (rules B2, B3)."""

    DIRECT = "direct"
    JOURNAL = "journal"


class LinkState(StrEnum):
    """Section G of the law."""

    LOGGING = "logging"
    QUEUING = "queuing"
    RESYNCING = "resyncing"
    REPLICATING = "replicating"
    DIVERGED = "diverged"
    FAILED = "failed"


class Reason(StrEnum):
    """Why a link is in its state."""

    NEW = "new"
    OPERATOR = "operator"
    PEER_LOST = "peer-lost"
    QUEUE_FULL = "queue-full"
    PEER_ERROR = "peer-error"
    LOCAL_ERROR = "local-error"
    UPSTREAM_RESYNCING = "upstream-resyncing"
    STORE_FULL = "store-full"
    RESTARTED = "restarted"
    IN_ORDER = "in-order"
    UPDATE = "update"
    FULL = "full"
    DIGEST = "digest"
    HISTORIES_CONFLICT = "histories-conflict"
    IDENTITY_CHANGED = "identity-changed"
    REFUSED = "refused"
    REROUTED = "rerouted"
    VERIFY = "verify"


class ResyncKind(StrEnum):
    """How a resync decides what to copy."""

    UPDATE = "update"
    FULL = "full"
    DIGEST = "digest"


class Health(StrEnum):
    """One word per group."""

    PROTECTED = "protected"
    BEHIND = "behind"
    CATCHING_UP = "catching-up"
    UNPROTECTED = "unprotected"
    DIVERGED = "diverged"
    FAILED = "failed"
    STOPPED = "stopped"


class Writes(StrEnum):
    """What happens to the application's writes right now."""

    FLOWING = "flowing"
    HELD = "held"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class LinkOptions:
    """Everything an operator may set on a link. Bytes, seconds, bytes per second."""

    mode: Mode = Mode.ASYNC
    ack: AckLevel = AckLevel.APPLIED
    on_outage: OnOutage = OnOutage.CONTINUE
    apply: Apply = Apply.DIRECT
    """Whoever makes a link chooses `Apply.JOURNAL` for an async one unless told otherwise."""
    queue_memory: int = 64 << 20
    queue_disk: int = 0
    """Bytes of the disk queue; 0 for none."""
    on_full: OnFull = OnFull.LOG
    autosync: bool = True
    first: ResyncKind = ResyncKind.FULL
    wire: str = "tls"
    max_rate: int = 0
    """Bytes per second for the whole link; 0 is unbounded."""
    rpo: float = 30.0
    compress: str = "none"
    """`none` or `zstd`; holds from the link's next connection on."""
    verify_every: float = 0.0
    """Seconds from the begin of one verify to that of the next; 0 for none but those that are asked for."""
    dscp: int = 0
    """Traffic class of its packets, 0 to 63; 0 leaves the system's own. From the next connection on."""


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """One outgoing link of a copy, as the engine is told of it."""

    id: bytes
    name: str
    peer: str
    """The peer node's fingerprint, lowercase hex."""
    options: LinkOptions
    epoch: int = 1
    resting: bool = False
    """The far copy follows another feeder, or is about to: the link logs until it is to feed it again."""
    consent: Position | None = None
    """A plan allows to overwrite the far copy where this is the head of its history, though it is no ancestor
    of ours (rule D7)."""
    rescue: str = ""
    """The name under which the far copy keeps what is overwritten by that consent; empty where the plan said
    that it is kept nowhere."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Clocks of a link, in seconds."""

    beat: float = 1.0
    limit: float = 5.0
    first_retry: float = 0.2
    last_retry: float = 5.0
    durable_every: float = 1.0
    start_grace: float = 10.0
    """How long a new boot waits for the peers of async links before writes flow (rule D5)."""


def options_from_json(value: dict[str, Any]) -> LinkOptions:
    """Link options from their JSON form; raises ValueError or TypeError on anything unknown."""
    given = dict(value)
    for name, kind in (
        ("mode", Mode),
        ("ack", AckLevel),
        ("on_outage", OnOutage),
        ("first", ResyncKind),
        ("on_full", OnFull),
        ("apply", Apply),
    ):
        if name in given:
            given[name] = kind(given[name])
    return LinkOptions(**given)
