"""PostgreSQL, data and log on two attached volumes of a group, while engine and node are killed below it."""

import random
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.attached.attaching import attached, mounted
from tests.attached.torment import torment
from tests.interop.programs import run
from tests.postgres.clients import BOOKKEEPERS, Books, Clients, books, prepare
from tests.postgres.rounds import VOLUMES
from tests.postgres.server import Server
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
    sites.group("books", VOLUMES)
    sites.link("books", mode="sync")
    sites.wait("books")
    with attached(sites.a, "books") as made:
        assert [each["volume"] for each in made] == list(VOLUMES)
        with ExitStack() as stack:
            points = {}
            for each in made:
                run("mkfs.ext4", "-q", "-m", "0", each["path"])
                points[each["volume"]] = stack.enter_context(mounted(each["path"], room / each["volume"]))
            server = Server(points["data"], points["wal"], room, processes)
            server.create()
            server.start()
            prepare(server)
            clients = Clients(server, Books((0,) * BOOKKEEPERS), processes)
            torment(
                sites.a,
                "books",
                random.Random(SEED),
                [lambda: min(clients.acknowledged.numbers)],
                rounds=("engine", "node", "both"),
            )
            clients.gone()
            found = books(server)
            assert not found.lacks(clients.acknowledged)
            assert not clients.begun.lacks(found)
            server.stop()
            assert "PANIC" not in server.messages.read_text()
        for each in made:
            run("fsck.ext4", "-f", "-n", each["path"])
    sites.equal("books")
