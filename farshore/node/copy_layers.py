"""The layers of a copy's preserve store, as its engine tells of them; here alone that answer is read.

An engine's answer is passed on from node to node as it is, and read where it is used, so that no node on the
way can leave anything out. Nothing is asked of anybody here but of the engine of a copy of this node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from farshore.errors import FarshoreError, ProtocolError
from farshore.model.layers import LayerKind
from farshore.node import placement
from farshore.node.copies import StoredCopy

BROKEN: Final = "it lacks what was overwritten while the preserve store could not keep it"
"""Why nobody can read a broken layer."""
_NAMED: Final = (LayerKind.SNAPSHOT, LayerKind.RESCUE)
"""Kinds of which somebody has given the name, or was told it."""
_MOST: Final = 1024
_WORD: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptLayer:
    """One of them. The id is hex."""

    id: str
    kind: LayerKind
    name: str
    generation: str | None = None
    sequence: int | None = None
    time: str | None = None
    """When the copy held this, RFC 3339."""
    bytes: int | None = None
    """What it takes by itself."""
    broken: bool = False
    """It lacks something, and is shown to nobody."""
    unreadable_bytes: int = 0
    """Regions that the disk did not show when they were to be kept: it lacks these, and no more."""
    open: bool = False
    """It takes back a resync that is not done."""


def read(answer: Mapping[str, Any]) -> tuple[KeptLayer, ...]:
    """Every layer of an engine's answer, oldest first; none where nothing is known. Raises FarshoreError
    `protocol`."""
    try:
        return _read(answer.get("layers") or ())
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ProtocolError(f"what an engine says of its layers is malformed: {error!r}") from error


def _read(values: Iterable[Mapping[str, Any]]) -> tuple[KeptLayer, ...]:
    """A kind that a newer node knows is none that anybody asks for here."""
    known = {kind.value for kind in LayerKind}
    return tuple(
        [
            KeptLayer(
                id=placement.identifier(each["id"]).hex(),
                kind=LayerKind(each["kind"]),
                name=str(each["name"])[:_WORD],
                generation=None if each["generation"] is None else str(each["generation"])[:_WORD],
                sequence=None if each["sequence"] is None else int(each["sequence"]),
                time=None if each["time"] is None else str(each["time"])[:_WORD],
                bytes=None if each["bytes"] is None else int(each["bytes"]),
                broken=each.get("broken") is True,
                unreadable_bytes=int(each.get("unreadable_bytes") or 0),
                open=each.get("open") is True,
            )
            for each in list(values)[:_MOST]
            if each["kind"] in known
        ]
    )


def unusable(answer: Mapping[str, Any]) -> str:
    """Why nothing is known of the layers, though there may be some; empty where the store can be used."""
    return str(answer.get("unusable") or "")[: 4 * _WORD]


async def of(stored: StoredCopy) -> tuple[KeptLayer, ...]:
    """Every layer of a copy here, oldest first. Raises FarshoreError."""
    return read(await stored.engine.ask("layers"))


async def names(stored: StoredCopy) -> dict[str, str] | None:
    """Names by id; None where the engine does not tell, so that nothing is known."""
    try:
        answer = await stored.engine.ask("layers")
        return None if unusable(answer) else {each.id: each.name for each in read(answer)}
    except FarshoreError:
        return None


async def named(stored: StoredCopy, name: str) -> KeptLayer:
    """The newest of this name that can be read. Raises FarshoreError, `not-found` where there is none, and
    `wrong-state` where it is broken or the store cannot be used."""
    config, answer = stored.config, await stored.engine.ask("layers")
    found = [each for each in read(answer) if each.kind in _NAMED]
    meant = [each for each in found if each.name == name]
    whole = [each for each in meant if not each.broken]
    if whole:
        return whole[-1]
    called, why = f"the copy {config.copy_name} of {config.group_name}", unusable(answer)
    if meant:
        kind = meant[-1].kind.value
        raise FarshoreError(
            "wrong-state",
            f"{kind} {name!r} at {called} is broken: {BROKEN}",
            means="nothing was changed; nobody can read it any more",
            next_step=f"farshore {kind} delete {config.group_name} {name}",
        )
    if why:
        raise FarshoreError(
            "wrong-state",
            f"the preserve store of {called} cannot be used: {why}",
            means="nothing was changed; what it keeps is not known",
            next_step=f"farshore status {config.group_name}; the next start of its engine tries again",
        )
    raise FarshoreError(
        "not-found",
        f"{called} has no snapshot {name!r}",
        means="nothing was changed",
        next_step="its snapshots: " + ", ".join(sorted(each.name for each in found))
        if found
        else f"farshore snapshot create {config.group_name}",
    )
