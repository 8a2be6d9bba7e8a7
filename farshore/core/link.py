"""The states of a link (section G of the law): one table, nothing else.

A link *logs* while it does not send; it is *resyncing* while marked regions are copied, with
ordered live writes in between; it is *replicating* while every write is sent in order and nothing
else is owed. With a disk queue it is *queuing* while the peer is lost, and until all that the queue
held was sent in order. `diverged` waits for an operator's plan, `failed` for a repair. An event that
its state does not know is an error that names both.

    logging --begin--> resyncing --complete--> replicating
       ^  \\--resume--------------------------------^   |
       |                                               |
       +--- lost, stop, overflow, fault <--------------+   (also from resyncing, queuing)

    replicating --queue--> queuing --resume--> replicating
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from farshore.errors import IllegalEvent
from farshore.model.options import LinkState, Reason


class LinkEvent(StrEnum):
    """What can happen to a link."""

    RESUME = "resume"
    """The peer lacks nothing and has said that it is ready."""
    BEGIN = "begin"
    """A resync was opened and the peer has said that it is ready."""
    COMPLETE = "complete"
    """The completion cut is durable at the peer."""
    LOST = "lost"
    """The connection ended or fell silent."""
    QUEUE = "queue"
    """The same, and the disk queue takes what comes."""
    STOP = "stop"
    """The operator paused the link."""
    OVERFLOW = "overflow"
    """The queue is full."""
    PEER_ERROR = "peer-error"
    STORE_FULL = "store-full"
    """The peer has no room for what it would have to keep (rules E1, E2)."""
    LOCAL_ERROR = "local-error"
    FAULT = "fault"
    """The copy at this end answers nothing until it is repaired, and feeds nobody."""
    UPSTREAM = "upstream"
    """The copy at this end is being resynced itself (rule B6)."""
    HALT = "halt"
    """A verify found a difference, and was asked to stop the link at the first one."""
    LEAVE = "leave"
    """The far copy is to follow another feeder: the link rests until it is to feed it again (rule B8)."""
    DIVERGE = "diverge"
    IDENTITY = "identity"
    REFUSED = "refused"
    RETRY = "retry"
    """The operator asks to look at the peer again (resync of a diverged or failed link)."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A state and why the link is in it."""

    state: LinkState
    reason: Reason


_LOGGING, _RESYNCING = LinkState.LOGGING, LinkState.RESYNCING
_REPLICATING, _DIVERGED, _FAILED = LinkState.REPLICATING, LinkState.DIVERGED, LinkState.FAILED
_QUEUING = LinkState.QUEUING

_STOPS = {
    LinkEvent.LOST: Standing(_LOGGING, Reason.PEER_LOST),
    LinkEvent.STOP: Standing(_LOGGING, Reason.OPERATOR),
    LinkEvent.OVERFLOW: Standing(_LOGGING, Reason.QUEUE_FULL),
    LinkEvent.PEER_ERROR: Standing(_LOGGING, Reason.PEER_ERROR),
    LinkEvent.STORE_FULL: Standing(_LOGGING, Reason.STORE_FULL),
    LinkEvent.LOCAL_ERROR: Standing(_LOGGING, Reason.LOCAL_ERROR),
    LinkEvent.FAULT: Standing(_FAILED, Reason.LOCAL_ERROR),
    LinkEvent.REFUSED: Standing(_LOGGING, Reason.REFUSED),
    LinkEvent.UPSTREAM: Standing(_LOGGING, Reason.UPSTREAM_RESYNCING),
    LinkEvent.HALT: Standing(_LOGGING, Reason.VERIFY),
    LinkEvent.LEAVE: Standing(_LOGGING, Reason.REROUTED),
    LinkEvent.DIVERGE: Standing(_DIVERGED, Reason.HISTORIES_CONFLICT),
    LinkEvent.IDENTITY: Standing(_DIVERGED, Reason.IDENTITY_CHANGED),
}

TABLE: dict[tuple[LinkState, LinkEvent], Standing] = {
    **{(_LOGGING, event): standing for event, standing in _STOPS.items()},
    (_LOGGING, LinkEvent.RESUME): Standing(_REPLICATING, Reason.IN_ORDER),
    (_LOGGING, LinkEvent.BEGIN): Standing(_RESYNCING, Reason.UPDATE),
    **{(_RESYNCING, event): standing for event, standing in _STOPS.items()},
    (_RESYNCING, LinkEvent.BEGIN): Standing(_RESYNCING, Reason.UPDATE),
    (_RESYNCING, LinkEvent.COMPLETE): Standing(_REPLICATING, Reason.IN_ORDER),
    **{(_REPLICATING, event): standing for event, standing in _STOPS.items()},
    (_REPLICATING, LinkEvent.QUEUE): Standing(_QUEUING, Reason.PEER_LOST),
    **{(_QUEUING, event): standing for event, standing in _STOPS.items()},
    (_QUEUING, LinkEvent.QUEUE): Standing(_QUEUING, Reason.PEER_LOST),
    (_QUEUING, LinkEvent.RESUME): Standing(_REPLICATING, Reason.IN_ORDER),
    (_DIVERGED, LinkEvent.RETRY): Standing(_LOGGING, Reason.RESTARTED),
    (_FAILED, LinkEvent.RETRY): Standing(_LOGGING, Reason.RESTARTED),
}


def step(state: LinkState, event: LinkEvent) -> Standing:
    """The state that `event` leads to.

    Raises IllegalEvent for a pair that the table does not have.
    """
    try:
        return TABLE[state, event]
    except KeyError:
        raise IllegalEvent(state, event) from None
