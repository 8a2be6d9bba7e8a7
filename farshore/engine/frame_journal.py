"""The apply journal of a secondary at work: segments, the volumes behind them, and the replay at a start.

Frames of one turn are appended with one write; making them durable, and everything else that may take
long, happens on a thread, one thing after the other. Whole frames are written to the volumes on the
loop as long as the disk is fast, else on a thread, too, in order.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from farshore.core import actions as a
from farshore.engine.applying import Steps, carry_out, steps_of, volumes_in
from farshore.engine.carrier import Carrier
from farshore.engine.journal_reads import JournalReads
from farshore.engine.local_writes import SLOW, LocalWrites
from farshore.engine.pool import Pool, errno_of
from farshore.engine.reactor import Reactor
from farshore.engine.stored_copy import StoredCopy
from farshore.errors import FarshoreError
from farshore.model.messages import Buffer, FrameHead
from farshore.model.positions import Position
from farshore.model.volumes import Operation
from farshore.store.segments import Cursor, Entry
from farshore.wire import frame

_LANE: Final = "journal"
_APPLY_LANE: Final = "apply"
_REPLAY_BYTES: Final = 1 << 20
"""Bytes of the journal that are read for a replay in one turn of the loop."""


@dataclass(frozen=True, slots=True)
class KeptFrame:
    """A frame that outlives the receive buffer; `steps` refer to its data."""

    whole: frame.Frame
    steps: Steps

    @property
    def data(self) -> Buffer:
        """As it came."""
        return self.whole.data

    @property
    def operations(self) -> list[Operation]:
        """Its records, in order."""
        return self.whole.operations


class FrameJournal:
    """See the module. `pool` has to run the jobs of one lane in order."""

    def __init__(
        self, stored: StoredCopy, carrier: Carrier, pool: Pool, reactor: Reactor, writes: LocalWrites
    ) -> None:
        assert stored.journal is not None
        self.segments = stored.journal
        self._volumes = stored.volumes
        self._sizes = stored.geometry.sizes
        self._carrier = carrier
        self._pool = pool
        self._reactor = reactor
        self._writes = writes
        self._in_memory = all(volume.memory for volume in stored.volumes.values())
        self.slow = False
        """Whether the volumes took long the last time: then a thread writes to them."""
        self._handed: list[Entry] = []
        self._cursor: tuple[Position, Cursor] | None = None
        """Where a replay goes on behind a position."""
        self.reads = JournalReads(self.segments, carrier, pool)

    def offer(
        self,
        appended: Callable[[int], list[a.Action]],
        done: Callable[[int, int], list[a.Action]],
        read: Callable[[int, Sequence[tuple[FrameHead, a.Relayable]], int], list[a.Action]],
    ) -> dict[type, Callable[..., None]]:
        """How the core's actions about the journal are carried out, and where their ends are reported."""
        self._appended = appended
        self._done = self._carrier.reporting(done)
        self._journal_read = self._carrier.reporting(read)
        return {
            a.AppendFrame: self._hand_over,
            a.SyncJournal: lambda action: self._run(action.ticket, self.segments.begin_sync().run),
            a.ApplyFrames: self._apply,
            a.BeginJournal: lambda action: self.reads.alone(partial(self._begin, action)),
            a.ContinueJournal: self._continue,
            a.TrimJournal: lambda action: self.reads.alone(partial(self._trim, action)),
            a.ReadJournal: self._read,
        }

    # -- appending ----------------------------------------------------------------------------

    @property
    def handed(self) -> bool:
        """Whether frames wait for `append`."""
        return bool(self._handed)

    def _hand_over(self, action: a.AppendFrame) -> None:
        kept = action.frame
        assert isinstance(kept, KeptFrame)
        self._handed.append((action.position, kept.data))

    def append(self) -> None:
        """Everything that was handed over, with one write."""
        if not self._handed:
            return
        handed, self._handed = self._handed, []
        end, failed = self.segments.end, 0
        assert end is not None
        try:
            self.segments.append(handed, end)
        except OSError as error:
            failed = error.errno or errno.EIO
        self._carrier.do(self._appended(failed))

    def _begin(self, action: a.BeginJournal) -> None:
        def begun(result: object) -> None:
            self.reads.released()
            self._done(action.ticket, errno_of(result))

        self._pool.submit(_LANE, partial(self.segments.clear, action.position), begun)

    def _trim(self, action: a.TrimJournal) -> None:
        past = self.segments.past
        if past is not None:
            past.marks = action.keep
            if past.overdue:
                # Also where nothing is synced for want of room. What could not be removed is of no use to
                # anybody, and goes when the journal is opened next.
                self._pool.submit(_LANE, past.settle, lambda _: None)
        self.segments.trim(action.position)
        self.reads.released()

    def _continue(self, action: a.ContinueJournal) -> None:
        try:
            self.segments.continue_at(action.position)
        except OSError as error:
            code = error.errno or errno.EIO
            self._reactor.soon(lambda: self._done(action.ticket, code))
            return
        self._run(action.ticket, self.segments.begin_sync().run)

    def _run(self, ticket: int, job: Callable[[], None]) -> None:
        self._pool.submit(_LANE, job, lambda result: self._done(ticket, errno_of(result)))

    # -- applying -----------------------------------------------------------------------------

    def _apply(self, action: a.ApplyFrames) -> None:
        frames: list[Steps] = []
        for kept in action.frames:
            assert isinstance(kept, KeptFrame)
            frames.append(kept.steps)
        if self.slow and not self._in_memory:
            job = partial(self._timed, frames)
            self._pool.submit(_APPLY_LANE, job, lambda result: self._applied(action.ticket, frames, result))
        else:
            self._applied(action.ticket, frames, self._timed(frames))

    def _timed(self, frames: list[Steps]) -> int:
        began = time.monotonic()
        failed = 0
        for steps in frames:
            failed = carry_out(self._volumes, steps)
            if failed:
                break
        self.slow = time.monotonic() - began > SLOW * len(frames)
        return failed

    def _applied(self, ticket: int, frames: list[Steps], result: int | OSError) -> None:
        if isinstance(result, OSError):
            raise result  # `carry_out` reports the errors of disks; this is none
        # Only now: an fdatasync that began meanwhile covers none of it.
        for steps in frames:
            self._writes.unsynced |= volumes_in(steps)
        self._done(ticket, result)

    # -- replaying ----------------------------------------------------------------------------

    def _read(self, action: a.ReadJournal) -> None:
        """A piece of it, in a turn of its own, so that the engine can be asked how it is."""
        if self._cursor is None or self._cursor[0] != action.after:
            self._cursor = action.after, self.segments.cursor_at(action.after)
        self._reactor.post(partial(self._read_some, action))

    def _read_some(self, action: a.ReadJournal) -> None:
        assert self._cursor is not None
        reached, cursor = self._cursor
        found: list[tuple[FrameHead, KeptFrame]] = []
        failed = 0
        try:
            entries, cursor = self.segments.read(cursor, _REPLAY_BYTES)
            while entries and not found:
                for position, data in entries:
                    if position.generation == reached.generation and position.sequence > reached.sequence:
                        whole = frame.check(data)
                        found.append((whole.head, KeptFrame(whole, steps_of(whole, self._sizes, gone=True))))
                        reached = position
                if not found:
                    entries, cursor = self.segments.read(cursor, _REPLAY_BYTES)
        except OSError as error:
            failed = error.errno or errno.EIO
        except FarshoreError:
            failed = errno.EIO  # it was whole when it was opened: the disk does not keep what it has
        self._cursor = (reached, cursor) if found and not failed else None
        self._journal_read(action.ticket, [] if failed else found, failed)

    # -- facts --------------------------------------------------------------------------------

    def buffers(self) -> dict[str, int]:
        """What is on the disk and handed over, in bytes."""
        return {
            "journal_bytes": self.segments.bytes_used,
            "journal_files_bytes": self.segments.bytes_on_disk,
        }
