"""A copy that kill -9 froze: its volumes together are a state that the primary once had (B1, B3)."""

from tests.cluster import Cluster
from tests.order.frozen import KINDS, freeze, groups_of_four

KILLS = 25


def test_a_copy_frozen_by_a_kill_is_a_prefix_across_its_volumes(sites: Cluster) -> None:
    seen = freeze(sites, groups_of_four(sites), kills=KILLS, seed=3)
    print(seen)
    assert seen.images >= 50
    assert seen.by_name.keys() == KINDS.keys()
    assert seen.distinct == seen.images  # else the moments were not under load
    assert seen.behind > KILLS // 2  # else nothing was on its way
