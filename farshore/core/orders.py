"""What an operator orders of one link, besides a pause: a resync, and other options (rules A5, B8, C4).

An order is answered when a restart would not forget it any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from farshore.core import completing
from farshore.core.feeder_session import Phase
from farshore.core.link import LinkEvent
from farshore.core.outbox import after
from farshore.core.queueing import position_of
from farshore.model.options import LinkSpec, LinkState, ResyncKind

if TYPE_CHECKING:
    from farshore.core.feeder import Feeder


def resync(feeder: Feeder, kind: ResyncKind, once: bool) -> None:
    """Bring the peer up to date; `once` logs again at the completion cut."""
    if feeder.state in (LinkState.DIVERGED, LinkState.FAILED):
        feeder.enter(LinkEvent.RETRY)
    asked = after(
        2, lambda: feeder.shared.outbox.note("resync-asked", link=feeder.spec.name, resync=kind.value)
    )
    feeder.remember(asked, paused=False, paused_for="", once=once)
    met = feeder.session.phase in (Phase.PREPARING, Phase.LIVE)
    in_order = met and (feeder.streaming or feeder.disk.behind)
    if in_order and kind is ResyncKind.UPDATE and not once:
        asked()
        return
    feeder.wanted = kind
    if met:
        feeder.close("", "a resync was asked for")
        feeder.stop(LinkEvent.STOP, "a resync was asked for")
    completing.require(feeder, kind, asked)
    feeder.peer_back()


def change(feeder: Feeder, spec: LinkSpec) -> None:
    """Take new options; a link that becomes sync waits for its peer, or records that it is alone."""
    if spec.resting and not feeder.spec.resting:
        _rest(feeder, spec)
        return
    was_sync, rested = feeder.sync, feeder.spec.resting
    feeder.spec = spec
    feeder.gate.closed = False
    if rested:
        feeder.wanted = ResyncKind.UPDATE
        feeder.gate.alone = feeder.record.alone_since is not None
        feeder.session.retry.at_once()
    if feeder.sync and not was_sync and feeder.acked.applied < feeder.shared.path.sequence:
        # Rule C4: the application was told of these writes while nobody waited for the peer.
        feeder.gate.alone = True
        since = feeder.record.alone_since or position_of(feeder.shared.history(), feeder.acked.durable)
        feeder.remember(alone_since=since)
    if feeder.sync and (feeder.replicating or (feeder.filling is not None and feeder.filling.cursor.ending)):
        feeder.gate.close(replicating=True)
    else:
        feeder.gate.open()
    feeder.disk.changed()


def _rest(feeder: Feeder, spec: LinkSpec) -> None:
    """The far copy was pointed at another feeder. What its peer may lack from now on is recorded before
    the application is told of it (rule C4)."""

    def rest() -> None:
        feeder.spec = spec
        feeder.gate.closed = False
        feeder.remember(paused=False)
        feeder.close("", "the far copy was pointed at another feeder")
        feeder.stop(LinkEvent.STOP, "the far copy was pointed at another feeder")

    if feeder.sync and feeder.record.alone_since is None:
        feeder.gate.alone = True
        feeder.remember(rest, alone_since=position_of(feeder.shared.history(), feeder.acked.durable))
    else:
        rest()
