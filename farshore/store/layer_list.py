"""Which layers a preserve store has, oldest first: canonical JSON in two alternating slots.

A layer is there from the moment at which the list names it, and gone when it does not; its file is made
before and removed after. Format: `docs/formats.md`.
"""

from __future__ import annotations

import json
from typing import Any, Final

from farshore.model.layers import Layer, LayerKind
from farshore.model.positions import Position
from farshore.store.platform import FileLayer
from farshore.store.slots import RecordKind, SlotFile, damaged

NAME: Final = "layers"
KIND: Final = RecordKind(b"FShrList", 1)
_ROOM: Final = 4 << 10


def encode(layers: tuple[Layer, ...]) -> bytes:
    """Keys sorted, no blanks, ids in lowercase hex."""
    value = [
        {
            "id": each.id.hex(),
            "kind": each.kind.value,
            "sizes": [list(size) for size in each.sizes],
            "name": each.name,
            "mark": None if each.mark is None else [each.mark.generation.hex(), each.mark.sequence],
            "time": float(each.time),
        }
        for each in layers
    ]
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def decode(data: bytes, path: str) -> tuple[Layer, ...]:
    """The inverse of `encode`. Raises FarshoreError `state-damaged`."""
    try:
        layers = tuple([_take(each) for each in json.loads(data)])
        exact = encode(layers) == data
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as reason:
        raise damaged(path, f"the list of layers cannot be read: {reason}") from reason
    if not exact:
        raise damaged(path, "the list of layers is not in the one form that it is written in")
    return layers


def _take(value: dict[str, Any]) -> Layer:
    mark = value["mark"]
    return Layer(
        id=bytes.fromhex(value["id"]),
        kind=LayerKind(value["kind"]),
        sizes=tuple([(int(volume), int(size)) for volume, size in value["sizes"]]),
        name=str(value["name"]),
        mark=None if mark is None else Position(bytes.fromhex(mark[0]), int(mark[1])),
        time=float(value["time"]),
    )


class LayerList:
    """The list's file. `layers` is what was read or last made durable."""

    __slots__ = ("_slots", "layers")

    def __init__(self, slots: SlotFile, layers: tuple[Layer, ...]) -> None:
        """Use `create` or `open`."""
        self._slots = slots
        self.layers = layers

    @classmethod
    def create(cls, files: FileLayer, path: str) -> LayerList:
        """An empty list; its name is durable once the caller has synced the directory."""
        return cls(SlotFile.create(files, path, KIND, encode(()), _ROOM), ())

    @classmethod
    def open(cls, files: FileLayer, path: str) -> LayerList:
        """Raises FarshoreError `state-damaged` or `state-newer`."""
        return cls(*SlotFile.decoded(files, path, KIND, decode))

    def write(self, layers: tuple[Layer, ...]) -> None:
        """Replaces the list, durably. After an OSError it is the old or the new one."""
        self._slots.write(encode(layers))
        self.layers = layers

    def close(self) -> None:
        """Ends the use of the file."""
        self._slots.close()
