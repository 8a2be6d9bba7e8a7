"""The disk queue of a hop: the copy's own journal, seen from one of its links (rules B6, D4, F1).

Every frame lies in the journal before a hop hears of it, so there is nothing to append and nothing to
drop: being `live` only means that the journal is kept for this hop, up to the bound of its disk queue.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from farshore.core.gate import Acknowledged
from farshore.core.link import Standing
from farshore.core.queueing import LinkQueue, Then
from farshore.model.options import LinkState, Reason
from farshore.model.volumes import Operation

if TYPE_CHECKING:
    from farshore.core.feeder import Feeder


_PIECE: Final = 256 << 10
"""Bytes of frames that are counted together: a queue may hold millions of them."""


class JournalQueue(LinkQueue):
    """See the module."""

    def __init__(self, feeder: Feeder) -> None:
        super().__init__(feeder)
        self._kept_frames: deque[tuple[int, int]] = deque()
        """(last sequence, bytes) of what the journal is kept for."""

    # -- start ------------------------------------------------------------------------------

    def recall(self, operations: list[Operation], last: int, size: int) -> None:
        """A start found this frame behind the hop's base."""
        self._feeder.board.spooled.mark(operations, last)
        self._enter(last, size)

    def recalled(self) -> None:
        """All of them were found."""
        feeder = self._feeder
        base = feeder.board.base
        assert base is not None
        here = base.sequence
        self.base = here
        self.end = self.on_disk = max(here, feeder.shared.path.sequence)
        feeder.acked = Acknowledged(here, here, here, here)
        feeder.counted = True
        self.live = self.behind = True
        feeder.standing = Standing(LinkState.QUEUING, Reason.RESTARTED)

    # -- frames -----------------------------------------------------------------------------

    def keep(self, last: int, size: int) -> None:
        """A frame that goes to the channel as well."""
        self.read = last
        self._enter(last, size)
        if self._full(0):
            self._rebase(last)  # nothing is lost: should the peer be lost before it has this, marks will do

    def _enter(self, last: int, size: int) -> None:
        self.end = self.on_disk = last
        self.disk_bytes += size
        kept = self._kept_frames
        if kept and kept[-1][1] + size <= _PIECE:
            kept[-1] = (last, kept[-1][1] + size)
        else:
            kept.append((last, size))

    def acknowledged(self, durable: int) -> None:
        """The peer has everything up to here durable."""
        kept = self._kept_frames
        while kept and kept[0][0] <= durable:
            self.disk_bytes -= kept.popleft()[1]
        self.go_on()

    def _rebase(self, sequence: int) -> None:
        super()._rebase(sequence)
        self._kept_frames.clear()

    # -- what the journal does anyway ---------------------------------------------------------

    def placed(self, last: int) -> tuple[tuple[bytes, bool], ...]:
        """The journal has it."""
        return ()

    def _drop_disk(self, needed: bool) -> None:
        """The journal is not a hop's to drop."""

    def tick(self) -> None:
        """Time passes."""
        self.go_on()

    def sync(self, then: Then) -> None:
        """What a hop knows of is durable."""
        then(0)
