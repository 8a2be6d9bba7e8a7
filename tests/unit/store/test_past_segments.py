"""Segments that were given back are kept while a rewind may use them: in order, without a gap, bounded."""

from pathlib import Path
from random import Random

import pytest

from farshore.core.rewinding import Kept, surplus
from farshore.errors import FarshoreError
from farshore.model.positions import Position
from farshore.store.past_segments import SUFFIX, PastSegments
from farshore.store.platform import RealFiles
from farshore.store.segments import Segments
from sim.disk import Died, Disk
from sim.files import SimFiles
from tests.unit.store.test_segments import SIZE, STREAM, G, entries

PLENTY = 1 << 20


def opened(directory: Path, limit: int = PLENTY) -> Segments:
    past = PastSegments.open(RealFiles(), str(directory / "q"), STREAM, limit)
    segments = Segments.open(RealFiles(), str(directory / "q"), STREAM, SIZE)
    segments.past = past
    return segments


def past_of(segments: Segments) -> PastSegments:
    assert segments.past is not None
    return segments.past


def filled(directory: Path, marks: tuple[int, ...] = (0,), limit: int = PLENTY) -> Segments:
    """Ten segments with the sequences 1 to 10, of which all but the newest are given back."""
    directory.mkdir(exist_ok=True)
    segments = opened(directory, limit)
    past_of(segments).marks = marks
    segments.append(entries(1, *[3000] * 10), Position(G, 0))
    segments.trim(Position(G, 10))
    segments.sync()
    return segments


def lasts(segments: Segments) -> list[int]:
    return [each.last for each in past_of(segments).kept]


def names(directory: Path) -> int:
    return len(list((directory / "q").glob(f"*{SUFFIX}")))


def test_what_was_given_back_is_kept_and_found_again_by_the_next_process(tmp_path: Path) -> None:
    segments = filled(tmp_path)
    assert lasts(segments) == [*range(1, 10)]
    assert segments.start == Position(G, 9)
    segments.close()
    again = opened(tmp_path)
    past = past_of(again)
    assert lasts(again) == [*range(1, 10)]
    assert past.start == Position(G, 0)
    found = [(position, bytes(data)) for each in past.kept for position, data in past.entries(each)]
    assert found == entries(1, *[3000] * 9)


def test_what_waits_for_the_next_sync_is_there_all_the_while(tmp_path: Path) -> None:
    segments = opened(tmp_path)
    past = past_of(segments)
    past.marks = (0,)
    segments.append(entries(1, *[3000] * 6), Position(G, 0))
    segments.trim(Position(G, 4))
    unsynced = segments.begin_sync()
    segments.trim(Position(G, 5))

    def found() -> list[int]:
        return [position.sequence for each in past.row for position, _ in past.entries(each)]

    assert (found(), past.start, segments.start) == ([1, 2, 3, 4, 5], Position(G, 0), Position(G, 5))
    unsynced.run()
    assert lasts(segments) == [1, 2, 3, 4]
    assert found() == [1, 2, 3, 4, 5]
    segments.sync()
    assert lasts(segments) == found() == [1, 2, 3, 4, 5]
    past.marks = ()
    segments.append(entries(7, 3000), Position(G, 6))
    segments.trim(Position(G, 6))
    assert found() == [1, 2, 3, 4, 5], "one that nobody needs is not announced"
    segments.sync()
    assert past.row == ()
    segments.clear(Position(G, 7))
    assert past.row == ()


def test_a_file_that_the_first_entry_was_too_large_for_is_empty_and_whole(tmp_path: Path) -> None:
    segments = opened(tmp_path)
    past = past_of(segments)
    past.marks = (0,)
    segments.clear(Position(G, 0))
    segments.append(entries(1, 2 * SIZE, 3000, 3000), Position(G, 0))
    segments.trim(Position(G, 3))
    segments.sync()
    assert lasts(segments) == [0, 1, 2]
    assert [position.sequence for each in past.row for position, _ in past.entries(each)] == [1, 2]


def test_nothing_is_kept_without_a_snapshot_nor_what_lies_before_the_oldest_one(tmp_path: Path) -> None:
    assert lasts(filled(tmp_path / "none", ())) == []
    assert names(tmp_path / "none") == 0
    assert lasts(filled(tmp_path / "some", (4, 8))) == [4, 5, 6, 7, 8, 9]


def test_a_snapshot_that_goes_takes_along_what_only_it_needed(tmp_path: Path) -> None:
    segments = filled(tmp_path)
    past_of(segments).marks = (7,)
    assert past_of(segments).overdue == 6
    segments.sync()
    assert lasts(segments) == [7, 8, 9]
    past_of(segments).marks = ()
    segments.sync()
    assert names(tmp_path) == 0


def test_f1_the_oldest_go_when_the_bound_is_reached(tmp_path: Path) -> None:
    assert lasts(filled(tmp_path / "one", limit=3 * SIZE)) == [], "the only snapshot cannot be led on from"
    segments = filled(tmp_path, (0, 7), 3 * SIZE)
    assert lasts(segments) == [7, 8, 9]
    assert past_of(segments).bytes_on_disk <= 3 * SIZE
    assert names(tmp_path) == 3


def test_a_journal_that_begins_anew_leaves_nothing_that_leads_to_it(tmp_path: Path) -> None:
    segments = filled(tmp_path)
    segments.clear(Position(G, 50))
    assert names(tmp_path) == 0
    segments.close()
    assert lasts(opened(tmp_path)) == []


def test_a_gap_ends_what_can_be_used(tmp_path: Path) -> None:
    segments = filled(tmp_path)
    segments.close()
    gone = sorted((tmp_path / "q").glob(f"*{SUFFIX}"))[4]
    gone.unlink()
    again = opened(tmp_path)
    assert lasts(again) == [6, 7, 8, 9]
    assert names(tmp_path) == 4, "what lies before it is of no use"


def test_a_damaged_segment_is_told_by_whoever_reads_it(tmp_path: Path) -> None:
    segments = filled(tmp_path)
    past = past_of(segments)
    path = sorted((tmp_path / "q").glob(f"*{SUFFIX}"))[2]
    data = bytearray(path.read_bytes())
    data[900] ^= 1
    path.write_bytes(data)
    with pytest.raises(FarshoreError, match="whole"):
        list(past.entries(past.kept[2]))


def test_new_names_that_came_to_the_disk_in_another_order_make_no_gap_in_the_journal(tmp_path: Path) -> None:
    segments = filled(tmp_path)
    segments.close()
    early = sorted((tmp_path / "q").glob(f"*{SUFFIX}"))[6]
    early.rename(early.with_suffix(".seg"))
    again = opened(tmp_path)
    assert again.damaged is None
    assert lasts(again) == [*range(1, 10)]


def test_surplus_counts_from_the_oldest_and_keeps_one_that_ends_at_the_snapshot() -> None:
    kept = [Kept(number, 10, number * 5) for number in range(1, 6)]
    assert surplus(kept, 0, (), 1000) == 5
    assert surplus(kept, 0, (0,), 1000) == 0
    assert surplus(kept, 0, (10, 20), 1000) == 1
    assert surplus(kept, 0, (11, 20), 1000) == 2
    assert surplus(kept, 0, (0, 11), 30) == 2
    assert surplus(kept, 0, (0, 20), 30) == 3, "a snapshot that cannot be led on from keeps nothing"
    assert surplus(kept, 3, (2,), 1000) == 5
    assert surplus(kept, 0, (0, 25), 5) == 5
    assert surplus([], 0, (3,), 0) == 0


def _lived(seed: int) -> None:
    random = Random(seed)
    disk = Disk(random)
    SimFiles(disk).mkdir("/q")
    SimFiles(disk).fsync_dir("/")
    end, durable = 0, 0
    for _ in range(6):
        files = SimFiles(disk)
        past = PastSegments.open(files, "/q", STREAM, PLENTY)
        segments = Segments.open(files, "/q", STREAM, SIZE)
        assert segments.damaged is None
        segments.past = past
        past.marks = (0,)
        end = segments.end.sequence if segments.end is not None else 0
        assert end >= durable
        found = [position.sequence for each in past.kept for position, _ in past.entries(each)]
        if segments.start is not None:
            assert found == [*range(segments.start.sequence - len(found) + 1, segments.start.sequence + 1)]
        disk.steps_left = random.randrange(60)
        try:
            for _ in range(80):
                sizes = [random.choice((10, 900, 2500)) for _ in range(random.randint(1, 4))]
                segments.append(entries(end + 1, *sizes), Position(G, end))
                end += len(sizes)
                if random.random() < 0.6:
                    segments.sync()
                    durable = end
                    if random.random() < 0.5:
                        segments.trim(Position(G, random.randint(max(1, end - 4), end)))
        except Died:
            files.end()
            disk.steps_left = None
            disk.power_loss()


@pytest.mark.parametrize("seed", range(40))
def test_whatever_dies_when_what_is_kept_ends_where_the_journal_begins(seed: int) -> None:
    _lived(seed)
