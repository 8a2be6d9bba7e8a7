"""Layers of a secondary's preserve store that begin at an exact position of the stream (rules H, E3).

Before a layer begins, the volumes durably hold everything up to its position and nothing behind it, and the
copy's recorded position says so: no frame at or below it is ever applied to the volumes again once the layer
is there. With a journal, frames go on being taken, and those behind the position wait there; without one the
stream is held.

A snapshot stands at a *cut* of the stream. Its layer begins before the cut counts as applied: so a copy that
dies in between meets the cut again, in its journal or from its feeder, and takes it then. Behind the cut
nothing is written before the recorded position has passed it: so a cut that is met again has nothing behind
it in the volumes. A copy whose volumes are no state that the primary ever had notes what it has missed.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from farshore.core.journaling import NOWHERE
from farshore.core.preserve import FULL
from farshore.core.snapshot_refusals import BROKEN, Missed, missed_ones, no_room, refusal, refused
from farshore.core.stream_sizes import StreamSizes
from farshore.errors import FarshoreError
from farshore.model.layers import Layer, LayerKind
from farshore.model.messages import FrameHead
from farshore.model.positions import Position

if TYPE_CHECKING:
    from farshore.core.secondary import Secondary

Then: TypeAlias = Callable[[Layer | FarshoreError], None]
"""Is told of the layer that has begun, durably, or why there is none."""


@dataclass(frozen=True, slots=True, order=True)
class _Stop:
    """A layer that begins where the volumes hold everything up to `halt`."""

    halt: int
    mark: Position = field(compare=False)
    kind: LayerKind = field(compare=False)
    name: str = field(compare=False)
    then: Then = field(compare=False)
    sizes: tuple[tuple[int, int], ...] = field(compare=False)
    """Of the volumes there."""
    cut: bool = field(default=False, compare=False)
    """Its mark is the cut behind `halt`."""


class Snapping:
    """See the module."""

    def __init__(self, copy: Secondary) -> None:
        self._copy = copy
        self._wishes: deque[tuple[LayerKind, str, Then]] = deque()
        self._stops: list[_Stop] = []
        """Of the journal, in order."""
        self._now: _Stop | None = None
        """What is being carried out."""
        self._replayed: list[bytes] = []
        """Layers that have begun since the start began."""
        self.holding = False
        """Nothing may be applied directly."""
        self.sizes = StreamSizes(copy.geometry)
        self.missed = missed_ones()

    # -- where the copy stands --------------------------------------------------------------

    def wish(self, kind: LayerKind, name: str, then: Then) -> None:
        """A layer at the position that the copy has reached when its turn comes."""
        self._wishes.append((kind, name, then))
        self.go_on()

    def go_on(self) -> None:
        """Something that was waited for may have happened."""
        copy = self._copy
        while self._now is None and self._wishes:
            kind, name, then = self._wishes[0]
            position = copy.standing.position
            against = refused(copy, name, position) or (_stopping(copy))
            if against is not None:
                self._wishes.popleft()
                then(against)
            elif copy.started and (copy.session is None or not copy.session.busy):
                self._wishes.popleft()
                sizes = self.sizes.at(position.sequence)
                self._stop_at(_Stop(position.sequence, position, kind, name, then, sizes))
            else:
                break
        if self._now is None and self._stops and copy.journal.halted:
            stop = self._stops[0]
            if copy.journal.releasable >= stop.mark.sequence:
                self._now = stop
                self._begin(stop)

    def _stop_at(self, stop: _Stop) -> None:
        """Bring the volumes there, durably, and keep them there."""
        if self._copy.journal.active:
            insort(self._stops, stop)
            self._copy.journal.halt_at(self._stops[0].halt)
            return
        self._now, self.holding = stop, True

        def durable() -> None:
            if self._now is stop:
                self._begin(stop)

        self._copy.standing.make_durable(durable)

    # -- cuts -------------------------------------------------------------------------------

    def comes(self, head: FrameHead) -> None:
        """A cut was handed to the journal."""
        if head.snapshot:
            insort(self._stops, self._at(head, _nobody))
            self._copy.journal.halt = self._stops[0].halt

    def forgotten(self, applied: int) -> None:
        """What lies behind `applied` did not get into the journal."""
        self._stops = [each for each in self._stops if each.mark.sequence <= applied]
        self._copy.journal.halt = self._stops[0].halt if self._stops else NOWHERE

    def at_cut(self, head: FrameHead, done: Callable[[], None]) -> None:
        """A cut that is about to be applied directly: `done` once it may be."""
        stop = self._at(head, lambda _: done())
        against = self._against(stop)
        if against is None and not self._known(stop):
            self._stop_at(stop)
        else:
            self._end(stop, against or self._known(stop))

    def at_replay(self, head: FrameHead, then: Callable[[], None]) -> None:
        """A start has written everything before this cut, and nothing behind it, to the volumes."""
        stop, standing = self._at(head, lambda _: then()), self._copy.standing
        self._now = stop
        before = Position(head.generation, stop.halt)
        standing.sync_volumes(lambda: standing.record(before, lambda: self._begin(stop)))

    def distrust(self) -> None:
        """The journal that was replayed was damaged: nobody knows what the layers begun since have found."""
        for layer in self._replayed:
            self._copy.outbox.note("layer-gave-way", layer="snapshot", why="the journal was damaged")
            self._copy.preserve.drop(layer)

    def _at(self, head: FrameHead, then: Then) -> _Stop:
        mark = Position(head.generation, head.last)
        sizes = self.sizes.at(head.last)
        return _Stop(head.last - 1, mark, LayerKind.SNAPSHOT, head.snapshot, then, sizes, cut=True)

    # -- the layer --------------------------------------------------------------------------

    def _against(self, stop: _Stop) -> FarshoreError | None:
        if stop.cut and self._known(stop) is not None:
            return None
        return refused(self._copy, stop.name, Position(stop.mark.generation, stop.halt), stop.cut)

    def _known(self, stop: _Stop) -> Layer | None:
        """The layer of this cut, if it was taken before."""
        for each in self._copy.preserve.layers if stop.cut else ():
            if each.mark == stop.mark and each.name == stop.name and each.kind is stop.kind:
                return each
        return None

    def _begin(self, stop: _Stop) -> None:
        copy = self._copy
        against = self._against(stop) or self._known(stop)
        if against is not None:
            self._pass(stop, against)
            return
        layer = Layer(copy.new_id(), stop.kind, stop.sizes, stop.name, stop.mark, copy.outbox.wall)

        def begun(errno: int) -> None:
            if self._now is not stop:
                return  # a disk has failed meanwhile; whoever asked knows
            if errno and errno not in FULL:
                copy.fail(errno)
            elif errno:
                self._pass(stop, no_room())
            else:
                copy.outbox.note("layer", layer=stop.kind.value, name=stop.name, sequence=stop.mark.sequence)
                if not copy.started:
                    self._replayed.append(layer.id)
                self._pass(stop, layer)

        copy.preserve.begin(layer, 0, begun)

    def _pass(self, stop: _Stop, result: Layer | FarshoreError) -> None:
        """Nothing behind a cut of the journal is written before the recorded position has passed it."""
        if stop.cut and not self.holding:
            self._copy.standing.record(stop.mark, lambda: self._end(stop, result))
        else:
            self._end(stop, result)

    def _end(self, stop: _Stop, result: Layer | FarshoreError | None) -> None:
        copy = self._copy
        if self._now is stop:
            self._now, self.holding = None, False
        if stop.cut and isinstance(result, FarshoreError):
            self.missed.append(Missed(stop.name, stop.mark, result))
            copy.outbox.note("snapshot-missed", name=stop.name, sequence=stop.mark.sequence, why=result.what)
        if self._stops and self._stops[0] is stop:
            self._stops.pop(0)
            copy.journal.halt_at(self._stops[0].halt if self._stops else NOWHERE)
        if result is not None:
            stop.then(result)
        self.go_on()

    def fail(self) -> None:
        """The copy has failed: nobody gets a layer any more."""
        stops = [*self._stops, *([self._now] if self._now is not None else [])]
        left = [each.then for each in stops if not each.cut] + [then for _, _, then in self._wishes]
        self._now, self.holding = None, False
        self._stops.clear()
        self._wishes.clear()
        for then in left:
            then(refusal(BROKEN))


def take(copy: Secondary, kind: LayerKind, name: str, then: Then) -> None:
    """Begin a layer at exactly the position where the copy stands, which `then` finds in its `mark`.

    `then` may be told before this returns; otherwise some actions later, which the inputs of the copy
    return. What it is told in place of a layer has the code `wrong-state`, `exists` or `store-full`.
    """
    copy.snapping.wish(kind, name, then)


def _stopping(copy: Secondary) -> FarshoreError | None:
    return refusal("the engine stops") if copy.stopping else None


def _nobody(_: Layer | FarshoreError) -> None:
    """Nobody waits for the layer of a cut."""
