"""All short lives of two and of three copies: no rule about who is newer is broken in any state that they
reach, and from each of them every copy that can be kept brings the others back to what it holds."""

import pytest

from farshore.model.options import Apply, LinkOptions, Mode
from tests.explorer.events import SYNC, RuleBroken
from tests.explorer.variants import VARIANTS
from tests.explorer.walk import (
    Walk,
    pair_following,
    pair_in_step,
    pair_interrupted,
    pair_parted,
    three_in_step,
)
from tests.long_form import LONG

ASYNC = LinkOptions(mode=Mode.ASYNC, apply=Apply.JOURNAL)


STARTS = {
    "in step": pair_in_step,
    "both wrote": pair_parted,
    "the former primary follows": pair_following,
    "in the middle of a resync": pair_interrupted,
}
MORE = 1 if LONG else 0


@pytest.mark.parametrize("start", STARTS)
def test_d_no_short_life_of_two_copies_breaks_a_rule(start: str) -> None:
    walk = Walk(SYNC)
    walk.all(STARTS[start](), 2 + MORE)
    assert walk.states > 100, "the walk has not gone anywhere"
    assert walk.refused, "nothing was ever refused"


@pytest.mark.parametrize("start", STARTS)
def test_d_nor_behind_a_journal(start: str) -> None:
    walk = Walk(ASYNC)
    walk.all(STARTS[start](ASYNC), 1 + MORE)
    assert walk.states > 10


def test_d_no_short_life_of_three_copies_breaks_a_rule() -> None:
    walk = Walk(SYNC)
    walk.all(three_in_step(), 1 + MORE)
    assert walk.states > 20


@pytest.mark.parametrize("name", VARIANTS)
def test_a_broken_variant_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    starts = [start() for start in STARTS.values()]
    VARIANTS[name](monkeypatch)
    with pytest.raises(RuleBroken):
        for depth in (1, 2):
            for start in starts:
                Walk().all(start, depth)
