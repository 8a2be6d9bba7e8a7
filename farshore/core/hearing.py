"""What a peer says in a session, at the near end of a link, and that it is gone (rules A1, B7, C2).

Anything of another session changes nothing. An acknowledgement moves everything that waits for it: the gate,
marks of frames that are queued, the disk queue, a resync, a pause, a verify.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from farshore.core import fed_until, refusals, refused
from farshore.core.feeder_session import Phase
from farshore.core.link import LinkEvent
from farshore.core.verifying import ORDINALS
from farshore.model import messages as m

if TYPE_CHECKING:
    from farshore.core.feeder import Feeder


def take(feeder: Feeder, message: m.Message) -> None:
    """One message of the peer. Anything of another session is ignored (rule B7)."""
    match message:  # the first case is by far the most frequent one
        case m.Ack(session=session) if session == feeder.session.nonce:
            _acknowledged(feeder, message)
        case m.Heartbeat():
            outbox = feeder.shared.outbox
            echo = feeder.session.liveness.take(message, outbox.now, outbox.wall)
            if echo is not None:
                feeder.send(replace(echo, age=fed_until.age(feeder)))
        case m.Welcome():
            feeder.session.welcome(message)
        case m.ReadReply():
            feeder.shared.read_elsewhere(feeder.id, message)
        case m.Refusal():
            refusals.take(feeder, message)
        case m.Ready(session=session, undo=undo) if session == feeder.session.nonce:
            head = feeder.session.peer_head
            feeder.undo_at = head.sequence if undo and head is not None else None
            feeder.session.ready()
        case m.DigestReply(session=session, ordinal=ordinal, differing=differing) if (
            session == feeder.session.nonce
        ):
            if ordinal >= ORDINALS:
                feeder.verify.compared(ordinal, differing)
            elif feeder.filling is not None:
                feeder.filling.compared(ordinal, differing)
        case m.ResyncDone(session=session, resync=resync) if (
            session == feeder.session.nonce and feeder.filling is not None
        ):
            feeder.filling.done(resync)


def _acknowledged(feeder: Feeder, ack: m.Ack) -> None:
    acked = feeder.acked
    if max(ack.received, ack.applied, ack.durable) > feeder.shared.path.sequence:
        feeder.protocol_error("the peer acknowledges what was never sent")
        return
    acked.received = max(acked.received, ack.received)
    acked.applied = max(acked.applied, ack.applied)
    acked.durable = max(acked.durable, ack.durable)
    if feeder.gate.closed:
        feeder.gate.follow(acked, feeder.spec.options.ack)
    if feeder.board.queued:
        feeder.board.acknowledge_queued(acked.durable)
    if feeder.board.spooled:
        feeder.board.spooled.acknowledge(acked.durable)
    if feeder.gate.settled(acked.durable) and feeder.replicating:
        feeder.gate.alone = False
        feeder.remember(alone_since=None)
    if feeder.filling is not None:
        feeder.filling.acknowledged(ack.fills_durable)
    if feeder.disk.live or feeder.disk.sealed:
        feeder.disk.acknowledged(acked.durable)
    if feeder.pause is not None:
        feeder.pause.advance()
    if feeder.verify.cursor is not None:
        feeder.verify.pump()
    feeder.shared.progressed()


def disconnected(feeder: Feeder, why: str, next_step: str = "", code: str = "") -> None:
    """The channel is gone. What the operator can do about it, and the `code` with which the peer's node would
    not have us, change nothing else: nobody has proved it."""
    if feeder.session.phase is Phase.IDLE:
        return
    refused.note(feeder, code)
    if feeder.pause is not None:
        feeder.pause.advance(ended=True)
    elif feeder.session.only_asks:
        feeder.stop(LinkEvent.LOST, why)
    else:
        news = bool(next_step) and why != feeder.why
        feeder.stop(LinkEvent.LOST, why)
        feeder.next_step = next_step
        if news:
            feeder.shared.outbox.note("link-refused", link=feeder.spec.name, why=why, next=next_step)
