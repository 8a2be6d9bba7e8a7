"""The part of a secondary's shell that carries out what the core asks of the journal.

Appending happens at once; making it durable, applying and replaying take their time, and a death may fall
into each. Every effect is told to the `Replay` from which the oracle knows what a start would do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from farshore.core import actions as a
from farshore.core.journaled import JournalImage
from farshore.model.messages import FrameHead
from farshore.model.positions import Position
from farshore.store.platform import File
from farshore.store.segment_sync import Unsynced
from farshore.store.segments import Segments
from farshore.wire import frame
from sim.files import SimFile
from sim.frame_journal import Replay, apply, behind
from sim.steps import Step

if TYPE_CHECKING:
    from sim.secondary_site import SecondarySite


class JournalShell:
    """See the module."""

    def __init__(self, site: SecondarySite) -> None:
        self._site = site
        self.segments: Segments
        self.replay = Replay()
        self.carry: dict[type, Callable[[Any], None]] = {
            a.AppendFrame: self._append,
            a.SyncJournal: self._sync,
            a.ApplyFrames: self._apply,
            a.BeginJournal: self._begin,
            a.ContinueJournal: self._continue,
            a.TrimJournal: lambda action: self.segments.trim(action.position),
            a.ReadJournal: self._read,
        }

    @property
    def image(self) -> JournalImage:
        """What the core is told of it at a start."""
        return JournalImage(self.segments.start, self.segments.damaged or "")

    def _report(self, ticket: int) -> Callable[[int], None]:
        site = self._site
        return lambda errno: site.turn(site.core.journal_done, ticket, errno)

    def _append(self, action: a.AppendFrame) -> None:
        site, entries = self._site, list[tuple[Position, frame.Frame]]()
        for each in (action, *site.also()):
            assert isinstance(each.frame, frame.Frame)
            site.witness.applying(site, each.position)
            entries.append((each.position, each.frame))

        def run() -> None:
            end = self.segments.end
            assert end is not None
            self.segments.append([(position, data.data) for position, data in entries], end)
            for position, data in entries:
                self.replay.appended(position, data)

        errno = site.steps.carry_out("append", Step(run, lambda _: None))
        if site.life.alive:
            for position, data in entries if not errno else ():
                site.witness.applied(site, position)
                if data.head.snapshot:
                    site.preserve.snapshots.journaled(data.head.snapshot, position)
            site.follow_up(site.core.appended(errno))

    def _sync(self, action: a.SyncJournal) -> None:
        """It covers what was appended when its turn came."""
        covered: list[tuple[Unsynced, int]] = []
        marks: dict[File, int] = {}

        def prepare() -> None:
            unsynced = self.segments.begin_sync()
            covered.append((unsynced, self.replay.newest))
            for file in unsynced.files:
                assert isinstance(file, SimFile)
                marks[file] = file.begin_sync()

        def end(file: File) -> None:
            assert isinstance(file, SimFile)
            file.end_sync(marks[file])

        def run() -> None:
            unsynced, newest = covered[0]
            try:
                unsynced.run(end)
            except OSError:
                self._site.power_failed = True
                raise
            self.replay.durable = max(self.replay.durable, newest)

        self._site.steps.begin("journal", Step(run, self._report(action.ticket), prepare))

    def _apply(self, action: a.ApplyFrames) -> None:
        def run() -> None:
            for data in action.frames:
                assert isinstance(data, frame.Frame)
                apply(self._site.volumes, data)

        self._site.steps.begin("apply", Step(run, self._report(action.ticket)))

    def _begin(self, action: a.BeginJournal) -> None:
        def run() -> None:
            self.segments.clear(action.position)
            self.replay.begun(action.position)

        self._site.steps.begin("journal", Step(run, self._report(action.ticket)))

    def _continue(self, action: a.ContinueJournal) -> None:
        def run() -> None:
            self.segments.continue_at(action.position)
            self.segments.sync()
            self.replay.continued()

        self._site.steps.begin("journal", Step(run, self._report(action.ticket)))

    def _read(self, action: a.ReadJournal) -> None:
        """A frame or a few of them at a time."""
        site, most = self._site, self._site.world.random.randint(1, 4)
        found: list[tuple[FrameHead, frame.Frame]] = []

        def run() -> None:
            for _, data in behind(self.segments, action.after)[:most]:
                found.append((data.head, data))

        def done(errno: int) -> None:
            if found:
                site.world.reach("frames replayed")
            site.turn(site.core.journal_read, action.ticket, found, errno)

        site.steps.begin("replay", Step(run, done))
