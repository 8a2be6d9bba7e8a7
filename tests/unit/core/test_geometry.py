"""Regions and extents cover a volume exactly, whatever its size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.core.geometry import Geometry

KIB = 1 << 10


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    region = 1 << draw(st.integers(12, 20))
    extent = region << draw(st.integers(0, 4))
    return Geometry({1: draw(st.integers(1, 8 << 20))}, region, extent)


@given(geometries(), st.integers(0, 8 << 20), st.integers(0, 1 << 20))
def test_the_regions_and_extents_of_a_range_are_those_that_hold_a_byte_of_it(
    geometry: Geometry, offset: int, length: int
) -> None:
    for unit, found in (
        (geometry.region, geometry.regions_of(offset, length)),
        (geometry.extent, geometry.extents_of(offset, length)),
    ):
        if not length:
            assert not found
            continue
        assert found.start * unit <= offset < (found.start + 1) * unit
        assert (found.stop - 1) * unit <= offset + length - 1 < found.stop * unit


@given(geometries())
def test_the_extents_of_a_volume_hold_each_of_its_regions_once(geometry: Geometry) -> None:
    covered = [
        region for extent in range(geometry.extents(1)) for region in geometry.regions_of_extent(1, extent)
    ]
    assert covered == list(range(geometry.regions(1)))


@given(geometries(), st.data())
def test_a_span_of_regions_ends_at_the_volumes_end(geometry: Geometry, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, geometry.regions(1) - 1))
    count = data.draw(st.integers(1, geometry.regions(1) - first))
    offset, length = geometry.span(1, first, count)
    assert offset == first * geometry.region
    assert offset + length == min((first + count) * geometry.region, geometry.sizes[1])
    assert geometry.regions_of(offset, length) == range(first, first + count)


def test_shifts_are_those_of_the_sizes() -> None:
    geometry = Geometry({1: 1 << 20}, 32 * KIB, 4096 * KIB)
    assert (1 << geometry.region_shift, 1 << geometry.extent_shift) == (32 * KIB, 4096 * KIB)


@pytest.mark.parametrize(
    ("region", "extent"),
    [
        (2 * KIB, 4096 * KIB),
        (2048 * KIB, 4096 * KIB),
        (5000, 5000),
        (32 * KIB, 48 * KIB),
        (32 * KIB, 16 * KIB),
    ],
)
def test_sizes_that_are_no_powers_of_two_or_out_of_bounds_are_refused(region: int, extent: int) -> None:
    with pytest.raises(ValueError, match="size"):
        Geometry({1: 1 << 20}, region, extent)
