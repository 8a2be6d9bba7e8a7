"""Layers of a copy's preserve store: moments whose content can be read again (rules E1, E3, H).

A layer stands for the copy's content when it began. It keeps the old content of what was overwritten
since; what it does not have is found in the layers that began after it, or in the volumes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from farshore.model.positions import Position


class LayerKind(StrEnum):
    """What a layer is kept for."""

    UNDO = "undo"
    """To take a resync back; gone with the resync."""
    RESCUE = "rescue"
    """What a resync that an operator wanted has overwritten; an undo until the resync has ended."""
    SNAPSHOT = "snapshot"
    DRILL = "drill"


EVERY_LAYER: Final = bytes(16)
"""No layer has this id."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One moment. `sizes` are (id, bytes) of the volumes then."""

    id: bytes
    kind: LayerKind
    sizes: tuple[tuple[int, int], ...]
    name: str = ""
    """What operators call it; empty for an undo, which is nobody's but the resync's."""
    mark: Position | None = None
    """Where the copy stood, None where it had no history."""
    time: float = 0.0
    """When, seconds since the epoch by this node's clock."""


Run = tuple[int, int, int]
"""(volume, first region, region behind the last one)."""
