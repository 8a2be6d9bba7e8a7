"""Doctor tells clocks apart from slow lines."""

import pytest

from farshore.node import doctor


def test_exports_that_are_not_served_are_found_with_what_ends_that() -> None:
    entry = {"not_exported": [{"address": "192.0.2.1:10809", "why": "it is not at this host"}]}
    (found,) = doctor.not_served("orders", entry)
    assert (found["name"], found["result"]) == ("export of orders", "warn")
    assert "192.0.2.1:10809 is not served: it is not at this host" in found["text"]
    assert found["next"].endswith("farshore export delete orders --tcp 192.0.2.1:10809")
    assert doctor.not_served("orders", {}) == doctor.not_served("orders", {"not_exported": []}) == []


@pytest.mark.parametrize(
    ("told", "took", "result", "word"),
    [
        (1000.05, 0.1, "ok", "0.0 s"),
        (1001.9, 0.0, "ok", "ahead"),
        (1030.0, 0.1, "warn", "30.0 s ahead"),
        (970.0, 0.1, "warn", "behind"),
        (1003.0, 4.0, "ok", "give or take 2.0 s"),
        (1007.0, 4.0, "warn", "5.0 s ahead"),
        (None, 0.1, "ok", "earlier version"),
        ("soon", 0.1, "ok", "earlier version"),
    ],
)
def test_a_clock_is_off_by_more_than_the_line_may_account_for(
    told: object, took: float, result: str, word: str
) -> None:
    found = doctor.clock("b", {"time": told}, 1000.0, took)
    assert (found["name"], found["result"]) == ("clock of b", result)
    assert word in found["text"]
    assert bool(found["next"]) == (result == "warn")
