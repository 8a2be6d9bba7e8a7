"""What two histories mean to each other (rule D2). Pure and total: every pair has one relation."""

from __future__ import annotations

from enum import StrEnum

from farshore.model.positions import History, Position


class Relation(StrEnum):
    """Of their history to mine."""

    BLANK = "blank"
    EQUAL = "equal"
    ANCESTOR = "ancestor"
    DESCENDANT = "descendant"
    DIVERGED = "diverged"


def compare(mine: History, theirs: History) -> Relation:
    """Where their head stands relative to mine.

    A head that lies on the other's history is behind it. Both heads lying on each other's history
    means that they are the same point, since along a history sequences only grow.
    """
    if theirs.head is None:
        return Relation.BLANK
    if mine.head is None:
        return Relation.DESCENDANT
    if mine.head == theirs.head:
        return Relation.EQUAL
    if mine.holds(theirs.head):
        return Relation.ANCESTOR
    if theirs.holds(mine.head):
        return Relation.DESCENDANT
    return Relation.DIVERGED


def fork(mine: History, theirs: History) -> Position | None:
    """The last position that lies on both, None where they have nothing in common. A generation is minted
    once, so up to it both are the same."""
    last = {stretch.generation: stretch.last for stretch in theirs.stretches}
    for stretch in reversed(mine.stretches):
        if stretch.generation in last:
            return Position(stretch.generation, min(stretch.last, last[stretch.generation]))
    return None


def at_or_after(history: History, position: Position, base: Position) -> bool:
    """Whether both lie on `history` and `position` is not before `base` (rule A5)."""
    if not history.holds(position) or not history.holds(base):
        return False
    order = [stretch.generation for stretch in history.stretches]
    here = (order.index(position.generation), position.sequence)
    return here >= (order.index(base.generation), base.sequence)
