"""Cuts: positions of the sequence at which all volumes of a group are consistent (section H of the law).

A cut stands behind every operation that has a sequence when it is asked for, so behind everything
that was acknowledged, and before all others. It is a record of the stream like any other: queued,
journaled and in order. A copy that it passes notes its position, or that it missed it, because a
resync is under way there and its image is no state that the primary ever had. A cut may carry the name of a
snapshot, which each copy takes there (`snapping`).
"""

from __future__ import annotations

from farshore.core.outbox import Outbox
from farshore.core.write_path import WritePath
from farshore.errors import FarshoreError
from farshore.model.positions import Position

ROOM = 2
"""Sequences that have to be left: one for the cut, one for a flush behind it."""
MOST = (1 << 63) - 1
"""The highest number that a cut can have."""


def cut(path: WritePath, name: str, number: int, *, snapshot: bool = False) -> Position:
    """Cut now; the position. `number` travels with it, and for a `snapshot` its name.

    Raises FarshoreError `wrong-state` while writes are held or refused: nothing gets a sequence then.
    """
    check(path)
    position = path.cut(number, name.encode() if snapshot else None)
    path.outbox.note(
        "cut", name=name, number=number, generation=position.generation.hex(), sequence=position.sequence
    )
    return position


def check(path: WritePath) -> None:
    """Raises FarshoreError `wrong-state` where no cut can be made now."""
    if path.held or path.blocked or path.fault or path.ceiling - path.sequence < ROOM:
        raise FarshoreError(
            "wrong-state",
            "writes do not flow now",
            means="no cut was made",
            next_step="try again once they do: farshore status",
        )


def note(outbox: Outbox, missed: bool, position: Position) -> None:
    """A cut has passed a follower."""
    kind = "cut-missed" if missed else "cut"
    outbox.note(kind, generation=position.generation.hex(), sequence=position.sequence)
