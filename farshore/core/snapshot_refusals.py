"""Why a secondary takes no layer at a position: what its volumes hold there is no state that the primary had,
or there is no room, or no name, for one more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farshore.errors import FarshoreError
from farshore.model.layers import LayerKind
from farshore.model.positions import Position

if TYPE_CHECKING:
    from farshore.core.secondary import Secondary

BROKEN = "a disk of this copy has failed"
MOST_LAYERS = 64
"""Layers of one copy, all kinds together: their list stays small, and so does what reading through them
costs."""


def refused(copy: Secondary, name: str, position: Position, cut: bool = False) -> FarshoreError | None:
    """Why no layer of this name begins with the volumes at `position`; at a `cut` right behind it."""
    header, session, here = copy.keeper.header, copy.session, position.sequence
    if copy.fault:
        return refusal(BROKEN)
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
    if any(each.name == name and each.kind is not LayerKind.UNDO for each in copy.preserve.layers):
        return FarshoreError("exists", f"this copy keeps something under the name {name!r} already")
    if len(copy.preserve.layers) >= MOST_LAYERS:
        return no_room()
    return None


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
