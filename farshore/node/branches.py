"""Which of two copies holds more, and which of two that contradict each other the group goes on with. Pure.

Sequences are compared along one history only: those of different generations say nothing about each other. A
primary that died unclean, and was made a secondary, stands at the end of all that it had reserved, far beyond
anything that was ever written. Of two copies apart, the one that gave the role up and follows nobody's
history yet is off the line; else the one that went on in the generation that the other one left, since a
promotion is what begins another (rules D1, D2, D7). Where neither tells, nobody is preferred.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from farshore.model.positions import History, Position
from farshore.node.standings import Scene, Standing


class Order(StrEnum):
    """Of one copy to another."""

    EQUAL = "equal"
    AHEAD = "ahead"
    BEHIND = "behind"
    APART = "apart"
    """Each holds what the other lacks."""
    UNKNOWN = "unknown"
    """One of them holds nothing yet, or does not say what."""


def order(one: Standing, other: Standing) -> Order:
    """How `one` stands to `other`."""
    mine, theirs = one.history, other.history
    if mine.head is None or theirs.head is None:
        return Order.UNKNOWN
    if mine.head == theirs.head:
        return Order.EQUAL
    if mine.holds(theirs.head):
        return Order.AHEAD
    return Order.BEHIND if theirs.holds(mine.head) else Order.APART


def off_the_line(one: Standing, other: Standing) -> bool:
    """Whether, of two copies that are apart, the group goes on with `other`."""
    if order(one, other) is not Order.APART:
        return False
    if one.residue is not other.residue:
        return one.residue
    parted = fork(one.history, other.history)
    return parted is not None and _reach(one.history, parted) > _reach(other.history, parted)


def most_advanced(scene: Scene) -> Standing | None:
    """Of the copies that can be promoted, the one that holds all that the others on the line do; None where
    there is none, or nobody can say."""
    heard = [each for each in scene.copies if each.history.head is not None]
    able = [each for each in heard if not each.primary and each.promotable]
    on_line = [each for each in able if not any(off_the_line(each, other) for other in heard)]
    best = [each for each in on_line if all(_not_less(each, other) for other in on_line)]
    return max(best, key=lambda each: each.node == scene.here, default=None)


def more(goal: Standing, other: Standing) -> int | None:
    """At most how many writes `other` holds that `goal` lacks; None where that cannot be told."""
    match order(goal, other):
        case Order.EQUAL | Order.AHEAD:
            return 0
        case Order.BEHIND:
            return _sequence(other) - _sequence(goal)
        case Order.APART:
            parted = fork(goal.history, other.history)
            return None if parted is None else _sequence(other) - parted.sequence
    return None


def fork(mine: History, theirs: History) -> Position | None:
    """The last position on both; None where they have nothing in common."""
    reach = {each.generation: each.last for each in theirs.stretches}
    common: Iterable[Position] = (
        Position(each.generation, min(each.last, reach[each.generation]))
        for each in reversed(mine.stretches)
        if each.generation in reach
    )
    return next(iter(common), None)


def _not_less(one: Standing, other: Standing) -> bool:
    found = order(one, other)
    return found in (Order.EQUAL, Order.AHEAD) or (found is Order.APART and off_the_line(other, one))


def _reach(history: History, parted: Position) -> int:
    return next(each.last for each in history.stretches if each.generation == parted.generation)


def _sequence(copy: Standing) -> int:
    head = copy.history.head
    return 0 if head is None else head.sequence
