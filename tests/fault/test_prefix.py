"""A copy that is made to stand still under load is a state that its primary once had (rule B3)."""

from tests.cluster import Cluster
from tests.fault.bench import prefix_subjects
from tests.fault.prefixes import check_prefixes


def test_a_copy_is_a_prefix_of_what_was_written_at_any_moment(nodes: Cluster) -> None:
    seen = check_prefixes(nodes, prefix_subjects(nodes), checks=25, seed=7)
    print(seen)
    assert seen.images == 50
    # Else the moments were not under load, or the copies never lay behind.
    assert seen.distinct > 25
