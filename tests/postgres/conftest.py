"""A place for PostgreSQL, and two sites; whatever was mounted or started there ends with the test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster, MakeCluster
from tests.postgres.server import rooms


@pytest.fixture
def room() -> Iterator[Path]:
    """Where a server may lie."""
    with rooms() as make:
        yield make()


@pytest.fixture
def sites(cluster: MakeCluster) -> Cluster:
    """Nodes a and b without a line between them."""
    return cluster(through_line=False)
