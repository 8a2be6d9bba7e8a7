"""What a host's copy of a group keeps of what was overwritten in it, byte by byte, read from its files."""

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from farshore.core.geometry import Geometry
from farshore.demo.nbd_client import NbdClient
from farshore.model.copy_config import from_json
from farshore.model.layers import LayerKind
from farshore.store.platform import RealFiles
from farshore.store.preserve import PreserveStore
from tests.cluster import Host

_PIECE = 1 << 20


def rescued(host: Host, group: str) -> list[tuple[str, bytes]]:
    """Name and content of each rescue, oldest first, also while the copy goes on: what is overwritten after
    the volume was read was saved before."""
    (directory,) = [path.parent for path in host.state.glob(f"copies/{group}/*/copy.json")]
    config = from_json(json.loads((directory / "copy.json").read_text()))
    (volume,) = config.volumes
    geometry = Geometry({volume.id: volume.size}, config.region, config.extent)
    live = Path(volume.path).read_bytes()

    def read(_: int, offset: int, length: int) -> bytes:
        return live[offset : offset + length]

    with TemporaryDirectory() as copied:
        shutil.copytree(directory / "preserve", f"{copied}/preserve")
        store = PreserveStore.open(RealFiles(), f"{copied}/preserve", geometry, 1 << 30)
        try:
            return [
                (
                    each.name,
                    b"".join(
                        store.read(each.id, volume.id, region, read)
                        for region in range(geometry.regions(volume.id))
                    ),
                )
                for each in store.layers
                if each.kind is LayerKind.RESCUE
            ]
        finally:
            store.close()


def exported(uri: str) -> bytes:
    """All that an export shows."""
    client = NbdClient(uri, 30.0)
    try:
        return b"".join(
            client.read(at, min(_PIECE, client.size - at)) for at in range(0, client.size, _PIECE)
        )
    finally:
        client.close()
