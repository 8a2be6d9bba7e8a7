"""Layers of a secondary's preserve store that begin at an exact position of the stream (rules H, E3).

Before a layer begins, the volumes durably hold everything up to its position and nothing behind it, and the
copy's recorded position is that one: so no frame at or below it is ever applied again, and nothing that a
replay writes can be taken for what the layer was to show. With a journal, frames go on being taken, and those
behind the position wait there; without one the stream is held.

One layer at a time, in the order in which they were asked for. A copy whose volumes are no state that the
primary ever had, since a resync is open or something is in doubt, refuses.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from farshore.core.preserve import FULL
from farshore.errors import FarshoreError
from farshore.model.layers import Layer, LayerKind
from farshore.model.positions import Position

if TYPE_CHECKING:
    from farshore.core.secondary import Secondary

Then: TypeAlias = Callable[[Layer | FarshoreError], None]
"""Is told of the layer that has begun, durably, or why there is none."""
BROKEN = "a disk of this copy has failed"
MOST_LAYERS = 64
"""Layers of one copy, all kinds together: their list stays small, and so does what reading through them
costs."""


@dataclass(frozen=True, slots=True)
class _Wish:
    kind: LayerKind
    name: str
    then: Then


class Snapping:
    """See the module."""

    def __init__(self, copy: Secondary) -> None:
        self._copy = copy
        self._wishes: deque[_Wish] = deque()
        self._now: _Wish | None = None
        """What is being carried out."""
        self._halting = False
        """The journal brings the volumes to where it was told to stop."""
        self.holding = False
        """Nothing may be applied directly."""

    def wish(self, kind: LayerKind, name: str, then: Then) -> None:
        """A layer at the position that the copy has reached when its turn comes."""
        self._wishes.append(_Wish(kind, name, then))
        self.go_on()

    def go_on(self) -> None:
        """Something that was waited for may have happened."""
        while self._now is None and self._wishes:
            refusal = refused(self._copy, self._wishes[0].name)
            if refusal is not None:
                self._wishes.popleft().then(refusal)
            elif self._ready:
                self._now = self._wishes.popleft()
                self._halt()
            else:
                return
        if self._halting and self._copy.journal.halted:
            self._halting = False
            self._begin(Position(self._copy.standing.generation, self._copy.journal.halt))

    @property
    def _ready(self) -> bool:
        copy = self._copy
        return copy.started and (copy.session is None or not copy.session.busy)

    def _halt(self) -> None:
        """Bring the volumes to where the copy is, durably, and keep them there."""
        copy, standing = self._copy, self._copy.standing
        if copy.journal.active:
            self._halting = True
            copy.journal.halt_at(standing.applied)
            return
        position, wish, self.holding = standing.position, self._now, True

        def durable() -> None:
            if self._now is wish:
                self._begin(position)

        standing.make_durable(durable)

    def _begin(self, position: Position) -> None:
        copy, wish = self._copy, self._now
        assert wish is not None
        sizes = tuple(sorted(copy.geometry.sizes.items()))
        layer = Layer(copy.new_id(), wish.kind, sizes, wish.name, position, copy.outbox.wall)

        def begun(errno: int) -> None:
            if self._now is not wish:
                return  # a disk has failed meanwhile; whoever asked knows
            self._now, self.holding = None, False
            if errno and errno not in FULL:
                copy.fail(errno)
                wish.then(_refusal(BROKEN))
                return
            if copy.journal.active:
                copy.journal.go_on_behind()
            if not errno:
                copy.outbox.note("layer", layer=wish.kind.value, name=wish.name, sequence=position.sequence)
            wish.then(no_room() if errno else layer)
            self.go_on()

        copy.preserve.begin(layer, 0, begun)

    def fail(self) -> None:
        """The copy has failed: nobody gets a layer any more."""
        left = [*([self._now] if self._now is not None else []), *self._wishes]
        self._now, self._halting, self.holding = None, False, False
        self._wishes.clear()
        for wish in left:
            wish.then(_refusal(BROKEN))


def take(copy: Secondary, kind: LayerKind, name: str, then: Then) -> None:
    """Begin a layer at exactly the position where the copy stands, which `then` finds in its `mark`.

    `then` may be told before this returns; otherwise some actions later, which the inputs of the copy
    return. What it is told in place of a layer has the code `wrong-state`, `exists` or `store-full`.
    """
    copy.snapping.wish(kind, name, then)


def refused(copy: Secondary, name: str) -> FarshoreError | None:
    """Why the copy, as it is now, takes no layer of this name."""
    header, session = copy.keeper.header, copy.session
    if copy.fault:
        return _refusal(BROKEN)
    if not copy.preserve.available:
        return _refusal("this copy has no preserve store")
    if copy.stopping:
        return _refusal("the engine stops")
    if header.resync is not None or (session is not None and session.resyncing):
        return _refusal("this copy is being resynced, and its volumes are no state that the primary had")
    if header.history.blank:
        return _refusal("this copy has never been whole")
    if copy.standing.doubtful:
        return _refusal("what this copy holds is in doubt since its machine lost power")
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
        next_step="farshore status shows what the store keeps; delete a snapshot, or give it more room",
    )


def _refusal(why: str) -> FarshoreError:
    return FarshoreError("wrong-state", why, means="No layer was begun.", next_step="farshore status")
