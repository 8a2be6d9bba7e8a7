"""The long form of rule E7: passes under load on links of every kind, over more and more differences."""

import random

import pytest

from tests.cluster import MakeCluster
from tests.outage.writing import Writing
from tests.verify.test_online import REGION, SIZE, WRITTEN, found, made, pieces, plant

PASSES = 40


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("link", [{"mode": "sync"}, {"mode": "sync", "apply": "journal"}, {"mode": "async"}])
def test_passes_under_load_report_what_was_planted_and_nothing_else(
    cluster: MakeCluster, link: dict[str, str]
) -> None:
    sites, drawn = made(cluster, **link), random.Random(9)
    planted: set[int] = set()
    with sites.a.client("data") as client:
        writing = Writing(client, pieces(5, WRITTEN), 0)
        for _ in range(PASSES):
            more = set(drawn.sample(range(WRITTEN // REGION, SIZE // REGION), 20)) - planted
            plant(sites.b.image("data"), sorted(more))
            planted |= more
            assert sites.a.farshore("verify", "data", "--timeout", "5m").returncode == 1
            assert found(sites.a) == len(planted) * REGION
            writing.go_on(10)
        writing.end()
