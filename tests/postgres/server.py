"""A PostgreSQL server of a test's own, run by an unprivileged user, with data and log on two disks."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.processes import Processes
from tests.requires import program
from tests.waiting import wait_until

USER = DATABASE = "postgres"
"""The user is made by Debian's package, the database by PostgreSQL."""
_START_S = 30.0
_LIMIT_S = 60.0
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "30",
    "shared_buffers": "8MB",  # small, so that tables are written all the time and not only the log
    "max_wal_size": "8MB",  # and checkpoints are frequent
    "min_wal_size": "4MB",
    "checkpoint_timeout": "30s",
    "wal_buffers": "64kB",
    "restart_after_crash": "off",
    "autovacuum_naptime": "2s",
    "jit": "off",
}


class Server:
    """One data directory, with its log (the write-ahead one) at `wal`; sockets and messages lie in `room`."""

    def __init__(self, data: Path, wal: Path, room: Path, processes: Processes) -> None:
        self._data = data / "cluster"
        self._wal = wal / "log"
        self._room = room
        self._processes = processes
        self._running: subprocess.Popen[bytes] | None = None

    def create(self) -> None:
        """Makes the data directory. Pages carry checksums, so that a torn one is noticed."""
        for place in (self._data, self._wal):
            place.mkdir(mode=0o700)
            os.chown(place, *_owner(self._room))
        words = ["-D", str(self._data), "-X", str(self._wal), "--wal-segsize=1", "--data-checksums"]
        self._run("initdb", *words, "--auth=trust", "--no-locale", "--encoding=UTF8")
        with (self._data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in _SETTINGS.items())
            file.write(f"unix_socket_directories = '{self._room}'\n")
            file.flush()
            os.fsync(file.fileno())

    def start(self) -> None:
        """Starts it, through recovery where it needs one, until it answers."""
        (self._data / "postmaster.pid").unlink(missing_ok=True)  # of a process of another site, or a dead one
        command = [*_as_user(), program("postgres"), "-D", str(self._data)]
        self._running = self._processes.start(command, output=self.messages)
        ready = [program("pg_isready"), "-q", "-h", str(self._room)]

        def answers() -> bool:
            assert self._running is not None
            assert self._running.poll() is None, f"PostgreSQL ended:\n{self.messages.read_text()[-3000:]}"
            return subprocess.run(ready, check=False).returncode == 0

        wait_until(answers, _START_S, interval=0.1, what="PostgreSQL to answer")

    def stop(self) -> None:
        """A clean stop, with a checkpoint."""
        assert self._running is not None
        self._processes.kill(self._running.pid, signal.SIGINT)
        self._running.wait(_LIMIT_S)
        self._running = None

    @property
    def pids(self) -> list[int]:
        """The server's processes, the first one first."""
        if self._running is None:
            return []
        return [self._running.pid, *_children(self._running.pid)]

    def gone(self) -> None:
        """Its processes were killed."""
        if self._running is not None:
            self._running.wait(_LIMIT_S)
            self._running = None

    @property
    def messages(self) -> Path:
        """What it says."""
        return self._room / "postgresql.log"

    # -- asking it

    def connection(self) -> list[str]:
        """What every client's command line needs."""
        return ["-h", str(self._room), "-U", USER]

    def sql(self, text: str) -> list[list[str]]:
        """Rows of fields, as text."""
        said = self._run("psql", *self.connection(), "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", text, DATABASE)
        return [line.split("|") for line in said.splitlines()]

    def number(self, text: str) -> int:
        """The one number that a query gives."""
        ((found,),) = self.sql(text)
        return int(found)

    def prepare_bench(self, scale: int) -> None:
        """The tables of pgbench."""
        self._run("pgbench", *self.connection(), "-i", "-q", "-s", str(scale), DATABASE)

    def check(self) -> None:
        """Every table and index, with every row looked up in every index; it raises what is wrong."""
        self._run("pg_amcheck", *self.connection(), "--heapallindexed", "-d", DATABASE)

    def _run(self, name: str, *words: str) -> str:
        command = [*_as_user(), program(name), *words]
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
        assert ended.returncode == 0, f"{' '.join(command)}: {ended.returncode}\n{ended.stdout}{ended.stderr}"
        return ended.stdout


@contextmanager
def rooms() -> Iterator[Callable[[], Path]]:
    """Makes directories that are the server's user's; with short paths, since sockets lie in them."""
    with ExitStack() as made:

        def make() -> Path:
            room = made.enter_context(tempfile.TemporaryDirectory(prefix="fs-", dir="/tmp"))
            subprocess.run(["chown", f"{USER}:", room], check=True)
            return Path(room)

        yield make


def _owner(room: Path) -> tuple[int, int]:
    found = room.stat()
    return found.st_uid, found.st_gid


def _as_user() -> list[str]:
    """Goes before a command; the process stays the same, so its pid is the server's."""
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--"]


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended while we looked
        if int(fields[1]) == parent:
            found.append(int(entry.name))
    return found
