"""Which bytes of which volumes a disk did not show when they were to be kept, in an operator's words.

The core decides what such a region means and does not know how volumes are called. The first few runs are
named, so that somebody can look at that disk there; the sum is of all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from typing import Final

from farshore.core.geometry import Geometry
from farshore.model.layers import Run
from farshore.model.units import format_size

MOST_NAMED: Final = 4


def told(
    runs: Sequence[Run],
    lacking: Collection[tuple[int, int]],
    geometry: Geometry,
    names: Mapping[int, str],
) -> dict[str, object]:
    """`where` and `bytes` of the regions (volume, region) of these runs that a layer lacks."""
    found = sorted(
        {(v, r) for v, r in lacking if any(v == volume and first <= r < stop for volume, first, stop in runs)}
    )
    ranges = []
    for (volume, _), group in groupby(enumerate(found), lambda each: (each[1][0], each[1][1] - each[0])):
        regions = [region for _, (_, region) in group]
        offset, end = regions[0] * geometry.region, (regions[-1] + 1) * geometry.region
        ranges.append((volume, offset, min(end, geometry.sizes.get(volume, end)) - offset))
    said = [
        f"{names.get(volume, f'volume {volume}')} at byte {offset} ({format_size(length)})"
        for volume, offset, length in ranges[:MOST_NAMED]
    ]
    if len(ranges) > MOST_NAMED:
        said.append(f"{len(ranges) - MOST_NAMED} more")
    return {"where": " and ".join(said), "bytes": sum(length for _, _, length in ranges)}
