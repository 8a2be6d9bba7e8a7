"""A standstill: a primary whose writes are held, with all that it has durable at its peers (rule D7).

What comes before a planned change of roles. New writes wait without a sequence, as behind a full queue;
those under way end as they would. The standstill is reached once every link that has a session is in step
and durable at its peer; it then holds until `Primary.resume`, or a stop. One that is not reached in time
lets writes flow again. A restart holds nothing: as primary it asks its peers first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from farshore.model import messages as m

if TYPE_CHECKING:
    from farshore.core.feeder import Feeder
    from farshore.core.primary import Primary

HOLDER: Final = b"standstill"
"""Stands among the links that hold writes; no link has such an id."""
ASK_EVERY: Final = 0.25
"""Seconds after which a peer is asked again to make durable what it has."""


class Standstill:
    """See the module."""

    def __init__(self, primary: Primary) -> None:
        self._primary = primary
        self._deadline = 0.0
        """Monotonic; of no concern once it is reached."""
        self._asked: dict[bytes, float] = {}
        self.holding = False
        self.reached = False

    def begin(self, deadline: float) -> None:
        """Hold writes from here on."""
        self.holding, self.reached = True, False
        self._deadline = deadline
        self._primary.path.blocked.add(HOLDER)
        self.advance()

    def end(self, why: str) -> None:
        """Let writes flow again, if they were held for this."""
        if not self.holding:
            return
        path = self._primary.path
        self.holding = self.reached = False
        path.blocked.discard(HOLDER)
        path.outbox.note("standstill-ended", why=why, sequence=path.sequence)
        path.release_parked()
        path.admit_cold()

    def advance(self) -> None:
        """Called whenever something may have moved: go on as far as possible, or give up."""
        primary = self._primary
        if not self.holding or self.reached:
            return
        behind = [each for each in primary.feeders.values() if self._owes(each)]
        if primary.path.fault:
            self.end("writes are refused")
        elif primary.outbox.now >= self._deadline:
            # Also where all is well by now: whoever asked has given up, and would let nobody go on.
            names = ", ".join(each.spec.name for each in behind)
            self.end(f"not durable in time at the peer of {names}" if names else "the disk is slow")
        elif not behind and not primary.path.unwritten:
            self.reached = True
            self._tell()

    def _owes(self, feeder: Feeder) -> bool:
        """Whether this link's peer, which is there, lacks anything; it is asked to make it durable."""
        if not feeder.live:
            return False
        primary = self._primary
        owes = not feeder.replicating or feeder.acked.durable < primary.path.sequence
        now = primary.outbox.now
        if owes and now - self._asked.get(feeder.id, -ASK_EVERY) >= ASK_EVERY:
            self._asked[feeder.id] = now
            feeder.send(m.SyncNow(feeder.session.nonce))
        return owes

    def _tell(self) -> None:
        primary = self._primary
        primary.outbox.note(
            "standstill",
            generation=primary.generation.hex(),
            sequence=primary.sequence,
            links=[
                {"name": each.spec.name, "durable": each.acked.durable if each.counted else None}
                for each in primary.feeders.values()
                if not each.spec.resting
            ],
        )
