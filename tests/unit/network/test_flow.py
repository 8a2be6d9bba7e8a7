"""When bytes of one direction may be delivered, and how many may be under way."""

import pytest

from tests.network.flow import LARGEST_READ, MOST_PIECES, Flow, Shape, Way


def test_delay_holds_every_byte_back_by_the_same_time() -> None:
    flow = Flow(Shape(delay=0.05), 1 << 20)
    flow.take(b"one", 10.0)
    flow.take(b"two", 10.02)
    assert flow.arrived(10.049) == []
    assert flow.arrived(10.05) == [b"one"]
    assert flow.arrived(10.07) == [b"one", b"two"]
    assert flow.wakes_at(10.0) == pytest.approx(10.05)


def test_a_shorter_delay_does_not_let_bytes_overtake() -> None:
    shape = Shape(delay=1.0)
    flow = Flow(shape, 1 << 20)
    flow.take(b"old", 0.0)
    shape.delay = 0.0
    flow.take(b"new", 0.1)
    assert flow.arrived(0.5) == []
    assert flow.arrived(1.0) == [b"old", b"new"]


def test_rate_is_shared_by_all_flows_of_a_direction() -> None:
    shape = Shape(rate=1000.0)
    first, second = Flow(shape, 1 << 20), Flow(shape, 1 << 20)
    first.take(bytes(500), 0.0)
    second.take(bytes(500), 0.0)
    assert first.arrived(0.5)
    assert not second.arrived(0.99)
    assert second.arrived(1.0)


def test_an_idle_line_does_not_save_up_its_rate() -> None:
    flow = Flow(Shape(rate=1000.0), 1 << 20)
    flow.take(bytes(100), 50.0)
    assert not flow.arrived(50.09)
    assert flow.arrived(50.1)


def test_a_shaped_line_takes_in_no_more_than_it_soon_sends() -> None:
    shape = Shape(rate=1_000_000.0)
    flow = Flow(shape, 64 << 20)
    taken = 0
    while room := flow.room(0.0):
        flow.take(bytes(room), 0.0)
        taken += room
    assert 40_000 < taken < 60_000
    wakes = flow.wakes_at(0.0)
    assert wakes is not None
    assert wakes > 0
    assert flow.room(wakes) > 0


def test_what_is_held_is_bounded_and_the_bound_is_given_back() -> None:
    flow = Flow(Shape(delay=1.0), 1 << 20)
    while room := flow.room(0.0):
        flow.take(bytes(min(room, 4096)), 0.0)
    pieces = flow.arrived(1.0)
    assert len(pieces) == MOST_PIECES
    flow.delivered(sum(map(len, pieces)))
    assert flow.room(1.0) == MOST_PIECES * (4096 + 128) or flow.room(1.0) > 200_000


def test_a_piece_that_was_sent_in_part_goes_on_where_it_stopped() -> None:
    flow = Flow(Shape(), 1 << 20)
    flow.take(b"abcdef", 0.0)
    flow.take(b"ghi", 0.0)
    flow.delivered(4)
    assert flow.arrived(0.0) == [b"ef", b"ghi"]
    flow.delivered(5)
    assert flow.empty
    assert flow.shape.delivered == 9


def test_a_stalled_direction_takes_and_gives_nothing() -> None:
    shape = Shape()
    flow = Flow(shape, 1 << 20)
    flow.take(b"under way", 0.0)
    shape.way = Way.STALLED
    assert flow.room(1.0) == 0
    assert flow.arrived(1.0) == []
    assert flow.wakes_at(1.0) is None
    shape.way = Way.OPEN
    assert flow.arrived(1.0) == [b"under way"]


def test_a_swallowing_direction_takes_everything_and_gives_nothing() -> None:
    flow = Flow(Shape(way=Way.SWALLOWED), 1024)
    assert flow.room(0.0) == LARGEST_READ
    assert flow.arrived(0.0) == []
