"""A reader of segments: it goes on where it was, skips what it is told to skip, and stops where it must."""

import errno
from pathlib import Path

import pytest

from farshore.model.positions import Position
from farshore.store.platform import RealFiles
from farshore.store.segment_reader import SegmentReader
from farshore.store.segments import Cursor, Entry, Segments

G, H = b"g" * 16, b"h" * 16
ALL = 1 << 62


class Watched(Segments):
    """Remembers from where it was read."""

    def read(self, cursor: Cursor, most: int, through: int | None = None) -> tuple[list[Entry], Cursor]:
        self.asked = [*getattr(self, "asked", []), cursor]
        return super().read(cursor, most, through)


def row(directory: Path, numbers: range, size: int = 500) -> Watched:
    """Entries of two sequences each, in segments of 4 KiB."""
    segments = Watched.open(RealFiles(), str(directory / "q"), b"s" * 16, 4096)
    assert isinstance(segments, Watched)
    entries: list[Entry] = [(Position(G, 2 * number), bytes([number]) * size) for number in numbers]
    segments.append(entries, Position(G, 2 * numbers.start - 2))
    return segments


def numbers_of(found: list[bytes]) -> list[int]:
    return [data[0] for data in found]


def read(reader: SegmentReader, after: int, through: int = ALL, most: int = 1200) -> list[int]:
    return numbers_of([bytes(data) for data in reader.begin(after, through, most)()])


def test_it_reads_everything_once_and_goes_on_where_it_was(tmp_path: Path) -> None:
    segments = row(tmp_path, range(1, 41))
    reader, found = SegmentReader(segments), list[int]()
    for _ in range(100):
        some = read(reader, 2 * found[-1] if found else 0)
        if not some:
            break
        found += some
    assert found == list(range(1, 41))
    assert len(set(segments.asked[:-1])) == len(segments.asked) - 1
    segments.append([(Position(G, 82), b"\x29" * 10)], Position(G, 80))
    assert read(reader, 80) == [41]


def test_what_lies_at_or_before_the_asked_sequence_is_passed_over(tmp_path: Path) -> None:
    reader = SegmentReader(row(tmp_path, range(1, 41)))
    assert read(reader, 50)[0] == 26
    assert read(reader, 51)[0] == 26
    assert read(reader, 2)[0] == 2
    assert read(reader, 80) == []
    assert read(reader, 500) == []


def test_nothing_behind_the_last_sequence_is_read_and_nothing_is_lost_by_that(tmp_path: Path) -> None:
    segments = row(tmp_path, range(1, 7))
    reader = SegmentReader(segments)
    assert read(reader, 0, through=7, most=10_000) == [1, 2, 3]
    assert read(reader, 6, through=7) == []
    assert read(reader, 6, through=8) == [4]
    assert read(reader, 8, through=ALL, most=10_000) == [5, 6]
    assert [cursor.offset for cursor in segments.asked] == sorted(cursor.offset for cursor in segments.asked)


def test_one_entry_is_read_however_large_it_is(tmp_path: Path) -> None:
    reader = SegmentReader(row(tmp_path, range(1, 4), 9000))
    assert read(reader, 0, most=10) == [1]
    assert read(reader, 2, most=10) == [2]


def test_mere_changes_of_position_are_passed_over(tmp_path: Path) -> None:
    segments = row(tmp_path, range(1, 3))
    segments.continue_at(Position(H, 4))
    segments.append([(Position(H, 6), b"\x03")], Position(H, 4))
    assert read(SegmentReader(segments), 0, most=10_000) == [1, 2, 3]
    assert read(SegmentReader(segments), 4) == [3]


def test_a_place_that_was_given_back_is_not_gone_back_to(tmp_path: Path) -> None:
    segments = row(tmp_path, range(1, 41))
    reader = SegmentReader(segments)
    assert read(reader, 0, most=600) == [1]
    segments.trim(Position(G, 40))
    segments.sync()
    first = read(reader, 2)[0]
    assert 1 < first <= 21
    segments.clear(Position(G, 80))
    assert read(reader, 2 * first) == []
    segments.append([(Position(G, 82), b"\x29")], Position(G, 80))
    assert read(reader, 80) == [41]


def test_an_empty_journal_holds_nothing(tmp_path: Path) -> None:
    segments = Segments.open(RealFiles(), str(tmp_path / "q"), b"s" * 16, 4096)
    assert read(SegmentReader(segments), 0) == []


def test_an_entry_that_has_decayed_is_an_error(tmp_path: Path) -> None:
    reader = SegmentReader(row(tmp_path, range(1, 4)))
    (file,) = (tmp_path / "q").glob("*.seg")
    content = bytearray(file.read_bytes())
    content[1000:1100] = b"decayed..." * 10
    file.write_bytes(content)
    with pytest.raises(OSError, match="not whole") as caught:
        read(reader, 0, most=100)
    assert caught.value.errno == errno.EIO
