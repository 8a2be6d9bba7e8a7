"""How long requests are held, when a device has failed, and how it comes back."""

import pytest

from farshore.device.standing import LONGEST_PAUSE, Standing, State


def _attached(hold: float = 10.0) -> Standing:
    standing = Standing(hold, 0.0)
    standing.back(1.0)
    return standing


def test_it_waits_for_its_first_engine() -> None:
    standing = Standing(10.0, 0.0)
    assert standing.state is State.WAITING
    standing.back(1.0)
    assert (standing.state, standing.since, standing.reconnects) == (State.ATTACHED, 1.0, 0)


def test_the_first_try_is_made_at_once_and_the_pauses_grow_to_a_second() -> None:
    standing = _attached()
    pauses = [standing.away(2.0, "gone") for _ in range(8)]
    assert pauses == [0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    standing.back(4.0)
    assert standing.away(5.0, "gone") == 0.0


def test_what_is_held_too_long_fails_once() -> None:
    standing = _attached(hold=10.0)
    standing.away(5.0, "gone")
    standing.away(14.9, "it does not run")
    assert standing.since == 5.0
    assert not standing.overdue(14.9)
    assert standing.overdue(15.0)
    assert not standing.overdue(16.0)
    assert standing.state is State.FAILED
    assert standing.why == "the engine was away for longer than 10 s (it does not run)"


def test_an_engine_that_comes_back_in_time_ends_the_wait() -> None:
    standing = _attached(hold=10.0)
    standing.away(5.0, "gone")
    standing.back(14.0)
    assert not standing.overdue(100.0)
    standing.away(101.0, "gone again")
    assert not standing.overdue(105.0)
    assert standing.overdue(111.0)
    assert standing.reconnects == 1


def test_an_engine_that_comes_back_too_late_ends_the_failure() -> None:
    standing = _attached(hold=1.0)
    standing.away(5.0, "gone")
    assert standing.overdue(6.0)
    assert standing.away(7.0, "still gone") <= LONGEST_PAUSE
    assert standing.state is State.FAILED
    standing.back(8.0)
    assert (standing.state, standing.why) == (State.ATTACHED, "")


@pytest.mark.parametrize("attached", [True, False])
def test_another_volume_is_a_failure_at_once(attached: bool) -> None:
    standing = _attached() if attached else Standing(10.0, 0.0)
    assert standing.unfit(5.0, "another volume answers") == LONGEST_PAUSE
    assert standing.state is State.FAILED
    standing.away(6.0, "the engine does not run")
    assert standing.why == "another volume answers"
    assert not standing.overdue(1000.0)
    standing.back(1001.0)
    assert standing.state is State.ATTACHED
