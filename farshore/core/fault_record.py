"""The record of a secondary's fault (rule C3): written again until the header says it durably.

The next start, which is what repairs a secondary, believes nothing but what was durable, if it finds the
fault. One that does not find it, in the same boot, takes for applied what a failed sync may have lost. So
a fault that could not be recorded, since the header is on the disk that fails, is recorded as soon as
that works, and a repair is answered only then. A stop, too, waits for one attempt at least: whoever ends with
the record still in memory has forgotten it. A primary's is `faulting`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from farshore.model.header import Fault

if TYPE_CHECKING:
    from farshore.core.secondary import Secondary

RECORD_EVERY: Final = 5.0
"""Seconds after which a fault that is not in the header yet is written there once more."""


class FaultRecord:
    """See the module."""

    def __init__(self, copy: Secondary) -> None:
        self._copy = copy
        self.fault: Fault | None = None
        """What is to be recorded."""
        self._recorded = False
        self._asked = 0.0
        self._told: list[Callable[[], None]] = []

    def write(self) -> None:
        """The copy's fault is to be in the header."""
        copy, fault = self._copy, self.fault
        self._recorded, self._asked = False, copy.outbox.now

        def recorded() -> None:
            self._recorded = True
            told, self._told = self._told, []
            for then in told:
                then()
            copy.stopped = copy.stopping

        copy.keeper.put(replace(copy.keeper.header, fault=fault, clean=False), recorded)

    def missed(self) -> None:
        """Something has failed once more: if it was the record, a stop waits no longer for it."""
        copy = self._copy
        copy.stopped = copy.stopped or (copy.stopping and copy.keeper.idle)

    def leave(self) -> None:
        """The copy is to stop, once its fault is recorded or has been tried to be."""
        if self._recorded:
            self._copy.stopped = True
        else:
            self.write()

    def tick(self) -> None:
        """Time passes."""
        copy = self._copy
        waited = copy.outbox.now - self._asked
        if copy.fault and not self._recorded and copy.keeper.idle and waited >= RECORD_EVERY:
            self.write()

    def repair(self) -> None:
        """The event `repairable` tells, once the fault is durable, that the next start will know of it."""
        copy = self._copy

        def told() -> None:
            copy.outbox.note("repairable", fault=copy.fault, id="", doubtful=False)

        self._told.append(told)
        self.write()
