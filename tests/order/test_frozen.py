"""A copy that kill -9 froze: its volumes together are a state that the primary once had (B1 to B3)."""

import pytest

from tests.order.frozen import COPIES, FarSites, freeze, groups_of_four

KILLS = 18


@pytest.mark.timeout(300)
def test_a_copy_frozen_by_a_kill_is_a_prefix_across_its_volumes(sites: FarSites) -> None:
    seen = freeze(sites, groups_of_four(sites), kills=KILLS, seed=3)
    print(seen)
    assert seen.images >= 50
    assert sorted(seen.by_copy) == COPIES
    assert seen.distinct == seen.images  # else the moments were not under load
