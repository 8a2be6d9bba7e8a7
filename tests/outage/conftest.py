"""One pair of nodes for all outages. Each test makes a group of its own, and finds the line as new."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest

from farshore.client.answers import Group
from farshore.demo.nbd_client import NbdClient
from tests.cluster import Cluster, Host, OnCluster, clusters
from tests.network.line import Line

VOLUME = "data"


@dataclass(slots=True)
class Pair(OnCluster):
    """A group of one volume at a, and its copy at b."""

    group: str
    size: int

    @property
    def line(self) -> Line:
        """Between the two."""
        return self.cluster.line

    def client(self, timeout: float = 30.0) -> AbstractContextManager[NbdClient]:
        """A connection of the application."""
        return self.a.client(self.group, timeout=timeout)

    def link(self) -> dict[str, Any]:
        """The link as `status --json` shows it."""
        return self.a.json_link(self.group)

    def wait(self, wanted: str) -> Group:
        """Until the group has this health, or the link this state."""
        return self.cluster.wait(self.group, wanted)

    def place(self, **options: str | bool) -> None:
        """Places the copy at b."""
        self.cluster.link(self.group, **options)

    def clean(self) -> Group:
        """Waits until nothing is dirty."""
        return self.cluster.clean(self.group)

    def equal(self) -> None:
        """Waits until nothing is dirty and compares every byte."""
        self.cluster.equal(self.group)

    def image(self, host: Host) -> Path:
        """Where the bytes lie at a host."""
        return host.image(self.group)

    def travelled(self) -> int:
        """Bytes that the line has carried so far, both ways, for whatever purpose."""
        return sum(self.line.transferred())

    def told(self, kind: str) -> list[dict[str, Any]]:
        """What a's events of this kind say of the group. They may come a moment after status shows it."""
        found, since = [], 0
        while (page := self.a.node.events(since)).events:
            found += [each.fields for each in page.events if each.kind == kind]
            since = page.next
        return [fields for fields in found if fields["group"] == self.group]

    def farshore(self, *words: str) -> Any:
        """A command at a that has to succeed."""
        return self.a.done(*words)


class MakePair(Protocol):
    """What the fixture `pair` is. `size` in MiB; without `options` the group has no link yet."""

    def __call__(self, size: int = 16, *, region: str = "32KiB", **options: str | bool) -> Pair: ...


@dataclass(slots=True)
class _Groups:
    cluster: Cluster
    names: list[str] = field(default_factory=list)
    made: int = 0

    def fresh(self) -> str:
        self.made += 1
        self.names.append(f"group-{self.made}")
        return self.names[-1]

    def clear(self) -> None:
        node = self.cluster.a.node
        for name in self.names:
            for link in node.status(name).groups[0].links:
                node.delete_link(name, link.name)
            node.delete_group(name)
        self.names.clear()


@pytest.fixture(scope="package")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Groups]:
    """Two paired nodes with a line between them."""
    with clusters(tmp_path_factory.mktemp("outage")) as make:
        yield _Groups(make())


@pytest.fixture
def pair(sites: _Groups) -> Iterator[MakePair]:
    """Makes groups, which are gone after the test, as is whatever was done to the line."""
    line = sites.cluster.line

    def make(size: int = 16, *, region: str = "32KiB", **options: str | bool) -> Pair:
        name = sites.fresh()
        sites.cluster.group(name, {VOLUME: f"{size}MiB"}, region=region)
        made = Pair(sites.cluster, name, size << 20)
        if options:
            made.place(**options)
            made.wait("protected")
        return made

    yield make
    line.rate(None)
    line.delay(0)
    line.heal()
    sites.clear()
