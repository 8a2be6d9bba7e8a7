"""Two engines with a line between them: what is written at A stands at B, through cuts and kills.

The door does what nodes do. After every test both images are compared byte by byte.
"""

import filecmp
import json
import subprocess
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from farshore.errors import FarshoreError
from farshore.model.options import LinkOptions, Mode, OnOutage, ResyncKind
from tests.integration.conftest import Sites
from tests.integration.engines import Engine, Load
from tests.requires import program, requires
from tests.waiting import wait_until

MIB = 1 << 20
SIZES = {"data": 32 * MIB}
LOAD = Load(longest="64k", flush_every=50)

pytestmark = requires("qemu-io", "fio")


def _wrote_beyond(engine: Engine, sequence: int) -> bool:
    return bool(engine.status()["sequence"] > sequence)


def _assert_equal(sites: Sites, volume: str = "data") -> None:
    assert filecmp.cmp(sites.image("a", volume), sites.image("b", volume), shallow=False)


@pytest.mark.parametrize("wire", ["tls", "plain"])
@pytest.mark.parametrize("mode", [Mode.SYNC, Mode.ASYNC])
def test_writes_zeroes_and_trims_of_a_at_b(sites: Sites, wire: str, mode: Mode) -> None:
    a, b, _ = sites.pair(SIZES, LinkOptions(mode=mode, wire=wire))
    b.start()
    a.start()
    entry = a.wait_for_link("replicating")
    assert entry["wire"] == wire
    a.qemu_io(
        "write -P 1 0 24M",
        "write -P 2 512 512",
        "write -z 1M 1M",
        "discard 4M 4M",
        "write -P 3 6M 4k",
        "flush",
    )
    load = a.load(1.0, LOAD)
    assert load.wait(30) == 0
    a.wait_until_clean()
    _assert_equal(sites)
    assert a.link()["sent_bytes_total"] > 0
    assert b.status()["health"] == "protected"
    assert a.terminate() == 0
    assert b.terminate() == 0


def test_several_volumes_of_a_group(sites: Sites) -> None:
    a, b, _ = sites.pair({"data": 8 * MIB, "log": 4 * MIB}, LinkOptions(mode=Mode.SYNC))
    b.start()
    a.start()
    a.wait_for_link("replicating")
    a.qemu_io("write -P 1 0 8M")
    a.qemu_io("write -P 2 0 4M", volume="log")
    a.wait_until_clean()
    _assert_equal(sites, "data")
    _assert_equal(sites, "log")


def test_a_first_copy_carries_what_was_there_and_what_is_written_meanwhile(sites: Sites) -> None:
    a, b, _ = sites.pair(SIZES, LinkOptions())
    with sites.image("a", "data").open("r+b") as file:
        file.write(b"was there before" * 65536)
    a.start()
    load = a.load(2.0, LOAD)
    b.start()
    a.wait_for_link("replicating")
    assert load.wait(30) == 0
    a.wait_until_clean()
    _assert_equal(sites)


@pytest.mark.parametrize("kind", list(ResyncKind))
def test_after_a_cut_line_only_what_is_needed_travels(sites: Sites, kind: ResyncKind) -> None:
    a, b, door = sites.pair(SIZES, LinkOptions(mode=Mode.SYNC))
    b.start()
    a.start()
    a.wait_for_link("replicating")
    a.qemu_io("write -P 1 0 32M")
    a.wait_until_clean()
    door.shut()
    entry = a.wait_for_link("logging")
    assert entry["stopped_at"] is not None
    a.qemu_io(*[f"write -P 2 {megabyte}M 32k" for megabyte in range(0, 32, 2)])
    changed = 16 * 32768
    assert a.link()["dirty_bytes"] == changed
    sent = a.link()["sent_bytes_total"]
    door.open()
    if kind is ResyncKind.UPDATE:
        a.ask("peer-back", peer=None)
    else:
        a.ask("resync", link="b", kind=kind.value)
    a.wait_for_link("replicating")
    a.wait_until_clean()
    _assert_equal(sites)
    travelled = a.link()["sent_bytes_total"] - sent
    assert travelled >= changed
    if kind is not ResyncKind.FULL:
        assert travelled <= 1.1 * changed + 65536


@requires("nbdinfo")
def test_the_map_of_what_is_dirty_is_there_for_any_client(sites: Sites) -> None:
    a, b, door = sites.pair(SIZES, LinkOptions())
    b.start()
    a.start()
    a.wait_for_link("replicating")
    door.shut()
    a.wait_for_link("logging")
    a.qemu_io("write -P 2 1M 32k")
    run = subprocess.run(
        [program("nbdinfo"), "--map=x-farshore:dirty-b", "--json", a.uri()], capture_output=True, timeout=30
    )
    dirty = [(each["offset"], each["length"]) for each in json.loads(run.stdout) if each["type"] == 1]
    assert dirty == [(MIB, 32768)]


@pytest.mark.parametrize("victim", ["a", "b"])
@pytest.mark.parametrize("mode", [Mode.SYNC, Mode.ASYNC])
def test_after_kill_9_under_load_both_converge(sites: Sites, victim: str, mode: Mode) -> None:
    a, b, _ = sites.pair(SIZES, LinkOptions(mode=mode))
    b.start()
    a.start()
    a.wait_for_link("replicating")
    for _ in range(2):
        before = a.status()["sequence"]
        load = a.load(30.0, LOAD)
        wait_until(partial(_wrote_beyond, a, before + 200))
        killed = a if victim == "a" else b
        killed.kill()
        if victim == "b":
            load.kill()
        load.wait(30)
        killed.start()
        a.ask("peer-back", peer=None)
        a.wait_for_link("replicating")
        a.wait_until_clean()
        _assert_equal(sites)


def test_no_write_acknowledged_by_a_freeze_link_is_missing_at_b(sites: Sites) -> None:
    a, b, door = sites.pair(SIZES, LinkOptions(mode=Mode.SYNC, on_outage=OnOutage.FREEZE))
    b.start()
    a.start()
    a.wait_for_link("replicating")
    a.qemu_io("write -P 7 0 1M")
    door.shut()
    a.wait_for_link("logging")
    assert a.status()["writes"] == "held"
    client = subprocess.Popen(
        [program("qemu-io"), "-f", "raw", "-c", "write -P 8 0 1M", a.uri()], stdout=subprocess.PIPE
    )
    with pytest.raises(subprocess.TimeoutExpired):
        client.wait(1.0)
    door.open()
    a.ask("peer-back", peer=None)
    output, _ = client.communicate(timeout=20)
    assert b"wrote 1048576/1048576" in output
    a.wait_until_clean()
    _assert_equal(sites)


def test_pause_reports_the_cut_and_resync_goes_on(sites: Sites) -> None:
    a, b, _ = sites.pair(SIZES, LinkOptions())
    b.start()
    a.start()
    a.wait_for_link("replicating")
    a.qemu_io("write -P 1 0 1M")
    answer = a.ask("pause", link="b", drain=True, timeout=10)
    (cut,) = answer["links"]
    assert cut["drained"]
    assert cut["position"]["sequence"] == a.status()["sequence"]
    a.qemu_io("write -P 2 0 1M")
    assert a.link()["state"] == "logging"
    assert a.ask("resync", link="b") == {"links": ["b"]}
    a.wait_for_link("replicating")
    a.wait_until_clean()
    _assert_equal(sites)


def test_a_clean_restart_of_both_resumes_without_copying(sites: Sites) -> None:
    a, b, _ = sites.pair(SIZES, LinkOptions(mode=Mode.SYNC))
    b.start()
    a.start()
    a.wait_for_link("replicating")
    a.qemu_io("write -P 1 0 8M")
    a.wait_until_clean()
    assert (a.terminate(), b.terminate()) == (0, 0)
    b.start()
    a.start()
    a.wait_for_link("replicating")
    assert a.link()["resent_bytes_total"] == 0
    _assert_equal(sites)


def test_a_stranger_in_the_peers_place_is_refused(sites: Sites) -> None:
    a, b, _ = sites.pair(SIZES, LinkOptions())
    stranger = sites.key("stranger")
    (b.directory / "peers" / f"{sites.key('a').fingerprint}.pem").write_bytes(
        stranger.certificate.read_bytes()
    )
    b.start()
    a.start()

    def refused() -> bool:
        kinds = [each["kind"] for each in b.ask("events", since=0, wait=0)["events"]]
        return "peer-refused" in kinds

    wait_until(refused)
    assert a.link()["state"] == "logging"
    assert b.status()["sequence"] == 0


def test_operations_of_links_are_refused_at_a_secondary(sites: Sites) -> None:
    _, b, _ = sites.pair(SIZES, LinkOptions())
    b.start()
    for op in ("pause", "resync"):
        with pytest.raises(FarshoreError) as refused:
            b.ask(op)
        assert refused.value.code.name == "wrong-role"


def test_a_link_is_added_changed_and_removed_while_writes_flow(sites: Sites, tmp_path: Path) -> None:
    a, b, _ = sites.pair(SIZES, LinkOptions(mode=Mode.SYNC))
    linked = a.config
    a.write_intent(replace(linked, links=()))
    b.start()
    a.start()
    a.qemu_io("write -P 1 0 1M")
    a.write_intent(linked)
    assert a.ask("reload")["changed"] == ["link b added"]
    a.wait_for_link("replicating")
    intent = linked.links[0]
    other = replace(intent, spec=replace(intent.spec, options=LinkOptions(mode=Mode.ASYNC)))
    a.write_intent(replace(linked, links=(other,)))
    assert a.ask("reload")["changed"] == ["link b changed"]
    assert a.link()["mode"] == "async"
    a.wait_until_clean()
    _assert_equal(sites)
    a.write_intent(replace(linked, links=()))
    assert a.ask("reload")["changed"] == ["link b removed"]
    assert a.status()["links"] == []
    wait_until(lambda: not list((a.directory / "links").iterdir()), 10.0, what="the scoreboard to go")
    a.qemu_io("write -P 2 0 1M")
