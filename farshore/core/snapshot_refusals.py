"""Why a copy takes no layer at a position: what its volumes hold there is no state that the primary had, or
there is no room, or no name, for one more. And which snapshots it knows that it has missed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from farshore.core.preserve import Preserving
from farshore.errors import FarshoreError
from farshore.model.layers import Layer, LayerKind
from farshore.model.positions import Position

if TYPE_CHECKING:
    from farshore.core.secondary import Secondary

BROKEN = "a disk of this copy has failed"
MOST_LAYERS = 64
"""Layers of one copy, all kinds together: their list stays small, and so does what reading through them
costs."""
_REMEMBERED: Final = 32


@dataclass(frozen=True, slots=True)
class Missed:
    """A snapshot that this copy has not taken, and why."""

    name: str
    position: Position
    why: FarshoreError


def missed_ones() -> deque[Missed]:
    """A place for the newest of them."""
    return deque(maxlen=_REMEMBERED)


def refused(copy: Secondary, name: str, position: Position, cut: bool = False) -> FarshoreError | None:
    """Why no layer of this name begins with the volumes at `position`; at a `cut` right behind it."""
    header, session, here = copy.keeper.header, copy.session, position.sequence
    if copy.fault:
        return refusal(BROKEN)
    if copy.preserve.unusable:
        return refusal(f"its preserve store cannot be used: {copy.preserve.unusable}")
    if not copy.preserve.available:
        return refusal("this copy has no preserve store")
    if header.resync is not None or (session is not None and session.resyncing):
        return refusal("this copy is being resynced, and its volumes are no state that the primary had")
    if header.history.blank:
        return refusal("this copy has never been whole")
    if here < header.doubtful_until or here + cut < header.loose_until:
        return refusal("what this copy holds is in doubt since it was not stopped cleanly")
    if not copy.started and (copy.setup.journal.damaged or header.fault):
        return refusal("what this copy holds is in doubt since its journal, or a disk, has failed")
    return _crowded(copy.preserve.layers, name)


def refused_at_primary(preserve: Preserving, name: str) -> FarshoreError | None:
    """Why no layer of this name begins at a cut of a primary's own, whose image is always one."""
    if not preserve.available or not preserve.well:
        return refusal("the preserve store of the primary cannot be used")
    return _crowded(preserve.layers, name)


def _crowded(layers: Iterable[Layer], name: str) -> FarshoreError | None:
    kept = list(layers)
    if any(each.name == name and each.kind is not LayerKind.UNDO for each in kept):
        return FarshoreError(
            "exists",
            f"this copy keeps something under the name {name!r} already",
            means="No layer was begun.",
            next_step="choose another name: farshore snapshot list shows those that are in use",
        )
    return no_room() if len(kept) >= MOST_LAYERS else None


def no_room() -> FarshoreError:
    """The store, or the disk that it is on, is full."""
    return FarshoreError(
        "store-full",
        "the preserve store has no room for another layer",
        means="Nothing was begun, and nothing was given up for it.",
        next_step="farshore snapshot list shows what is kept: delete some of it, or give the store more room",
    )


def refusal(why: str) -> FarshoreError:
    """It cannot be taken now."""
    return FarshoreError("wrong-state", why, means="No layer was begun.", next_step="farshore status")
