"""PostgreSQL, data and log on two attached volumes of a group, while engine and node are killed below it."""

import random
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.attached.attaching import attached, mounted
from tests.attached.torment import torment
from tests.cluster import Cluster
from tests.interop.programs import run
from tests.postgres.clients import BOOKKEEPERS, Books, Clients, books, prepare
from tests.postgres.rounds import VOLUMES
from tests.postgres.server import Server
from tests.processes import Processes


def torment_database(
    sites: Cluster, room: Path, processes: Processes, chosen: random.Random, rounds: Sequence[str]
) -> Books:
    """No client is turned away in any of the rounds, and afterwards the database is whole and the copy equal;
    what its books say."""
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
            torment(sites.a, "books", chosen, [lambda: min(clients.acknowledged.numbers)], rounds)
            clients.gone()
            found = books(server)
            assert not found.lacks(clients.acknowledged)
            assert not clients.begun.lacks(found)
            server.stop()
            assert "PANIC" not in server.messages.read_text()
        for each in made:
            run("fsck.ext4", "-f", "-n", each["path"])
    sites.equal("books")
    return found
