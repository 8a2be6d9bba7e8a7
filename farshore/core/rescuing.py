"""The loser is kept: what a resync overwrites because a plan allowed it stays as a rescue (rules D6, D7).

A feeder that overwrites what is no ancestor of its own history names the rescue when its resync begins. At
the follower the layer that takes the resync back is this rescue from its beginning, so that nothing which
gives up undos can give it up, and it stays when the resync is complete. A resync that was open already has
one undo, which leads back to the last whole state, the very one that is to be kept: it becomes the rescue.
Without room nothing is overwritten, whatever an operator accepts of undos: to do without a rescue is a plan
of its own, by which the feeder names none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from farshore.core.layer_actions import RetitleLayer
from farshore.core.preserve import FULL
from farshore.model.layers import Layer, LayerKind
from farshore.model.messages import ResyncBegin

if TYPE_CHECKING:
    from farshore.core.follower import Follower

NO_ROOM = "the preserve store has no room to keep what only this copy has, and would lose by the resync"
NO_STORE = "this copy cannot keep what only it has, and would lose by the resync"


def begun_before(copy: Follower, rescue: str) -> Layer | None:
    """The rescue of this name that a process has begun which died before anything was overwritten: it still
    shows exactly what the copy holds."""
    layers = copy.preserve.layers
    newest = layers[-1] if layers else None
    if newest is None or newest.kind is not LayerKind.RESCUE or newest.name != rescue:
        return None
    whole = copy.preserve.untouched and newest.id not in copy.preserve.broken
    fresh = newest.mark == copy.history().head and whole
    return newest if fresh else None


def title(copy: Follower, rescue: str) -> str:
    """A name that no other layer of this copy has."""
    taken = {each.name for each in copy.preserve.layers}
    numbered = (f"{rescue[:58]}-{number}" for number in range(2, len(taken) + 3))
    return next(each for each in (rescue, *numbered) if each not in taken)


def keep_open(
    copy: Follower, message: ResyncBegin, over: Callable[[], bool], then: Callable[[bytes], None]
) -> None:
    """A resync goes on that was open already; `then` is told by which layer it can be taken back."""
    undo = copy.keeper.header.undo
    layer = copy.preserve.layer(undo)
    copy.preserve.try_again()
    if not message.rescue or layer is None or layer.kind is not LayerKind.UNDO:
        then(undo)
        return
    kept = replace(layer, kind=LayerKind.RESCUE, name=title(copy, message.rescue))

    def retitled(errno: int) -> None:
        if not errno:
            copy.preserve.layers = [kept if each.id == undo else each for each in copy.preserve.layers]
        if over():
            return
        if errno in FULL:
            copy.end_session("store-full", NO_ROOM)
        elif errno:
            copy.fail(errno)
        else:
            then(undo)

    copy.outbox.emit(RetitleLayer(copy.outbox.ticket(retitled), undo, kept.kind, kept.name))
