"""Signs of life and attempts to connect, in time."""

import pytest

from farshore.core.liveness import Liveness, Retry
from farshore.model.messages import Heartbeat
from farshore.model.options import Timing

TIMING = Timing(beat=1.0, limit=5.0, first_retry=0.2, last_retry=1.0)


def test_a_peer_is_silent_beyond_the_limit_and_any_byte_counts() -> None:
    life = Liveness(TIMING, 10.0)
    assert not life.silent(15.0)
    assert life.silent(15.1)
    life.heard(14.0)
    assert not life.silent(19.0)


def test_our_own_stall_is_not_the_peers() -> None:
    life = Liveness(TIMING, 10.0)
    life.stalled(60.0)
    assert not life.silent(75.0)


def test_an_answer_may_take_longer_than_a_sign_of_life_and_not_for_ever() -> None:
    life = Liveness(TIMING, 10.0)
    assert not life.owing(1000.0), "nothing was asked"
    life.asked(10.0)
    life.heard(70.0)
    assert not life.owing(70.0)
    assert life.owing(70.1)
    life.stalled(10.0)
    assert not life.owing(80.0)
    life.answered()
    assert not life.owing(1000.0)


def test_a_heartbeat_is_due_once_a_beat() -> None:
    life = Liveness(TIMING, 10.0)
    beats = [life.beat(10.0 + n * 0.25) for n in range(9)]
    assert [beat is not None for beat in beats] == [False] * 4 + [True] + [False] * 3 + [True]


def test_an_echo_comes_back_at_once_and_gives_the_round_trip() -> None:
    near, far = Liveness(TIMING, 0.0), Liveness(TIMING, 500.0)
    beat = near.beat(1.0)
    assert beat is not None
    echo = far.take(beat, 501.0)
    assert echo is not None
    assert near.take(echo, 1.25) is None
    assert near.rtt == 0.25
    assert far.rtt is None


def test_a_heartbeat_without_a_clock_needs_no_answer() -> None:
    assert Liveness(TIMING, 0.0).take(Heartbeat(0, 0), 1.0) is None


def test_attempts_are_spaced_by_a_pause_that_doubles_up_to_a_bound() -> None:
    retry, now, pauses = Retry(TIMING), 0.0, []
    assert retry.due(now)
    for _ in range(5):
        retry.failed(now)
        pause = next(n / 100 for n in range(1000) if retry.due(now + n / 100))
        pauses.append(pause)
        now += pause
    assert pauses == [0.2, 0.4, 0.8, 1.0, 1.0]
    retry.succeeded()
    retry.failed(now)
    assert retry.due(now + 0.2)


def test_news_of_the_peer_means_to_try_at_once() -> None:
    retry = Retry(TIMING)
    retry.failed(50.0)
    retry.at_once()
    assert retry.due(50.0)


def _meet(near: Liveness, far: Liveness, way: tuple[float, float, float], ahead: float) -> None:
    """One heartbeat at `near`'s time way[0], whose echo is there way[1] later and back another way[2] later;
    the far end's clock is `ahead`."""
    began, there, back = way
    beat = Heartbeat(int(began * 1e9))
    echo = far.take(beat, began + there, 1e6 + began + there + ahead)
    assert echo is not None
    near.take(echo, began + there + back, 1e6 + began + there + back)


def test_an_echo_tells_by_how_much_the_clocks_differ() -> None:
    near, far = Liveness(TIMING, 0.0), Liveness(TIMING, 0.0)
    assert near.clock_difference is None
    _meet(near, far, (1.0, 0.02, 0.02), 90.0)
    assert near.clock_difference is not None
    assert abs(near.clock_difference - 90.0) < 0.001
    assert near.clock_uncertainty == pytest.approx(0.02)


def test_an_echo_that_was_held_up_on_one_way_does_not_spoil_what_a_quick_one_has_told() -> None:
    near, far = Liveness(TIMING, 0.0), Liveness(TIMING, 0.0)
    _meet(near, far, (1.0, 0.02, 0.02), -5.0)
    _meet(near, far, (2.0, 8.0, 0.02), -5.0)
    assert near.clock_difference is not None
    assert abs(near.clock_difference + 5.0) < 0.001
    assert near.rtt is not None
    assert near.rtt > 8.0


def test_a_clock_that_was_set_is_seen_before_long() -> None:
    near, far = Liveness(TIMING, 0.0), Liveness(TIMING, 0.0)
    _meet(near, far, (1.0, 0.02, 0.02), 0.0)
    for second in range(2, 40):
        _meet(near, far, (float(second), 0.03, 0.03), 600.0)
    assert near.clock_difference is not None
    assert abs(near.clock_difference - 600.0) < 0.001
