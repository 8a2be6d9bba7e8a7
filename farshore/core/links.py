"""A copy's outgoing links: every input that concerns a link, and what all of its links share.

`Primary` is one, fed by its application; the `Relay` of a secondary is the other, fed by its journal.
Every public method is an input and returns the actions that it causes, in order. What else a copy has
to do after an input is its own affair: the hooks with an underscore say when.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from farshore.core import endings, findings, hearing, orders, pausing
from farshore.core.actions import Action
from farshore.core.board_keeper import BoardKeeper
from farshore.core.feeder import Feeder
from farshore.core.geometry import Geometry
from farshore.core.lag import Timeline, Watch
from farshore.core.ledger import Ledger
from farshore.core.outbox import HeaderKeeper, Outbox
from farshore.core.scoreboard import BoardImage, Scoreboard
from farshore.core.shared import Issuer, Shared
from farshore.core.write_path import NO_LIMIT
from farshore.errors import FarshoreError
from farshore.model.header import LinkRecord
from farshore.model.messages import FrameHead, Message
from farshore.model.options import LinkSpec, Mode, OnOutage, ResyncKind

FRAME_HEAD, RECORD = 96, 16
"""Bytes of a frame besides payload: fixed, and per record."""

STALL = 1.0
"""A gap between two turns beyond which our own loop counts as stalled, seconds."""


class Links:
    """See the module."""

    def __init__(
        self, outbox: Outbox, keeper: HeaderKeeper, geometry: Geometry, fault: Callable[[int], None]
    ) -> None:
        self.outbox = outbox
        self.keeper = keeper
        self.geometry = geometry
        self.path: Issuer
        self.ledger = Ledger()
        self.timeline = Timeline()
        self.feeders: dict[bytes, Feeder] = {}
        self.boards = BoardKeeper(outbox, self.feeders, fault)
        self._watch = Watch()

    # -- what the copy adds -----------------------------------------------------------------

    def _share(self) -> Shared:
        """What a new feeder works with."""
        raise TypeError("a copy says what its links share")

    @property
    def _listening(self) -> bool:
        """Whether what peers say still counts."""
        return True

    def _stirred(self) -> None:
        """Something was heard of a link's peer."""

    def _settled(self) -> None:
        """Something that a link waited for has ended."""

    def age(self, sequence: int) -> float | None:
        """How old a peer is that has everything up to `sequence`: the seconds for which the primary has had
        what it lacks, never too few. None where nobody knows."""
        outbox = self.outbox
        return self.timeline.behind(sequence, self.path.sequence, outbox.now, outbox.wall).seconds

    # -- facts ------------------------------------------------------------------------------

    @property
    def ledger_needed(self) -> bool:
        """True while any link may have frames unacknowledged."""
        return any(each.following for each in self.feeders.values())

    def chosen(self, link: bytes | None) -> list[Feeder]:
        """One link, or all but those that rest: a word to the whole group is none about them.

        Raises FarshoreError `not-found`.
        """
        if link is None:
            return [each for each in self.feeders.values() if not each.spec.resting]
        if link not in self.feeders:
            raise FarshoreError("not-found", "no such link")
        return [self.feeders[link]]

    # -- inputs: what the shell has done ----------------------------------------------------

    def board_written(self, ticket: int, errno: int) -> list[Action]:
        """A scoreboard was written."""
        return self._settle(ticket, errno)

    def region_read(self, ticket: int, data: bytes | None, errno: int) -> list[Action]:
        """A region's content or digests."""
        return self._settle(ticket, data, errno)

    def queue_written(self, link: bytes, last: int, disk_bytes: int, errno: int) -> list[Action]:
        """What a link's disk queue holds by now; see `QueueAppend`."""
        feeder = self.feeders.get(link)
        if feeder is not None:
            feeder.disk.written(last, disk_bytes, errno)
            self._settled()
        return self.outbox.take()

    def queue_read(self, ticket: int, frames: Sequence[tuple[FrameHead, object]], why: str) -> list[Action]:
        """Frames of a disk queue, or why there are none."""
        return self._settle(ticket, frames, why)

    def queue_synced(self, ticket: int, errno: int) -> list[Action]:
        """A disk queue was fdatasynced."""
        return self._settle(ticket, errno)

    def _settle(self, ticket: int, *result: object) -> list[Action]:
        self.outbox.settle(ticket, *result)
        self._settled()
        return self.outbox.take()

    # -- inputs: peers ----------------------------------------------------------------------

    def connected(self, link: bytes) -> list[Action]:
        """The link's channel is up and its peer's identity proved."""
        return self._of(link, lambda feeder: feeder.session.connected())

    def received(self, link: bytes, message: Message) -> list[Action]:
        """A message of the peer."""
        return self._of(link, lambda feeder: hearing.take(feeder, message))

    def disconnected(self, link: bytes, why: str, next_step: str = "", code: str = "") -> list[Action]:
        """The channel ended, or could not be opened; `next_step` where waiting would not help, `code` where
        the peer's node has refused it."""
        return self._of(link, lambda feeder: hearing.disconnected(feeder, why, next_step, code))

    def backlog(self, link: bytes, size: int) -> list[Action]:
        """Bytes that wait on the channel at the end of a turn."""
        return self._of(link, lambda feeder: feeder.backlog(size))

    def heard(self, link: bytes) -> None:
        """Bytes arrived on the channel."""
        feeder = self.feeders.get(link)
        if feeder is not None:
            feeder.session.liveness.heard(self.outbox.now)

    def peer_back(self, link: bytes) -> list[Action]:
        """The line is said to be back."""
        return self._of(link, lambda feeder: feeder.peer_back())

    def _of(self, link: bytes, call: Callable[[Feeder], None]) -> list[Action]:
        feeder = self.feeders.get(link)
        if feeder is not None and self._listening:
            call(feeder)
            self._stirred()
        return self.outbox.take()

    # -- inputs: operator -------------------------------------------------------------------

    def pause(self, link: bytes | None, drain: bool, timeout: float) -> list[Action]:
        """Stop sending at one sequence for the whole group (rule B5).

        Raises FarshoreError `plan-needed` for a freeze link.
        """
        chosen = self.chosen(link)
        _refuse_frozen(chosen, "a pause")
        for feeder in chosen:
            pausing.begin(feeder, drain, timeout)
        return self.outbox.take()

    def resync(
        self, link: bytes | None, kind: ResyncKind, once: bool, unprotected: bool = False
    ) -> list[Action]:
        """Bring one peer, or all, up to date; `unprotected` also where it could not be taken back (E1)."""
        chosen = self.chosen(link)
        if once:
            _refuse_frozen(chosen, "its end")
        for feeder in chosen:
            orders.resync(feeder, kind, once, unprotected)
        return self.outbox.take()

    def verify(self, link: bytes | None, halt: bool, rate: int) -> list[Action]:
        """Compare one peer's copy, or all, with ours while writes go on; at most `rate` bytes per second, 0
        for no bound. With `halt` the first difference stops the link.

        Raises FarshoreError `plan-needed` for a freeze link that would be stopped.
        """
        chosen = self.chosen(link)
        if halt:
            _refuse_frozen(chosen, "the first difference")
        for feeder in chosen:
            feeder.verify.begin(halt, rate)
        return self.outbox.take()

    def end_verify(self, link: bytes | None) -> list[Action]:
        """End what `verify` began."""
        for feeder in self.chosen(link):
            feeder.verify.end()
        return self.outbox.take()

    def repair_found(self, link: bytes, expected: str) -> list[Action]:
        """Copy over a peer's copy what a verify has found there, if that is still what was `expected`: a
        fingerprint as `findings` tells it. Raises FarshoreError `stale-plan`, `wrong-state`."""
        feeder = self.chosen(link)[0]
        if findings.fingerprint(feeder) != expected:
            raise FarshoreError(
                "stale-plan",
                f"what a verify has found over link {feeder.spec.name} is not what the plan was made from",
                means="nothing was copied",
                next_step="make the plan again",
            )
        orders.repair_found(feeder)
        return self.outbox.take()

    def add_link(self, spec: LinkSpec) -> list[Action]:
        """A new link: everything is dirty, nothing is known of the peer."""
        raise TypeError(f"a copy says when its new link {spec.name} connects")

    def change_link(self, spec: LinkSpec) -> list[Action]:
        """New options for a link.

        Raises FarshoreError `plan-needed` where they would hold every write at once (rule C4).
        """
        feeder = self.chosen(spec.id)[0]
        freezes = spec.options.mode is Mode.SYNC and spec.options.on_outage is OnOutage.FREEZE
        if freezes and not feeder.freezing and feeder.record.ever_replicated and not feeder.replicating:
            raise FarshoreError(
                "plan-needed",
                f"link {spec.name} does not replicate now",
                means="with on-outage=freeze it would hold every write of the application at once",
                next_step="bring the peer up to date first (farshore resync), then set the option",
            )
        orders.change(feeder, spec)
        return self.outbox.take()

    def remove_link(self, link: bytes) -> list[Action]:
        """Forget a link; its scoreboard file is the shell's to delete."""
        endings.retire(self.chosen(link)[0])
        del self.feeders[link]
        self.path.gates.pop(link, None)
        header = self.keeper.header
        self.keeper.put(replace(header, links=tuple(each for each in header.links if each.link != link)))
        self._progressed()
        return self.outbox.take()

    # -- upkeep -----------------------------------------------------------------------------

    def _attach(self, spec: LinkSpec, board: Scoreboard) -> Feeder:
        """A feeder for a link, known to the header or not."""
        if self.keeper.header.link(spec.id) is None:
            record = LinkRecord(spec.id, spec.epoch)
            self.keeper.header = replace(self.keeper.header, links=self.keeper.header.with_link(record))
        feeder = self.feeders[spec.id] = Feeder(self._share(), spec, board)
        return feeder

    def _attach_new(self, spec: LinkSpec) -> Feeder:
        """A link that is new: everything is dirty, nothing is known of the peer."""
        board = Scoreboard(self.geometry, None)
        board.every_page()
        feeder = self._attach(spec, board)
        self.boards.write(feeder, lambda: None)
        self.keeper.put(self.keeper.header)
        return feeder

    def _progressed(self) -> None:
        """A peer acknowledged something, or a link stopped."""
        self.ledger.trim(min([each.owed for each in self.feeders.values()], default=NO_LIMIT))
        self.path.release()

    def _persist(self, link: bytes, then: Callable[[], None]) -> None:
        self.boards.write(self.feeders[link], then)

    def _restored(self, spec: LinkSpec, image: BoardImage | None, clean: bool) -> Feeder:
        """A link as an earlier process left it; after an unclean end nothing that its resync did counts."""
        board = Scoreboard(self.geometry, image)
        feeder = self._attach(spec, board)
        board.open = feeder.record.open_resync is not None
        if not clean:
            # `second` is merged and not cleared: the pages of one write reach the disk in any order.
            board.dirty.merge(board.second)
        board.every_page()
        return feeder

    def _time_passed(self, gap: float) -> None:
        """So many seconds since the last turn: while our own loop stood still no peer could be heard."""
        if gap > STALL and self.outbox.now:
            for feeder in self.feeders.values():
                feeder.session.liveness.stalled(gap)

    def _tick_links(self) -> None:
        for feeder in list(self.feeders.values()):
            feeder.tick()
        self._watch.look(self.timeline, self.outbox, self.feeders)


def _refuse_frozen(chosen: list[Feeder], what: str) -> None:
    for feeder in chosen:
        if feeder.freezing:
            raise FarshoreError(
                "plan-needed",
                f"link {feeder.spec.name} freezes writes while it does not replicate",
                means=f"{what} would hold every write of the application",
                next_step="set on-outage=continue on the link first",
            )
