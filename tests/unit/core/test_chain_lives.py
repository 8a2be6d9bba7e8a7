"""Short lives of a chain, drawn from seeds: rules A1 and B6 hold on the hop after every turn, and when the
faults stop all three copies are equal (rule F2)."""

import pytest

from tests.long_form import LONG
from tests.unit.core.chain_life import Life

LIVES = 20_000 if LONG else 120
_STEPS = 60


@pytest.mark.parametrize("first", range(1, LIVES, 10))
def test_f2_every_life_of_a_chain_ends_in_three_equal_copies(first: int) -> None:
    for seed in range(first, first + 10):
        life = Life(seed)
        try:
            for _ in range(_STEPS):
                life.step()
            life.end()
        except AssertionError as broken:
            raise AssertionError(f"seed {seed}: {broken}") from broken
