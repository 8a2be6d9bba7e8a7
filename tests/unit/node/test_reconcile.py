"""What is done about an engine, for every combination of what is wanted and what is seen."""

import itertools

import pytest

from farshore.node import reconcile
from farshore.node.reconcile import Adopt, AskStop, Done, Kill, Seen, Start, Step, Wait, decide

NOW = 0.0


@pytest.mark.parametrize(
    ("wanted", "seen", "step"),
    [
        (True, Seen(None), Start()),
        (True, Seen(7), Adopt(7)),
        (True, Seen(7, watched=True), Wait()),
        (True, Seen(None, failures=1, ended=NOW), Start()),
        (True, Seen(None, failures=2, ended=NOW), Wait(0.2)),
        (True, Seen(None, failures=2, ended=NOW - 0.2), Start()),
        (True, Seen(None, failures=99, ended=NOW), Wait(5.0)),
        (False, Seen(None), Done()),
        (False, Seen(7), Adopt(7)),
        (False, Seen(7, watched=True), AskStop()),
        (False, Seen(7, watched=True, stop_asked=NOW), Wait(reconcile.STOP_SECONDS)),
        (False, Seen(7, watched=True, stop_asked=NOW - reconcile.STOP_SECONDS), Kill(7)),
        (False, Seen(7, watched=True, stop_asked=NOW - reconcile.STOP_SECONDS, needed=True), Wait()),
    ],
)
def test_the_next_step(wanted: bool, seen: Seen, step: Step) -> None:
    assert decide(wanted, seen, NOW) == step


def test_an_engine_is_never_started_beside_one_that_holds_the_directory() -> None:
    times = (None, NOW - 100, NOW)
    for wanted, watched, failures, ended, asked in itertools.product((0, 1), (0, 1), (0, 1, 5), times, times):
        seen = Seen(7, bool(watched), failures, ended, asked)
        assert not isinstance(decide(bool(wanted), seen, NOW), Start)


def test_a_steady_engine_starts_anew_and_a_dying_one_is_given_pauses() -> None:
    failures, pauses = 0, []
    for _ in range(8):
        failures = reconcile.failures_after_end(failures, 0.5)
        pauses.append(reconcile.pause(failures))
    assert pauses == [0.0, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert reconcile.failures_after_end(failures, None) == failures + 1
    assert reconcile.pause(reconcile.failures_after_end(failures, reconcile.STEADY_SECONDS)) == 0.0
