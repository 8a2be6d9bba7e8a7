"""Groups on two real nodes whose secondary is looked at, by the commands that operators have.

The nodes of a module are made once, and each test has a group of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from tests.cluster import Cluster, OnCluster, clusters

MIB = 1 << 20
SIZE = 16 * MIB


@dataclass(slots=True)
class Viewed(OnCluster):
    """A group with its primary at a and a copy at b."""

    cluster: Cluster
    group: str


class Views:
    """Makes them."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._numbers = count(1)

    def __call__(self, **options: str) -> Viewed:
        group = f"g{next(self._numbers)}"
        self.cluster.group(group, {"data": f"{SIZE >> 20}MiB"})
        self.cluster.link(group, **options)
        self.cluster.wait(group)
        return Viewed(self.cluster, group)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """a and b, which know each other."""
    directory: Path = tmp_path_factory.mktemp("views")
    with clusters(directory) as make:
        yield make()


@pytest.fixture(scope="module")
def views(nodes: Cluster) -> Views:
    return Views(nodes)
