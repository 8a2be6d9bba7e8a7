"""Three engines in a row, A -> B -> C: B relays what it has durable in its journal, and is C's feeder.

Everything that happens to one of the lines or engines ends in three equal images. What C's journal still
holds reaches its volumes soon after it is durable, so images are compared until they are equal.
"""

import filecmp
import subprocess
from dataclasses import replace

import pytest

from farshore.core.journaling import JournalLimits
from farshore.errors import FarshoreError
from farshore.model.options import Apply, LinkOptions, Mode
from tests.integration.conftest import Chain, Sites
from tests.integration.engines import Engine
from tests.requires import program, requires
from tests.waiting import wait_until

MIB = 1 << 20
SIZES = {"data": 32 * MIB, "log": 8 * MIB}
ASYNC = LinkOptions(apply=Apply.JOURNAL, queue_disk=512 * MIB)
SYNC = LinkOptions(mode=Mode.SYNC, queue_disk=512 * MIB)
HOP = LinkOptions(apply=Apply.JOURNAL, queue_disk=512 * MIB)

pytestmark = requires("qemu-io", "fio")


def _qemu_io(engine: Engine, *commands: str, volume: str = "data") -> None:
    parts = [part for command in commands for part in ("-c", command)]
    run = subprocess.run(
        [program("qemu-io"), "-f", "raw", *parts, engine.uri(volume)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def _load(engine: Engine, seconds: float) -> "subprocess.Popen[bytes]":
    """At a rate that three engines on a small machine keep up with."""
    command = [
        program("fio"),
        "--name=load",
        "--ioengine=nbd",
        f"--uri={engine.uri()}",
        "--rw=randwrite",
        "--bsrange=4k-64k",
        "--iodepth=16",
        f"--size={SIZES['data']}",
        "--rate=16m",
        "--time_based",
        f"--runtime={seconds}",
        "--fsync=200",
        "--randrepeat=0",
        "--norandommap=1",
        "--thread",
    ]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _equal(sites: Sites, volume: str = "data") -> bool:
    filecmp.clear_cache()
    first, *others = [sites.image(site, volume) for site in "abc"]
    return all(filecmp.cmp(first, other, shallow=False) for other in others)


def _replicating(sites: Sites, options: LinkOptions = ASYNC, hop: LinkOptions = HOP) -> Chain:
    chain = sites.chain(SIZES, options, hop)
    for engine in (chain.c, chain.b, chain.a):
        engine.start()
    _calm(chain)
    return chain


def _calm(chain: Chain) -> None:
    """Both links replicate and neither owes anything."""
    for engine in (chain.a, chain.b):
        engine.ask("peer-back", peer=None)
    newest = chain.a.status()["sequence"]

    def calm() -> bool:
        links = [chain.a.link(), chain.b.link()]
        reached = [link["sequence"]["durable"] for link in links]
        return reached == [newest, newest] and all(
            link["state"] == "replicating" and link["dirty_bytes"] == 0 for link in links
        )

    wait_until(calm, 30.0, what="both links are clean")


def _converges(sites: Sites, chain: Chain) -> None:
    _calm(chain)
    for volume in SIZES:
        wait_until(lambda volume=volume: _equal(sites, volume), what="three images are equal")  # type: ignore[misc]


def _copied(engine: Engine) -> int:
    """Bytes of resyncs that the engine has sent on its only link."""
    copied: int = engine.link()["resent_bytes_total"]
    return copied


def _kinds(engine: Engine) -> list[str]:
    return [each["kind"] for each in engine.ask("events", since=0, wait=0)["events"]]


@pytest.mark.parametrize("wire", ["tls", "plain"])
@pytest.mark.parametrize("options", [ASYNC, SYNC], ids=["async", "sync"])
def test_what_is_written_at_a_arrives_at_c(sites: Sites, options: LinkOptions, wire: str) -> None:
    chain = _replicating(sites, replace(options, wire=wire), replace(HOP, wire=wire))
    a, b, c = chain.a, chain.b, chain.c
    first = _copied(b)
    _qemu_io(a, "write -P 1 0 24M", "write -P 2 512 512", "write -z 1M 1M", "discard 4M 4M", "flush")
    _qemu_io(a, "write -P 3 0 8M", "write -P 4 4M 64k", volume="log")
    assert _load(a, 1.0).wait(30) == 0
    _converges(sites, chain)
    assert c.status()["sequence"] == a.status()["sequence"]
    assert b.link()["sent_bytes_total"] > 24 * MIB
    assert _copied(b) == first
    assert b.link()["wire"] == wire
    assert [engine.terminate() for engine in (a, b, c)] == [0, 0, 0]
    assert all(_equal(sites, volume) for volume in SIZES)


def test_a_first_copy_goes_through_the_chain(sites: Sites) -> None:
    chain = sites.chain(SIZES, ASYNC, HOP)
    with sites.image("a", "data").open("r+b") as file:
        file.write(b"was there before" * 65536)
    for engine in (chain.a, chain.b, chain.c):
        engine.start()
    load = _load(chain.a, 2.0)
    assert load.wait(30) == 0
    _converges(sites, chain)


@pytest.mark.parametrize("how", ["killed", "line cut"])
def test_c_comes_back_and_gets_from_the_journal_of_b_what_it_lacks(sites: Sites, how: str) -> None:
    chain = _replicating(sites)
    a, b, c = chain.a, chain.b, chain.c
    first = _copied(b)
    load = _load(a, 30.0)
    wait_until(lambda: c.status()["sequence"] > 200)
    if how == "killed":
        c.kill()
    else:
        chain.behind.shut()
    wait_until(lambda: b.link()["state"] == "queuing", what="the journal is C's queue")
    lacking = b.status()["sequence"]
    wait_until(lambda: b.status()["sequence"] > lacking + 1000)
    assert b.link()["queue"]["disk_bytes"] > 0
    if how == "killed":
        c.start()
    else:
        chain.behind.open()
    b.ask("peer-back", peer=None)
    b.wait_for_link("replicating", 30.0)
    load.kill()
    load.wait()
    _converges(sites, chain)
    assert _copied(b) == first
    assert "queue-drains" in _kinds(b)


@pytest.mark.parametrize("options", [ASYNC, SYNC], ids=["async", "sync"])
def test_b_killed_under_load_and_back_feeds_c_as_before(sites: Sites, options: LinkOptions) -> None:
    chain = _replicating(sites, options)
    a, b, c = chain.a, chain.b, chain.c
    for _ in range(3):
        before = c.status()["sequence"]
        load = _load(a, 30.0)
        wait_until(lambda least=before + 300: c.status()["sequence"] > least)  # type: ignore[misc]
        b.kill()
        at_c = c.status()["sequence"]
        load.kill()
        load.wait()
        b.start()
        wait_until(lambda: b.status()["usable"], what="the journal was replayed")
        assert b.status()["sequence"] >= at_c, "rule B6"
        assert "journal-damaged" not in _kinds(b)
        _converges(sites, chain)
        assert _copied(b) == 0


@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_a_new_generation_of_a_reaches_c_without_a_copy(sites: Sites, how: str) -> None:
    chain = _replicating(sites)
    a, b, c = chain.a, chain.b, chain.c
    first = _copied(b)
    load = _load(a, 30.0)
    wait_until(lambda: c.status()["sequence"] > 300)
    if how == "kill":
        a.kill()
    else:
        assert a.terminate() == 0
    load.kill()
    load.wait()
    generation = c.status()["generation"]
    a.start()
    _calm(chain)
    _qemu_io(a, "write -P 9 1M 1M")
    _converges(sites, chain)
    assert c.status()["generation"] == a.status()["generation"] != generation
    if how == "terminate":
        assert _copied(b) == first
    b.kill()
    b.start()
    _qemu_io(a, "write -P 10 2M 1M")
    _converges(sites, chain)


def test_all_stop_cleanly_and_go_on_where_they_were(sites: Sites) -> None:
    chain = _replicating(sites)
    _qemu_io(chain.a, "write -P 1 0 8M")
    _converges(sites, chain)
    for engine in (chain.a, chain.b, chain.c):
        assert engine.terminate() == 0
    for engine in (chain.c, chain.b, chain.a):
        engine.start()
    _qemu_io(chain.a, "write -P 2 4M 8M")
    _converges(sites, chain)
    assert _copied(chain.a) == _copied(chain.b) == 0


def test_a_hop_is_added_changed_paused_and_removed_while_b_runs(sites: Sites) -> None:
    chain = sites.chain(SIZES, ASYNC, HOP)
    a, b, c = chain.a, chain.b, chain.c
    with_hop = b.config
    b.write_intent(replace(with_hop, links=()))
    for engine in (c, b, a):
        engine.start()
    a.wait_for_link("replicating")
    with pytest.raises(FarshoreError, match="secondary") as refused:
        b.ask("resync")
    assert refused.value.code.name == "wrong-role"
    _qemu_io(a, "write -P 1 0 8M")
    b.write_intent(with_hop)
    assert b.ask("reload") == {"changed": ["link c added"]}
    _converges(sites, chain)
    (cut,) = b.ask("pause", link="c", drain=True, timeout=10)["links"]
    assert cut["drained"]
    _qemu_io(a, "write -P 2 0 1M")
    assert b.link()["state"] == "logging"
    assert b.ask("resync", link="c") == {"links": ["c"]}
    _converges(sites, chain)
    intent = with_hop.links[0]
    paced = replace(intent, spec=replace(intent.spec, options=replace(HOP, max_rate=64 * MIB)))
    b.write_intent(replace(with_hop, links=(paced,)))
    assert b.ask("reload") == {"changed": ["link c changed"]}
    assert b.link()["max_rate"] == 64 * MIB
    assert list(b.ask("pace", shares={})["links"]) == [b.link()["id"]]
    b.write_intent(replace(with_hop, links=()))
    assert b.ask("reload") == {"changed": ["link c removed"]}
    assert b.status()["links"] == []
    _qemu_io(a, "write -P 3 0 1M")
    a.wait_until_clean()
    assert not list((b.directory / "links").glob("*.board"))


def test_c_is_brought_up_to_date_after_b_was_resynced_itself(sites: Sites) -> None:
    chain = _replicating(sites, LinkOptions(apply=Apply.JOURNAL))
    a, b = chain.a, chain.b
    first = _copied(b)
    chain.door.shut()
    a.wait_for_link("logging")
    _qemu_io(a, *[f"write -P 2 {megabyte}M 32k" for megabyte in range(0, 32, 2)])
    chain.door.open()
    _converges(sites, chain)
    assert 16 * 32768 <= _copied(b) - first <= 2 * MIB


def test_b_killed_while_it_is_resynced_brings_c_up_to_date_in_the_end(sites: Sites) -> None:
    chain = _replicating(sites, LinkOptions(apply=Apply.JOURNAL, max_rate=4 * MIB))
    a, b, c = chain.a, chain.b, chain.c
    chain.door.shut()
    a.wait_for_link("logging")
    _qemu_io(a, *[f"write -P {megabyte + 1} {megabyte}M 1M" for megabyte in range(0, 32, 2)])
    chain.door.open()
    a.ask("peer-back", peer=None)
    wait_until(lambda: b.status()["health"] == "catching-up", what="B is resynced")
    wait_until(lambda: _copied(a) > 4 * MIB)
    assert b.link()["state"] == "logging"
    b.kill()
    assert c.status()["usable"], "nothing of the resync has reached C"
    b.start()
    _converges(sites, chain)


def test_the_journal_is_kept_for_c_and_given_back_once_c_has_it(sites: Sites) -> None:
    chain = _replicating(sites, ASYNC, replace(HOP, queue_disk=2048 * MIB))
    a, b, c = chain.a, chain.b, chain.c
    c.kill()
    wait_until(lambda: b.link()["state"] == "queuing")
    most = JournalLimits().size
    rounds = most // (32 * MIB) + 3
    for number in range(rounds):
        _qemu_io(a, f"write -P {number + 1} 0 32M")
    a.wait_until_clean(60.0)
    assert b.status()["engine"]["journal_bytes"] >= rounds * 32 * MIB
    first = _copied(b)
    c.start()
    _converges(sites, chain)
    assert _copied(b) == first
    _qemu_io(a, "write -P 99 0 1M")
    wait_until(
        lambda: b.status()["engine"]["journal_bytes"] < 64 * MIB, 30.0, what="B's journal is given back"
    )
    _converges(sites, chain)
