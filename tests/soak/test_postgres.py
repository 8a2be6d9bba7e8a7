"""Twenty deaths of a primary site under PostgreSQL, and ten drills; short forms are in `tests/postgres`.

FARSHORE_SEED chooses other moments; the seed is printed, and so is each round before it begins.
"""

import os
import random

import pytest

from tests.cluster import Cluster
from tests.postgres.rounds import Database
from tests.postgres.server import rooms
from tests.postgres.test_drill import drills
from tests.postgres.test_recovery import pytestmark as needs
from tests.processes import Processes

pytestmark = needs

ROUNDS = 20


@pytest.mark.timeout(3600)
def test_a_database_survives_twenty_deaths_of_its_site(nodes: Cluster, processes: Processes) -> None:
    seed = int(os.environ.get("FARSHORE_SEED", "1"))
    chosen = random.Random(seed)
    with rooms() as make:
        databases = [
            Database(nodes, f"{mode}-{apply}", {"mode": mode, "apply": apply}, make(), processes)
            for apply in ("direct", "journal")
            for mode in ("sync", "async")
        ]
        for number in range(ROUNDS):
            database, outage = databases[number % 4], number % 8 > 3
            print(
                f"seed {seed} round {number}: {database.seen}{', after an outage' if outage else ''}",
                flush=True,
            )
            database.play(chosen, outage=outage)
        for database in databases:
            print(database.seen)
    assert sum(each.seen.rounds for each in databases) == ROUNDS
    assert sum(each.seen.complete for each in databases) == ROUNDS // 2


@pytest.mark.timeout(3600)
def test_a_database_comes_up_on_ten_drills_one_after_the_other(nodes: Cluster, processes: Processes) -> None:
    drills(nodes, 10, processes)
