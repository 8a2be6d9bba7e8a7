"""PostgreSQL is started on a drill of an async copy while the primary's server works and the copy follows.

The drill's file systems are mounted and its server recovers as after a loss of power, from one state of both
volumes: every table and sum is whole, nothing is there that was not begun. What it writes stays in the drill.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.cluster import Cluster
from tests.interop.programs import run
from tests.postgres.clients import BOOKKEEPERS, Books, Clients, books, prepare
from tests.postgres.disks import as_file, loops_of, mounted
from tests.postgres.server import Server, rooms
from tests.processes import Processes
from tests.requires import requires, requires_fuse, requires_root
from tests.waiting import wait_until

pytestmark = [
    requires("postgres", "initdb", "pgbench", "pg_amcheck", "nbdfuse", "fusermount3", "mkfs.ext4"),
    requires_fuse(),
    requires_root(),
]

_GROUP = "books"
_SIZES = {"data": 160 << 20, "wal": 64 << 20}


@contextmanager
def _served(
    uris: dict[str, str], room: Path, processes: Processes, *, make: bool = False
) -> Iterator[Server]:
    """A server on volumes that NBD clients can open; it is ended with the block, not stopped."""
    with ExitStack() as stack:
        points = {}
        for volume, uri in uris.items():
            file = room / f"{volume}.volume"
            stack.enter_context(as_file(uri, _SIZES[volume], file, processes))
            if make:
                run("mkfs.ext4", "-q", "-F", "-m", "0", file)
            points[volume] = room / volume
            stack.enter_context(mounted(file, points[volume]))
        server = Server(points["data"], points["wal"], room, processes)
        if make:
            server.create()
        else:
            _moved(points["data"] / "cluster", points["wal"] / "log", room)
        server.start()
        yield server
        server.stop()


def _moved(cluster: Path, log: Path, room: Path) -> None:
    """The copy's directory lies elsewhere than the primary's, and so does its log."""
    (cluster / "pg_wal").unlink()
    (cluster / "pg_wal").symlink_to(log)
    with (cluster / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.write(f"unix_socket_directories = '{room}'\n")


def _drill(sites: Cluster, clients: Clients, room: Path, processes: Processes) -> Books:
    """One drill under load, from the command to its end; what its server found."""
    began = time.monotonic()
    drill = sites.b.done("drill", "start", _GROUP, "--json")["drill"]
    writable = time.monotonic() - began
    uris = {each["volume"]: each["uri"] for each in drill["exports"]}
    with _served(uris, room, processes) as server:
        answers = time.monotonic() - began
        found = books(server)
        assert not clients.begun.lacks(found), f"in the drill, and never begun: {clients.begun.lacks(found)}"
        before = sum(clients.acknowledged.numbers)
        server.sql("CREATE TABLE of_the_drill AS SELECT generate_series(1, 20000) number")
        assert server.number("SELECT count(*) FROM of_the_drill") == 20000
        clients.until_acknowledged(20)
        assert sum(clients.acknowledged.numbers) > before
    (shown,) = sites.b.done("drill", "list", "--json")["drills"]
    assert (shown["state"], shown["refused_writes"]) == ("running", 0)
    sites.b.done("drill", "stop", _GROUP)
    age = drill["data_age_seconds"]
    print(f"writable after {writable:.2f} s, PostgreSQL after {answers:.2f} s, data {age} s old")
    assert age is not None
    return found


def drills(sites: Cluster, rounds: int, processes: Processes) -> None:
    """So many drills, one after the other, while the primary's server works; both copies are equal at
    last."""
    sites.group(_GROUP, {name: f"{size >> 20}MiB" for name, size in _SIZES.items()})
    sites.link(_GROUP, mode="async")
    sites.wait(_GROUP)
    uris = {name: sites.a.uri(_GROUP, name) for name in _SIZES}
    with rooms() as make, _served(uris, make(), processes, make=True) as primary:
        elsewhere = make()
        prepare(primary)
        wait_until(lambda: sites.b.json(_GROUP)["usable_as_of"], what="the copy to be told how old it is")
        last = Books((0,) * BOOKKEEPERS)
        clients = Clients(primary, last, processes)
        for _ in range(rounds):
            clients.until_acknowledged(30)
            found = _drill(sites, clients, elsewhere, processes)
            wait_until(lambda: not loops_of(elsewhere), what="the drill's loop devices to be gone")
            assert not found.lacks(last), "an earlier drill had more"
            last = found
        clients.gone()
        assert sum(last.numbers)
        assert not primary.sql("SELECT 1 FROM pg_class WHERE relname = 'of_the_drill'")
    sites.equal(_GROUP)


def test_a_database_comes_up_on_a_drill_while_its_copy_follows(sites: Cluster, processes: Processes) -> None:
    drills(sites, 1, processes)
