"""The far end of a `pair`: a secondary's engine in memory, with its volumes and its journal.

As in `shells`: what is held waits, what is told to fail fails, and what was synced is what a loss of
power leaves.
"""

from collections.abc import Callable
from dataclasses import replace

from farshore.core import actions as a
from farshore.core.journaled import JournalImage
from farshore.core.layer_actions import RetitleLayer
from farshore.core.record_actions import ForgetBeyond
from farshore.core.resize_actions import MakeRoom, VolumeGrown
from farshore.core.secondary import Secondary
from farshore.core.secondary_setup import SecondarySetup
from farshore.model import messages as m
from farshore.model.header import Header, Upstream
from farshore.model.positions import Position
from tests.unit.core import growth
from tests.unit.core.disk import Disk
from tests.unit.core.far_store import FarStore
from tests.unit.core.shells import Shell, head_of, new_id


class Far(Shell):
    """A secondary's engine."""

    def __init__(self, setup: SecondarySetup, send: Callable[[a.Action], None]) -> None:
        super().__init__()
        self._setup = setup
        self._line = send
        self.disk = Disk(setup.geometry)
        self.store = FarStore(setup.geometry, self.disk)
        self.keeps_undo = True
        """Whether there is a preserve store."""
        self.header: Header = setup.header
        self.durable: Position | None = None
        self.applied: tuple[str, Position] | None = None
        self.journal: list[a.AppendFrame] = []
        self.journal_start: Position | None = None
        self.safe_journal = 0
        """How many of its entries are durable."""
        self.piece = 2
        """Frames that a replay reads at once."""
        self.boot = setup.boot
        self.core = Secondary(setup)

    def start(self, boot: str, *, roll_back: bool = False, upstream: Upstream | None = None) -> None:
        """A new process on what is durable; `upstream` as its intent has it by now."""
        self.boot = boot
        applied = self.applied[1] if self.applied is not None and self.applied[0] == boot else None
        setup = replace(
            self._setup,
            header=self.header,
            geometry=growth.sized(self._setup.geometry, self.header),
            durable=self.durable,
            applied=applied,
            boot=boot,
            instance=new_id(),
            journal=JournalImage(self.journal_start),
            preserve=self.store.image if self.keeps_undo else None,
            roll_back=roll_back,
            upstream=upstream or self._setup.upstream,
        )
        self.core = Secondary(setup)
        self.store.geometry = self.core.geometry

    def carry_out(self, action: a.Action) -> None:
        core = self.core
        match action:
            case a.ApplyFrame(frame=frame, applied=applied):
                errno = self._failing(a.ApplyFrame)
                if not errno:
                    assert isinstance(frame, a.Issue)
                    self.disk.write(frame.operations, frame.payloads)
                    self.applied = (self.boot, applied)
                self._actions.extend(core.applied_frame(errno))
            case a.ApplyFill(fill=fill):
                errno = self._failing(a.ApplyFill)
                if not errno:
                    data = fill.data if fill.data is not None else bytes(fill.length)
                    self.disk.seen[fill.volume][fill.offset : fill.offset + fill.length] = data
                self._actions.extend(core.filled(errno))
            case a.SyncVolumes(ticket=ticket):
                self.finish(action, self.disk.sync(), lambda errno: core.synced(ticket, errno))
            case a.WriteHeader(ticket=ticket, header=header):

                def keep(_: int) -> None:
                    self.header = header

                self.finish(action, keep, lambda errno: core.header_written(ticket, errno))
            case a.WriteDurable() | ForgetBeyond():
                self._carry_out_position(action)
            case a.CompareDigests():
                self.finish(action, lambda _: None, lambda errno: self._compare(action, errno))
            case a.ReadRange(ticket=ticket, volume=volume, offset=offset, length=length):

                def read(errno: int) -> list[a.Action]:
                    data = bytes(self.disk.seen[volume][offset : offset + length])
                    return core.lookups.looked_up(ticket, data, errno)

                self.finish(action, lambda _: None, read)
            case MakeRoom() | VolumeGrown():
                growth.carry_out(self, self.disk, core.room, action)
            case a.BeginLayer() | a.SaveRegions() | a.DropLayer() | a.RollBack() | RetitleLayer():
                self._carry_out_store(action)
            case a.Note():
                self.notes.append(action)
            case a.AppendFrame():
                frames = [action]
                while self._actions and isinstance(more := self._actions[0], a.AppendFrame):
                    frames.append(more)
                    self._actions.popleft()
                errno = self._failing(a.AppendFrame)
                if not errno:
                    self.journal += frames
                self._actions.extend(core.appended(errno))
            case a.SyncJournal() | a.ApplyFrames() | a.BeginJournal() | a.ContinueJournal():
                self._carry_out_journal(action)
            case a.TrimJournal() | a.ReadJournal():
                self._carry_out_journal(action)
            case _:
                self._line(action)

    def _carry_out_position(self, action: a.WriteDurable | ForgetBeyond) -> None:
        def record(_: int) -> None:
            if isinstance(action, ForgetBeyond):
                self.applied = (self.boot, action.position)
            else:
                self.durable = action.position

        self.finish(action, record, lambda errno: self.core.durable_written(action.ticket, errno))

    def _carry_out_store(self, action: a.Action) -> None:
        core, store = self.core, self.store
        match action:
            case a.BeginLayer() | a.SaveRegions() | a.DropLayer():
                store.carry_out(self.finish, core, action)
            case RetitleLayer(ticket=ticket, layer=kept, kind=kind, name=name):
                self.finish(
                    action,
                    lambda _: store.retitle(kept, kind, name),
                    lambda errno: core.preserved(ticket, errno),
                )
            case a.RollBack(ticket=ticket, layer=undo, position=position):

                def restore(_: int) -> None:
                    store.roll_back(undo)
                    self.disk.sync()(0)
                    self.durable, self.applied = position, (self.boot, position)

                self.finish(action, restore, lambda errno: core.preserved(ticket, errno))

    def _carry_out_journal(self, action: a.Action) -> None:
        core = self.core
        match action:
            case a.SyncJournal(ticket=ticket):
                began = len(self.journal)

                def safe(_: int) -> None:
                    self.safe_journal = max(self.safe_journal, began)

                self.finish(action, safe, lambda errno: core.journal_done(ticket, errno))
            case a.ApplyFrames(ticket=ticket, frames=frames):
                self.finish(
                    action, lambda _: self._write(frames), lambda errno: core.journal_done(ticket, errno)
                )
            case a.BeginJournal(ticket=ticket, position=position):

                def begin(_: int) -> None:
                    self.journal, self.safe_journal, self.journal_start = [], 0, position

                self.finish(action, begin, lambda errno: core.journal_done(ticket, errno))
            case a.ContinueJournal(ticket=ticket):

                def go_on(_: int) -> None:
                    self.safe_journal = len(self.journal)

                self.finish(action, go_on, lambda errno: core.journal_done(ticket, errno))
            case a.TrimJournal(position=position):
                kept = [each for each in self.journal if each.position.sequence > position.sequence]
                self.safe_journal -= len(self.journal) - len(kept)
                self.journal, self.journal_start = kept, position
            case a.ReadJournal(ticket=ticket, after=after):
                left = [each for each in self.journal if each.position.sequence > after.sequence]
                found = [self._piece(each) for each in left[: self.piece]]
                self.finish(action, lambda _: None, lambda errno: core.journal_read(ticket, found, errno))

    def _piece(self, entry: a.AppendFrame) -> tuple[m.FrameHead, a.Relayable]:
        assert isinstance(entry.frame, a.Issue)
        return head_of(self.header.group, entry.frame), entry.frame

    def _write(self, frames: list[object]) -> None:
        for frame in frames:
            assert isinstance(frame, a.Issue)
            self.disk.write(frame.operations, frame.payloads)

    def lose_power(self) -> None:
        """The machine stopped: of the journal, too, only what was synced is there."""
        self.disk.lose_cache()
        del self.journal[self.safe_journal :]

    def _failing(self, kind: type) -> int:
        planned = self.errors.get(kind, [])
        return planned.pop(0) if planned else 0

    def _compare(self, action: a.CompareDigests, errno: int) -> list[a.Action]:
        query = action.query
        mine = self.disk.digests(query.volume, query.offset, query.length, query.region)
        differing = [mine[at : at + 16] != query.digests[at : at + 16] for at in range(0, len(mine), 16)]
        return self.core.compared(action.ticket, bytes(differing), errno)

    def safe(self) -> dict[int, bytes]:
        """What the volumes would hold after a loss of power and the start behind it."""
        if not self.header.journaling:
            return self.disk.safe
        image = Disk(self._setup.geometry)
        image.seen = {volume: bytearray(data) for volume, data in self.disk.safe.items()}
        mark = self.durable.sequence if self.durable is not None else 0
        for each in self.journal[: self.safe_journal]:
            if each.position.sequence > mark:
                assert isinstance(each.frame, a.Issue)
                image.write(each.frame.operations, each.frame.payloads)
        return {volume: bytes(data) for volume, data in image.seen.items()}
