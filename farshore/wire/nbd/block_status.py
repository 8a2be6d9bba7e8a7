"""Extents of an export as the descriptors of a block status reply.

Sources speak in byte ranges (where data is allocated, which regions are dirty) or in extents; both end as
the list of (length, flags) descriptors that one context's chunk carries. Always true of that list: it is not
empty, begins at the request's offset, never reaches beyond the request, and neighbours differ in their flags.
It may cover less than the request: then the client asks again from there. Iterables are consumed lazily and
no further than needed, so an answer's cost is bounded by its descriptors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from farshore.wire.nbd.constants import FARSHORE_STATE_DIRTY, MAX_DESCRIPTORS, NBD_STATE_HOLE, NBD_STATE_ZERO


def descriptors(
    extents: Iterable[tuple[int, int]], length: int, *, req_one: bool = False, limit: int = MAX_DESCRIPTORS
) -> list[tuple[int, int]]:
    """Merge (length, flags) extents, which follow one another from the request's offset.

    `length`: of the request, in bytes, at least 1. `req_one`: the client wants exactly one descriptor.
    Raises ValueError where the extents do not cover the first byte: what an unknown byte's flags may be
    said to be (never "clean") only the context's owner knows.
    """
    most = 1 if req_one else limit
    merged: list[tuple[int, int]] = []
    run, run_flags, left = 0, 0, length
    for extent, flags in extents:
        taken = min(extent, left)
        if taken <= 0:
            continue
        if run and flags != run_flags:
            merged.append((run, run_flags))
            run = 0
            if len(merged) == most:
                return merged
        run, run_flags = run + taken, flags
        left -= taken
        if not left:
            break
    if run:
        merged.append((run, run_flags))
    if not merged:
        raise ValueError("the extents do not cover the first byte of the request")
    return merged


def allocation_extents(
    data: Iterable[tuple[int, int]], offset: int, length: int
) -> Iterator[tuple[int, int]]:
    """Extents of base:allocation from the (start, stop) ranges that hold data; the rest are holes.

    Ranges ascend; they may overlap and reach beyond the request.
    """
    return _cover(data, offset, offset + length, (0, NBD_STATE_HOLE | NBD_STATE_ZERO))


def dirty_extents(dirty: Iterable[tuple[int, int]], offset: int, length: int) -> Iterator[tuple[int, int]]:
    """Extents of a x-farshore:dirty- context from the ascending (start, stop) ranges that are dirty."""
    return _cover(dirty, offset, offset + length, (FARSHORE_STATE_DIRTY, 0))


def _cover(
    ranges: Iterable[tuple[int, int]], start: int, stop: int, flags: tuple[int, int]
) -> Iterator[tuple[int, int]]:
    """Cut [start, stop) into extents with `flags` (inside the ranges, outside of them)."""
    inside, outside = flags
    position = start
    for begin, end in ranges:
        begin, end = max(begin, position), min(end, stop)
        if begin >= stop:
            break
        if end <= begin:
            continue
        if begin > position:
            yield begin - position, outside
        yield end - begin, inside
        position = end
    if position < stop:
        yield stop - position, outside
