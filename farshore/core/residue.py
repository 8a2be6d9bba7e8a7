"""What a former primary tells of its differences: the residue of an earlier link (rule A5).

A primary that is demoted keeps the scoreboards of the links that end with its role. Each says, complete
from its base, where this copy may hold what that peer lacks; the second map counts, since what an open
resync had cleared is proved by nobody any more, and so does what a verify has found. Should that peer come
back as the feeder, both sides' marks together are all that can differ. Ranges are bytes, so that the two
ends may count in regions of different sizes; there may be more in them than differs, never less.
"""

from __future__ import annotations

from collections.abc import Iterator

from farshore.core.geometry import Geometry
from farshore.core.scoreboard import BoardImage, Scoreboard
from farshore.model.messages import MAX_RANGES, Residue


def residue_of(geometry: Geometry, image: BoardImage | None) -> Residue | None:
    """The residue that a retired link's scoreboard tells of; None where it tells of nothing for certain."""
    if image is None or image.damaged or image.base is None:
        return None
    board = Scoreboard(geometry, image)
    found = tuple(_ranges(board))
    gap = geometry.region
    while len(found) > MAX_RANGES:
        gap *= 2
        found = tuple(_joined(found, gap))
    return Residue(image.base, found)


def _ranges(board: Scoreboard) -> Iterator[tuple[int, int, int]]:
    """Runs of marked regions, the last region of a volume cut at its end."""
    geometry = board.geometry
    for volume, size in sorted(geometry.sizes.items()):
        marked = board.dirty.bits[volume] | board.suspect.bits[volume] | board.second.bits[volume]
        marked |= board.found.bits[volume]
        first = marked.find(1)
        while first >= 0:
            stop = marked.find(0, first)
            stop = len(marked) if stop < 0 else stop
            offset = first * geometry.region
            yield volume, offset, min(stop * geometry.region, size) - offset
            first = marked.find(1, stop)


def _joined(ranges: tuple[tuple[int, int, int], ...], gap: int) -> Iterator[tuple[int, int, int]]:
    """Neighbours of one volume with less than `gap` bytes between them become one."""
    held = ranges[0]
    for volume, offset, length in ranges[1:]:
        if volume == held[0] and offset - (held[1] + held[2]) < gap:
            held = (volume, held[1], offset + length - held[1])
        else:
            yield held
            held = (volume, offset, length)
    yield held
