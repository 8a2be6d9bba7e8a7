"""A change of roles that several copies are a part of, as each of them has it in its intent until it is
done; and the rewind that may be a part of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from farshore.model.options import LinkOptions, ResyncKind, Role, options_from_json
from farshore.model.positions import Position

_MOST_COPIES: Final = 16
_MOST_EPOCHS: Final = 1 << 63


@dataclass(frozen=True, slots=True)
class RewindIntent:
    """The earlier state that a copy becomes the primary from."""

    layer: bytes
    """Id of the layer that it is restored from."""
    position: Position
    """Exactly up to there frames are applied again."""
    rescue: str
    """Name of the rescue that shows what was there before."""
    time: float
    """When the plan was accepted, seconds since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """How a copy stood, by its intent, when a plan was made. `turn`: its last one, empty where it had none;
    `epoch`: of the link that fed it, 0 where none did."""

    role: Role
    turn: bytes = b""
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class ChangeIntent:
    """A change of roles that begins or ends at this copy, until it is done, or committed; of no concern to
    the engine. Every copy that it concerns and that could be told has it."""

    kind: str
    """`switchover`, `failover`, `failback`, `split-brain`, `rejoin`, `rewind`."""
    plan: str
    """Id of the plan that was accepted; empty where none was needed."""
    turn: bytes
    """The turn by which the goal becomes the primary, or by which a copy follows it."""
    goal: str
    """Id of the copy that is to be the primary, in hex."""
    goal_name: str
    """Its node's name."""
    other: str
    """Id of the copy that gives the role up, or is made equal to the goal; empty where it is not known."""
    other_name: str
    began: float
    """Seconds since the epoch."""
    options: LinkOptions = field(default_factory=LinkOptions)
    """Of the link that feeds the other copy when this is done."""
    drained: Position | None = None
    """Up to there everything that was acknowledged is durable at the goal, and nothing was since."""
    unprotected: bool = False
    """The plan said that what this overwrites is kept nowhere; else it is kept as a rescue."""
    rewind: RewindIntent | None = None
    """To where the goal is rewound."""
    expects: tuple[tuple[str, Expected], ...] = ()
    """Of a rewind: copies by their ids, as they stood when its plan was accepted. What goes on later must
    find them so, or as this change has made them."""
    resync: ResyncKind = ResyncKind.UPDATE
    """Of a reverse resync: how thorough it is, whenever it goes on."""
    asked: bool = False
    """The link that brings its content has durably been asked for that; at the copy where it begins."""


def change_from_json(value: dict[str, Any] | None) -> ChangeIntent | None:
    """The inverse of `asdict` with ids as hex; raises KeyError, TypeError or ValueError."""
    if value is None:
        return None
    words = {name: str(value[name]) for name in ("kind", "plan", "goal", "goal_name", "other", "other_name")}
    return ChangeIntent(
        turn=bytes.fromhex(value["turn"]),
        began=float(value["began"]),
        options=options_from_json(dict(value["options"])),
        drained=position_from_json(value.get("drained")),
        unprotected=value.get("unprotected") is True,
        rewind=rewind_from_json(value.get("rewind")),
        expects=tuple(
            (bytes.fromhex(copy).hex(), expected_from_json(stood))
            for copy, stood in list(value.get("expects") or ())[:_MOST_COPIES]
        ),
        resync=ResyncKind(value.get("resync", ResyncKind.UPDATE.value)),
        asked=value.get("asked") is True,
        **words,
    )


def expected_from_json(value: Mapping[str, Any]) -> Expected:
    """The inverse of `asdict` with ids as hex; raises KeyError, TypeError or ValueError."""
    turn, epoch = bytes.fromhex(value["turn"]), int(value["epoch"])
    if len(turn) not in (0, 16) or not 0 <= epoch < _MOST_EPOCHS:
        raise ValueError("a turn has 16 bytes, and an epoch 63 bits")
    return Expected(role=Role(value["role"]), turn=turn, epoch=epoch)


def rewind_from_json(value: dict[str, Any] | None) -> RewindIntent | None:
    """The inverse of `asdict` with ids as hex; raises KeyError, TypeError or ValueError."""
    if value is None:
        return None
    layer, position = bytes.fromhex(value["layer"]), position_from_json(value["position"])
    if len(layer) != 16 or position is None or len(position.generation) != 16 or position.sequence < 0:
        raise ValueError("a rewind names a layer and a position")
    return RewindIntent(layer, position, str(value["rescue"])[:64], float(value["time"]))


def position_from_json(value: list[Any] | None) -> Position | None:
    """Of `[generation in hex, sequence]`; raises TypeError or ValueError."""
    if value is None:
        return None
    generation, sequence = value
    return Position(bytes.fromhex(generation), int(sequence))
