"""The layers of a copy's preserve store that operators know by name, as the copy's engine tells of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from farshore.errors import FarshoreError
from farshore.model.layers import LayerKind
from farshore.node.copies import StoredCopy

_NAMED: Final = (LayerKind.SNAPSHOT.value, LayerKind.RESCUE.value)
"""Kinds of which somebody has given the name, or was told it."""


@dataclass(frozen=True, slots=True)
class KnownLayer:
    """One of them."""

    id: str
    kind: str
    name: str


async def of(stored: StoredCopy) -> list[KnownLayer]:
    """Every layer, oldest first. Raises FarshoreError."""
    answer = await stored.engine.ask("layers")
    return [_layer(each) for each in answer.get("layers", ())]


async def names(stored: StoredCopy) -> dict[str, str] | None:
    """Names by id; None where the engine does not tell, so that nothing is known."""
    try:
        return {each.id: each.name for each in await of(stored)}
    except FarshoreError:
        return None


async def named(stored: StoredCopy, name: str) -> KnownLayer:
    """The newest of this name. Raises FarshoreError, `not-found` where there is none."""
    found = [each for each in await of(stored) if each.kind in _NAMED]
    for each in reversed(found):
        if each.name == name:
            return each
    config = stored.config
    raise FarshoreError(
        "not-found",
        f"the copy {config.copy_name} of {config.group_name} has no snapshot {name!r}",
        means="nothing was changed",
        next_step="its snapshots: " + ", ".join(sorted(each.name for each in found))
        if found
        else f"farshore snapshot create {config.group_name}",
    )


def _layer(value: dict[str, Any]) -> KnownLayer:
    return KnownLayer(str(value["id"]), str(value["kind"]), str(value.get("name") or ""))
