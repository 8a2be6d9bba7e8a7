"""Two sites without a line between them; whatever was attached there is torn off when the test is over."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attached.attaching import tear_off
from tests.cluster import Cluster, MakeCluster
from tests.postgres.server import rooms


@pytest.fixture
def site(cluster: MakeCluster) -> Iterator[Cluster]:
    """Node a alone."""
    made = cluster(("a",), through_line=False)
    try:
        yield made
    finally:
        tear_off(made.a)


@pytest.fixture
def sites(cluster: MakeCluster) -> Iterator[Cluster]:
    """Nodes a and b."""
    made = cluster(through_line=False)
    try:
        yield made
    finally:
        for host in made.hosts.values():
            tear_off(host)


@pytest.fixture
def room() -> Iterator[Path]:
    """Where a database server may lie."""
    with rooms() as make:
        yield make()
