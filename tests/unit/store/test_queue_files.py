"""The files of a disk queue: order kept, room given back, and nothing believed that is not whole."""

import shutil
from pathlib import Path

import pytest

from farshore.model.messages import Buffer
from farshore.model.positions import Position
from farshore.store.platform import RealFiles
from farshore.store.queue_files import LEAST_SEGMENT, Kept, QueueFiles, Shelf

OLD, NEW = b"a" * 16, b"b" * 16
SMALL = 4096


def kept(sequence: int, generation: bytes = OLD, size: int = 500) -> Kept:
    """A frame of one write."""
    body = sequence.to_bytes(4, "big") * (size // 4)
    return Kept(Position(generation, sequence), Position(generation, sequence - 1), body)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(RealFiles(), str(tmp_path / "queue"), b"l" * 16, SMALL)


def everything(files: QueueFiles, after: int, most: int = 1000) -> list[int]:
    """The frames behind a sequence, read piece by piece."""
    found: list[int] = []
    here = after
    while pieces := files.read(here, most):
        found += [int.from_bytes(bytes(piece[:4]), "big") for piece in pieces]
        here = found[-1]
    return found


def filled(shelf: Shelf, count: int = 40) -> QueueFiles:
    files = QueueFiles(shelf)
    for sequence in range(1, count + 1):
        files.append([kept(sequence)])
    return files


def test_frames_come_back_in_order_from_anywhere(shelf: Shelf) -> None:
    files = filled(shelf)
    assert everything(files, 0) == list(range(1, 41))
    assert everything(files, 17) == list(range(18, 41))
    files.append([kept(41), kept(42)])
    assert everything(files, 40) == [41, 42]
    assert files.end == 42


def test_the_next_process_finds_them(shelf: Shelf) -> None:
    filled(shelf).close()
    again = QueueFiles(shelf)
    assert again.open().start == Position(OLD, 0)
    assert everything(again, 0) == list(range(1, 41))


def test_a_generation_may_end_within(shelf: Shelf) -> None:
    files = filled(shelf, 3)
    files.append([Kept(Position(NEW, 4), Position(NEW, 3), b"\0\0\0\4")])
    assert everything(files, 0) == [1, 2, 3, 4]
    assert files.open().end == Position(NEW, 4)


def test_room_comes_back_from_the_front(shelf: Shelf) -> None:
    files = filled(shelf)
    before = files.size
    assert files.trim(30)
    files.sync()
    assert files.size < before
    assert everything(files, 30) == list(range(31, 41))
    assert not files.trim(30)


def test_frames_behind_a_gap_begin_anew(shelf: Shelf) -> None:
    """But only where the peer has all that came before."""
    files = filled(shelf, 5)
    with pytest.raises(OSError, match="do not follow"):
        files.append([kept(9)], durable=4)
    assert everything(files, 0) == [1, 2, 3, 4, 5]
    files.append([kept(9)], durable=5)
    assert everything(files, 0) == [9]


def test_what_was_damaged_is_told_and_never_read(shelf: Shelf) -> None:
    files = filled(shelf)
    name = sorted(Path(shelf.directory).glob("*.seg"))[2]
    data = bytearray(name.read_bytes())
    data[1500] ^= 1
    name.write_bytes(data)
    with pytest.raises(OSError, match="not whole"):
        everything(files, 0)
    files.clear()
    files.append([kept(41)])
    assert everything(files, 0) == [41]


@pytest.mark.parametrize("which", [0, 2])
def test_a_deleted_segment_ends_the_row_before_it(shelf: Shelf, which: int) -> None:
    files = filled(shelf)
    files.sync()
    files.append([kept(41)])
    files.close()
    sorted(Path(shelf.directory).glob("*.seg"))[which].unlink()
    again = QueueFiles(shelf)
    found = everything(again, 0)
    assert found == list(range(1, len(found) + 1)) or again.open().start != Position(OLD, 0)
    assert again.end < 41 or again.open().start != Position(OLD, 0)


def test_nothing_is_left_of_a_removed_queue(shelf: Shelf) -> None:
    files = filled(shelf)
    files.remove()
    assert not Path(shelf.directory).exists()


def test_a_directory_that_cannot_be_used_is_an_error_of_the_system(shelf: Shelf) -> None:
    Path(shelf.directory).write_text("no directory")
    with pytest.raises(OSError):
        QueueFiles(shelf).append([kept(1)])


def test_segments_are_small_beside_the_bound() -> None:
    made = Shelf.for_bound(RealFiles(), "/nowhere", b"l" * 16, 8 << 20)
    assert made.segment_bytes * 16 <= max(8 << 20, LEAST_SEGMENT * 16)


def test_a_directory_that_was_deleted_is_made_again_after_it_was_noticed(shelf: Shelf) -> None:
    files = filled(shelf)
    shutil.rmtree(shelf.directory)
    with pytest.raises(OSError):
        files.clear()
    files.append([kept(41)])
    assert everything(files, 0) == [41]


def test_an_empty_row_reads_as_nothing(shelf: Shelf) -> None:
    files = QueueFiles(shelf)
    nothing: list[Buffer] = files.read(0, 100)
    assert nothing == []
    assert not files.trim(5)
