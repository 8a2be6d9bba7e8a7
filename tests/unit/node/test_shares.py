"""A bound is used up, never exceeded, and nobody is starved by somebody who wants more."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.errors import FarshoreError
from farshore.node.paths import locate
from farshore.node.rates import Rates
from farshore.node.shares import Line, allot, divide
from farshore.settings.known import LEAST_RATE

MIB = 1 << 20


@given(
    st.floats(1e3, 1e10),
    st.dictionaries(st.integers(0, 50), st.floats(0, 1e12), min_size=1, max_size=20),
)
def test_shares_add_up_to_the_bound_and_none_is_small_where_another_is_large(
    total: float, demands: dict[int, float]
) -> None:
    shares = divide(total, demands)
    assert sum(shares.values()) == pytest.approx(total)
    assert min(shares.values()) > 0
    for each, share in shares.items():
        if share < demands[each] * 0.999:  # it gets less than it wants: then nobody gets much more
            assert all(other <= share * 1.001 + total / 20 for other in shares.values())


def test_those_who_want_little_get_it_and_the_rest_is_for_the_others() -> None:
    shares = divide(100.0, {"small": 10.0, "large": 500.0, "larger": 900.0})
    assert shares["small"] == pytest.approx(10.0)
    assert shares["large"] == shares["larger"] == pytest.approx(45.0)


def test_what_nobody_wants_is_there_for_whoever_begins() -> None:
    shares = divide(100.0, {"idle": 0.0, "busy": 20.0})
    assert shares["idle"] >= 40.0
    assert shares["busy"] >= 20.0


def test_groups_share_first_however_many_links_each_has() -> None:
    lines = [Line(f"a{number}", "a", "x", 1e9) for number in range(3)] + [Line("b", "b", "x", 1e9)]
    shares = allot(lines, 0, {"x": 6 * MIB})
    assert shares["b"] == 3 * MIB
    assert [shares[f"a{number}"] for number in range(3)] == [MIB] * 3


def test_the_narrower_of_two_bounds_counts_and_the_rest_of_the_wider_goes_to_others() -> None:
    lines = [Line("near", "a", "near", 1e9), Line("far", "b", "far", 1e9)]
    shares = allot(lines, 10 * MIB, {"far": MIB})
    assert shares["far"] == MIB
    assert 8.9 * MIB <= shares["near"] <= 9 * MIB
    assert allot(lines, 0, {"far": MIB})["near"] == 0


def test_without_a_bound_there_are_no_shares() -> None:
    assert allot([Line("l", "g", "p", 1e9)], 0, {"p": 0}) == {"l": 0}
    assert divide(100.0, {}) == {}


def test_bounds_outlive_the_node(tmp_path: Path) -> None:
    paths = locate(str(tmp_path))
    rates = Rates(paths)
    assert (rates.ever, rates.any, rates.bound("p")) == (False, False, 0)
    rates.set("p", LEAST_RATE)
    again = Rates(paths)
    assert (again.ever, again.any, again.bound("p")) == (True, True, LEAST_RATE)
    again.set("p", 0)
    assert (Rates(paths).ever, Rates(paths).any) == (True, False)


@pytest.mark.parametrize("rate", [-1, 1, LEAST_RATE - 1])
def test_a_bound_that_would_silence_every_link_is_refused(tmp_path: Path, rate: int) -> None:
    rates = Rates(locate(str(tmp_path)))
    with pytest.raises(FarshoreError) as caught:
        rates.set("p", rate)
    assert caught.value.code.name == "usage"
    assert not rates.ever


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    paths = locate(str(tmp_path))
    Rates(paths).set("p", LEAST_RATE)
    paths.node.with_name("rates.json").write_text('{"version": 1, "max_rate": [1]}')
    with pytest.raises(FarshoreError) as caught:
        Rates(paths)
    assert caught.value.code.name == "state-damaged"
