"""Lag is measured by one clock, never too small, and nobody is told of it twice."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.core.lag import MOST_SAMPLES, SPACING, Lag, Timeline
from farshore.model.options import LinkState
from tests.unit.core.pair import ASYNC, Pair, Wish
from tests.unit.core.scenes import CONTENT

WALL = 1_000_000.0


def _written(times: list[float], size: int = 100) -> Timeline:
    """One write at each of these times, the first with sequence 1."""
    timeline = Timeline()
    for number, now in enumerate(times):
        timeline.issued(number, size, now, WALL + now)
    return timeline


def test_a_peer_that_has_everything_is_not_behind() -> None:
    assert _written([1.0, 2.0]).behind(2, 2, 50.0, WALL + 50.0) == Lag(0.0, 0, 0)
    assert Timeline().behind(7, 7, 50.0, WALL) == Lag(0.0, 0, 0)


def test_the_oldest_write_that_is_missing_counts() -> None:
    timeline = _written([1.0, 2.0, 4.0])
    assert timeline.behind(0, 3, 5.0, WALL + 5.0) == Lag(4.0, 3, 300)
    assert timeline.behind(1, 3, 5.0, WALL + 5.0) == Lag(3.0, 2, 200)
    assert timeline.behind(2, 3, 5.0, WALL + 5.0) == Lag(1.0, 1, 100)


def test_a_clock_that_is_set_back_does_not_hide_a_lag() -> None:
    assert _written([1.0]).behind(0, 1, 61.0, WALL - 3600.0).seconds == 60.0


def test_the_time_in_which_the_machine_was_suspended_counts() -> None:
    assert _written([1.0]).behind(0, 1, 2.0, WALL + 3601.0).seconds == pytest.approx(3600.0)


def test_what_was_written_before_this_run_has_no_known_age() -> None:
    timeline = Timeline()
    timeline.issued(10, 100, 1.0, WALL)
    assert timeline.behind(4, 11, 2.0, WALL) == Lag(None, 7, 100)
    assert Timeline().behind(4, 11, 2.0, WALL).seconds is None


@given(
    st.lists(st.floats(0.0, 0.02), min_size=1, max_size=60),
    st.integers(0, 60),
    st.floats(0.0, 5.0),
)
def test_a_lag_is_never_too_small_and_hardly_too_large(gaps: list[float], applied: int, later: float) -> None:
    times, now = [], 0.0
    for gap in gaps:
        now += gap
        times.append(now)
    applied, now = min(applied, len(times) - 1), now + later
    found = _written(times).behind(applied, len(times), now, WALL + now)
    truth = now - times[applied]
    assert found.seconds is not None
    assert truth - 1e-6 <= found.seconds <= truth + SPACING + 1e-6
    assert found.writes == len(times) - applied
    assert found.size == 100 * found.writes


def test_a_long_outage_takes_no_more_memory_and_stays_roughly_right() -> None:
    timeline, now = Timeline(), 0.0
    for number in range(20 * MOST_SAMPLES):
        now = number * 0.1
        timeline.issued(number, 100, now, WALL + now)
    newest = 20 * MOST_SAMPLES
    assert len(timeline._now) <= MOST_SAMPLES
    for applied in (0, newest // 3, newest // 2, newest - 100, newest - 1):
        truth, found = now - applied * 0.1, timeline.behind(applied, newest, now, WALL + now)
        assert found.seconds is not None
        assert truth - 0.001 <= found.seconds <= 1.02 * now
        assert found.size == pytest.approx(100 * (newest - applied), rel=0.01)
        if newest - applied < 1000:
            assert found.seconds == pytest.approx(truth, abs=0.2)


def _notes(pair: Pair, kind: str) -> list[dict[str, object]]:
    return [note.fields for note in pair.near.notes if note.kind == kind]


def test_the_journal_is_told_once_that_a_link_is_behind_and_once_that_it_has_caught_up() -> None:
    pair = Pair(Wish(links=(replace(ASYNC, rpo=0.1),), content=CONTENT))
    pair.replicating()
    pair.line.room = 0
    pair.write(0)
    pair.turn(20)
    (told,) = _notes(pair, "link-behind")
    assert told["rpo_seconds"] == 0.1
    assert _notes(pair, "link-within-rpo") == []
    pair.line.room = None
    pair.turn(20)
    assert pair.feeder.state is LinkState.REPLICATING
    assert len(_notes(pair, "link-behind")) == len(_notes(pair, "link-within-rpo")) == 1
