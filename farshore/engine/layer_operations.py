"""What the node can ask of an engine about the layers of its preserve store: which there are; to drop one.

An undo is never dropped, nor a rescue while the resync that it takes back is open. A layer that was asked to
go is gone, durably, when that is answered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from farshore.core.moments import moment
from farshore.core.preserve import FULL, Preserving
from farshore.engine.call_arguments import given
from farshore.engine.control_server import Call
from farshore.engine.copy import RunningCopy
from farshore.engine.primary_copy import PrimaryCopy
from farshore.engine.secondary_copy import SecondaryCopy
from farshore.errors import FarshoreError
from farshore.model.layers import Layer, LayerKind

ID_BYTES: Final = 16


class LayerOperations:
    """See the module. `table` is a part of the table of `operations`."""

    def __init__(self, copy: RunningCopy) -> None:
        self._copy = copy
        self.table: dict[str, Callable[[Call], None]] = {"layers": self._layers, "layer-drop": self._drop}

    def _layers(self, call: Call) -> None:
        call.reply({"layers": documents_of(self._copy)})

    def _drop(self, call: Call) -> None:
        wanted, role = _id_of(call), self._copy.role
        layer = _preserving(role).layer(wanted)
        if layer is None:
            raise FarshoreError("not-found", "this copy does not keep that layer")
        header = role.core.keeper.header
        if layer.kind is LayerKind.UNDO or header.undo == wanted:
            raise FarshoreError(
                "wrong-state",
                f"the {layer.kind} is what takes the open resync back",
                means="It stays until the resync is complete.",
                next_step=f"farshore status {self._copy.config.group_name}",
            )

        broken = wanted in _preserving(role).broken

        def dropped(errno: int) -> None:
            if not errno:
                call.reply({"layer": document_of(layer, 0, broken=broken)})
            elif errno in FULL:
                call.fail(_no_room())
            else:
                call.fail(FarshoreError("io-error", "the preserve store cannot be written"))

        drop = role.core.drop_layer if isinstance(role, SecondaryCopy) else role.core.keeping.drop
        role.carrier.do(drop(wanted, dropped))


def _preserving(role: PrimaryCopy | SecondaryCopy) -> Preserving:
    return role.core.preserve if isinstance(role, SecondaryCopy) else role.core.keeping.preserve


def documents_of(copy: RunningCopy) -> list[dict[str, object]]:
    """What the copy keeps, oldest first; `open` is what takes a resync back."""
    preserving, store, undo = _preserving(copy.role), copy.role.preserve, copy.role.core.keeper.header.undo
    return [
        {
            **document_of(each, store.store.bytes_of(each.id), broken=each.id in preserving.broken),
            "open": each.id == undo,
        }
        for each in preserving.layers
    ]


def document_of(layer: Layer, size: int, *, broken: bool) -> dict[str, object]:
    """`bytes` is what it takes by itself; a `broken` one lacks something that was overwritten, and is of no
    use to anybody."""
    mark = layer.mark
    return {
        "id": layer.id.hex(),
        "kind": layer.kind.value,
        "name": layer.name,
        "generation": None if mark is None else mark.generation.hex(),
        "sequence": None if mark is None else mark.sequence,
        "time": moment(layer.time),
        "bytes": size,
        "broken": broken,
    }


def _no_room() -> FarshoreError:
    return FarshoreError(
        "store-full",
        "the preserve store has no room to hand down what older layers need of this one",
        means="The layer stays.",
        next_step="delete older layers first, or give the store more room",
    )


def _id_of(call: Call) -> bytes:
    text = given(call, "id", str, "")
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != ID_BYTES:
        raise FarshoreError("usage", f"{call.op}: id cannot be {text!r}")
    return found
