"""What runs against the server: pgbench for load, and bookkeepers that know which transactions count.

A bookkeeper's transaction n writes n into two tables. It is acknowledged when the next answer after COMMIT
has come; only then n + 1 begins. So afterwards a bookkeeper's numbers run from 1 to some n without a gap,
both tables name the same n, and n is at least what was acknowledged and at most one more.
"""

import contextlib
import subprocess
import threading
from dataclasses import dataclass

from tests.postgres.server import DATABASE, Server
from tests.processes import Processes
from tests.requires import program
from tests.waiting import wait_until

BOOKKEEPERS = 3
_TABLES = f"""
    CREATE TABLE entries (keeper int, number int, filler text, PRIMARY KEY (keeper, number));
    CREATE TABLE totals (keeper int PRIMARY KEY, number int);
    INSERT INTO totals SELECT keeper, 0 FROM generate_series(0, {BOOKKEEPERS - 1}) keeper;
    CREATE EXTENSION amcheck;
"""
_ENTRY = (
    "BEGIN; INSERT INTO entries VALUES ({keeper}, {number}, repeat('x', {number} % 700));"
    " UPDATE totals SET number = {number} WHERE keeper = {keeper}; COMMIT; SELECT {number};\n"
)
_SUMS = """
    SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers),
           (SELECT sum(bbalance) FROM pgbench_branches), (SELECT coalesce(sum(delta), 0) FROM pgbench_history)
"""
_ENTRIES = """
    SELECT totals.keeper, totals.number, count(entries.number), coalesce(min(entries.number), 1),
           coalesce(max(entries.number), 0)
    FROM totals LEFT JOIN entries USING (keeper) GROUP BY totals.keeper ORDER BY totals.keeper
"""
_END_S = 30.0


@dataclass(frozen=True, slots=True)
class Books:
    """What bookkeepers know, or what a server has: the last number of each."""

    numbers: tuple[int, ...]

    def lacks(self, of: "Books") -> list[tuple[int, int]]:
        """Where this has less: what there is and what there should be."""
        pairs = zip(self.numbers, of.numbers, strict=True)
        return [(mine, theirs) for mine, theirs in pairs if mine < theirs]


def prepare(server: Server) -> None:
    """The tables of all clients."""
    server.prepare_bench(scale=2)
    server.sql(_TABLES)


def books(server: Server) -> Books:
    """What the server has, when it was found to be whole: tables, equal sums, books without gaps."""
    server.check()
    ((accounts, tellers, branches, history),) = server.sql(_SUMS)
    sums = {accounts, tellers, branches, history}
    assert len(sums) == 1, f"pgbench's sums differ: {sums}"
    found = [[int(field) for field in row] for row in server.sql(_ENTRIES)]
    for keeper, total, count, first, last in found:
        whole = first == 1 and last == count == total
        assert whole, f"keeper {keeper}: {count} entries from {first} to {last}, and a total of {total}"
    return Books(tuple(row[1] for row in found))


class Clients:
    """pgbench and bookkeepers, from their making until they are `gone`. `at`: where the books stand."""

    def __init__(self, server: Server, at: Books, processes: Processes) -> None:
        self._processes = processes
        words = ["-n", "-c", "4", "-j", "1", "-T", "600", DATABASE]
        self._bench = processes.start([program("pgbench"), *server.connection(), *words])
        self._keepers = [_Bookkeeper(server, number, last) for number, last in enumerate(at.numbers)]
        for keeper in self._keepers:
            processes.adopt(keeper.pid)
            keeper.start()

    def until_acknowledged(self, more: int) -> None:
        """Waits until so many more transactions of bookkeepers were acknowledged than now."""
        goal = sum(self.acknowledged.numbers) + more
        wait_until(lambda: sum(self.acknowledged.numbers) >= goal, 30.0, what=f"{more} transactions")

    @property
    def acknowledged(self) -> Books:
        """By now."""
        return Books(tuple(keeper.acknowledged for keeper in self._keepers))

    @property
    def begun(self) -> Books:
        """Numbers that were sent by now; no server can have more."""
        return Books(tuple(keeper.sent for keeper in self._keepers))

    @property
    def pids(self) -> list[int]:
        """Their processes."""
        return [self._bench.pid, *(keeper.pid for keeper in self._keepers)]

    def gone(self) -> None:
        """Kills those that are left; what was acknowledged is counted on return."""
        for pid in self.pids:
            self._processes.kill(pid)
        for keeper in self._keepers:
            keeper.end()
        self._bench.wait(_END_S)


class _Bookkeeper(threading.Thread):
    """One psql, asked line by line."""

    def __init__(self, server: Server, keeper: int, last: int) -> None:
        super().__init__(name=f"bookkeeper {keeper}", daemon=True)
        self.sent = self.acknowledged = last
        self._keeper = keeper
        self._psql = subprocess.Popen(
            [program("psql"), *server.connection(), "-XqAt", "-v", "ON_ERROR_STOP=1", DATABASE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.pid = self._psql.pid

    def run(self) -> None:
        """Until the server, or psql, is gone."""
        assert self._psql.stdin is not None
        assert self._psql.stdout is not None
        while True:
            number = self.sent = self.acknowledged + 1
            try:
                self._psql.stdin.write(_ENTRY.format(keeper=self._keeper, number=number).encode())
                self._psql.stdin.flush()
            except BrokenPipeError:
                return
            if self._psql.stdout.readline().strip() != b"%d" % number:
                return
            self.acknowledged = number

    def end(self) -> None:
        """Call it when the process was killed."""
        self._psql.wait(_END_S)
        self.join(_END_S)
        for pipe in (self._psql.stdin, self._psql.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):  # what nobody will read stands in its buffer
                pipe.close()
