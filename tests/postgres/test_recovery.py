"""A primary site dies under PostgreSQL, and the database goes on from its copy; 20 times in `tests/soak`."""

import random
from pathlib import Path

from tests.cluster import Cluster
from tests.postgres.rounds import Database
from tests.processes import Processes
from tests.requires import requires, requires_fuse, requires_root

pytestmark = [
    requires(
        "postgres", "initdb", "pgbench", "pg_amcheck", "nbdfuse", "fusermount3", "mkfs.ext4", "fsck.ext4"
    ),
    requires_fuse(),
    requires_root(),
]

SEED = 20261122


def test_a_sync_copy_has_every_transaction_that_was_acknowledged(
    sites: Cluster, room: Path, processes: Processes
) -> None:
    database = Database(sites, "books", {"mode": "sync", "apply": "direct"}, room, processes)
    database.play(random.Random(SEED))
    print(database.seen)
    assert database.seen.complete == 1
    assert database.seen.acknowledged


def test_an_async_copy_recovers_and_holds_together(sites: Cluster, room: Path, processes: Processes) -> None:
    database = Database(sites, "books", {"mode": "async", "apply": "journal"}, room, processes)
    database.play(random.Random(SEED))
    print(database.seen)
    assert database.seen.acknowledged
