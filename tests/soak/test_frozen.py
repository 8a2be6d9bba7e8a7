"""A thousand images of copies that kill -9 froze under load; a short form is in `tests/order`.

FARSHORE_SEED chooses other moments.
"""

import os
from pathlib import Path

import pytest

from tests.order.frozen import COPIES, far_sites, freeze, groups_of_four

IMAGES = 1000
_KILLS = 25
"""Between two reports."""


@pytest.mark.timeout(7200)
def test_a_thousand_frozen_images_are_prefixes(tmp_path: Path) -> None:
    first = int(os.environ.get("FARSHORE_SEED", "100"))
    images = 0
    with far_sites(tmp_path) as sites:
        groups = groups_of_four(sites)
        for seed in range(first, first + 2 * IMAGES // (_KILLS * len(COPIES) // 2)):
            if images >= IMAGES:
                break
            seen = freeze(sites, groups, kills=_KILLS, seed=seed)
            images += seen.images
            print(f"seed {seed}: {seen}", flush=True)
            assert seen.distinct == seen.images
    assert images >= IMAGES
