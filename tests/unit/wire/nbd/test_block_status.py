"""Descriptors: merged, within the request, at least one; and the two sources of extents."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.wire.nbd.block_status import allocation_extents, descriptors, dirty_extents
from farshore.wire.nbd.constants import MAX_DESCRIPTORS, NBD_STATE_HOLE, NBD_STATE_ZERO

HOLE = NBD_STATE_HOLE | NBD_STATE_ZERO


def test_neighbours_with_equal_flags_become_one() -> None:
    assert descriptors([(4096, 0), (4096, 0), (8192, HOLE), (512, 0)], 16896) == [
        (8192, 0),
        (8192, HOLE),
        (512, 0),
    ]


def test_empty_extents_vanish() -> None:
    assert descriptors([(0, 1), (4096, 0), (0, 1), (4096, 0)], 8192) == [(8192, 0)]


def test_the_last_descriptor_ends_with_the_request() -> None:
    assert descriptors([(4096, 0), (1 << 40, 1)], 8192) == [(4096, 0), (4096, 1)]
    assert descriptors([(8192, 0), (4096, 1)], 8192) == [(8192, 0)]


def test_one_descriptor_where_one_is_asked_for() -> None:
    assert descriptors([(4096, 1), (4096, 1), (4096, 0)], 1 << 30, req_one=True) == [(8192, 1)]
    assert descriptors([(1 << 40, 1)], 8192, req_one=True) == [(8192, 1)]


def test_what_is_not_covered_is_left_for_the_next_request() -> None:
    assert descriptors([(4096, 1)], 8192) == [(4096, 1)]


def test_the_first_byte_needs_an_answer() -> None:
    with pytest.raises(ValueError, match="first byte"):
        descriptors([(0, 1)], 8192)


def test_a_long_answer_is_cut_and_its_source_is_not_read_further() -> None:
    drawn = 0

    def alternating() -> Iterator[tuple[int, int]]:
        nonlocal drawn
        while True:
            drawn += 1
            yield 4096, drawn & 1

    answer = descriptors(alternating(), 0xFFFFFFFF)
    assert len(answer) == MAX_DESCRIPTORS
    assert drawn == MAX_DESCRIPTORS + 1


def test_what_holds_no_data_is_a_hole_that_reads_as_zeroes() -> None:
    assert list(allocation_extents([(4096, 8192)], 0, 16384)) == [(4096, HOLE), (4096, 0), (8192, HOLE)]
    assert list(allocation_extents([], 4096, 512)) == [(512, HOLE)]


def test_dirty_regions_are_flagged_and_cut_to_the_request() -> None:
    assert list(dirty_extents([(0, 32768), (65536, 98304)], 16384, 65536)) == [
        (16384, 1),
        (32768, 0),
        (16384, 1),
    ]


def test_ranges_behind_the_request_are_not_drawn() -> None:
    def ranges() -> Iterator[tuple[int, int]]:
        yield 0, 4096
        yield 8192, 12288
        raise AssertionError("drawn too far")

    assert list(dirty_extents(ranges(), 0, 4096)) == [(4096, 1)]


ranges_of_bytes = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 60))).map(
    lambda pairs: sorted((start, start + length) for start, length in pairs)
)


@given(ranges_of_bytes, st.integers(0, 200), st.integers(1, 200))
def test_descriptors_say_of_every_byte_what_the_ranges_say(
    dirty: list[tuple[int, int]], offset: int, length: int
) -> None:
    flags = [any(start <= byte < stop for start, stop in dirty) for byte in range(offset, offset + length)]
    answer = descriptors(dirty_extents(dirty, offset, length), length)
    assert [bool(flag) for extent, flag in answer for _ in range(extent)] == flags
    assert all(one[1] != other[1] for one, other in pairwise(answer))


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2))),
    st.integers(1, 60),
    st.booleans(),
    st.integers(1, 4),
)
def test_descriptors_are_a_prefix_of_the_extents_and_as_long_as_allowed(
    extents: list[tuple[int, int]], length: int, req_one: bool, limit: int
) -> None:
    flags = [flag for extent, flag in extents for _ in range(extent)][:length]
    if not flags:
        with pytest.raises(ValueError):
            descriptors(extents, length, req_one=req_one, limit=limit)
        return
    answer = descriptors(extents, length, req_one=req_one, limit=limit)
    most = 1 if req_one else limit
    covered = [flag for extent, flag in answer for _ in range(extent)]
    assert covered == flags[: len(covered)]
    assert len(answer) <= most
    assert covered == flags or (len(answer) == most and flags[len(covered)] != covered[-1])
