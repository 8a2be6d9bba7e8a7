"""Layers of a copy whose engine does not run: one more, and what each of them shows."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from farshore.core.geometry import Geometry
from farshore.model.copy_config import CopyConfig
from farshore.model.layers import Layer, LayerKind
from farshore.store.platform import RealFiles
from farshore.store.preserve import PreserveStore, default_limit


@contextmanager
def _store(config: CopyConfig, directory: Path) -> Iterator[tuple[PreserveStore, Geometry]]:
    geometry = Geometry({each.id: each.size for each in config.volumes}, config.region, config.extent)
    limit = config.preserve or default_limit(sum(geometry.sizes.values()))
    store = PreserveStore.open(RealFiles(), f"{directory}/preserve", geometry, limit)
    try:
        yield store, geometry
    finally:
        store.close()


def plant(config: CopyConfig, directory: Path, kind: LayerKind, name: str) -> bytes:
    """A layer of what a copy holds that has stopped cleanly; its id."""
    layer = secrets.token_bytes(16)
    with _store(config, directory) as (store, geometry):
        store.begin(Layer(layer, kind, tuple(sorted(geometry.sizes.items())), name), 0)
    return layer


def kept(config: CopyConfig, directory: Path) -> list[Layer]:
    """What there is, oldest first."""
    with _store(config, directory) as (store, _):
        return list(store.layers)


def shown(config: CopyConfig, directory: Path, layer: bytes) -> Mapping[int, str]:
    """The SHA-256 of what each volume held at the layer's moment."""
    images = {each.id: Path(each.path).read_bytes() for each in config.volumes}

    def live(volume: int, offset: int, length: int) -> bytes:
        return images[volume][offset : offset + length]

    with _store(config, directory) as (store, geometry):
        found = {volume: sha256() for volume in geometry.sizes}
        for volume, digest in found.items():
            for region in range(geometry.regions(volume)):
                digest.update(store.read(layer, volume, region, live))
    return {volume: digest.hexdigest() for volume, digest in found.items()}
