"""Two starts of a real secondary in one boot, behind a fault, with nothing received in between (rule C3)."""

from dataclasses import replace
from pathlib import Path

from farshore.core.fault_texts import VOLUMES, fault_of
from farshore.engine import turning
from farshore.engine.stored_copy import open_copy
from farshore.model.copy_config import CopyConfig
from farshore.model.options import Role
from farshore.model.positions import History, Position, Stretch
from farshore.model.volumes import VolumeSpec
from farshore.store.claim import create_volume

G = b"G" * 16


def test_what_a_fault_has_made_unbelievable_stays_so(disk_path: Path) -> None:
    volume = VolumeSpec(1, "v1", str(disk_path / "v1"), 1 << 20)
    create_volume(volume.path, volume.size).close()
    directory = disk_path / "copy"
    directory.mkdir()
    config = CopyConfig(
        group=b"g" * 16,
        group_name="g",
        copy=b"c" * 16,
        copy_name="g",
        role=Role.SECONDARY,
        volumes=(volume,),
        control=str(directory / "ctl"),
        certificate="",
        key="",
        node_name="a",
    )
    stored = open_copy(str(directory), config, turning._Held())
    assert stored.position is not None
    stored.position.write_durable(Position(G, 5))
    stored.position.write_applied(Position(G, 9))
    header = replace(stored.header.header, history=History((Stretch(G, 5),)), clean=False)
    stored.header.write(replace(header, boot=stored.boot, fault=fault_of(VOLUMES, 5)))
    stored.close()
    for _ in range(2):
        stored = open_copy(str(directory), config, turning._Held())
        copy = turning._settled(config, stored)
        head = stored.header.header.history.head
        assert head is not None
        assert head.sequence == 5
        copy.close()
