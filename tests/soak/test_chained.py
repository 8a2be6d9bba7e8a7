"""Hours of a chain whose middle and end die again and again; a short form is in `tests/order`.

FARSHORE_SEED chooses other moments.
"""

import os
from pathlib import Path

import pytest

from tests.order.chained import besiege, chain_sites

IMAGES = 200
_ROUNDS = 20
"""Between two reports."""


@pytest.mark.timeout(7200)
def test_the_last_copy_of_a_chain_is_a_prefix_two_hundred_times(tmp_path: Path) -> None:
    first = int(os.environ.get("FARSHORE_SEED", "500"))
    images = 0
    with chain_sites(tmp_path) as sites:
        for seed in range(first, first + 4 * IMAGES // _ROUNDS):
            if images >= IMAGES:
                break
            seen = besiege(sites, rounds=_ROUNDS, seed=seed)
            images += seen.images
            print(f"seed {seed}: {seen}", flush=True)
    assert images >= IMAGES
