"""From which layers a secondary can be rewound, and between which times (rule H)."""

from __future__ import annotations

from typing import Any

from farshore.core import rewinding
from farshore.core.moments import moment
from farshore.core.secondary import Secondary
from farshore.engine import applied_frames
from farshore.engine.rewind_look import Way
from farshore.errors import FarshoreError
from farshore.model.layers import Layer
from farshore.store.segments import Segments


def _moments(core: Secondary) -> list[Layer]:
    """Those that show a position, all of it."""
    header = core.keeper.header
    layers = [each for each in core.preserve.layers if each.kind in rewinding.MOMENTS and each.mark]
    return [each for each in layers if not header.broken(each.id)]


def named(core: Secondary, name: str) -> Layer:
    """The layer with this name or id. Raises FarshoreError `not-found`, or `usage` where several have it."""
    found = [each for each in _moments(core) if name in (each.name, each.id.hex())]
    if len(found) == 1:
        return found[0]
    code = "usage" if found else "not-found"
    what = f"several are called {name}" if found else f"this copy has no snapshot or rescue {name}"
    raise FarshoreError(code, what, means="Nothing was changed.", next_step="farshore snapshot list")


def _leads_on(core: Secondary, journal: Segments, layer: Layer) -> bool:
    """Whether the journal has every frame behind it."""
    start, mark = applied_frames.start_of(journal), layer.mark
    there = start is not None and mark is not None and start.sequence <= mark.sequence
    whole = core.keeper.header.journaling  # also while nobody feeds this copy
    return whole and there and mark is not None and core.history().holds(mark)


def ways(core: Secondary, journal: Segments, name: str | None) -> list[Way]:
    """Of the named layer, or of all that frames lead on from, the newest first. Raises FarshoreError."""
    found: list[Way] = []
    for layer in [named(core, name)] if name is not None else reversed(_moments(core)):
        assert layer.mark is not None
        if _leads_on(core, journal, layer):
            found.append((layer, applied_frames.behind(journal, layer.mark.sequence)))
        elif name is not None:
            found.append((layer, None))
    return found


def shown(core: Secondary, journal: Segments) -> dict[str, Any] | None:
    """Between which times this copy can be rewound to any, by the clocks of this node and of the primary, and
    what is kept for it; None where there is no snapshot that frames lead on from."""
    usable = [each.time for each in _moments(core) if _leads_on(core, journal, each)]
    past = journal.past
    if past is None or not usable:
        return None
    return {
        "from": moment(min(usable)),
        "to": moment(core.newest_write / 1e9 if core.newest_write else None),
        "bytes": past.bytes_on_disk,
        "limit": past.limit,
    }
