"""Two engines and a drill: volumes that are written at the secondary while it goes on following its
primary."""

import contextlib
import filecmp
import threading
from dataclasses import replace

import pytest

from farshore.demo.nbd_client import NbdClient, NbdError
from farshore.errors import FarshoreError
from farshore.model.options import LinkOptions, Mode
from tests.integration.conftest import Sites
from tests.integration.engines import Engine, Load
from tests.integration.test_engine_views import MIB, SIZE, SIZES, _opened
from tests.requires import requires
from tests.waiting import wait_until

pytestmark = requires("qemu-io", "fio")


def _socket(engine: Engine) -> str:
    return engine.config.control.removesuffix(".ctl") + "-drill.nbd"


def _start(engine: Engine, *, limit: int = 0, layer: str = "") -> str:
    """What a client opens."""
    drill = engine.ask("drill-start", unix=_socket(engine), limit=limit, layer=layer)["drill"]
    assert drill["state"] == "running"
    (export,) = drill["exports"]
    return str(export["uri"])


def _layers(engine: Engine) -> list[str]:
    return [each["kind"] for each in engine.ask("layers")["layers"]]


def _follows(sites: Sites, mode: Mode) -> tuple[Engine, Engine]:
    a, b, _ = sites.pair(SIZES, LinkOptions(mode=mode))
    b.start()
    a.start()
    a.wait_until_clean()
    a.qemu_io("write -P 7 0 4M", "write -z 4M 1M", "flush")
    a.wait_until_clean()
    return a, b


@pytest.mark.parametrize("mode", list(Mode))
def test_a_drill_is_written_while_the_copy_follows(sites: Sites, mode: Mode) -> None:
    a, b = _follows(sites, mode)
    wait_until(lambda: b.status()["usable_as_of"])
    load = a.load(0.8, Load("64k", 64))
    uri = _start(b)
    with _opened(uri) as client:
        assert client.size == SIZE
        before = client.read(0, SIZE)
        client.write(100, b"drill" * 100)
        client.write(5 * MIB + 3, b"x" * 300_000, fua=True)
        client.flush()
        expected = bytearray(before)
        expected[100:600] = b"drill" * 100
        expected[5 * MIB + 3 : 5 * MIB + 300_003] = b"x" * 300_000
        while load.poll() is None:
            assert client.read(0, SIZE) == expected
        assert load.wait(30) == 0
        a.wait_until_clean()
        assert client.read(0, SIZE) == expected
    assert filecmp.cmp(sites.image("a", "data"), sites.image("b", "data"), shallow=False)
    drill = b.status()["drill"]
    assert drill["first_write"] is not None
    assert drill["written_bytes"] == 300_500
    assert 300_000 <= drill["used_bytes"] <= drill["limit_bytes"]
    assert drill["data_age_seconds"] is not None
    with pytest.raises(FarshoreError, match="already"):
        _start(b)
    stopped = b.ask("drill-stop")["drill"]
    assert (stopped["state"], stopped["why"]) == ("ended", "it was stopped")
    with pytest.raises(OSError):
        NbdClient(uri).close()
    wait_until(lambda: not _layers(b))
    assert b.status()["drill"] is None
    with pytest.raises(FarshoreError, match="no drill"):
        b.ask("drill-stop")


def test_a_drill_that_has_used_up_its_room_is_refused_more_and_nobody_else_is(sites: Sites) -> None:
    a, b = _follows(sites, Mode.ASYNC)
    with _opened(_start(b, limit=MIB)) as client:
        client.write(0, b"a" * MIB)
        with pytest.raises(NbdError) as full:
            client.write(2 * MIB, b"b" * 8192)
        assert "ENOSPC" in str(full.value) or full.value.errno == 28
        client.write(0, b"c" * 8192)  # what it has it may write again
        assert client.read(2 * MIB, 4096) == b"\7" * 4096
        assert client.read(0, 4096) == b"c" * 4096
        a.qemu_io("write -P 9 0 16M", "flush")
        a.wait_until_clean()
    assert b.status()["drill"]["refused_writes"] == 1


def test_e2_a_drill_gives_way_when_the_store_is_full_and_the_copy_goes_on(sites: Sites) -> None:
    a, b = _follows(sites, Mode.ASYNC)
    assert b.terminate() == 0
    b.write_intent(replace(b.config, preserve=4 * MIB))
    b.start()
    a.ask("peer-back", peer=None)
    a.wait_until_clean()
    uri = _start(b)
    client = NbdClient(uri)
    client.write(0, b"a" * 4096)
    a.qemu_io("write -P 9 0 12M", "flush")
    a.wait_until_clean()
    wait_until(lambda: b.status()["drill"]["state"] == "ended")
    assert "room" in b.status()["drill"]["why"]
    with pytest.raises((NbdError, ConnectionError)):
        client.read(0, 4096)
    client.close()
    assert "drill-ended" in b.log()
    assert not _layers(b)
    assert filecmp.cmp(sites.image("a", "data"), sites.image("b", "data"), shallow=False)
    with _opened(_start(b)) as again:
        assert again.read(0, 4096) == b"\x09" * 4096


def test_a_drill_ends_with_its_engine_and_the_next_one_drops_what_it_had_taken(sites: Sites) -> None:
    a, b = _follows(sites, Mode.SYNC)
    client = NbdClient(_start(b))
    client.write(0, b"a" * MIB)
    assert _layers(b) == ["drill"]
    b.kill()
    with pytest.raises((ConnectionError, OSError)):
        client.read(0, 4096)
    client.close()
    b.start()
    wait_until(lambda: not _layers(b))
    assert b.status()["drill"] is None
    a.wait_until_clean()
    assert filecmp.cmp(sites.image("a", "data"), sites.image("b", "data"), shallow=False)


def test_a_drill_is_ended_in_the_middle_of_its_clients_writes_and_its_engine_goes_on(sites: Sites) -> None:
    a, b = _follows(sites, Mode.ASYNC)
    pid = b.ask("hello")["pid"]
    for _ in range(5):
        uri = _start(b)
        writers = [threading.Thread(target=_write_until_the_end, args=(uri,)) for _ in range(3)]
        for each in writers:
            each.start()
        wait_until(lambda: b.status()["drill"]["written_bytes"] > MIB)
        b.ask("drill-stop")
        for each in writers:
            each.join(20)
            assert not each.is_alive()
    assert b.ask("hello")["pid"] == pid
    a.qemu_io("write -P 3 0 1M", "flush")
    a.wait_until_clean()
    assert filecmp.cmp(sites.image("a", "data"), sites.image("b", "data"), shallow=False)


def _write_until_the_end(uri: str) -> None:
    client = NbdClient(uri)
    with contextlib.suppress(OSError):
        while True:
            client.write_all((at * 5000, b"w" * 70_000) for at in range(100))
            client.flush()
    client.close()


def test_no_drill_begins_on_a_copy_that_was_never_whole_nor_on_a_primary(sites: Sites) -> None:
    a, b, _ = sites.pair(SIZES, LinkOptions())
    b.start()
    a.start()
    a.wait_until_clean()
    for engine, said in ((a, "primary"), (b, "snapshot")):
        with pytest.raises(FarshoreError, match=said):
            _start(engine, layer="ab" * 16 if engine is b else "")
    assert b.status()["drill"] is None
