"""Makes durable what the core says must be: volumes, header, activity log, scoreboards, positions.

Each kind and target has a lane of its own in the pool, so that its writes keep their order and none
waits for another's disk. Every request is answered once, with 0 or an errno, from the loop. Nothing
is tried twice: whether an error can be lived with is the core's decision (rule C3).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from farshore.core.actions import SyncVolumes, WriteActivity, WriteBoard, WriteDurable, WriteHeader
from farshore.core.record_actions import ForgetBeyond
from farshore.engine.local_writes import LocalWrites
from farshore.engine.pool import Pool, errno_of
from farshore.engine.stored_copy import StoredCopy

Report: TypeAlias = Callable[[int, int], None]
"""Takes the ticket and the errno."""


class DurableRecords:
    """See the module."""

    def __init__(self, stored: StoredCopy, pool: Pool, writes: LocalWrites) -> None:
        self._stored = stored
        self._pool = pool
        self._writes = writes

    def sync_volumes(self, action: SyncVolumes, report: Report) -> None:
        """fdatasync of every volume with writes that are not covered by an earlier one."""
        chosen = sorted(self._writes.unsynced)
        self._writes.unsynced.clear()
        if all(self._stored.volumes[number].memory for number in chosen):
            report(action.ticket, 0)  # memory is as durable as it will ever be
            return
        left, failed = len(chosen), 0

        def done(result: OSError | None) -> None:
            nonlocal left, failed
            left -= 1
            failed = failed or errno_of(result)
            if not left:
                report(action.ticket, failed)

        for number in chosen:
            self._pool.submit(("sync", number), self._stored.volumes[number].fdatasync, done)

    def write_header(self, action: WriteHeader, report: Report) -> None:
        """Replaces the header."""
        self._write("header", partial(self._stored.header.write, action.header), action.ticket, report)

    def write_activity(self, action: WriteActivity, report: Report) -> None:
        """Replaces the activity log."""
        self._write("activity", partial(self._stored.activity.replace, action.extents), action.ticket, report)

    def write_board(self, action: WriteBoard, report: Report) -> None:
        """Writes a scoreboard's base and pages; of a link that was removed meanwhile, nothing."""
        board = self._stored.boards.get(action.link)
        if board is None:
            report(action.ticket, 0)
            return
        job = partial(board.write, action.base, action.peer_copy, action.pages)
        self._write(("board", action.link), job, action.ticket, report)

    def discard_board(self, link: bytes) -> None:
        """The scoreboard's file of a link that is gone. A write to it may be under way, so it is closed in
        the same lane: its descriptor's number could be another file's by then."""
        board = self._stored.boards.pop(link, None)
        if board is not None:
            job = partial(self._stored.discard_board, link, board)
            self._pool.submit(("board", link), job, _left_behind)

    def write_durable(self, action: WriteDurable, report: Report) -> None:
        """Records the durable position."""
        position = self._stored.position
        assert position is not None
        self._write("position", partial(position.write_durable, action.position), action.ticket, report)

    def forget_beyond(self, action: ForgetBeyond, report: Report) -> None:
        """What a failed sync has lost is not applied any more. No frame is taken meanwhile."""
        position = self._stored.position
        assert position is not None
        self._write("position", partial(position.forget_beyond, action.position), action.ticket, report)

    def _write(self, lane: object, job: Callable[[], None], ticket: int, report: Report) -> None:
        self._pool.submit(lane, job, lambda result: report(ticket, errno_of(result)))


def _left_behind(_: object) -> None:
    """A file that could not be removed harms nobody: its link's id is never used again."""
