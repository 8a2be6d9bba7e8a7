"""Ratios are taken within a round, and what was not measured leaves a gap."""

from dataclasses import replace

import pytest

from bench.contenders.base import CannotStart
from bench.fio import Job, Measure
from bench.rounds import Effort, Entry, Lane, compare, play
from bench.scenarios import Comparison, Scenario

ONE = Measure(iops=1.0, bytes_per_second=1.0, mean_us=1.0, p50_us=1.0, p99_us=1.0, p999_us=1.0)


def entry(name: str, *iops: float | None) -> Entry:
    return Entry(name, name, [None if each is None else replace(ONE, iops=each) for each in iops])


def test_ratios_are_taken_round_by_round_so_that_a_slow_minute_hits_both_sides() -> None:
    verdict = compare(
        Comparison("a", "b", "iops", least=2), [entry("a", 200, 20, 210), entry("b", 100, 10, 100)]
    )
    assert verdict.ratios == pytest.approx((2.0, 2.0, 2.1))
    assert verdict.median == pytest.approx(2.0)
    assert verdict.met is True


def test_a_failed_round_is_left_out_on_both_sides() -> None:
    verdict = compare(Comparison("a", "b", "iops"), [entry("a", 10, None, 30), entry("b", 10, 10, None)])
    assert verdict.ratios == (1.0,)


def test_nothing_measured_is_neither_met_nor_missed() -> None:
    verdict = compare(Comparison("a", "b", "iops", least=1), [entry("a"), entry("b", 10)])
    assert (verdict.median, verdict.met) == (None, None)


def test_rounds_in_which_the_queue_grew_do_not_count_where_steadiness_is_asked_for() -> None:
    steady = replace(ONE, iops=8.0, queued_early=100, queued_late=100)
    growing = replace(ONE, iops=99.0, queued_early=100, queued_late=101)
    left = Entry("a", "a", [steady, growing, replace(steady, iops=6.0)])
    verdict = compare(Comparison("a", "b", "iops", steady=True), [left, entry("b", 10, 10, 10)])
    assert verdict.ratios == pytest.approx((0.8, 0.6))
    assert verdict.unsteady == 1


class Broken:
    """A contender that never comes up."""

    name = "broken"
    label = "Broken"

    def __init__(self) -> None:
        self.starts = 0
        self.stops = 0

    def start(self) -> str:
        self.starts += 1
        raise CannotStart("it is not installed")

    def stop(self) -> None:
        self.stops += 1

    def queued_bytes(self) -> int | None:
        return None

    def settle(self) -> None:
        return


def test_a_contender_that_cannot_start_is_reported_tried_once_and_cleaned_up() -> None:
    broken = Broken()
    scenario = Scenario("S0", "none", Job(4096, 1), ("broken",), ())
    with Lane({"broken": broken}).open() as lane:
        for _ in range(2):
            result = play(scenario, lane, Effort(3, 1.0, 1 << 20), lambda _: None)
            assert result.entries[0].reason == "it is not installed"
            assert result.entries[0].rounds == []
    assert broken.starts == 1
    assert broken.stops >= 1
