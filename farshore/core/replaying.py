"""The journal applied at a start: the volumes get what it holds behind the mark (rules B2, E3).

It goes piece by piece. While the preserve store has layers, what a piece overwrites is saved before it is
written, as in a session; a layer that began at the mark or before it so keeps what it was to keep, however
often the same frames are replayed. Where that store cannot be used, the header durably says first which
layers are broken by that; a start that has nothing to write breaks none. A cut that asks for a snapshot stops
the replay until it is taken, or missed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from farshore.core.actions import ApplyFrames, ReadJournal, Relayable
from farshore.core.broken_layers import overwriting
from farshore.core.preserve import Range, ranges_of
from farshore.model.messages import FrameHead
from farshore.model.positions import Position

if TYPE_CHECKING:
    from farshore.core.secondary import Secondary


class Replay:
    """See the module. `then` is told how far it has come, and an errno."""

    def __init__(self, copy: Secondary, after: Position, then: Callable[[Position, int], None]) -> None:
        self._copy = copy
        self._reached = after
        self._then = then

    def go_on(self) -> None:
        """The next piece."""
        outbox = self._copy.outbox
        outbox.emit(ReadJournal(outbox.ticket(self._read), self._reached))

    def _read(self, frames: Sequence[tuple[FrameHead, Relayable]], errno: int) -> None:
        if errno or not frames:
            self._then(self._reached, errno)
            return
        if frames[0][0].snapshot:
            head = frames[0][0]
            self._reached = Position(head.generation, head.last)
            self._copy.snapping.at_replay(head, self.go_on)
            return
        whole = next((n for n, (head, _) in enumerate(frames) if head.snapshot), len(frames))
        frames = frames[:whole]  # the cut is met again, as the first one
        header = self._copy.keeper.header
        says = overwriting(self._copy, header)
        if says == header:
            self._save(frames)
        else:
            self._copy.keeper.put(says, lambda: self._save(frames))

    def _save(self, frames: Sequence[tuple[FrameHead, Relayable]]) -> None:
        ranges: list[Range] = []
        if self._copy.preserve.collecting:
            for _, frame in frames:
                ranges += ranges_of(frame)
        self._copy.preserve.when_spare(ranges, lambda: self._apply(frames))

    def _apply(self, frames: Sequence[tuple[FrameHead, Relayable]]) -> None:
        outbox, head = self._copy.outbox, frames[-1][0]

        def applied(errno: int) -> None:
            if errno:
                self._then(self._reached, errno)
            else:
                self._reached = Position(head.generation, head.last)
                self.go_on()

        outbox.emit(ApplyFrames(outbox.ticket(applied), [frame for _, frame in frames]))
