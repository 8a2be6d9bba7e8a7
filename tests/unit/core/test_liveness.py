"""Signs of life and attempts to connect, in time."""

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
