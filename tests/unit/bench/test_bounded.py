"""What is computed of the figures that are held against a bound."""

from dataclasses import replace

import pytest

from bench import report, scenarios
from bench.bounded import devices, page
from bench.bounded.further import further
from bench.bounded.known import BOUNDED, Bounded
from bench.bounded.outcome import Outcome, Row
from bench.bounded.plan import Bursts, Sample, used_while_queued, written_at
from bench.bounded.processors import halves
from bench.bounded.turns import play
from bench.contenders.base import CannotStart, Unfair
from bench.fio import Measure
from bench.rounds import Effort
from tests.unit.bench.test_report import session

EFFORT = Effort(3, 1.0, 1 << 20)


def test_a_burst_has_a_second_of_writes_in_a_third_of_it() -> None:
    plan = Bursts(300)
    assert plan.due(0.0) == 1
    assert plan.due(1 / 6) == 151
    assert plan.due(0.5) == plan.due(0.99) == 300
    assert plan.due(1.5) == 600


def test_a_write_is_due_at_its_moment_and_not_before() -> None:
    plan = Bursts(2594)
    for number in (1, 77, 2593, 2594, 6000):
        assert plan.due(plan.at(number) + 1e-9) == number + 1
        assert plan.due(plan.at(number) - 1e-6) == number


def test_use_of_the_line_counts_only_while_more_waits_than_the_line_holds_itself() -> None:
    samples = [
        Sample(0.0, 0, 0),
        Sample(1.0, 5000, 500),
        Sample(2.0, 5000, 1500),
        Sample(3.0, 5000, 2300),
        Sample(4.0, 5000, 4900),
        Sample(5.0, 5000, 5000),
    ]
    assert used_while_queued(samples, rate=1000, under_way=1000) == pytest.approx((1000 + 800) / 2000)


def test_without_a_queue_there_is_no_figure_for_the_line() -> None:
    assert used_while_queued([Sample(0.0, 0, 0), Sample(1.0, 500, 0)], rate=1000, under_way=1000) is None
    assert used_while_queued([], rate=1000, under_way=1000) is None


def test_what_was_written_is_read_between_the_points_of_the_timeline() -> None:
    timeline = [(10.0, 0), (12.0, 200), (13.0, 200), (14.0, 300)]
    assert [written_at(timeline, at) for at in (9.0, 11.0, 12.5, 13.5, 99.0)] == [0, 100, 200, 250, 300]


def test_a_further_link_may_cost_five_microseconds_or_two_fifths_of_the_first() -> None:
    rows = {(row.who, row.bound): row for row in further("sync", [(10, 20, 24, 34), (10, 40, 46, 58)])}
    assert rows["sync, link 1", ""].values == (10, 30)
    assert rows["sync, link 2", "≤ 1"].values == pytest.approx((4 / 5, 6 / 12))
    assert rows["sync, link 3", "≤ 1"].values == pytest.approx((10 / 5, 12 / 12))
    assert rows["sync, link 3", "≤ 1"].met is False
    assert further("sync", []) == []


def test_both_sides_have_processors_of_their_own_where_there_are_two() -> None:
    assert halves({4, 7}) == ({4}, {7})
    assert halves({0, 1, 2}) == ({0, 1}, {2})
    assert halves({3}) == ({3}, {3})


class Party:
    """Gives what it was given; an exception is raised."""

    def __init__(self, *gives: float | Exception) -> None:
        self._gives = list(gives)

    def start(self) -> None:
        if not self._gives:
            raise CannotStart("it is not there")

    def run(self, seconds: float) -> float:
        found = self._gives.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


def test_a_round_that_failed_is_a_gap_with_a_reason_and_no_figure() -> None:
    parties = {"a": Party(0, 1, Unfair("it fell"), 3), "b": Party(0, 10, 20, 30), "c": Party()}
    turns = play(parties, EFFORT, lambda _: None)
    assert turns.rounds == {"a": [1, None, 3], "b": [10, 20, 30]}
    assert turns.gaps == ("c: it is not there", "a: it fell")
    assert turns.together("a", "b") == [(1, 10), (3, 30)]
    assert turns.together("a", "c") == []
    assert [row.values for row in turns.row("a", "x", float)] == [(1, 3)]
    assert turns.row("c", "x", float) == []


def outcome() -> Outcome:
    rows = (Row("us", "IOPS", (900.0, 1000.0, 960.0), least=950), Row("us", "p99 µs", (2.0, 1.0, 3.0)))
    return Outcome("S7", "far away", rows, ("us, TLS: it fell",))


def test_the_median_is_judged_and_what_is_missing_is_not_met() -> None:
    whole = replace(outcome(), gaps=())
    assert whole.met
    assert not outcome().met
    assert not replace(whole, rows=whole.rows[1:]).met
    assert Row("us", "x", (1.0, 9.0, 2.0), most=1.9).met is False
    assert Row("us", "x", (1.0, 9.0, 1.9), most=1.9).met is True


def test_page_terminal_and_document_show_the_same_rows() -> None:
    shown = report.page(replace(session(), outcomes=(outcome(),)))
    assert "## S7: far away" in shown
    assert "| us | IOPS | ≥ 950 | 960.0 | 900.0–1,000 | yes |" in shown
    assert "- us, TLS: it fell" in shown
    assert "us, TLS: it fell" in page.text(outcome())
    kept = report.document(replace(session(), outcomes=(outcome(),)))["bounded"][0]
    assert (kept["rows"][0]["median"], kept["rows"][0]["met"]) == (960.0, True)
    assert kept["gaps"] == ("us, TLS: it fell",)


def test_bounded_scenarios_are_chosen_like_the_others() -> None:
    every: tuple[scenarios.Scenario | Bounded, ...] = (*scenarios.SCENARIOS, *BOUNDED)
    assert [each.name for each in BOUNDED] == ["S6", "S7", "S8", "S-device"]
    assert [each.name for each in scenarios.chosen("s6,S2", every)] == ["S2", "S6"]


def test_a_device_is_compared_round_by_round() -> None:
    measures = [Measure(iops, iops * 4096, 100.0, 0, 0, 0) for iops in (300.0, 100.0, 50.0)]
    rounds: list[tuple[Measure, ...]] = [(measures[0], measures[1]), (measures[2], measures[1])]
    (row,) = devices.beside(devices.LOADS[0], rounds)
    assert row.values == (3.0, 0.5)
    assert row.met is None
    assert devices.beside(devices.LOADS[0], []) == []
