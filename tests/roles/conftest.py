"""Groups on real nodes whose roles move, by the commands that operators have.

The nodes of a module are made once, all know each other, and each test has a group of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from farshore.client.answers import Group
from farshore.client.role_moves import RoleMove
from tests.cluster import Cluster, Host, OnCluster, clusters, first_difference
from tests.command_line import pair
from tests.outage.writing import anywhere, writing
from tests.processes import running
from tests.waiting import wait_until

MIB = 1 << 20


def plan_of(host: Host, *words: str) -> str:
    """The id of the plan that a command shows; it changes nothing."""
    shown = host.done(*words, "--dry-run", "--json")
    assert shown["plan"]["refusals"] == []
    return str(shown["plan"]["id"])


def accepted(host: Host, *words: str) -> str:
    """Carries a command out, as its plan says; the plan's id."""
    plan = plan_of(host, *words)
    host.done(*words, "--accept", plan)
    host.hold()
    return plan


@dataclass(slots=True)
class Roles(OnCluster):
    """A group with a copy at each of some nodes; the first is the primary at first."""

    cluster: Cluster
    group: str
    hosts: list[Host]
    size: int

    def switch(self, asked: Host, goal: Host) -> RoleMove:
        """A switchover over the API of a node, of a group that is in order."""
        (now,) = self.primaries()
        self.protected_now(self.cluster.hosts[now])
        plan = asked.node.switchover(self.group, goal.name).plan
        assert plan.refusals == ()
        moved = asked.node.switchover(self.group, goal.name, accept=plan.id)
        asked.hold()
        goal.hold()
        assert moved.done
        return moved

    def fail_over(self, goal: Host) -> RoleMove:
        """A failover over the API of the node that is to have the primary."""
        plan = goal.node.failover(self.group, goal.name).plan
        assert plan.refusals == ()
        moved = goal.node.failover(self.group, goal.name, accept=plan.id)
        goal.hold()
        return moved

    def write(self, host: Host, seed: int, pieces: int = 60) -> None:
        """Writes at `host`, anywhere."""
        with host.client(self.group) as client, writing(client, anywhere(self.size, seed)) as load:
            load.go_on(pieces)

    def lose(self, host: Host) -> None:
        """The host is gone: its node and its engines."""
        host.hold()
        host.kill_node()
        host.kill_engine_of(self.group)

    def back(self, host: Host) -> None:
        """It is there again, and its copy runs."""
        host.start()
        host.engine(self.group)
        host.hold()

    def fenced(self, host: Host) -> Group:
        """Until the former primary at `host` has heard that another one was promoted."""
        return host.until(self.group, lambda seen: bool(seen.fenced), f"{host.name} to hear of it")

    def parted(self, first: Host, second: Host) -> None:
        """Both are written while they do not meet: `first` as it was, then `second`, promoted without it.
        The first is back, and has heard of it."""
        self.lose(second)
        first.until(self.group, lambda seen: seen.links[0].state == "logging", f"{second.name} to be missed")
        self.write(first, 2)
        self.lose(first)
        self.back(second)
        self.fail_over(second)
        self.write(second, 3)
        self.back(first)
        self.fenced(first)

    def protected(self, host: Host) -> None:
        """Until the primary at `host` feeds all others in order."""
        host.until(
            self.group,
            lambda seen: (
                seen.role == "primary"
                and bool(seen.links)
                and all(each.state == "replicating" and each.dirty_bytes == 0 for each in seen.links)
            ),
            f"{host.name} to feed the others",
        )

    def told(self, host: Host) -> None:
        """Until the copy at `host` was told that it has everything: one that a former primary may follow."""
        wait_until(lambda: host.json(self.group)["usable_as_of"], what=f"{host.name} to be told")

    def protected_now(self, host: Host) -> None:
        """Until all links of the primary at `host` are in order, whatever is under way."""
        host.until(
            self.group,
            lambda seen: (
                seen.role == "primary"
                and bool(seen.links)
                and all(each.state == "replicating" for each in seen.links)
            ),
            f"{host.name} to replicate",
        )

    def equal(self) -> None:
        """All images are the same; nobody writes meanwhile."""
        first, *others = (host.image(self.group) for host in self.hosts)
        for other in others:
            wait_until(lambda: first_difference(first, other) is None, what=f"{other} to be equal")  # noqa: B023

    def primaries(self) -> list[str]:
        """The nodes whose copies are primaries."""
        return [host.name for host in self.hosts if host.group(self.group).role == "primary"]


class MakeRoles:
    """Makes a group with copies at some nodes of the module."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._numbers = count(1)

    def __call__(self, nodes: str = "ab", **options: str) -> Roles:
        for host in self.cluster.hosts.values():
            if not running(host.state, "farshore.api.process"):  # a test that failed has left it so
                host.start()
        group = f"g{next(self._numbers)}"
        hosts = [self.cluster.hosts[name] for name in nodes]
        self.cluster.group(group, {"data": "16MiB"})
        for host in hosts[1:]:
            self.cluster.link(group, host, **options)
        roles = Roles(self.cluster, group, hosts, 16 * MIB)
        roles.protected(self.cluster.a)
        return roles


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """a, b and c, which know each other."""
    directory: Path = tmp_path_factory.mktemp("roles")
    with clusters(directory) as make:
        made = make(("a", "b", "c"), through_line=False)
        pair(made.b, made.c)
        yield made


@pytest.fixture(scope="module")
def roles(nodes: Cluster) -> MakeRoles:
    return MakeRoles(nodes)
