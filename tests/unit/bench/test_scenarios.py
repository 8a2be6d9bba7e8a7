"""What is measured is what the targets ask for."""

import pytest

from bench import scenarios
from bench.contenders.base import Room
from bench.contenders.known import contenders
from bench.contenders.sites import Sites
from bench.scenarios import SCENARIOS, Comparison, Scenario


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.name)
def test_a_comparison_is_between_contenders_of_its_scenario(scenario: Scenario) -> None:
    for comparison in scenario.comparisons:
        assert {comparison.left, comparison.right} <= set(scenario.contenders)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.name)
def test_every_contender_of_a_scenario_exists(scenario: Scenario) -> None:
    with Room.make(1 << 20) as room:
        assert set(scenario.contenders) <= set(contenders(room, Sites(room)))


def test_names_of_scenarios_are_unique_and_cover_the_first_five_targets() -> None:
    assert len({each.name for each in SCENARIOS}) == len(SCENARIOS)
    assert {each.family for each in SCENARIOS} == {"S1", "S2", "S3", "S4", "S5"}


def test_scenarios_are_chosen_by_family_or_by_name() -> None:
    assert [each.name for each in scenarios.chosen("S4", SCENARIOS)] == ["S4-4k", "S4-1m"]
    assert [each.name for each in scenarios.chosen("s1-flush, S2", SCENARIOS)] == ["S1-flush", "S2"]
    assert scenarios.chosen(None, SCENARIOS) == SCENARIOS


@pytest.mark.parametrize("words", ["S9", "S1,nonsense", "", ","])
def test_an_unknown_scenario_is_refused(words: str) -> None:
    with pytest.raises(ValueError, match="no scenario"):
        scenarios.chosen(words, SCENARIOS)


def test_a_target_is_met_at_its_bound() -> None:
    assert Comparison("a", "b", "iops", least=0.6).met(0.6) is True
    assert Comparison("a", "b", "iops", least=0.6).met(0.59) is False
    assert Comparison("a", "b", "mean_us", most=0.6).met(0.6) is True
    assert Comparison("a", "b", "mean_us", most=0.6).met(0.61) is False
    assert Comparison("a", "b", "iops").met(0.0) is None
