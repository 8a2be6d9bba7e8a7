"""Marks of queued frames: never gone before their acknowledgement, all gone behind the last one."""

import random

from farshore.core.geometry import PAGE_BITS, Geometry
from farshore.core.queued_marks import QueuedMarks
from farshore.core.scoreboard import BoardImage, Scoreboard
from farshore.model.positions import Position
from farshore.model.volumes import WRITE, Operation

REGION = 4096
GEOMETRY = Geometry({1: 100 * REGION, 2: 30 * REGION - 7}, REGION, 4 * REGION)


def write(region: int, volume: int = 1) -> list[Operation]:
    return [(volume, WRITE, region * REGION, 512)]


def test_a_mark_never_falls_before_the_frame_is_durable_and_all_fall_in_the_end() -> None:
    chance = random.Random(3)
    marks, newest, durable = QueuedMarks(GEOMETRY), {}, 0
    for sequence in range(1, 400):
        region = chance.randrange(100)
        marks.mark(write(region), sequence)
        newest[region] = sequence
        durable = max(durable, chance.randrange(sequence + 1) - 20)
        marks.acknowledge(durable)
        needed = {(1, each) for each, last in newest.items() if last > durable}
        assert needed <= set(marks.regions())
    marks.acknowledge(399)
    assert not marks
    assert set(marks.regions()) == set()


def test_marks_fall_bit_by_bit_beside_a_load_that_never_stops() -> None:
    marks = QueuedMarks(GEOMETRY)
    most = 0
    for sequence in range(1, 1000):
        marks.mark(write(sequence % 100), sequence)
        marks.acknowledge(sequence - 10)
        most = max(most, marks.count())
    assert most <= 40


def test_what_changed_is_told_by_pages() -> None:
    size = 3 * PAGE_BITS * REGION
    marks = QueuedMarks(Geometry({1: size}, REGION, 4 * REGION))
    marks.mark(write(PAGE_BITS + 1), 5)
    assert marks.changed == {(1, 1)}
    marks.changed.clear()
    marks.acknowledge(5)
    assert marks.changed == {(1, 1)}


def test_a_scoreboard_counts_shows_and_writes_them() -> None:
    board = Scoreboard(GEOMETRY, BoardImage(Position(b"g" * 16, 0), b"p" * 16, {}))
    board.pages()
    board.spooled.mark([*write(3), *write(29, 2)], 7)
    assert board.dirty_bytes() == REGION + REGION - 7
    assert list(board.dirty_extents((1, 0, 6 * REGION))) == [
        (3 * REGION, False),
        (REGION, True),
        (2 * REGION, False),
    ]
    pages = {(name, volume): data for name, volume, _, data in board.pages()}
    assert pages["dirty", 1][0] == 1 << 3
    assert pages["dirty", 2][3] == 1 << 5
    board.spooled.acknowledge(7)
    assert board.dirty_bytes() == 0
    assert {data for *_, data in board.pages()} == {bytes(4080)}


def test_a_dropped_queue_leaves_ordinary_marks() -> None:
    board = Scoreboard(GEOMETRY, BoardImage(Position(b"g" * 16, 0), b"p" * 16, {}))
    board.spooled.mark(write(3), 7)
    board.keep_queued()
    assert not board.spooled
    assert board.dirty.bits[1].find(1) == 3
    board.adopt_spooled(7)
    assert not board.dirty.any()
    assert set(board.spooled.regions()) == {(1, 3)}
