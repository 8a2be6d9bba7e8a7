"""A secondary with links of its own: the middle of a chain (rules B6, D4).

Two shells on one core: the follower's half is that of every secondary, the feeder's half that of a
primary. What differs is where a hop's frames lie when they cannot leave: in the copy's journal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from farshore.core import actions as a
from farshore.core.scoreboard import BoardImage
from farshore.core.secondary import Secondary
from farshore.core.secondary_setup import SecondarySetup
from farshore.model.messages import Resume
from farshore.model.options import LinkSpec
from farshore.model.positions import Position
from farshore.model.volumes import Operation
from farshore.wire import frame
from sim.files import SimFiles
from sim.follower_witness import FollowerWitness
from sim.journal_reading import JournalReading
from sim.outgoing import Outgoing, create_boards
from sim.secondary_site import SecondaryPlan, SecondarySite
from sim.site import Place, Site


class RelayWitness(FollowerWitness):
    """Sees what the middle of a chain does. Does nothing by itself."""

    def recalling(self, site: RelaySite, setup: SecondarySetup) -> None:
        """A process has read its durable state and is about to start on it."""

    def heard_of(self, site: Site, link: bytes, message: object) -> None:
        """A message of a peer was handled."""

    def relaying(self, site: RelaySite, link: bytes, sequence: int) -> None:
        """A frame up to this sequence goes to a hop's channel."""


class RelaySite(SecondarySite):
    """See the module."""

    witness: RelayWitness

    def __init__(self, place: Place, plan: SecondaryPlan, name: str, hops: tuple[LinkSpec, ...]) -> None:
        super().__init__(place, plan, name)
        self.witness = RelayWitness()
        self.planned = hops
        """Every hop that it will ever have."""
        self.hops: tuple[LinkSpec, ...] = ()
        """Those that were made."""
        self.outgoing = Outgoing(self, plan.geometry, lambda: self.witness)
        self.reading = JournalReading(self)
        self._boards: dict[bytes, BoardImage] = {}
        self._news: dict[str, str] = {}
        """Hop's name -> what its next return to order will have been."""
        self._carry |= self.outgoing.carry
        self._carry |= {
            a.Send: self._send_either,
            a.Close: self._close_either,
            a.SendFrames: self._send_frames,
            a.QueueRead: self.reading.read,
            a.TrimJournal: self.reading.trim,
        }

    def create(self, copy: bytes) -> None:
        create_boards(SimFiles(self.disk), self.plan.geometry, self.planned)
        super().create(copy)

    # -- life -----------------------------------------------------------------------------------

    def start(self) -> bool:
        self.outgoing.begin()
        self.reading.begin()
        self._news.clear()
        return super().start()

    def _load(self) -> None:
        super()._load()
        self._boards = {link.id: self.outgoing.open_board(link.id) for link in self.planned}

    def _made(self) -> Secondary:
        boards = {link.id: self._boards[link.id] for link in self.hops}
        setup = replace(self._setup(), links=self.hops, boards=boards)
        self.witness.recalling(self, setup)
        core = Secondary(setup)
        self.outgoing.links = core.relay
        return core

    def report_backlog(self) -> bool:
        return self.outgoing.report_backlog()

    def respecify(self, spec: LinkSpec) -> None:
        """The operator has changed what a hop is like."""
        self.hops = tuple(spec if each.id == spec.id else each for each in self.hops)

    def add_hop(self, spec: LinkSpec) -> bool:
        """The operator makes a hop; False while there is nobody to tell."""
        if not self.running or self.core.fault:
            return False
        self.hops += (spec,)
        self.turn(self.core.relay.add_link, spec)
        return True

    # -- hops -----------------------------------------------------------------------------------

    def _is_hop(self, channel: bytes) -> bool:
        return any(link.id == channel for link in self.planned)

    def _send_either(self, action: a.Send) -> None:
        if not self._is_hop(action.channel):
            self._send(action)
            return
        feeder = self.core.relay.feeders[action.channel]
        if isinstance(action.message, Resume) and feeder.live and feeder.replicating:
            self.world.reach("upstream generation changed in step")
        self.outgoing.send(action)

    def _close_either(self, action: a.Close) -> None:
        if self._is_hop(action.channel):
            self.outgoing.close(action)
        else:
            self._close(action)

    def _send_frames(self, action: a.SendFrames) -> None:
        frames: Sequence[Any] = action.frames
        for each in frames:
            self.witness.relaying(self, action.channel, each.head.last)
        self.outgoing.send_frames(action.channel, [each.data for each in frames])

    # -- as seen from above -----------------------------------------------------------------------

    def journaled_operations(self) -> list[tuple[Position, list[Operation]]]:
        """The position behind every frame in the journal, and what the frame changes."""
        found: list[tuple[Position, list[Operation]]] = []
        segments = self.journal.segments
        cursor = segments.front
        while True:
            entries, cursor = segments.read(cursor, 4096)
            if not entries:
                return found
            for position, data in entries:
                if data:
                    found.append((position, frame.check(bytes(data)).operations))

    def noted(self, action: a.Note) -> None:
        name = action.fields.get("link")
        if not any(link.name == name for link in self.planned):
            super().noted(action)
            return
        fields = action.fields
        self.world.note(self.name, f"[hop {action.kind}]", fields)
        if action.kind == "link-state":
            self.world.reached[f"hop {fields['state']} ({fields['reason']})"] += 1
            self._back_to_order(str(name), str(fields["state"]), str(fields["reason"]))
        else:
            self.world.reached[f"hop {action.kind}"] += 1
            if action.kind == "queue-drains":
                self._news[str(name)] = "hop drained from the journal"

    def _back_to_order(self, name: str, state: str, reason: str) -> None:
        if reason == "upstream-resyncing":
            self._news[name] = "hop resynced after an upstream resync"
        elif state == "replicating" and name in self._news:
            self.world.reach(self._news.pop(name))
        elif state == "resyncing" and self._news.get(name) == "hop drained from the journal":
            del self._news[name]
