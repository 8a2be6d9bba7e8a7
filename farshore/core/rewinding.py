"""A rewind: a copy becomes what it was at an earlier position, and the primary from there (rules D1, E3, H).

A layer of the preserve store shows one earlier position exactly; from there, frames that the journal has kept
lead to any later one, if they follow each other without a gap. Before the first region is overwritten what
the copy holds now is kept in a layer of its own, a rescue, and the header durably says that the copy is none
of its states: as an open resync that nobody feeds, and whose undo is that rescue. So at each instant the
header names a layer that shows the present, or the rewind has not begun, or it is done. A rewind that died
goes on from the restore; one that is not wanted any more is taken back from its rescue. Nothing here touches
a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from farshore.core.actions import TrimJournal
from farshore.errors import FarshoreError
from farshore.model.header import Header, OpenResync
from farshore.model.layers import Layer, LayerKind
from farshore.model.messages import FrameHead
from farshore.model.options import ResyncKind
from farshore.model.positions import History, Position, Stretch
from farshore.model.role_change import RewindIntent

if TYPE_CHECKING:
    from farshore.core.secondary import Secondary

MOMENTS: Final = (LayerKind.SNAPSHOT, LayerKind.RESCUE)
"""Layers that a rewind may lead to, or begin from."""


# -- what is kept for it --------------------------------------------------------------------------


def marks(layers: Iterable[Layer], history: History) -> tuple[int, ...]:
    """Where the snapshots stand that frames of this history could lead on from: sequences."""
    known = {each.generation for each in history.stretches}
    snapshots = [each.mark for each in layers if each.kind is LayerKind.SNAPSHOT and each.mark is not None]
    return tuple(sorted(each.sequence for each in snapshots if each.generation in known))


def trim(copy: Secondary, position: Position) -> TrimJournal:
    """What lies at or below `position` goes, but for what leads on from the copy's snapshots."""
    return TrimJournal(position, marks(copy.preserve.layers, copy.keeper.header.history))


def kept_from(marks: Iterable[int], start: int) -> int | None:
    """The sequence behind which frames are of use, if those behind `start` are all there; None for none."""
    return min((each for each in marks if each >= start), default=None)


@dataclass(frozen=True, slots=True)
class Kept:
    """A segment of applied frames. `last`: the sequence that is reached behind it; `size`: bytes on disk."""

    number: int
    size: int
    last: int


def surplus(kept: Sequence[Kept], start: int, marks: Iterable[int], limit: int) -> int:
    """How many of these, which are in order and begin behind `start`, have to go: the oldest ones that no
    snapshot leads to, and as many more as take the rest below `limit` bytes (rule F1)."""
    marks, size, count = tuple(marks), sum(each.size for each in kept), 0
    for each in kept:
        after = kept_from(marks, start)
        # Behind one that ends at a mark there is perhaps only a new generation: it stays.
        if after is not None and each.last >= after and size <= limit:
            break
        size -= each.size
        start = each.last
        count += 1
    return count


# -- where it leads ---------------------------------------------------------------------------------


def history_at(history: History, position: Position) -> History:
    """The history of a copy that stands at `position`: a part of ours, or of one that ours has parted from.
    Where a generation began that ours does not have nobody knows: what came before it is forgotten."""
    floor = 0
    for index, stretch in enumerate(history.stretches):
        if stretch.generation == position.generation and floor <= position.sequence:
            return History((*history.stretches[:index], Stretch(position.generation, position.sequence)))
        floor = stretch.last
    return History((Stretch(position.generation, position.sequence),))


LACKING: Final = "a part of that snapshot could not be read when it was to be kept"


def out_of_reach(why: str) -> FarshoreError:
    """What is wished for cannot be had here."""
    return FarshoreError(
        "not-rewindable",
        f"this copy cannot be rewound to there: {why}",
        means="Nothing was changed.",
        next_step="farshore status shows between which times, farshore snapshot list shows snapshots",
    )


class Span:
    """The way from a layer's mark to the wished position, or as far as it leads, entry by entry of the
    journal. `reached` is where the image stands once what `step` has let through is written."""

    def __init__(self, mark: Position, goal: Position | None) -> None:
        self._mark = mark
        self._goal = goal
        self.reached = mark

    @property
    def complete(self) -> bool:
        """Whether nothing more is to be written."""
        return self.reached == self._goal

    def step(self, position: Position, head: FrameHead | None) -> bool:
        """Whether the frame of the next entry is to be written; `head` is None for an entry without one.
        Raises FarshoreError where it does not follow, or only leads beyond the wished position."""
        reached = self.reached
        if self.complete or position.sequence < self._mark.sequence:
            return False
        if head is None:
            if position.sequence == reached.sequence:
                self.reached = position
            return False
        if position.sequence <= self._mark.sequence:
            return False
        if head.follows != reached:
            raise out_of_reach(f"the frame at {head.first} does not follow {reached.sequence}")
        if self._goal is not None and position.sequence > self._goal.sequence:
            raise out_of_reach(f"no frame ends at {self._goal.sequence}")
        self.reached = position
        return True

    def require(self) -> None:
        """Raises FarshoreError unless the wished position is reached."""
        if not self.complete:
            raise out_of_reach(f"the journal has no frames behind {self.reached.sequence}")


# -- how it is carried out ----------------------------------------------------------------------------


class Step(StrEnum):
    """What has to be done, in this order. Each may be repeated."""

    KEEP = "keep"
    """The rescue begun, and everything saved there that will be overwritten."""
    OPEN = "open"
    """The header says so, durably."""
    RESTORE = "restore"
    """Regions written back from the layer."""
    REPLAY = "replay"
    """Frames written, up to exactly the position; the volumes synced."""
    CLOSE = "close"
    """The header of the new primary, durably, with the history cut at the position."""
    FORGET = "forget"
    """The journal, and what it kept: it leads to what the copy is not any more."""


def rescue_of(header: Header, turn: bytes) -> bytes:
    """The id of the rescue that a turn takes of what the copy holds: the same, however often it is begun, as
    long as the copy stands where it does."""
    head = header.history.head
    stands = b"" if head is None else head.generation + head.sequence.to_bytes(8, "little")
    return sha256(b"rescue of a rewind" + turn + stands).digest()[:16]


def open_rewind(header: Header) -> bytes | None:
    """The rescue of the rewind that is open, None where none is. Ids of other resyncs are their feeders', and
    never those of a layer here."""
    resync = header.resync
    return header.undo if resync is not None and header.undo and resync.id == header.undo else None


def left(header: Header, turn: bytes) -> tuple[Step, ...]:
    """What is left to be done of this turn's rewind."""
    steps = tuple(Step)
    return steps[steps.index(Step.RESTORE) :] if open_rewind(header) == rescue_of(header, turn) else steps


def rescue(header: Header, turn: bytes, wish: RewindIntent, sizes: dict[int, int]) -> Layer:
    """The layer that shows the present state, of a copy that has stopped cleanly; its time is `wish`'s."""
    head = header.history.head
    number = rescue_of(header, turn)
    return Layer(number, LayerKind.RESCUE, tuple(sorted(sizes.items())), wish.rescue, head, wish.time)


def opened(header: Header, turn: bytes, wish: RewindIntent) -> Header:
    """From now on the image is none of the copy's states; not clean, so that a start settles the volumes."""
    number = rescue_of(header, turn)
    resync = OpenResync(number, ResyncKind.FULL, wish.position)
    return replace(header, resync=resync, undo=number, clean=False)


def taken_back(header: Header) -> Header:
    """The image is again what the rescue has kept."""
    return replace(header, resync=None, undo=b"", clean=True)


def rewound(header: Header, position: Position) -> Header:
    """As it is to be promoted: it stands at `position`. Its links begin anew, since what their scoreboards
    say is said of another image, and the resync stays open, so that none of them counts as complete (E3)."""
    fresh = replace(header, history=history_at(header.history, position), links=(), clean=True)
    return replace(fresh, doubtful_until=0, loose_until=0)
