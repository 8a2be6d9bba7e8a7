"""A thousand looks at copies that were made to stand still under load (rule B3)."""

import pytest

from tests.cluster import Cluster
from tests.fault.bench import prefix_subjects
from tests.fault.prefixes import check_prefixes

LOOKS = 1000


@pytest.mark.timeout(7200)
def test_a_copy_is_a_prefix_at_a_thousand_moments(nodes: Cluster) -> None:
    subjects, images, distinct = prefix_subjects(nodes), 0, 0
    for seed in range(LOOKS // 50):
        seen = check_prefixes(nodes, subjects, checks=25, seed=seed)
        images, distinct = images + seen.images, distinct + seen.distinct
        print(f"seed {seed}: {seen}", flush=True)
    assert images == LOOKS
    assert distinct > LOOKS // 2
