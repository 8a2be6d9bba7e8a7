"""Which change of roles is under way, from how all copies stand. Pure.

A change is noted at every copy that it concerns, before its steps are carried out; how far it has come is
read off the copies. Notes may have come to nothing, since whoever wrote them died, and other changes may have
come since: of one kind, the copy that is to be the primary speaks for itself first.
"""

from __future__ import annotations

from typing import Final

from farshore.model.role_change import ChangeIntent
from farshore.node.standings import Scene, Standing
from farshore.node.turn_wishes import link_id

PLANNED: Final = ("switchover", "failback")
"""Changes of roles that lose nothing."""


def noted(
    scene: Scene, *kinds: str, goal: Standing | None = None, plan: str | None = None
) -> ChangeIntent | None:
    """The change of one of these kinds that copies are a part of: of several the one whose kind comes first
    here, planned changes counting as one kind, and then what the copy says that is to be the primary.
    Only one that makes `goal` the primary, or was accepted as `plan`, where these are given."""
    found = [
        (_rank(kinds, each.change.kind), each.change.goal != each.copy, each.change)
        for each in scene.copies
        if each.change is not None and each.change.kind in kinds
    ]
    for _, _, change in sorted(found, key=lambda one: one[:2]):
        if (goal is None or change.goal == goal.copy) and plan in (None, change.plan):
            return change
    return None


def _rank(kinds: tuple[str, ...], kind: str) -> int:
    """A failback ends as a switchover does, and a note of either may be left over from long ago."""
    return min(kinds.index(each) for each in kinds if each == kind or {each, kind} <= set(PLANNED))


def planned(scene: Scene, goal: Standing) -> ChangeIntent | None:
    """A planned change of roles between `goal` and another copy that was cut off after that had given its
    role up, or before all were told: it goes on, or is taken back where `goal` is the one that gave it up."""
    if goal.primary:
        return noted(scene, *PLANNED, goal=goal)
    if scene.primaries:
        return None
    given_up = [
        each.change
        for each in scene.copies
        if each.change is not None
        and each.change.kind in PLANNED
        and goal.copy in (each.change.goal, each.change.other)
        and _given_up(scene, each.change)
    ]
    return next((each for each in given_up if each.drained is not None), next(iter(given_up), None))


def _given_up(scene: Scene, begun: ChangeIntent) -> bool:
    """Whether the other copy has given its role up by this very change. A note alone proves nothing: what it
    speaks of may never have begun, and other copies may have been the primary since."""
    other = scene.copy(begun.other)
    if other is None:
        return True  # nobody knows; the plan is refused for that
    follows = other.fed_by
    return follows is not None and follows.link == link_id(begun.turn, other.copy).hex()
