"""Disks without room: of a volume, of a copy's place at the peer, of a state directory."""

import errno
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.wire.nbd import constants as nbd
from tests.badinput.mounting import SmallDisk, requires_mount, small_disk
from tests.badinput.scene import Expected, Scene
from tests.cluster import Host
from tests.fault.connection import Connection

pytestmark = requires_mount

_PIECE = 64 << 10
_SIZE = 4 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """2 MiB in all."""
    with small_disk(tmp_path / "disk") as found:
        yield found


def _write_all(client: Connection) -> list[int]:
    """Writes every piece of the volume once; the errors."""
    return [
        client.refused(nbd.NBD_CMD_WRITE, at, _PIECE, 0, at.to_bytes(8, "big") * (_PIECE // 8))
        for at in range(0, _SIZE, _PIECE)
    ]


def test_a_volume_on_a_full_disk(scene: Scene, disk: SmallDisk) -> None:
    scene.a.done("group", "create", "tight", "--volume", f"data={disk.path / 'tight.img'},size=4MiB")
    scene.cluster.link("tight", mode="sync")
    scene.cluster.wait("tight")
    client = Connection(scene.a.uri("tight"))
    errors = _write_all(client)
    assert set(errors) == {0, errno.ENOSPC}
    done = [number for number, error in enumerate(errors) if not error]
    assert client.refused(nbd.NBD_CMD_FLUSH, 0, 0) == 0
    for number in done:  # what was acknowledged is there, and the connection is as good as before
        assert client.read(number * _PIECE, 8) == (number * _PIECE).to_bytes(8, "big")
    events = scene.a.node.events().events
    assert any(each.kind == "write-error" and "ENOSPC" in each.text for each in events)
    assert scene.a.group("orders").health == "protected"
    disk.remount("size=16m")
    assert not any(_write_all(client))
    client.close()
    scene.a.done("resync", "tight")  # or it would be tried again a little later
    scene.cluster.equal("tight")
    scene.a.done("link", "delete", "tight", "b")
    scene.a.done("group", "delete", "tight")


def test_a_place_on_a_full_disk(scene: Scene, disk: SmallDisk) -> None:
    scene.c.done("node", "allow", "a", "--path", f"{disk.path}/*")
    scene.a.done("group", "create", "wide", "--volume", f"data={scene.room / 'wide.img'},size=4MiB")
    scene.cluster.link("wide", scene.c, mode="sync", place=f"data={disk.path / 'wide.img'}")
    scene.cluster.wait("wide")
    client = Connection(scene.a.uri("wide"))
    assert not any(_write_all(client)), "the peer's disk is not the application's affair"
    client.close()
    here = scene.a.until("wide", lambda group: group.health == "unprotected", "the link to have stopped")
    assert here.writes == "flowing"
    assert "no space is left" in str(here.why)
    assert scene.a.link("wide").dirty_bytes
    assert scene.a.farshore("check", "wide").returncode == 2
    assert scene.a.group("orders").health == "protected"
    disk.remount("size=16m")
    scene.a.done("resync", "wide")  # or it would be tried again a little later
    scene.cluster.equal("wide", scene.c)
    scene.a.done("link", "delete", "wide", "c")
    scene.a.done("group", "delete", "wide")


def test_a_state_directory_on_a_full_disk(scene: Scene, disk: SmallDisk) -> None:
    host = Host(disk.path, "d", scene.cluster.processes)
    filler = disk.fill()
    assert _refused(host, "node", "start", "--listen", "127.0.0.1:0") == Expected("disk-full", "free space")
    filler.unlink()
    host.start()
    filler = disk.fill()
    volume = scene.room / "of-d.img"
    create = ("group", "create", "late", "--volume", f"data={volume},size=1MiB")
    assert _refused(host, *create) == Expected("disk-full", "free space")
    assert not volume.exists()
    assert host.done("status", "--json")["groups"] == []
    assert not list((host.state / "copies").iterdir())
    filler.unlink()
    host.done(*create)
    filler = disk.fill()  # what runs has its room already
    with host.client("late") as client:
        client.write(0, b"kept")
        client.flush()
    host.kill_engine("late")
    host.until("late", lambda group: group.writes == "flowing", "late to be served again")
    with host.client("late") as client:
        assert client.read(0, 4) == b"kept"
    filler.unlink()
    host.done("node", "stop", "--engines")


def _refused(host: Host, *words: str) -> Expected:
    run = host.farshore(*words, "--json")
    error = json.loads(run.stderr)["error"]
    assert (run.stdout, run.returncode) == ("", 1)
    return Expected(error["code"], " ".join(error["next"].split()[:2]))
