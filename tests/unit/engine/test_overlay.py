"""What is written over a layer is read back, what is not shows through, and neither goes beyond its room."""

import errno
import gc
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.engine.overlay import BLOCK, Overlay, Room
from farshore.store.volume import Volume

SIZE = 40 * BLOCK + 1536
MIB = 1 << 20


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Volume]:
    path = tmp_path / "base.img"
    path.write_bytes(random.Random(1).randbytes(30 * BLOCK))
    os.truncate(path, SIZE)
    volume = Volume(os.open(path, os.O_RDONLY), str(path), SIZE)
    yield volume
    volume.close()


@pytest.mark.parametrize("seed", range(4))
def test_any_writes_zeroes_and_trims_read_as_on_a_disk_and_leave_the_base_alone(
    base: Volume, tmp_path: Path, seed: int
) -> None:
    before = base.read(0, SIZE)
    overlay, expected, chosen = (
        Overlay(base, Room(str(tmp_path), MIB)),
        bytearray(before),
        random.Random(seed),
    )
    for number in range(200):
        offset = chosen.randrange(SIZE)
        length = min(SIZE - offset, chosen.choice((1, 512, BLOCK, 5000, 3 * BLOCK)))
        if number % 3:
            data = chosen.randbytes(length)
            overlay.write(data, offset)
            expected[offset : offset + length] = data
        else:
            overlay.zero(offset, length, may_unmap=bool(number % 2))
            expected[offset : offset + length] = bytes(length)
        begin = chosen.randrange(SIZE)
        end = min(SIZE, begin + chosen.choice((1, 4096, 20000)))
        assert overlay.read(begin, end - begin) == expected[begin:end]
    assert overlay.read(0, SIZE) == expected
    assert base.read(0, SIZE) == before
    at = 0
    for run, hole in overlay.extents(0, SIZE):
        assert not hole or expected[at : at + run] == bytes(run)
        at += run
    assert at == SIZE


def test_beyond_its_room_a_write_is_refused_and_changes_nothing(base: Volume, tmp_path: Path) -> None:
    room = Room(str(tmp_path), 4 * BLOCK)
    first, second = Overlay(base, room), Overlay(base, room)
    first.write(b"a" * (3 * BLOCK), 0)
    second.write(b"b", 5)
    before = second.read(0, SIZE)
    with pytest.raises(OSError, match="room") as full:
        second.write(b"c" * BLOCK, 3 * BLOCK)
    assert full.value.errno == errno.ENOSPC
    assert second.read(0, SIZE) == before
    first.write(b"d" * (3 * BLOCK), 0)  # takes none
    second.zero(8 * BLOCK, BLOCK, may_unmap=True)
    assert room.used <= room.limit


def test_what_was_given_back_takes_room_again_when_it_is_written(base: Volume, tmp_path: Path) -> None:
    overlay = Overlay(base, Room(str(tmp_path), 4 * BLOCK))
    overlay.zero(0, 20 * BLOCK + 100, may_unmap=True)  # as a mkfs does first
    assert overlay.read(0, 20 * BLOCK) == bytes(20 * BLOCK)
    overlay.write(b"a" * (3 * BLOCK), BLOCK)
    with pytest.raises(OSError, match="room"):
        overlay.write(b"b" * (2 * BLOCK), 8 * BLOCK)
    overlay.zero(BLOCK, 3 * BLOCK, may_unmap=True)
    overlay.write(b"c" * (2 * BLOCK), 8 * BLOCK)
    assert overlay.read(BLOCK, BLOCK) == bytes(BLOCK)


def test_it_may_be_longer_than_what_it_is_over(base: Volume, tmp_path: Path) -> None:
    class Zeroes:
        """Reads as zeroes behind the end, as a layer does."""

        size, lane = SIZE, base.lane

        def read(self, offset: int, length: int) -> bytes:
            there = max(0, min(length, SIZE - offset))
            return (base.read(offset, there) if there else b"").ljust(length, b"\0")

    longer = SIZE + 3 * BLOCK
    overlay = Overlay(Zeroes(), Room(str(tmp_path), MIB), longer)  # type: ignore[arg-type]
    overlay.write(b"x" * 10, SIZE - 5)
    overlay.write(b"y", longer - 1)
    expected = base.read(0, SIZE)[:-5] + b"x" * 10
    assert overlay.read(0, overlay.size) == expected.ljust(longer - 1, b"\0") + b"y"


def test_a_file_system_without_room_to_spare_is_left_to_others(
    base: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = os.statvfs(tmp_path)
    crowded = os.statvfs_result((*found[:3], found.f_blocks // 40, found.f_blocks // 40, *found[5:]))
    overlay = Overlay(base, Room(str(tmp_path), MIB))
    monkeypatch.setattr("farshore.engine.overlay._SPARED_BYTES", 1 << 62)
    monkeypatch.setattr("farshore.engine.overlay.os.statvfs", lambda _: crowded)
    with pytest.raises(OSError, match="spare") as full:
        overlay.write(b"a", 0)
    assert full.value.errno == errno.ENOSPC
    assert overlay.read(0, 1) == base.read(0, 1)


def test_nothing_of_it_has_a_name_and_its_file_goes_with_its_last_user(base: Volume, tmp_path: Path) -> None:
    room = Room(str(tmp_path), MIB)
    gc.collect()
    before, files = sorted(tmp_path.iterdir()), len(list(Path("/proc/self/fd").iterdir()))
    overlay = Overlay(base, room)
    overlay.write(b"a" * BLOCK, 0)
    overlay.sync()
    assert sorted(tmp_path.iterdir()) == before
    assert room.used >= BLOCK
    del overlay
    assert room.used == 0
    assert len(list(Path("/proc/self/fd").iterdir())) == files
