"""Rounds of kill -9 of a whole primary site under PostgreSQL, and what must be true of the copy.

The site is its node, its engine, what mounts its volumes, the server and its clients. When all of it is
dead, the copy's images are taken, mounted and started like any database after a power loss. Then: the
server recovers, every table, index and sum is whole, nothing is there that was not begun; and where the
link was sync and replicated, every transaction that was acknowledged is there. Afterwards both file systems
are clean.
"""

import random
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import Cluster
from tests.fault.bench import ENGINE, NODE, subject
from tests.fault.still import any_moment, still
from tests.interop.programs import run
from tests.postgres.clients import BOOKKEEPERS, Books, Clients, books, prepare
from tests.postgres.disks import as_file, loops_of, mounted
from tests.postgres.server import Server
from tests.processes import Processes, running
from tests.stamps import Ticks
from tests.waiting import wait_until

VOLUMES = {"data": "160MiB", "wal": "64MiB"}
_MOST_ACKNOWLEDGED = 600
_SECONDS = 0.5


@dataclass(slots=True)
class Seen:
    """What the rounds have shown."""

    rounds: int = 0
    acknowledged: int = 0
    """Transactions of bookkeepers that were acknowledged in a round."""
    complete: int = 0
    """Rounds in which every acknowledged transaction had to be at the copy."""
    lost: int = 0
    """Acknowledged transactions that were not at an async copy."""


class Database:
    """One group with PostgreSQL on it, at whichever site. `room`: a short path that its server may enter."""

    def __init__(
        self, cluster: Cluster, name: str, options: Mapping[str, str | bool], room: Path, processes: Processes
    ) -> None:
        self.seen = Seen()
        self._subject = subject(cluster, name, VOLUMES, Ticks(), **options)
        self._room = room
        self._processes = processes
        self._points = {volume: room / volume for volume in VOLUMES}
        self._server = Server(self._points["data"], self._points["wal"], room, processes)
        self._books = Books((0,) * BOOKKEEPERS)
        """What is known to be at a."""
        self._made = False

    def play(self, chosen: random.Random, *, outage: bool = False) -> None:
        """One round. On return the site at a is dead, and the copy at b was looked at.

        `outage`: before that b's engine dies, too, and its copy has caught up with what it missed.
        """
        cluster, name = self._subject.cluster, self._subject.name
        if not running(cluster.a.state, NODE):
            cluster.a.start()
        cluster.wait(name)
        with ExitStack() as site:
            mounts = site.enter_context(self._attached())
            begun = self._open()
            self._subject.watch()
            clients = Clients(self._server, begun, self._processes)
            if outage:
                clients.until_acknowledged(chosen.randint(BOOKKEEPERS, _MOST_ACKNOWLEDGED))
                self._lose_b()
            clients.until_acknowledged(chosen.randint(BOOKKEEPERS, _MOST_ACKNOWLEDGED))
            any_moment(chosen.uniform(0.0, _SECONDS))
            self._kill([*mounts, *self._server.pids, *clients.pids], chosen)
            clients.gone()
            self._server.gone()
            replicated = self._subject.replicated
        wait_until(lambda: not loops_of(self._room), what="the dead site's loop devices to be gone")
        self._books = clients.acknowledged
        self._look(clients, must_be_complete=self._subject.sync and replicated)
        self.seen.rounds += 1
        self.seen.acknowledged += sum(self._books.numbers) - sum(begun.numbers)

    # -- at a

    @contextmanager
    def _attached(self) -> Iterator[list[int]]:
        """Both volumes at a, mounted; the processes that show them."""
        with ExitStack() as stack:
            pids = []
            for volume in self._subject.volumes:
                file = self._room / f"{volume.name}.volume"
                pids.append(
                    stack.enter_context(as_file(str(volume.uri), volume.size or 0, file, self._processes))
                )
                if not self._made:
                    run("mkfs.ext4", "-q", "-F", "-m", "0", file)
                stack.enter_context(mounted(file, self._points[volume.name], may_be_dead=True))
            yield pids

    def _open(self) -> Books:
        """Starts the server; what its books say, in which nothing acknowledged is missing."""
        if not self._made:
            self._server.create()
            self._server.start()
            prepare(self._server)
            self._made = True
        else:
            self._server.start()
        found = books(self._server)
        assert not found.lacks(self._books), f"acknowledged, and not at a: {found.lacks(self._books)}"
        return found

    def _kill(self, pids: list[int], chosen: random.Random) -> None:
        """The node goes first, since it would start another engine; then everything else in any order.

        As often as not that is the engine: what dies slowly goes on writing, and hides what was late.
        """
        a = self._subject.cluster.a
        for pid in running(a.state, NODE):
            a.kill(pid)
        engines, others = running(a.state, ENGINE), list(pids)
        chosen.shuffle(others)
        for pid in engines + others if chosen.random() < 0.5 else others + engines:
            if self._processes.adopt(pid):  # else it has ended by itself, now that others are dead
                self._processes.kill(pid)

    # -- at b

    def _lose_b(self) -> None:
        subject = self._subject
        subject.cluster.b.kill_engine(subject.name)
        wait_until(lambda: not subject.replicated, what="the copy's death to be noticed")
        subject.cluster.wait(subject.name, "replicating")
        subject.watch()

    def _look(self, clients: Clients, *, must_be_complete: bool) -> None:
        with ExitStack() as stack:
            images = self._take(stack)
            with ExitStack() as mounts:
                for volume, image in images.items():
                    mounts.enter_context(mounted(image, self._points[volume]))
                self._server.start()
                found = books(self._server)
                self._server.stop()
            for image in images.values():
                run("fsck.ext4", "-f", "-n", image)
        assert not clients.begun.lacks(found), f"at b, and never begun: {clients.begun.lacks(found)}"
        lacking = found.lacks(clients.acknowledged)
        self.seen.complete += must_be_complete
        self.seen.lost += sum(wanted - there for there, wanted in lacking)
        assert not (must_be_complete and lacking), f"acknowledged, and not at b: {lacking}"

    def _take(self, stack: ExitStack) -> dict[str, Path]:
        """Copies of both images of one moment, which go with the block."""
        cluster, images = self._subject.cluster, dict[str, Path]()
        if self._subject.journaled:
            starts = self._subject.starts()
            cluster.b.kill_engine(self._subject.name)
            wait_until(lambda: self._subject.starts() > starts, 30.0, what="the journal to be replayed")
        with still(self._processes, running(cluster.b.state, ENGINE)):
            for volume, file in zip(self._subject.volumes, self._subject.files, strict=True):
                images[volume.name] = cluster.directory / f"taken-{volume.name}.img"
                stack.callback(images[volume.name].unlink)
                run("cp", "--sparse=always", file, images[volume.name])
        return images
