"""Hundreds of deaths of engine and node below mounted devices; short forms are in `tests/attached`.

FARSHORE_SEED chooses other moments; the seed is printed.
"""

import os
import random
from pathlib import Path

import pytest

from tests.attached.attaching import tear_off
from tests.attached.database import torment_database
from tests.attached.file_system import torment_file_system
from tests.attached.test_postgres import pytestmark as needs
from tests.cluster import Cluster
from tests.postgres.server import rooms
from tests.processes import Processes

pytestmark = needs

ROUNDS = ("engine", "node", "both", "engine") * 50
DATABASE_ROUNDS = ROUNDS[:100]
"""Fewer, since every round makes the tables grow."""


def _chosen() -> random.Random:
    seed = int(os.environ.get("FARSHORE_SEED", "1"))
    print(f"seed {seed}", flush=True)
    return random.Random(seed)


@pytest.mark.timeout(7200)
def test_a_file_system_survives_two_hundred_deaths_below_it(nodes: Cluster, tmp_path: Path) -> None:
    try:
        print(torment_file_system(nodes, tmp_path, _chosen(), ROUNDS))
    finally:
        tear_off(nodes.a)


@pytest.mark.timeout(7200)
def test_a_database_survives_a_hundred_deaths_below_it(nodes: Cluster, processes: Processes) -> None:
    with rooms() as make:
        try:
            print(torment_database(nodes, make(), processes, _chosen(), DATABASE_ROUNDS))
        finally:
            tear_off(nodes.a)
