"""Volumes: the calls of the data path, on memory and on a disk."""

import errno
import os
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farshore.store.claim import create_volume
from farshore.store.volume import Volume

SIZE = 4 << 20


@pytest.fixture(params=["memory", "disk"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    if request.param == "memory":
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="farshore-") as path:
        yield Path(path)


@pytest.fixture
def volume(place: Path) -> Iterator[Volume]:
    opened = create_volume(str(place / "volume"), SIZE)
    yield opened
    opened.close()
    opened.close()


def view(data: bytes) -> memoryview:
    return memoryview(data)


def test_what_is_written_is_read(volume: Volume) -> None:
    volume.write(b"x" * 5000, 4096)
    volume.write(memoryview(bytearray(b"y")), 4100)
    volume.fdatasync()
    assert volume.read(4090, 5012) == bytes(6) + b"xxxxy" + b"x" * 4995 + bytes(6)


def test_a_read_that_need_not_wait_agrees_with_one_that_may(volume: Volume) -> None:
    volume.write(b"x" * 8192, 4096)
    assert volume.read_nowait(4096, 8192) == b"x" * 8192
    far = volume.read_nowait(SIZE // 2, 4096)
    assert far is None or far == bytes(4096)


def test_a_volume_that_was_cut_is_an_error_not_zeroes(volume: Volume) -> None:
    os.truncate(volume.path, 4096)
    with pytest.raises(OSError) as failed:
        volume.read(0, 8192)
    assert failed.value.errno == errno.EIO


writes = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 10), st.booleans(), st.integers(1, 255)), max_size=30
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(writes)
def test_many_writes_take_effect_in_order(volume: Volume, drawn: list[tuple[int, int, bool, int]]) -> None:
    image = bytearray(volume.read(0, 65536))
    offsets: list[int] = []
    pieces: list[memoryview] = []
    end = 0
    for block, length, adjoining, value in drawn:
        offset = end if adjoining and end < 60_000 else block * 1000
        data = bytes([value]) * (length * 100)
        end = offset + len(data)
        offsets.append(offset)
        pieces.append(view(data))
        image[offset:end] = data
    assert volume.write_many(offsets, pieces) == {}
    assert volume.read(0, 65536) == image[:65536]


def test_more_neighbours_than_one_call_takes(volume: Volume) -> None:
    data = os.urandom(2500 * 64)
    offsets = range(0, len(data), 64)
    assert volume.write_many(offsets, [view(data)[at : at + 64] for at in offsets]) == {}
    assert volume.read(0, len(data)) == data


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 3, 0, 1), (1, 2, 3, 0)])
def test_of_many_writes_those_that_fail_are_named_and_the_others_done(
    volume: Volume, order: tuple[int, ...]
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    batch = [(0, b"a" * 512), (SIZE - 512, b"b" * 512), (SIZE, b"c" * 512), (512, b"d")]
    offsets = [batch[index][0] for index in order]
    pieces = [view(batch[index][1]) for index in order]
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE, hard))
    try:
        failed = volume.write_many(offsets, pieces)
        with pytest.raises(OSError):
            volume.write(b"e", SIZE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert failed == {order.index(2): errno.EFBIG}
    assert volume.read(SIZE - 512, 512) == b"b" * 512
    assert volume.read(0, 513) == b"a" * 512 + b"d"


def test_a_write_that_the_system_takes_in_part_is_finished_or_named(volume: Volume) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE, hard))
    try:
        failed = volume.write_many([SIZE - 512, 0], [view(b"p" * 1024), view(b"q")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert failed == {0: errno.EFBIG}
    assert volume.read(SIZE - 512, 512) == b"p" * 512
    assert volume.read(0, 1) == b"q"


@pytest.mark.parametrize("may_unmap", [True, False])
@pytest.mark.parametrize(
    ("offset", "length"), [(0, SIZE), (100, 3), (4096, 8192), (1000, (2 << 20) + 7), (5, 0)]
)
def test_a_zeroed_range_reads_as_zeroes(volume: Volume, offset: int, length: int, may_unmap: bool) -> None:
    volume.write(b"x" * SIZE, 0)
    volume.zero(offset, length, may_unmap)
    image = volume.read(0, SIZE)
    assert image == b"x" * offset + bytes(length) + b"x" * (SIZE - offset - length)


def test_unmapping_gives_blocks_back_and_zeroing_keeps_them(volume: Volume) -> None:
    volume.write(b"x" * SIZE, 0)
    volume.zero(0, SIZE // 2, may_unmap=False)
    assert Path(volume.path).stat().st_blocks * 512 >= SIZE
    volume.trim(0, SIZE // 2)
    assert volume.fast_zero
    assert Path(volume.path).stat().st_blocks * 512 < SIZE
    assert not any(volume.read(0, SIZE // 2))


def test_zeroes_are_written_where_nothing_better_is_offered(place: Path) -> None:
    # Opened like a device of 4 KiB sectors: what is not aligned has to be written.
    create_volume(str(place / "volume"), SIZE).close()
    fd = os.open(place / "volume", os.O_RDWR)
    volume = Volume(fd, str(place / "volume"), SIZE, sector=4096)
    volume.write(b"x" * SIZE, 0)
    assert not volume.fast_zero
    volume.zero(1000, 9000, may_unmap=True)
    volume.zero(20_000, 96, may_unmap=True)
    image = volume.read(0, 30_000)
    assert image == b"x" * 1000 + bytes(9000) + b"x" * 10_000 + bytes(96) + b"x" * 9904
    assert list(volume.extents(0, SIZE)) == [(SIZE, False)]
    volume.close()


def test_the_allocation_map_covers_the_range_and_tells_holes(volume: Volume) -> None:
    assert list(volume.extents(0, SIZE)) == [(SIZE, True)]
    volume.write(b"x" * 65536, 1 << 20)
    volume.write(b"x" * 65536, SIZE - 65536)
    runs = list(volume.extents(0, SIZE))
    assert runs == [(1 << 20, True), (65536, False), (SIZE - (1 << 20) - 131072, True), (65536, False)]
    assert list(volume.extents((1 << 20) + 4096, 4096)) == [(4096, False)]
    assert list(volume.extents((1 << 20) - 4096, 8192)) == [(4096, True), (4096, False)]


def test_blank_means_zeroes_wherever_they_come_from(volume: Volume) -> None:
    assert volume.is_blank()
    volume.write(bytes(3 << 20), 0)
    assert volume.is_blank()
    volume.write(b"\1", (2 << 20) + 77)
    assert not volume.is_blank(limit=1 << 20), "what was not read is not blank"
    assert volume.is_blank(limit=1 << 20, beyond=True)
    assert not volume.is_blank(limit=4 << 20, beyond=True)
    assert not volume.is_blank()
    volume.zero((2 << 20) + 77, 1, may_unmap=False)
    volume.write(b"\1", SIZE - 1)
    assert not volume.is_blank()
