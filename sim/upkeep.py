"""The oracle's eyes on how a follower makes itself durable (rule B4): in time, and before it is too much.

What is counted is what was applied, or appended to the journal, since the last sync of it began. It is looked
at when the timers of the process have run: from then on a sync that is due has to be under way.
"""

from __future__ import annotations

from dataclasses import dataclass

from farshore.core import actions as a
from sim.secondary_site import SecondarySite
from sim.site import TICK
from sim.world import BrokenRule, Life

_SHARE = 4
"""A follower is durable at each 1/_SHARE of the queue that its feeder may keep in memory."""


@dataclass(slots=True)
class _Gathered:
    """What one process has applied in one of the two ways."""

    bytes: int = 0
    since: float = 0.0
    """When the last sync began."""


class Upkeep:
    """See the module. One follower; `queue` is the memory queue of the link that leads to it, in bytes."""

    def __init__(self, queue: int) -> None:
        self._quarter = queue // _SHARE
        self._life: Life | None = None
        self._direct = _Gathered()
        self._journal = _Gathered()
        self._in_hand = 0

    def carrying(self, site: SecondarySite, action: a.Action) -> None:
        """An action is about to be carried out."""
        if site.life is not self._life:
            now = site.world.now
            self._life, self._direct, self._journal = site.life, _Gathered(since=now), _Gathered(since=now)
        match action:
            case a.ApplyFrame(frame=data) | a.AppendFrame(frame=data):
                self._in_hand = data.head.size  # type: ignore[attr-defined]
            case a.SyncVolumes():
                self._direct = _Gathered(since=site.world.now)
            case a.SyncJournal() | a.BeginJournal() | a.ContinueJournal():
                self._journal = _Gathered(since=site.world.now)
            case _:
                pass

    def applied(self, site: SecondarySite) -> None:
        """The frame in hand was applied."""
        (self._journal if site.core.journal.active else self._direct).bytes += self._in_hand

    def ticked(self, site: SecondarySite) -> None:
        """The timers of the process have run."""
        core = site.core
        if site.life is not self._life or not core.started or core.stopping or core.fault:
            return
        every = site.plan.timing.durable_every
        lane, gathered = ("journal", self._journal) if core.journal.active else ("sync", self._direct)
        if not gathered.bytes or not site.steps.idle(lane):
            return
        late = site.world.now - gathered.since
        resyncing = core.keeper.header.resync is not None  # then nothing of it waits in the feeder's queue
        if (gathered.bytes >= self._quarter and not resyncing) or late > every + TICK:
            raise BrokenRule(
                "B4", f"{site.name} has not begun to sync {gathered.bytes} bytes, after {late:.3f} s"
            )
