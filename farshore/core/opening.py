"""When a started primary may let writes flow (rule D5): its peers are asked first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farshore.core.feeder import Feeder
from farshore.model.options import Timing

if TYPE_CHECKING:
    from farshore.core.primary import PrimarySetup


@dataclass(frozen=True, slots=True)
class Opening:
    """What the patience with a silent peer depends on."""

    timing: Timing
    same_boot: bool
    """The machine did not restart since the copy ran last."""
    alone: bool
    """`--on-start alone`."""
    turned: bool = False
    """This start has carried out a turn. A later one may come when another copy has been promoted."""

    @classmethod
    def of(cls, setup: PrimarySetup) -> Opening:
        """That of a start."""
        same_boot = setup.header.boot == setup.boot
        return cls(setup.timing, same_boot, setup.on_start == "alone", setup.turned)

    def may_open(self, feeders: Iterable[Feeder], waited: float) -> bool:
        """Whether every peer that must be asked has answered, or has been silent for long enough."""
        return all(waited >= self._patience(feeder) for feeder in feeders if _must_be_asked(feeder))

    def without_end(self, feeders: Iterable[Feeder]) -> list[Feeder]:
        """The links whose peers are waited for until an operator comes."""
        return [each for each in feeders if _must_be_asked(each) and self._patience(each) == float("inf")]

    def _patience(self, feeder: Feeder) -> float:
        """Seconds to wait for this link's peer.

        Within the same boot silence is link loss after the limit. After a reboot a sync peer may have
        been promoted meanwhile: only the operator can say that it was not. So may any that answers in another
        protocol.
        """
        strange = feeder.session.strange
        if self.turned and (feeder.record.unmet or strange):
            return self.timing.beat  # a plan has just decided who is primary: a moment, for the sake of order
        alone = self.alone and not feeder.freezing
        if strange and not alone:
            return float("inf")  # no silence: it is there, and may be the primary by now
        if not feeder.sync:
            return self.timing.limit if self.same_boot else self.timing.start_grace
        if self.same_boot or alone:
            return self.timing.limit
        return float("inf")


def _must_be_asked(feeder: Feeder) -> bool:
    """Also the peer of a link that a turn has made, whose copy's id nobody could say then."""
    record = feeder.record
    known = (record.peer_copy is not None or record.unmet) and not feeder.spec.resting
    return known and not feeder.session.met
