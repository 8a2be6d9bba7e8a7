"""Where a rewind of this copy would lead: which layer, up to which frame, and what would be undone by it.

A time means everything up to the first frame that was made after it, counted from the newest snapshot before
it; frames carry the primary's clock, and those of one turn of its loop share one time. Where nothing was
written after that time there is nothing to rewind. A snapshot means exactly its own moment. What can be said
about what is undone comes from the same frames, and so only where the journal still has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from farshore.core.moments import moment
from farshore.core.rewinding import Span, out_of_reach
from farshore.engine.applied_frames import Applied
from farshore.errors import FarshoreError
from farshore.model.layers import Layer
from farshore.model.positions import Position
from farshore.wire.frame import HEADER_BYTES, RECORD_BYTES

Way = tuple[Layer, Iterator[Applied] | None]
"""A layer, and what the journal has behind it; None where that does not begin there."""


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


def at_layer(way: Way) -> Found:
    """Exactly the layer's moment. Raises FarshoreError or OSError."""
    layer, applied = way
    assert layer.mark is not None
    newest, undone, span = None, 0, Span(layer.mark, None)
    for each in applied or ():
        if each.frame is not None and span.step(each.position, each.frame.head):
            newest, undone = each.frame.head.timestamp / 1e9, undone + _payload(each)
        elif each.frame is None:
            span.step(each.position, None)
    known = applied is not None
    return Found(
        layer, layer.mark, layer.time, newest or (layer.time if known else None), undone if known else None
    )


def at_time(ways: Sequence[Way], wanted: float) -> Found:
    """The last state before anything was written after `wanted`, seconds since the epoch. `ways`: the newest
    layer first. Raises FarshoreError or OSError."""
    for layer, applied in ways:
        found = None if applied is None else _walk(layer, applied, wanted)
        if found is not None:
            return found
    raise out_of_reach("no snapshot from which the journal still has every frame was taken before that time")


def _walk(layer: Layer, applied: Iterator[Applied], wanted: float) -> Found | None:
    """None where the layer is of a later time."""
    assert layer.mark is not None
    span, position, time = Span(layer.mark, None), layer.mark, layer.time
    newest, undone, first = 0.0, 0, True
    for each in applied:
        if each.frame is None:
            span.step(each.position, None)
        elif span.step(each.position, each.frame.head):
            made = each.frame.head.timestamp / 1e9
            if first and made > wanted and layer.time > wanted:
                return None
            first = False
            if made > wanted or undone:
                newest, undone = made, undone + _payload(each)
            else:
                position, time = each.position, made
    if not newest and layer.time > wanted and first:
        return None
    if not newest:
        raise FarshoreError(
            "not-rewindable",
            f"nothing that this copy holds was written after that time; its newest write: {moment(time)}",
            means="Nothing was changed.",
            next_step="farshore switchover, or farshore failover, promote it as it is",
        )
    return Found(layer, position, time, newest, undone)


def _payload(applied: Applied) -> int:
    """Bytes of a frame without its heads, and at least one."""
    assert applied.frame is not None
    head = applied.frame.head
    return max(1, head.size - HEADER_BYTES - head.operations * RECORD_BYTES)
