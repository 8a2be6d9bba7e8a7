"""Segments: what is appended is read again, in order, and what was durable is never passed over."""

import errno
from pathlib import Path
from random import Random

import pytest
from xxhash import xxh3_64_intdigest

from farshore.errors import FarshoreError
from farshore.model.positions import Position
from farshore.store.platform import RealFiles
from farshore.store.segment_file import ENTRY_BYTES, FIRST, entry_head, name_of, put_header
from farshore.store.segment_sync import MOST_FREE
from farshore.store.segments import Entry, Segments
from sim.disk import Disk, Strike
from sim.files import SimFiles

G, H, STREAM = b"g" * 16, b"h" * 16, b"s" * 16
SIZE = 4096
START = Position(G, 10)


def entries(first: int, *sizes: int) -> list[Entry]:
    return [
        (Position(G, first + index), bytes([first + index & 255 or 1]) * size)
        for index, size in enumerate(sizes)
    ]


def opened(directory: Path, size: int = SIZE) -> Segments:
    return Segments.open(RealFiles(), str(directory / "q"), STREAM, size)


def all_of(segments: Segments, most: int = 1000) -> list[Entry]:
    found: list[Entry] = []
    cursor = segments.front
    for _ in range(10_000):
        some, cursor = segments.read(cursor, most)
        if not some:
            return found
        found += [(position, bytes(data)) for position, data in some]
    raise AssertionError("reading never ends")


def row(segments: Segments, first: int, *sizes: int) -> list[Entry]:
    made = entries(first, *sizes)
    segments.append(made, Position(G, first - 1))
    return made


def files_of(directory: Path) -> list[Path]:
    return sorted((directory / "q").glob("*.seg"))


def test_what_is_appended_is_read_in_order_also_by_the_next_process(tmp_path: Path) -> None:
    segments = opened(tmp_path)
    assert (segments.start, segments.end, segments.bytes_used) == (None, None, 0)
    written = row(segments, 11, 100, 0, 3000, 700, 5) + row(segments, 16, 900)
    assert all_of(segments) == written
    assert (segments.start, segments.end) == (START, Position(G, 16))
    assert segments.bytes_used == sum(len(data) + ENTRY_BYTES for _, data in written)
    assert len(files_of(tmp_path)) == 2
    segments.close()  # without any sync: the page cache has it
    again = opened(tmp_path)
    assert all_of(again) == written
    written += row(again, 17, 50)
    assert all_of(again) == written
    assert again.damaged is None


def test_an_entry_may_be_larger_than_a_segment(tmp_path: Path) -> None:
    segments = opened(tmp_path)
    written = row(segments, 11, 10, 3 * SIZE, 10)
    assert all_of(segments, most=64) == written
    segments.close()
    assert all_of(opened(tmp_path)) == written


def test_entries_must_follow_the_last_one(tmp_path: Path) -> None:
    segments = opened(tmp_path)
    row(segments, 11, 10)
    with pytest.raises(ValueError, match="cannot come behind"):
        row(segments, 13, 10)


def test_a_change_of_generation_is_an_entry_without_bytes(tmp_path: Path) -> None:
    segments = opened(tmp_path)
    row(segments, 11, 10)
    turn = Position(H, 11)
    segments.append([(turn, b""), (Position(H, 12), b"x")], Position(G, 11))
    segments.close()
    again = opened(tmp_path)
    assert [each for each, _ in all_of(again)] == [Position(G, 11), turn, Position(H, 12)]


def test_segments_in_front_are_given_back_and_used_again(tmp_path: Path) -> None:
    segments = opened(tmp_path)
    for first in range(11, 21):
        row(segments, first, 3000)
        segments.sync()
    assert len(files_of(tmp_path)) == 10
    segments.trim(Position(G, 16))
    segments.sync()
    assert segments.start == Position(G, 16)
    inodes = {path.stat().st_ino for path in (tmp_path / "q").glob("*.free")}
    assert len(files_of(tmp_path)) == 4
    assert len(inodes) == MOST_FREE  # of six
    row(segments, 21, 3000)
    assert files_of(tmp_path)[-1].stat().st_ino in inodes
    segments.trim(Position(G, 400))
    assert segments.start == Position(G, 20)  # the last one stays
    assert [position.sequence for position, _ in all_of(segments)] == [21]


def test_a_segment_is_given_back_only_as_a_whole(tmp_path: Path) -> None:
    segments = opened(tmp_path)
    row(segments, 11, 1000, 1000, 1000, 1000, 1000)
    segments.trim(Position(G, 12))
    assert segments.start == START
    segments.trim(Position(G, 13))
    assert segments.start == Position(G, 13)


def test_a_change_of_generation_is_not_given_back_before_it_was_passed(tmp_path: Path) -> None:
    segments = opened(tmp_path)
    row(segments, 11, 3000)
    segments.append([(Position(H, 11), b""), (Position(H, 12), bytes(3000))], Position(G, 11))
    segments.trim(Position(G, 11))
    assert segments.start == START
    segments.trim(Position(H, 11))
    assert segments.start == Position(H, 11)


def test_what_an_earlier_use_left_in_a_file_is_no_entry(tmp_path: Path) -> None:
    segments = opened(tmp_path)
    for first in range(11, 14):
        row(segments, first, 1000)
    segments.close()
    path = files_of(tmp_path)[0]
    old = path.read_bytes()
    # The same file as the next number, with the header that it gets and the old entries behind it.
    path.write_bytes(old[:FIRST])
    (tmp_path / "q" / name_of(2)).write_bytes(put_header(STREAM, 2, START).ljust(FIRST, b"\0") + old[FIRST:])
    again = opened(tmp_path)
    assert all_of(again) == []
    assert again.damaged is None
    assert again.end == START


def test_a_torn_tail_ends_the_row_and_never_comes_back(tmp_path: Path) -> None:
    segments = opened(tmp_path)
    written = row(segments, 11, 300, 300)
    segments.close()
    path = files_of(tmp_path)[0]
    torn = bytearray(path.read_bytes())
    torn[FIRST + ENTRY_BYTES + 5] ^= 1
    path.write_bytes(torn)
    again = opened(tmp_path)
    assert (again.damaged, all_of(again), again.end) == (None, [], START)
    # As long as the one that was torn: what stood behind it would follow now.
    again.append([(Position(G, 11), b"n" * 300)], START)
    again.close()
    assert [bytes(data) for _, data in all_of(opened(tmp_path))] == [b"n" * 300]
    assert written[1] not in all_of(opened(tmp_path))


@pytest.mark.parametrize("how", ["flipped", "truncated", "deleted", "zeroed"])
def test_a_hole_in_what_was_durable_is_damage(tmp_path: Path, how: str) -> None:
    segments = opened(tmp_path)
    written: list[Entry] = []
    for first in range(11, 20):
        written += row(segments, first, 1500)
        segments.sync()
    segments.close()
    path = files_of(tmp_path)[1]
    data = bytearray(path.read_bytes())
    if how == "deleted":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(data[: FIRST + 100])
    elif how == "zeroed":
        path.write_bytes(bytes(len(data)))
    else:
        data[FIRST + ENTRY_BYTES + 1600] ^= 0x10
        path.write_bytes(data)
    again = opened(tmp_path)
    assert again.damaged is not None
    found = all_of(again)
    assert found == written[: len(found)]
    assert len(found) == (3 if how == "flipped" else 2)
    with pytest.raises(OSError, match="durable"):
        again.append(entries(99, 1), again.end or START)
    again.clear()
    assert again.damaged is None
    row(again, 11, 10)
    again.close()
    assert len(all_of(opened(tmp_path))) == 1


def test_an_entry_that_decays_later_is_told_when_it_is_read(tmp_path: Path) -> None:
    segments = opened(tmp_path)
    row(segments, 11, 1000)
    path = files_of(tmp_path)[0]
    data = bytearray(path.read_bytes())
    data[FIRST + 500] ^= 1
    path.write_bytes(data)
    with pytest.raises(FarshoreError, match="not whole"):
        segments.read(segments.front, 100)


def test_another_stream_is_left_alone(tmp_path: Path) -> None:
    segments = opened(tmp_path)
    row(segments, 11, 1000)
    segments.close()
    other = Segments.open(RealFiles(), str(tmp_path / "q"), b"o" * 16, SIZE)
    assert other.damaged is not None
    assert "something else" in other.damaged
    assert other.start is None
    other.close()
    assert len(all_of(opened(tmp_path))) == 1


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    segments = opened(tmp_path)
    row(segments, 11, 1000)
    segments.close()
    path = files_of(tmp_path)[0]
    data = bytearray(path.read_bytes())
    data[8] = 2
    data[64:72] = xxh3_64_intdigest(bytes(data[:64])).to_bytes(8, "little")
    path.write_bytes(data)
    with pytest.raises(FarshoreError) as caught:
        opened(tmp_path)
    assert caught.value.code.name == "state-newer"
    assert path.read_bytes() == data


def test_clearing_leaves_nothing_and_a_place_to_begin(tmp_path: Path) -> None:
    segments = opened(tmp_path)
    row(segments, 11, 3000, 3000, 10)
    segments.clear(Position(H, 5))
    assert (segments.start, segments.end, all_of(segments)) == (Position(H, 5), Position(H, 5), [])
    segments.close()
    again = opened(tmp_path)
    assert (again.start, again.damaged) == (Position(H, 5), None)
    again.clear()
    assert (again.start, files_of(tmp_path)) == (None, [])


@pytest.mark.parametrize("at", ["a new file", "the first write", "the second write"])
def test_a_disk_that_fills_up_leaves_the_tail_good(at: str) -> None:
    disk = Disk(Random(1))
    layer = SimFiles(disk)
    segments = Segments.open(layer, "/q", STREAM, SIZE)
    written = row(segments, 11, 500)
    segments.sync()
    suffix = {"the first write": name_of(1), "the second write": name_of(2), "a new file": name_of(2)}[at]
    if at == "the second write":
        row_ahead = entries(12, 1000, 3000)
        disk.strikes.append(Strike("pwrite", name_of(3), errno.ENOSPC))
        with pytest.raises(OSError, match="space"):
            segments.append([*row_ahead, *entries(14, 3000)], Position(G, 11))
    disk.strikes.append(Strike("pwrite", suffix, errno.ENOSPC))
    with pytest.raises(OSError, match="space"):
        segments.append(entries(12, 1000, 1000, 3000), Position(G, 11))
    assert (segments.end, segments.damaged) == (Position(G, 11), None)
    assert all_of(segments) == written
    # Shorter now: nothing of the failed attempt may follow it.
    written += row(segments, 12, 1000)
    layer.end()
    again = Segments.open(SimFiles(disk), "/q", STREAM, SIZE)
    assert all_of(again) == written
    written += row(again, 13, 3000, 3000)
    assert all_of(again) == written


def test_a_failed_write_that_cannot_be_taken_back_ends_appending() -> None:
    disk = Disk(Random(2))
    segments = Segments.open(SimFiles(disk), "/q", STREAM, SIZE)
    written = row(segments, 11, 500)
    disk.strikes += [Strike("pwrite", name_of(1), errno.EIO), Strike("pread", name_of(1), errno.EIO)]
    with pytest.raises(OSError, match="Input/output"):
        row(segments, 12, 500)
    assert segments.damaged is not None
    with pytest.raises(OSError, match="taken back"):
        row(segments, 12, 500)
    assert all_of(segments) == written


def test_a_sync_covers_what_was_appended_before_it_began() -> None:
    disk = Disk(Random(3))
    layer = SimFiles(disk)
    segments = Segments.open(layer, "/q", STREAM, SIZE)
    row(segments, 11, 500)
    sync = segments.begin_sync()
    marks = {file: file.begin_sync() for file in sync.files}  # type: ignore[attr-defined]
    row(segments, 12, 500)
    sync.run(lambda file: file.end_sync(marks[file]))  # type: ignore[attr-defined]
    layer.end()
    disk.power_loss()
    found = all_of(Segments.open(SimFiles(disk), "/q", STREAM, SIZE))
    assert found[:1] == entries(11, 500)


def test_a_sync_that_failed_and_was_never_told_is_not_believed() -> None:
    for seed in range(20):
        disk = Disk(Random(seed))
        layer = SimFiles(disk)
        segments = Segments.open(layer, "/q", STREAM, SIZE)
        written = row(segments, 11, 500)
        segments.sync()
        written += row(segments, 12, 1500, 200)
        disk.strikes.append(Strike("fdatasync", name_of(1), errno.EIO))
        with pytest.raises(OSError, match="Input/output"):
            segments.sync()
        layer.end()  # killed before it could say so
        layer = SimFiles(disk)
        after = Segments.open(layer, "/q", STREAM, SIZE)
        found = all_of(after)
        assert found == written[: len(found)]
        assert len(found) >= 1
        layer.end()
        disk.power_loss()
        assert all_of(Segments.open(SimFiles(disk), "/q", STREAM, SIZE)) == found


def test_golden_bytes() -> None:
    assert put_header(bytes(range(16)), 7, Position(bytes(range(16, 32)), 9)).hex() == (
        "465368725365676d0100000000000000000102030405060708090a0b0c0d0e0f0700000000000000"
        "101112131415161718191a1b1c1d1e1f0900000000000000361e5c984412438d"
    )
    assert entry_head(bytes(range(16)), 7, 1 << 32 | 512, Position(G, 9), b"frame").hex() == (
        "46536865050000000002000001000000676767676767676767676767676767670900000000000000de6745ff10d09b8e"
    )
    assert name_of(26) == "000000000000001a.seg"
