"""What an operator orders of one link, besides a pause: a resync, and other options (rules A5, B8, C4).

An order is answered when a restart would not forget it any more.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from farshore.core import completing
from farshore.core.feeder_session import Phase
from farshore.core.link import LinkEvent
from farshore.core.outbox import after
from farshore.errors import FarshoreError
from farshore.model.header import VerifyRecord, VerifyState
from farshore.model.options import LinkSpec, LinkState, Mode, ResyncKind

if TYPE_CHECKING:
    from farshore.core.feeder import Feeder


def resync(feeder: Feeder, kind: ResyncKind, once: bool, unprotected: bool = False) -> None:
    """Bring the peer up to date; `once` logs again at the completion cut. `unprotected`: also where the peer
    could not take it back (rule E1). Raises FarshoreError `faulted` or `promoted`."""
    fault, fenced = feeder.shared.keeper.header.fault, feeder.shared.keeper.header.fenced
    if fault:  # whether it may overwrite anything is asked when it has been repaired (rule C3)
        raise FarshoreError("faulted", f"this copy has failed: {fault}", next_step="farshore repair")
    if fenced:  # rule D6: nobody is fed from here, and what the peer has may be the newer
        raise FarshoreError(
            "promoted",
            f"this copy feeds nobody any more: {fenced}",
            means="Nothing was changed; which copy is kept is decided by a plan.",
            next_step="farshore split-brain show, then farshore split-brain resolve",
        )
    feeder.unprotected = unprotected
    if feeder.state in (LinkState.DIVERGED, LinkState.FAILED):
        feeder.enter(LinkEvent.RETRY)
    asked = after(
        2, lambda: feeder.shared.outbox.note("resync-asked", link=feeder.spec.name, resync=kind.value)
    )
    feeder.remember(asked, paused=False, paused_for="", once=once, verify=_seen(feeder))
    met = feeder.session.phase in (Phase.PREPARING, Phase.LIVE)
    in_order = met and (feeder.streaming or feeder.disk.behind)
    if in_order and kind is ResyncKind.UPDATE and not once:
        asked()
        return
    feeder.wanted = kind
    feeder.next_step = ""  # this was it: what its peer said before is no answer to this
    if met:
        feeder.close("", "a resync was asked for")
        feeder.stop(LinkEvent.STOP, "a resync was asked for")
    completing.require(feeder, kind, asked)
    feeder.peer_back()


def repair_found(feeder: Feeder) -> None:
    """Copy what a verify has found to differ over the peer's: those regions are dirty from now on."""
    if feeder.state in (LinkState.DIVERGED, LinkState.FAILED):
        raise FarshoreError(
            "wrong-state",
            f"link {feeder.spec.name} is {feeder.state}",
            means="nothing is copied before it is known which copy is the good one",
            next_step="farshore status",
        )
    feeder.board.dirty.merge(feeder.board.found)
    asked = after(2, lambda: feeder.shared.outbox.note("repair-asked", link=feeder.spec.name))
    feeder.remember(asked, paused=False, paused_for="", verify=_seen(feeder))
    feeder.wanted, feeder.next_step = ResyncKind.UPDATE, ""
    if feeder.session.phase in (Phase.PREPARING, Phase.LIVE):
        feeder.close("", "a repair was asked for")
        feeder.stop(LinkEvent.STOP, "a repair was asked for")
    feeder.shared.persist(feeder.id, asked)
    feeder.peer_back()


def _seen(feeder: Feeder) -> VerifyRecord | None:
    """The operator lets a link go on that a verify had stopped: whatever stops it next is not that."""
    verify = feeder.record.verify
    if verify is not None and verify.state is VerifyState.HALTED:
        return replace(verify, state=VerifyState.STOPPED)
    return verify


def change(feeder: Feeder, spec: LinkSpec) -> None:
    """Take new options; a link that becomes sync waits for its peer, or records that it is alone."""
    before, feeder.spec = feeder.spec, spec
    if spec.resting:
        if not before.resting:
            _rest(feeder)
    elif before.resting:
        _feed_again(feeder, pointed=spec.epoch != before.epoch)
    feeder.gate.closed = False
    becomes_sync = feeder.sync and before.options.mode is not Mode.SYNC
    if becomes_sync and feeder.acked.applied < feeder.shared.path.sequence:
        # Rule C4: the application was told of these writes while nobody waited for the peer.
        feeder.gate.alone = True
        since = feeder.record.alone_since or feeder.shared.history().position_of(feeder.acked.durable)
        feeder.remember(alone_since=since)
    if feeder.sync and (feeder.replicating or (feeder.filling is not None and feeder.filling.cursor.ending)):
        feeder.gate.close(replicating=True)
    else:
        feeder.gate.open()
    feeder.disk.changed()


def _rest(feeder: Feeder) -> None:
    """The far copy is to follow another feeder. For the application that is the loss of a peer that it may
    go on without: the gate records since when before it opens (rule C4). What the operator or a fault stopped
    stays stopped (rule C3): to rest is not to be paused, and ends without a trace."""
    if feeder.pause is not None:
        feeder.pause.advance(ended=True)
    sends = feeder.state in (LinkState.REPLICATING, LinkState.RESYNCING, LinkState.QUEUING)
    if sends and feeder.wanted is None:
        feeder.wanted = ResyncKind.UPDATE  # also without autosync, should it feed again
    why = "its far copy was to follow another feeder"
    feeder.close("", why)
    feeder.stop(LinkEvent.LEAVE, why)


def _feed_again(feeder: Feeder, *, pointed: bool) -> None:
    """The far copy follows us, as before or anew: a link that is paused stays so, any other one asks."""
    if pointed:
        feeder.wanted = feeder.wanted or ResyncKind.UPDATE
    if feeder.record.paused:
        feeder.wanted = None
        feeder.stop(LinkEvent.STOP, feeder.record.paused_for or "paused by the operator")
    else:
        feeder.stop(LinkEvent.LOST, "its far copy has not been met since it follows this one again")
    feeder.session.retry.at_once()
