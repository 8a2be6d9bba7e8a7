"""A pause of one link: sending stops at one sequence, at once or after the peer has it durable.

The cut is where sending stopped (rule B5); it is recorded with its time and reported with whether
the peer has everything up to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from farshore.core.link import LinkEvent
from farshore.model import messages as m
from farshore.model.options import LinkState
from farshore.model.positions import Position

if TYPE_CHECKING:
    from farshore.core.feeder import Feeder


class Pause:
    """A pause that drains: `cut` must become durable at the peer before `deadline`."""

    def __init__(self, feeder: Feeder, cut: Position, deadline: float) -> None:
        self._feeder = feeder
        self._cut = cut
        self._deadline = deadline

    def advance(self, ended: bool = False) -> None:
        """Complete the pause if the peer has it all, time is up, or the session has `ended`."""
        durable = self._feeder.acked.durable >= self._cut.sequence
        if durable or ended or self._feeder.shared.outbox.now >= self._deadline:
            complete(self._feeder, self._cut, durable)


def begin(feeder: Feeder, drain: bool, timeout: float) -> None:
    """Stop sending now. A link that replicates is drained first if that is wished."""
    replicating = feeder.state is LinkState.REPLICATING
    sending = replicating or feeder.state is LinkState.RESYNCING
    here = feeder.shared.position()
    cut = here if sending else _stopped(feeder) or here
    feeder.wanted = None
    if feeder.once:
        feeder.remember(once=False)
    durable = feeder.acked.durable >= here.sequence
    if not (replicating and drain) or durable:
        complete(feeder, cut, replicating and durable)
        return
    feeder.streaming = False
    feeder.pause = Pause(feeder, cut, feeder.shared.outbox.now + timeout)
    feeder.remember(paused=True, stopped_at=cut, stopped_time=feeder.shared.outbox.wall)
    feeder.enter(LinkEvent.STOP)
    feeder.gate.open()
    feeder.send(m.SyncNow(feeder.session.nonce))


def _stopped(feeder: Feeder) -> Position | None:
    """Where a link that is not in step stopped, or has come to since with what its queue held."""
    if feeder.state is LinkState.QUEUING and feeder.live:
        return feeder.shared.history().position_of(feeder.acked.sent)
    return feeder.record.stopped_at


def complete(feeder: Feeder, cut: Position, drained: bool) -> None:
    """The link is paused at `cut`."""
    feeder.close("", "paused")
    feeder.session.refused = None  # it will not be asked again to have us: what it said grows stale
    feeder.remember(paused=True)
    feeder.stop(LinkEvent.STOP, "paused by the operator", cut)
    feeder.shared.outbox.note(
        "link-paused",
        link=feeder.spec.name,
        generation=cut.generation.hex(),
        sequence=cut.sequence,
        drained=drained,
    )
