"""A primary whose disk has failed (rule C3): what it records, what it refuses, and what ends that.

A failed fsync of the volumes may have lost any write since the last one that succeeded, the kernel tells
of it once, and what is read afterwards may be older than what was acknowledged. So a faulted primary answers
nothing, neither in this process nor in the next ones, until a *repair* names this very fault. The start
that carries it out takes everything for suspect. What the peers hold may be the better data then: their
links stay paused. Where only the copy's own records could not be written the volumes are not in doubt, and
the links go on.
"""

from __future__ import annotations

import errno as errnos
from dataclasses import replace
from typing import TYPE_CHECKING

from farshore.core import endings
from farshore.core.actions import Action
from farshore.core.activity import extent_of
from farshore.core.fault_record import FaultRecord
from farshore.core.fault_texts import RECORDS, VOLUMES, doubts_volumes, fault_id, fault_of, named, paused_for
from farshore.core.link import LinkEvent
from farshore.model.volumes import Operation

if TYPE_CHECKING:
    from farshore.core.primary import Primary


class Faulting:
    """See the module."""

    def __init__(self, primary: Primary) -> None:
        self._primary = primary
        self.record: FaultRecord
        """Made once the primary has its header."""

    def write_failed(self, operations: list[Operation], errno: int) -> None:
        """A local write failed; it stays marked for all, and every link stops there."""
        primary = self._primary
        text = named("a local write failed", errno)
        for feeder in primary.feeders.values():
            feeder.board.dirty.mark_operations(operations)
            endings.fail(feeder, text, LinkEvent.LOCAL_ERROR)
        primary.outbox.note("write-error", why=text, sequence=primary.path.sequence)

    def lost_writes(self, errno: int) -> None:
        """The volumes could not be made durable: any write since the last sync may be gone."""
        self.strike(errno, VOLUMES)

    def strike(self, errno: int, what: str = RECORDS) -> None:
        """A disk of ours lied or died; nothing is acknowledged any more."""
        primary = self._primary
        fault, known = fault_of(what, errno), self.record.fault
        if known and not (doubts_volumes(fault) and not doubts_volumes(known)):
            return
        if not primary.path.fault:
            primary.path.fail(errno or errnos.EIO)
        primary.activity.abandon_cooling()
        header = primary.keeper.header
        if doubts_volumes(fault):
            # In one with the fault: also after a repair only the operator starts them again.
            header = replace(header, links=paused_for(header.links, fault))
        primary.keeper.header = replace(header, fault=fault, clean=False)
        self.record.fault = fault
        for feeder in primary.feeders.values():
            endings.fail(feeder, fault.text)
            feeder.board.suspect_extents(sorted(map(extent_of, primary.activity.hot)))
        self.record.write()
        primary.outbox.note("faulted", why=fault.text, sequence=primary.path.sequence)

    def stay(self) -> None:
        """An earlier process has failed, and no repair has named that: serve nobody, change nothing."""
        primary, header = self._primary, self._primary.setup.header
        head, fault = header.history.head, header.fault
        assert fault is not None
        if head is not None:
            primary.path.generation, primary.path.sequence = head.generation, head.sequence
        primary.path.fail(errnos.EIO)
        self.record.fault = fault
        for spec in primary.setup.links:
            feeder = primary.shown(spec)
            feeder.board.suspect_extents(primary.suspects())
            feeder.why = fault.text
            feeder.enter(LinkEvent.FAULT)
        primary.outbox.note("faulted", why=fault.text, sequence=primary.path.sequence)

    def repair(self) -> list[Action]:
        """What ails this copy is to end. Once that is durable, so that the records' disk is well, the event
        `repairable` tells which fault the next start may take for repaired. Without a fault all regions that
        could not be read are tried, and the event `mended` tells of the end."""
        primary = self._primary
        if self.record.fault is None:
            primary.mending.begin()
            return primary.outbox.take()

        def told() -> None:
            header = primary.keeper.header
            text = header.fault.text if header.fault is not None else ""
            doubtful = doubts_volumes(header.fault)
            primary.outbox.note("repairable", fault=text, id=fault_id(header), doubtful=doubtful)

        self.record.repair(told)
        return primary.outbox.take()
