"""From which layers a secondary can be rewound, and between which times (rule H)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from farshore.core import rewinding
from farshore.core.moments import moment
from farshore.core.secondary import Secondary
from farshore.engine import applied_frames
from farshore.engine.applied_frames import Applied
from farshore.errors import FarshoreError
from farshore.model.layers import Layer
from farshore.model.positions import Position
from farshore.model.units import or_time
from farshore.store.segments import Segments


def _moments(core: Secondary) -> list[Layer]:
    """Those that show a position, all of it."""
    return [each for each in _marked(core) if not core.keeper.header.broken(each.id)]


def _marked(core: Secondary) -> list[Layer]:
    return [each for each in core.preserve.layers if each.kind in rewinding.MOMENTS and each.mark]


def _whole(core: Secondary) -> list[Layer]:
    """Those of which nothing is missing."""
    return [each for each in _moments(core) if each.id not in core.preserve.incomplete]


def named(core: Secondary, name: str) -> Layer:
    """The layer with this name or id. Raises FarshoreError: `not-found`, `not-rewindable` where it is broken
    or lacks a region, `usage` where several have it."""
    found = [each for each in _moments(core) if name in (each.name, each.id.hex())]
    if len(found) == 1:
        if found[0].id in core.preserve.incomplete:
            raise rewinding.out_of_reach(rewinding.LACKING)
        return found[0]
    if not found and any(name in (each.name, each.id.hex()) for each in _marked(core)):
        raise rewinding.out_of_reach(f"{name} lacks what was overwritten while nothing could keep it")
    code = "usage" if found else "not-found"
    what = f"several are called {name}" if found else f"this copy has no snapshot or rescue {name}"
    next_step = or_time(name, "farshore snapshot list")
    raise FarshoreError(code, what, means="Nothing was changed.", next_step=next_step)


def _leads_on(core: Secondary, journal: Segments, layer: Layer) -> bool:
    """Whether the journal has every frame behind it."""
    start, mark = applied_frames.start_of(journal), layer.mark
    there = start is not None and mark is not None and start.sequence <= mark.sequence
    whole = core.keeper.header.journaling  # also while nobody feeds this copy
    return whole and there and mark is not None and core.history().holds(mark)


def layers(core: Secondary, journal: Segments, name: str | None) -> list[tuple[Layer, bool]]:
    """The named layer, and whether frames lead on from it; or all from which they do, the newest first.
    Raises FarshoreError."""
    if name is not None:
        layer = named(core, name)
        return [(layer, _leads_on(core, journal, layer))]
    return [(each, True) for each in reversed(_whole(core)) if _leads_on(core, journal, each)]


def require_whole(core: Secondary) -> None:
    """Raises FarshoreError where the volumes are no state that the primary ever had."""
    if not core.consistent:
        raise rewinding.out_of_reach("it is not whole just now")


def frames(
    core: Secondary, journal: Segments, layer: Layer | None, reached: Position | None, through: int
) -> Iterator[Applied]:
    """What leads on from where somebody has come from a layer, up to `through`; nothing where that is of no
    use. Raises FarshoreError where the way is not there any more: the journal has begun anew meanwhile, or
    has given up what comes next."""
    if layer is None or reached is None:
        return iter(())
    start, known = applied_frames.start_of(journal), [each.id for each in _whole(core)]
    whole = core.keeper.header.journaling and core.history().holds(reached)
    if layer.id not in known or not whole or start is None or start.sequence > reached.sequence:
        raise rewinding.out_of_reach("what led there has gone while it was looked at")
    return applied_frames.behind(journal, reached.sequence, through)


def shown(core: Secondary, journal: Segments) -> dict[str, Any] | None:
    """Between which times this copy can be rewound to any, by the clocks of this node and of the primary, and
    what is kept for it; None where there is no snapshot that frames lead on from."""
    usable = [each.time for each in _whole(core) if _leads_on(core, journal, each)]
    past = journal.past
    if past is None or not usable:
        return None
    return {
        "from": moment(min(usable)),
        "to": moment(core.newest_write / 1e9 if core.newest_write else None),
        "bytes": past.bytes_on_disk,
        "limit": past.limit,
    }
