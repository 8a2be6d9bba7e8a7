"""One pair of nodes for all programs, with a group for each kind of link; tests only write and compare."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster import Cluster, clusters

_SIZE = 32 << 20
_LINKS = {
    "sync": {"mode": "sync", "wire": "plain"},
    "async": {"mode": "async", "wire": "tls"},
}


@dataclass(frozen=True, slots=True)
class Pair:
    """A group of one volume at a, with a copy at b."""

    cluster: Cluster
    group: str
    size: int

    @property
    def uri(self) -> str:
        """The volume at a, for an NBD client."""
        return self.cluster.a.uri(self.group)

    @property
    def copy(self) -> Path:
        """The volume's copy at b."""
        return self.cluster.b.image(self.group)

    def equal(self) -> None:
        """Waits until nothing is dirty and compares every byte at b with a."""
        self.cluster.equal(self.group)


@pytest.fixture(scope="package")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Nodes a and b with a group `sync` (wire plain) and a group `async` (TLS)."""
    with clusters(tmp_path_factory.mktemp("interop")) as make:
        made = make()
        for name, options in _LINKS.items():
            made.group(name, {"data": f"{_SIZE >> 20}MiB"})
            made.link(name, **options)
        yield made


@pytest.fixture(params=list(_LINKS))
def pair(request: pytest.FixtureRequest, sites: Cluster) -> Pair:
    """Each kind of link in turn, replicating."""
    sites.wait(request.param)
    return Pair(sites, request.param, _SIZE)
