"""A database whose disks are devices, while what serves them dies; hundreds of times in `tests/soak`."""

import random
from pathlib import Path

import pytest

from tests.attached.database import torment_database
from tests.cluster import Cluster
from tests.processes import Processes
from tests.requires import requires, requires_fuse, requires_root

pytestmark = [
    requires("postgres", "initdb", "pgbench", "pg_amcheck", "mkfs.ext4", "fsck.ext4"),
    requires_fuse(),
    requires_root(),
]

SEED = 20261124


@pytest.mark.timeout(240)
def test_a_database_notices_no_death_below_it(sites: Cluster, room: Path, processes: Processes) -> None:
    found = torment_database(sites, room, processes, random.Random(SEED), ("engine", "node", "both"))
    assert min(found.numbers) > 3
