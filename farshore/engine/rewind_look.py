"""Where a rewind of this copy would lead: which layer, up to which frame, and what would be undone by it.

A time means everything up to the first frame that was made after it, counted from the newest snapshot before
it; frames carry the primary's clock, and those of one turn of its loop share one time. Where nothing was
written after that time there is nothing to rewind. A snapshot means exactly its own moment. What can be said
about what is undone comes from the same frames, and so only where the journal still has them.

Frames are looked at in slices, so that whoever takes something away from the journal, and links that read
there, wait for one of them at most. Each frame has to follow the one before, also across slices.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from farshore.core.moments import moment
from farshore.core.rewinding import Span, out_of_reach
from farshore.engine.applied_frames import Applied
from farshore.errors import FarshoreError
from farshore.model.layers import Layer
from farshore.model.positions import Position
from farshore.wire.frame import HEADER_BYTES, RECORD_BYTES

SLICE: Final = 32 << 20
"""Bytes of frames, about, that are looked at without giving way."""


@dataclass(frozen=True, slots=True)
class Found:
    """Where it leads. `time`: of the newest write that stays, `newest`: of the newest one that there is, both
    by the primary's clock and in seconds since the epoch, the latter None where that is not known."""

    layer: Layer
    position: Position
    time: float
    newest: float | None = None
    undone: int | None = None
    """Bytes that were written behind the position; None where that is not known."""

    def document(self) -> dict[str, Any]:
        """As the engine answers it."""
        return {
            "layer": self.layer.id.hex(),
            "name": self.layer.name,
            "kind": self.layer.kind.value,
            "position": [self.position.generation.hex(), self.position.sequence],
            "time": moment(self.time),
            "newest": moment(self.newest),
            "undone_bytes": self.undone,
            "undone_seconds": None if self.newest is None else round(max(0.0, self.newest - self.time), 3),
        }


class Look:
    """One question. `layers`: the newest first, each with whether the journal has what lies behind it; for a
    time only such ones. `wanted`: seconds since the epoch, None for exactly the first layer's moment."""

    def __init__(self, layers: Sequence[tuple[Layer, bool]], wanted: float | None) -> None:
        self._walks: deque[_Walk] = deque(
            [
                _ToLayer(layer, leads_on) if wanted is None else _ToTime(layer, wanted)
                for layer, leads_on in layers
            ]
        )

    @property
    def layer(self) -> Layer | None:
        """From where on frames are looked at; None where that is of no use."""
        return self._walks[0].layer if self._walks and self._walks[0].leads_on else None

    @property
    def reached(self) -> Position | None:
        """How far they have been looked at, from that layer on."""
        return self._walks[0].span.reached if self._walks else None

    def go_on(self, applied: Iterator[Applied], most: int = SLICE) -> Found | None:
        """The next slice: `applied` is what the journal has from `reached` on, and perhaps some before it.
        None where there is more to look at. Raises FarshoreError, or OSError."""
        if not self._walks:
            raise out_of_reach(
                "no snapshot from which the journal still has every frame was taken before that time"
            )
        walk, size = self._walks[0], 0
        for each in applied:
            if each.frame is not None and each.position.sequence <= walk.span.reached.sequence:
                continue
            if not walk.take(each):
                self._walks.popleft()
                return None
            size += 0 if each.frame is None else each.frame.head.size
            if size >= most:
                return None
        found = walk.found()
        if found is None:
            self._walks.popleft()
        return found


class _Walk(ABC):
    """From one layer on."""

    def __init__(self, layer: Layer, leads_on: bool) -> None:
        assert layer.mark is not None
        self.layer = layer
        self.leads_on = leads_on
        self.span = Span(layer.mark, None)
        self.newest = 0.0
        self.undone = 0

    def take(self, each: Applied) -> bool:
        """The next entry behind what was reached; False where the layer is none to begin from."""
        if each.frame is None:
            self.span.step(each.position, None)
            return True
        return not self.span.step(each.position, each.frame.head) or self.passes(each)

    @abstractmethod
    def passes(self, each: Applied) -> bool:
        """A frame that follows; as `take`."""

    @abstractmethod
    def found(self) -> Found | None:
        """There are no more; None as `take` answers False. Raises FarshoreError."""


class _ToLayer(_Walk):
    """Exactly its moment."""

    def passes(self, each: Applied) -> bool:
        self.newest, self.undone = _made(each), self.undone + _payload(each)
        return True

    def found(self) -> Found:
        layer, known = self.layer, self.leads_on
        assert layer.mark is not None
        newest = self.newest or (layer.time if known else None)
        return Found(layer, layer.mark, layer.time, newest, self.undone if known else None)


class _ToTime(_Walk):
    """The last state before anything was written after `wanted`."""

    def __init__(self, layer: Layer, wanted: float) -> None:
        super().__init__(layer, leads_on=True)
        assert layer.mark is not None
        self._wanted = wanted
        self._position, self._time = layer.mark, layer.time
        self._first = True

    def passes(self, each: Applied) -> bool:
        made = _made(each)
        if self._first and made > self._wanted and self.layer.time > self._wanted:
            return False  # the layer is of a later time
        self._first = False
        if made > self._wanted or self.undone:
            self.newest, self.undone = made, self.undone + _payload(each)
        else:
            self._position, self._time = each.position, made
        return True

    def found(self) -> Found | None:
        if not self.newest and self.layer.time > self._wanted and self._first:
            return None
        if not self.newest:
            raise FarshoreError(
                "not-rewindable",
                f"nothing that this copy holds was written after that time; its newest write:"
                f" {moment(self._time)}",
                means="Nothing was changed.",
                next_step="farshore switchover, or farshore failover, promote it as it is;"
                " farshore drill start, without --at, tries it out as it is",
            )
        return Found(self.layer, self._position, self._time, self.newest, self.undone)


def _made(applied: Applied) -> float:
    assert applied.frame is not None
    return applied.frame.head.timestamp / 1e9


def _payload(applied: Applied) -> int:
    """Bytes of a frame without its heads, and at least one."""
    assert applied.frame is not None
    head = applied.frame.head
    return max(1, head.size - HEADER_BYTES - head.operations * RECORD_BYTES)
