"""Two engines, and readers of the secondary: of what it has applied, of the state before a resync, of a
layer."""

import filecmp
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from farshore.core.geometry import Geometry
from farshore.demo.nbd_client import NbdClient, NbdError
from farshore.errors import FarshoreError, ProtocolError
from farshore.model.copy_config import ExportIntent
from farshore.model.layers import Layer, LayerKind
from farshore.model.options import LinkOptions, Mode
from farshore.store.platform import RealFiles
from farshore.store.preserve import PreserveStore
from farshore.wire.nbd import constants as nbd
from tests.integration.conftest import Sites
from tests.integration.engines import Engine, Load
from tests.integration.turning import make_turners
from tests.requires import requires
from tests.waiting import wait_until

MIB = 1 << 20
SIZE = 16 * MIB
SIZES = {"data": SIZE}
PACED = LinkOptions(mode=Mode.SYNC, max_rate=4 * MIB, compress="none")

pytestmark = requires("qemu-io", "fio")


def _shown(engine: Engine, name: str = "ro", layer: bytes = b"") -> str:
    """Adds a read-only export to an engine's intent; what a client opens."""
    socket = engine.config.control.removesuffix(".ctl") + f"-{name}.nbd"
    export = ExportIntent(1, unix=socket, read_only=True, layer=layer.hex())
    engine.write_intent(replace(engine.config, exports=(*engine.config.exports, export)))
    return f"nbd+unix:///data?socket={socket}"


def _view(engine: Engine) -> dict[str, object]:
    (entry,) = engine.status()["views"]
    assert isinstance(entry, dict)
    return entry


@contextmanager
def _opened(uri: str) -> Iterator[NbdClient]:
    client = NbdClient(uri)
    try:
        yield client
    finally:
        client.close()


@pytest.mark.parametrize("mode", [Mode.ASYNC])
def test_a_secondary_is_read_by_several_while_it_follows_and_written_by_nobody(
    sites: Sites, mode: Mode
) -> None:
    a, b, _ = sites.pair(SIZES, LinkOptions(mode=mode))
    uri = _shown(b)
    b.start()
    a.start()
    a.wait_until_clean()
    a.qemu_io("write -P 7 0 1M", "write -z 1M 64k", "flush")
    a.wait_until_clean()
    load = a.load(1.0, Load("64k", 64))
    read = 0
    with _opened(uri) as one, _opened(uri) as two:
        assert one.size == SIZE
        assert one.flags & nbd.NBD_FLAG_READ_ONLY
        assert one.flags & nbd.NBD_FLAG_CAN_MULTI_CONN
        with pytest.raises(NbdError):
            one.write(0, b"x" * 512)
        while load.poll() is None:
            for client in (one, two):
                assert len(client.read(read % SIZE, 256 << 10)) == 256 << 10
            read += 256 << 10
        assert load.wait(30) == 0
        one.flush()
        a.wait_until_clean()
        wait_until(lambda: b.status()["sequence"] == b.status()["durable"])
        image = b"".join(two.read(at, MIB) for at in range(0, SIZE, MIB))
    assert read > MIB
    assert image == sites.image("a", "data").read_bytes()
    assert filecmp.cmp(sites.image("a", "data"), sites.image("b", "data"), shallow=False)


def test_e1_readers_see_the_state_before_a_resync_until_it_has_ended(sites: Sites, tmp_path: Path) -> None:
    a, b, door = sites.pair(SIZES, PACED)
    uri = _shown(b)
    b.start()
    assert not b.status()["usable"]
    with pytest.raises((ProtocolError, OSError)):
        NbdClient(uri).close()
    assert _view(b)["serves"] is False
    assert "first copy" in str(_view(b)["why"])
    wait_until(lambda: "exports-hidden" in b.log())
    a.start()
    a.wait_until_clean()
    a.qemu_io("write -P 1 0 16M", "flush")
    a.wait_until_clean()
    before = shutil.copy(sites.image("b", "data"), tmp_path / "before.img")
    expected = Path(before).read_bytes()
    with _opened(uri) as client:
        assert client.read(0, SIZE) == expected
        door.shut()
        a.wait_for_link("logging")
        a.qemu_io(*[f"write -P 2 {place * 256}k 128k" for place in range(64)])
        door.open()
        a.ask("peer-back", peer=None)
        wait_until(lambda: b.status()["resync_open"] is not None)
        looked = 0
        while b.status()["resync_open"] is not None:
            at = looked % 16 * MIB
            found = client.read(at, MIB)
            view = _view(b)
            if view["shows"] == "undo":
                assert found == expected[at : at + MIB]
                looked += 1
        assert looked >= 2
        a.wait_until_clean()
        assert client.read(0, SIZE) == sites.image("a", "data").read_bytes() != expected
    assert _view(b)["shows"] == "live"
    assert "exports-shown" in b.log()


def _layer_of(engine: Engine, image: Path) -> Layer:
    """A snapshot that the engine's next start finds, of what the volume has now."""
    (spec,) = engine.config.volumes
    geometry = Geometry({spec.id: spec.size}, engine.config.region)
    store = PreserveStore.open(RealFiles(), str(engine.directory / "preserve"), geometry, 1 << 30)
    layer = Layer(b"L" * 16, LayerKind.SNAPSHOT, ((spec.id, spec.size),), "monday", None, time.time())
    store.begin(layer, 0)
    store.close()
    assert image.stat().st_size == SIZE
    return layer


def test_a_layer_reads_as_its_moment_under_load_and_tells_holes(sites: Sites, tmp_path: Path) -> None:
    a, b, _ = sites.pair(SIZES, LinkOptions(mode=Mode.SYNC))
    b.start()
    a.start()
    a.wait_until_clean()
    a.qemu_io("write -P 3 0 2M", "write -P 4 8M 1M", "flush")
    a.wait_until_clean()
    assert b.terminate() == 0
    before = Path(shutil.copy(sites.image("b", "data"), tmp_path / "before.img"))
    uri = _shown(b, "monday", _layer_of(b, before).id)
    b.start()
    a.ask("peer-back", peer=None)
    a.wait_until_clean()
    load = a.load(1.0, Load("256k", 64))
    with _opened(uri) as client:
        rounds = 0
        while load.poll() is None:
            assert client.read(0, SIZE) == before.read_bytes()
            rounds += 1
    assert load.wait(30) == 0
    assert rounds >= 2
    copied = tmp_path / "copied.img"
    subprocess.run(["nbdcopy", uri, str(copied)], check=True, timeout=60)
    assert filecmp.cmp(before, copied, shallow=False)
    a.wait_until_clean()
    assert filecmp.cmp(sites.image("a", "data"), sites.image("b", "data"), shallow=False)
    assert _view(b)["name"] == "monday"


def test_what_shows_a_layer_that_is_not_there_is_not_served_and_keeps_nothing_else(sites: Sites) -> None:
    a, b, _ = sites.pair(SIZES, LinkOptions(mode=Mode.SYNC))
    gone = _shown(b, "gone", b"G" * 16)
    uri = _shown(b)
    b.start()
    a.start()
    a.wait_until_clean()
    with _opened(uri) as client:
        assert client.read(0, 512) == bytes(512)
    with pytest.raises(OSError):
        NbdClient(gone).close()
    assert [each["serves"] for each in b.status()["views"]] == [False, True]


def test_an_address_that_is_taken_keeps_no_copy_from_following(sites: Sites) -> None:
    a, b, _ = sites.pair(SIZES, LinkOptions(mode=Mode.SYNC))
    taken = a.config.exports[0].unix
    b.write_intent(replace(b.config, exports=(ExportIntent(1, unix=taken, read_only=True),)))
    a.start()
    b.start()
    a.wait_until_clean()
    assert _view(b)["serves"] is False
    assert "export-failed" in b.log()
    with pytest.raises(FarshoreError, match="cannot listen"):
        b.write_intent(
            replace(b.config, exports=(ExportIntent(1, tcp="127.0.0.1:0", unix=None), *b.config.exports))
        )
        b.ask("reload")
    assert a.terminate() == 0
    wait_until(lambda: _view(b)["serves"], 20.0)


def test_a_promotion_ends_readers_cleanly_and_the_address_goes_on_with_the_new_primary(sites: Sites) -> None:
    turners = make_turners(sites, SIZES, LinkOptions(mode=Mode.SYNC))
    a, b = turners.a, turners.b
    uri = _shown(b)
    b.start()
    a.start()
    a.wait_until_clean()
    a.qemu_io("write -P 5 0 1M", "flush")
    client = NbdClient(uri)
    assert client.read(0, 512) == b"\5" * 512
    assert a.terminate() == 0
    assert b.terminate() == 0
    with pytest.raises(ConnectionError):
        client.read(0, 512)
    client.close()
    readers = [each for each in b.config.exports if each.read_only]
    turners.promote(b)
    b.write_intent(replace(b.config, exports=(*b.config.exports, *readers)))
    b.start()
    b.qemu_io("write -P 6 0 1M", "flush")
    with _opened(uri) as after:
        assert after.read(0, 512) == b"\6" * 512
        with pytest.raises(NbdError):
            after.write(0, b"x" * 512)
