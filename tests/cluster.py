"""Real nodes on loopback, made, paired and driven through what users have: the command line and the API.

    def test_it(cluster: MakeCluster) -> None:
        made = cluster()                          # nodes a and b, paired; a reaches b through made.line
        made.group("data", {"data": "16MiB"})     # a group at a, its volumes in memory
        made.link("data", mode="sync")            # and its copy at b
        made.wait("data")
        with made.a.client("data") as client: ...
        made.equal("data")                        # waits until nothing is dirty, then compares every byte

Whatever a cluster started (nodes, engines, also those that a node started again, lines) is ended by pidfd at
the end, and its directories go. Nothing here decides whether the product is right: statements are in tests.
"""

import json
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import pytest

from farshore.client import Node
from farshore.client.answers import Group, Link
from farshore.demo.nbd_client import NbdClient
from farshore.errors import FarshoreError
from tests.command_line import CommandLine, pair
from tests.network.line import Line
from tests.processes import Processes, running
from tests.waiting import wait_until

WAIT_S = 40.0
_PIECE = 1 << 20


class Host(CommandLine):
    """A node's state directory and what runs for it. `name` is the node's name."""

    def __init__(self, directory: Path, name: str, processes: Processes, prefix: Sequence[str] = ()) -> None:
        self.name = name
        self.directory = directory / name
        super().__init__(self.directory / "state", prefix)
        self.directory.mkdir(parents=True)
        self.processes = processes
        self.node = Node(state=str(self.state))
        """The node's API, where starting a process for each question would be slow."""

    # -- the node and its engines

    def start(self, *words: str) -> dict[str, Any]:
        """Starts the node, again on the port that it had; what it says of itself."""
        first = (
            () if (self.state / "node.json").exists() else ("--listen", "127.0.0.1:0", "--name", self.name)
        )
        shown: dict[str, Any] = self.done("node", "start", "--json", *first, *words)
        self.hold()
        return shown

    @property
    def listen(self) -> str:
        """Where peers reach the node, HOST:PORT."""
        address: str = json.loads((self.state / "node.json").read_text())["listen"]
        return address

    @property
    def pid(self) -> int:
        """The node's."""
        return self.node.show().pid

    def engine(self, group: str, *, other_than: int | None = None) -> int:
        """The pid of the group's engine; waits for one, and for another one than `other_than`."""

        def now() -> int | None:
            found = [each.pid for each in self.node.show().engines if each.group == group]
            return next((pid for pid in found if pid is not None and pid != other_than), None)

        pid = wait_until(now, WAIT_S, what=f"an engine of {group} at {self.name}")
        assert pid is not None
        self.processes.adopt(pid)
        return pid

    def kill(self, pid: int, number: int = signal.SIGKILL) -> None:
        """Ends a process of this host, at once unless another signal is chosen."""
        self.processes.adopt(pid)
        self.processes.kill(pid, number)

    def kill_engine(self, group: str) -> int:
        """SIGKILL; the pid that it had."""
        pid = self.engine(group)
        self.kill(pid)
        return pid

    def kill_engine_of(self, group: str) -> None:
        """SIGKILL of the engines of a group at a host whose node runs no more."""
        for path in self.state.glob(f"copies/{group}/*/lock"):
            self.kill(int(path.read_text()))

    def kill_node(self) -> int:
        """SIGKILL of the node alone: its engines run on. The pid that it had."""
        pid = self.pid
        self.kill(pid)
        return pid

    def hold(self) -> None:
        """Takes note of every process that runs for this host, whoever started it."""
        for pid in running(self.state):
            self.processes.adopt(pid)

    # -- groups

    def group(self, name: str) -> Group:
        """A group as status shows it."""
        return next(each for each in self.node.status(name).groups if each.name == name)

    def json(self, name: str) -> dict[str, Any]:
        """A group as `status --json` shows it, with what `Group` leaves out."""
        (found,) = [each for each in self.node.status(name).document["groups"] if each["name"] == name]
        return dict(found)

    def json_link(self, group: str, name: str | None = None) -> dict[str, Any]:
        """A link as `status --json` shows it; without a name the only one."""
        (found,) = [each for each in self.json(group)["links"] if name in (None, each["name"])]
        return dict(found)

    def link(self, group: str, name: str | None = None) -> Link:
        """A link of the group; without a name the only one."""
        (found,) = [each for each in self.group(group).links if name in (None, each.name)]
        return found

    def image(self, group: str, volume: str | None = None) -> Path:
        """Where a volume's bytes lie at this host; without a name those of the only one."""
        (found,) = [each for each in self.group(group).volumes if volume in (None, each.name)]
        return Path(found.path)

    def uri(self, group: str, volume: str | None = None) -> str:
        """What an NBD client opens; without a name that of the only volume."""
        (found,) = [each for each in self.group(group).volumes if volume in (None, each.name)]
        if found.uri is None:
            return str(self.done("export", f"{group}/{found.name}")).strip()
        return found.uri

    @contextmanager
    def client(self, group: str, volume: str | None = None, timeout: float = 30.0) -> Iterator[NbdClient]:
        """An NBD client that is open for the block."""
        opened = NbdClient(self.uri(group, volume), timeout)
        try:
            yield opened
        finally:
            opened.close()

    def until(self, group: str, seen: Callable[[Group], bool], what: str, timeout: float = WAIT_S) -> Group:
        """The group once `seen` holds for it. An engine or node that is down for a moment is waited out."""
        last: list[object] = []

        def look() -> Group | None:
            try:
                now = self.group(group)
            except (FarshoreError, StopIteration) as error:
                last[:] = [error]
                return None
            last[:] = [now]
            return now if seen(now) else None

        try:
            found = wait_until(look, timeout, interval=0.02, what=what)
        except AssertionError as late:
            raise AssertionError(f"{late}; {self.name} says: {last}") from late
        assert found is not None
        return found


class Cluster:
    """Paired nodes. The first is where groups are made; it reaches the second through `line`."""

    def __init__(self, directory: Path, names: Sequence[str], processes: Processes) -> None:
        self.directory = directory
        self.processes = processes
        self.hosts = {name: Host(directory, name, processes) for name in names}
        self._line: Line | None = None

    @property
    def a(self) -> Host:
        """The first host."""
        return next(iter(self.hosts.values()))

    @property
    def b(self) -> Host:
        """The second host."""
        return list(self.hosts.values())[1]

    @property
    def c(self) -> Host:
        """The third host."""
        return list(self.hosts.values())[2]

    @property
    def line(self) -> Line:
        """What a's connections to b go through. What b tells a by itself takes another way."""
        assert self._line is not None, "this cluster was made without a line"
        return self._line

    def start(self, *, through_line: bool = True) -> Self:
        """Starts all nodes and pairs the first with every other."""
        for host in self.hosts.values():
            host.start()
        for number, host in enumerate(list(self.hosts.values())[1:]):
            if through_line and number == 0:
                self._line = Line(host.listen)
                pair(self.a, host, self._line.address)
            else:
                pair(self.a, host)
        return self

    def group(self, name: str, volumes: Mapping[str, str], *, region: str | None = None) -> None:
        """Makes a group at a whose volumes (name to size, as in 16MiB) are files beside its state."""
        words = ["group", "create", name]
        for volume, size in volumes.items():
            words += ["--volume", f"{volume}={self.a.directory / f'{name}-{volume}.img'},size={size}"]
        self.a.done(*words, *([] if region is None else ["--region", region]))

    def link(self, group: str, peer: Host | None = None, /, **options: str | bool) -> None:
        """Places a copy at `peer` (b), named as that node. Options as on the command line: mode="sync"."""
        words = ["link", "create", group, (peer or self.b).name]
        for key, value in options.items():
            option = key.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{option}" if value else f"--no-{option}")
            else:
                words += [f"--{option}", value]
        self.a.done(*words)

    def wait(self, group: str, wanted: str = "protected", timeout: float = WAIT_S) -> Group:
        """Until the group has this health at a, or all its links this state."""
        return self.a.until(
            group,
            lambda seen: (
                seen.health == wanted
                or (bool(seen.links) and all(each.state == wanted for each in seen.links))
            ),
            f"{group} to be {wanted}",
            timeout,
        )

    def clean(self, group: str, timeout: float = WAIT_S) -> Group:
        """Until every link replicates and all that was written is durable at the peers."""
        return self.a.until(
            group,
            lambda seen: all(each.state == "replicating" and each.dirty_bytes == 0 for each in seen.links),
            f"nothing of {group} to be dirty",
            timeout,
        )

    def equal(self, group: str, peer: Host | None = None) -> None:
        """Waits until nothing is dirty, then compares every byte of every volume. Nobody writes meanwhile."""
        here = self.clean(group)
        there = {each.name: each for each in (peer or self.b).group(group).volumes}
        assert here.links
        assert {each.name for each in here.volumes} == there.keys()
        for volume in here.volumes:
            pair = Path(volume.path), Path(there[volume.name].path)
            # What is durable in a journal is written to the volumes a moment later.
            wait_until(
                lambda: first_difference(*pair) is None,  # noqa: B023
                what=f"{group}/{volume.name} to be equal at {(peer or self.b).name}",
            )

    def close(self) -> None:
        """Ends every process of the cluster, nodes before engines, and removes their directories."""
        runs = [_run_directory(host.state) for host in self.hosts.values()]
        # A node that runs starts engines again, and an engine may have been started a moment ago: nodes go
        # first, and then whatever names one of the state directories on its command line.
        for round_ in range(2):
            for host in self.hosts.values():
                for pid in running(host.state, "farshore.api.process" if round_ == 0 else ""):
                    host.kill(pid)
        if self._line is not None:
            self._line.close()
            self._line = None
        for run in runs:
            if run is not None:
                shutil.rmtree(run, ignore_errors=True)
        for host in self.hosts.values():
            shutil.rmtree(host.directory, ignore_errors=True)


@dataclass(slots=True)
class OnCluster:
    """Something that stands on the nodes of a cluster."""

    cluster: Cluster

    @property
    def a(self) -> Host:
        """Where most groups are made."""
        return self.cluster.a

    @property
    def b(self) -> Host:
        """The second node."""
        return self.cluster.b

    @property
    def c(self) -> Host:
        """The third node, where there is one."""
        return self.cluster.c


class MakeCluster(Protocol):
    """What the fixture `cluster` is."""

    def __call__(self, names: Sequence[str] = ("a", "b"), *, through_line: bool = True) -> Cluster: ...


@contextmanager
def clusters(directory: Path) -> Iterator[MakeCluster]:
    """Makes clusters below `directory`, which all end with the block; for fixtures of a wider scope too."""
    made: list[Cluster] = []
    processes = Processes()

    def make(names: Sequence[str] = ("a", "b"), *, through_line: bool = True) -> Cluster:
        fresh = Cluster(directory / f"cluster-{len(made)}", names, processes)
        made.append(fresh)  # before it starts, so that one that could not start is ended too
        return fresh.start(through_line=through_line)

    try:
        yield make
    finally:
        try:
            for each in made:
                each.close()
        finally:
            processes.close()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[MakeCluster]:
    """Makes clusters of real nodes; nothing of them outlives the test."""
    with clusters(tmp_path) as make:
        yield make


def first_difference(one: Path, other: Path) -> int | None:
    """The offset of the first byte in which two files differ, also in length; None if they are equal."""
    with one.open("rb") as left, other.open("rb") as right:
        at = 0
        while True:
            mine, theirs = left.read(_PIECE), right.read(_PIECE)
            if mine != theirs:
                same = (index for index, (x, y) in enumerate(zip(mine, theirs, strict=False)) if x != y)
                return at + next(same, min(len(mine), len(theirs)))
            if not mine:
                return None
            at += len(mine)


def _run_directory(state: Path) -> Path | None:
    """Where the node's sockets lie; None if it never started."""
    record = state / "node.json"
    run = json.loads(record.read_text()).get("run") if record.exists() else None
    return Path(run) if run else None
