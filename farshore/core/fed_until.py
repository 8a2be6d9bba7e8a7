"""Until when a secondary has everything that its primary had, by its own clock (rule F1's figures, B6).

A follower asks each second, with its heartbeat, and the echo says how old the oldest write may be that is not
in the frames ahead of it. So an age travels down a chain and never a time of day: the follower counts it
from the moment at which it asked, which errs on the side of too old by the way that the question took,
and clocks that differ between the sites cannot matter. While nobody can say (the feeder logs, or is
being resynced, or does not know it of itself) no age is told, and the copy stays as old as it is.

What a hop's peer is as of follows from the same marks: the newest one whose frames that peer has.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from farshore.model import messages as m
from farshore.model.options import LinkState

if TYPE_CHECKING:
    from farshore.core.feeder import Feeder
    from farshore.core.secondary import Secondary

MOST_MARKS: Final = 4096
_NANO: Final = 1e9


class FedUntil:
    """Marks (sequence, moment): whoever has everything up to the sequence has all that the primary had at the
    moment, in monotonic seconds here. Both grow. Bounded: the older a mark, the fewer neighbours it has."""

    __slots__ = ("_moments", "_sequences")

    def __init__(self) -> None:
        self._sequences: list[int] = []
        self._moments: list[float] = []

    def told(self, sequence: int, moment: float) -> None:
        """One more mark. It counts for nothing where an earlier one says more."""
        sequences, moments = self._sequences, self._moments
        if sequences and (moment <= moments[-1] or sequence < sequences[-1]):
            return
        if sequences and sequences[-1] == sequence:
            moments[-1] = moment
            return
        if len(sequences) >= MOST_MARKS:
            half = MOST_MARKS // 2
            del sequences[1:half:2], moments[1:half:2]
        sequences.append(sequence)
        moments.append(moment)

    def at(self, sequence: int) -> float | None:
        """As of when a copy is that has everything up to `sequence`; None where nobody knows."""
        place = bisect_right(self._sequences, sequence) - 1
        return self._moments[place] if place >= 0 else None

    def forget(self) -> None:
        """The copy is about to leave the history that these sequences are of."""
        self._sequences.clear()
        self._moments.clear()


def hear(copy: Secondary, beat: m.Heartbeat) -> None:
    """What the feeder's echo tells: every frame ahead of it was handed over before."""
    session, journal = copy.session, copy.journal
    if not beat.echo or beat.age == m.UNKNOWN_AGE or session is None or not session.ready:
        return
    if session.resyncing or session.busy or session.guard.waiting or copy.keeper.header.resync is not None:
        return  # frames ahead of it are not here yet, or not in order
    taken = journal.taken if journal.active else copy.standing.applied
    copy.fed.told(taken, min(copy.outbox.now, beat.echo / _NANO) - beat.age / _NANO)


def age(feeder: Feeder) -> int:
    """What an echo to this link's peer says now: nanoseconds, or that nobody knows."""
    in_order = feeder.state in (LinkState.REPLICATING, LinkState.QUEUING) and feeder.live
    if not in_order or feeder.filling is not None or feeder.pause is not None:
        return m.UNKNOWN_AGE
    seconds = feeder.shared.age(feeder.acked.sent)
    return m.UNKNOWN_AGE if seconds is None else min(m.UNKNOWN_AGE - 1, max(0, int(seconds * _NANO) + 1))
