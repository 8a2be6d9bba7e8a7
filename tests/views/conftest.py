"""Groups on two real nodes whose secondary is looked at, by the commands that operators have.

The nodes of a module are made once, and each test has a group of its own.
"""

import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from farshore.core.geometry import Geometry
from farshore.model.copy_config import from_json
from farshore.model.layers import Layer, LayerKind
from farshore.store.platform import RealFiles
from farshore.store.preserve import PreserveStore
from tests.cluster import Cluster, OnCluster, clusters

MIB = 1 << 20
SIZE = 16 * MIB


@dataclass(slots=True)
class Viewed(OnCluster):
    """A group with its primary at a and a copy at b."""

    cluster: Cluster
    group: str

    def kept(self, name: str) -> bytes:
        """Has the copy at b keep a snapshot of what it holds, while its engine is down; the volume's
        bytes."""
        b = self.b
        b.done("node", "stop", "--engines")
        (path,) = (b.state / "copies" / self.group).glob("*/copy.json")
        config = from_json(json.loads(path.read_text()))
        sizes = {each.id: each.size for each in config.volumes}
        geometry = Geometry(sizes, config.region)
        store = PreserveStore.open(RealFiles(), str(path.parent / "preserve"), geometry, 1 << 30)
        layer = Layer(
            secrets.token_bytes(16), LayerKind.SNAPSHOT, tuple(sizes.items()), name, None, time.time()
        )
        store.begin(layer, 0)
        store.close()
        image = Path(config.volumes[0].path).read_bytes()
        b.start()
        b.engine(self.group)
        self.cluster.wait(self.group)
        return image


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
