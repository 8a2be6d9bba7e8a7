"""The record of a fault in the copy's header (rule C3): written again until the header says it durably.

The next start of a secondary, which is what repairs it, believes nothing but what was durable, and that of a
primary serves nobody, if it finds the fault. One that does not find it, in the same boot, takes for applied
what a failed sync may have lost. So a fault that could not be recorded, since the header is on the disk that
fails, is recorded as soon as that works, and a repair is answered only then. A stop, too, waits for the
record, or for one attempt that has failed since: whoever ends with it still in memory has forgotten it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from farshore.core.outbox import HeaderKeeper, Outbox
from farshore.model.header import Fault

RECORD_EVERY: Final = 5.0
"""Seconds after which a fault that is not in the header yet is written there once more."""


class FaultRecord:
    """See the module. Nothing is remembered of what was written: the header that is durable tells."""

    def __init__(self, outbox: Outbox, keeper: HeaderKeeper) -> None:
        self._outbox = outbox
        self._keeper = keeper
        self.fault: Fault | None = None
        """What is to be recorded; a graver one takes the place of a lesser one."""
        self._asked = 0.0
        self._told: list[Callable[[], None]] = []

    @property
    def recorded(self) -> bool:
        """Whether the header durably says just this fault. After a write that failed it may say either."""
        return self._keeper.refused is None and self._keeper.durable.fault == self.fault

    @property
    def settled(self) -> bool:
        """Whether a stop may end, as far as the fault goes."""
        if self.fault is None:
            return True
        return self._keeper.idle and (self.recorded or self._refused)

    @property
    def _refused(self) -> bool:
        """Whether the last attempt of all was one to record this fault, and failed."""
        refused = self._keeper.refused
        return refused is not None and refused.fault == self.fault

    def write(self) -> None:
        """The fault is to be in the header."""
        self._asked = self._outbox.now
        header = replace(self._keeper.header, fault=self.fault, clean=False)
        self._keeper.put(header, self._tell)

    def _tell(self) -> None:
        if self.recorded:  # else a graver one has come meanwhile, and its own write follows
            told, self._told = self._told, []
            for then in told:
                then()

    def leave(self) -> None:
        """The copy is to stop: what failed before is tried once more. Without a fault nothing is written: the
        header may durably say the one that a start under way repairs."""
        if self.fault is not None and not self.recorded:
            self.write()

    def tick(self) -> None:
        """Time passes. An older write of the header that failed has taken the record along, which was waiting
        behind it: that one is written at once."""
        if self.fault is None or self.recorded or not self._keeper.idle:
            return
        if not self._refused or self._outbox.now - self._asked >= RECORD_EVERY:
            self.write()

    def repair(self, told: Callable[[], None]) -> None:
        """Runs `told` once the next start will know, durably, of what is to be repaired: there is a fault."""
        self._told.append(told)
        self.write()
