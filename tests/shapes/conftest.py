"""Three nodes that all know each other. Each test makes groups of its own; all of them go with the test.

Node a reaches b through `line_to_b` and c through `line_to_c`; b and c reach everybody directly.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import Host, OnCluster, clusters, first_difference
from tests.command_line import pair
from tests.network.line import Line
from tests.waiting import wait_until

MIB = 1 << 20


@dataclass(slots=True)
class Sites(OnCluster):
    """See the module."""

    line_to_c: Line
    groups: list[tuple[Host, str]] = field(default_factory=list)
    made: int = 0

    @property
    def line_to_b(self) -> Line:
        """From a to b."""
        return self.cluster.line

    def group(self, host: Host | None = None, *volumes: str, size: int = 8) -> str:
        """A new group at a host (a) with volumes (data) of `size` MiB; its name."""
        host = host or self.a
        self.made += 1
        name = f"group-{self.made}"
        words = ["group", "create", name]
        for volume in volumes or ("data",):
            words += ["--volume", self.volume(host, name, volume, size)]
        host.done(*words)
        self.groups.append((host, name))
        return name

    def volume(self, host: Host, group: str, name: str, size: int = 8) -> str:
        """What `--volume` takes for a file of `size` MiB beside the host's state."""
        return f"{name}={host.directory / f'{group}-{name}.img'},size={size}MiB"

    def link(self, group: str, peer: Host, host: Host | None = None, **options: str) -> None:
        """A link from a host (a) to another, and until it replicates."""
        words = [text for name, value in options.items() for text in (f"--{name.replace('_', '-')}", value)]
        host = host or self.a
        host.done("link", "create", group, peer.name, *words)
        name = options.get("name", peer.name)
        wait_until(lambda: host.link(group, name).state == "replicating", 40.0, what=f"{name} to replicate")

    def clean(self, group: str, host: Host | None = None) -> None:
        """Until all links replicate and nothing is dirty."""
        (host or self.a).until(
            group,
            lambda seen: all(each.state == "replicating" and each.dirty_bytes == 0 for each in seen.links),
            f"nothing of {group} to be dirty",
        )

    def copies(self, host: Host, group: str) -> dict[str, dict[str, Any]]:
        """The copies of a group at a host, by name, as `status --json` shows them."""
        shown = host.done("status", group, "--json")["groups"]
        return {each["copy"]["name"]: each for each in shown}

    def equal(self, group: str, peer: Host, copy: str, host: Host | None = None) -> None:
        """Waits until nothing is dirty, then compares every byte of a copy with the primary."""
        host = host or self.a
        self.clean(group, host)
        here = {each.name: Path(each.path) for each in host.group(group).volumes}
        there = {each["name"]: Path(each["path"]) for each in self.copies(peer, group)[copy]["volumes"]}
        assert here.keys() == there.keys()
        for volume, path in here.items():
            # What is durable in a journal is written to the volumes a moment later.
            wait_until(
                partial(_are_equal, path, there[volume]), what=f"{group}/{volume} to be equal at {copy}"
            )

    def clear(self) -> None:
        """Deletes all groups with their links, and makes the lines whole."""
        for line in (self.line_to_b, self.line_to_c):
            line.rate(None)
            line.delay(0)
            line.heal()
        for host, name in self.groups:
            for each in (self.c, self.b, self.a, host):  # the far end of a chain first
                if any(found.name == name for found in each.node.status().groups):
                    for link in reversed(each.node.links(name)["links"]):
                        each.node.delete_link(name, link["name"])
            host.node.delete_group(name)
        self.groups.clear()


def _are_equal(one: Path, other: Path) -> bool:
    return first_difference(one, other) is None


@contextmanager
def three_nodes(directory: Path) -> Iterator[Sites]:
    """See the module."""
    with clusters(directory) as make:
        made = make(("a", "b", "c"))
        with Line(made.c.listen) as line:
            made.a.done("node", "set", "c", f"address={line.address}")
            pair(made.b, made.c)
            yield Sites(made, line)


@pytest.fixture(scope="package")
def _nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    with three_nodes(tmp_path_factory.mktemp("shapes")) as made:
        yield made


@pytest.fixture
def sites(_nodes: Sites) -> Iterator[Sites]:
    """See the module."""
    yield _nodes
    _nodes.clear()
