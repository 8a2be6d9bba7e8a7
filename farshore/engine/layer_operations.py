"""What the node can ask of an engine about the layers of its preserve store: which there are; to drop one.

An undo is never dropped, nor a rescue while the resync that it takes back is open. A layer that was asked to
go is gone, durably, when that is answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from farshore.core.preserve import FULL, Preserving
from farshore.core.snapshot_refusals import Missed, no_room, refused, refused_at_primary
from farshore.engine.call_arguments import given
from farshore.engine.control_server import Call
from farshore.engine.copy import RunningCopy
from farshore.engine.preserving import document_of
from farshore.engine.primary_copy import PrimaryCopy
from farshore.engine.secondary_copy import SecondaryCopy
from farshore.errors import FarshoreError
from farshore.model.layers import LayerKind
from farshore.model.positions import Position

ID_BYTES: Final = 16


class LayerOperations:
    """See the module. `table` is a part of the table of `operations`."""

    def __init__(self, copy: RunningCopy) -> None:
        self._copy = copy
        self.table: dict[str, Callable[[Call], None]] = {"layers": self._layers, "layer-drop": self._drop}

    def _layers(self, call: Call) -> None:
        role = self._copy.role
        kept = role.preserve.report(_preserving(role), role.core.keeper.header.undo)
        call.reply({**kept, **_snapshots(self._copy)})

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
                call.reply({"layer": {**document_of(layer, 0), "broken": broken}})
            elif errno in FULL:
                call.fail(_no_room())
            else:
                call.fail(FarshoreError("io-error", "the preserve store cannot be written"))

        drop = role.core.drop_layer if isinstance(role, SecondaryCopy) else role.core.keeping.drop
        role.carrier.do(drop(wanted, dropped))


def _preserving(role: PrimaryCopy | SecondaryCopy) -> Preserving:
    return role.core.preserve if isinstance(role, SecondaryCopy) else role.core.keeping.preserve


def _snapshots(copy: RunningCopy) -> dict[str, object]:
    """What became of the snapshots that cuts have asked for. `passed`: how far that is known."""
    role = copy.role
    missed: Iterable[Missed]
    if isinstance(role, SecondaryCopy):
        secondary = role.core
        against = refused(secondary, "", secondary.standing.position)
        passed = secondary.journal.written if secondary.journal.active else secondary.applied
        missed = secondary.snapping.missed
    else:
        keeping = role.core.keeping
        against, missed, cut = refused_at_primary(keeping.preserve, ""), keeping.missed, keeping.moment.cut
        passed = role.core.sequence if cut is None else cut.sequence - 1
    if against is None and role.preserve.store.full:
        against = no_room()
    return {
        "role": copy.config.role.value,
        "passed": _place(Position(role.core.generation, passed)),
        "missed": [
            {"name": each.name, **_place(each.position), "code": each.why.code.name, "why": each.why.what}
            for each in missed
        ],
        "refused": None if against is None else {"code": against.code.name, "why": against.what},
    }


def _place(position: Position) -> dict[str, object]:
    return {"generation": position.generation.hex(), "sequence": position.sequence}


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
