"""Whole nodes on a disk that fails: their own records, and `farshore repair` as an operator has it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.demo.nbd_client import NbdError
from tests.cluster import Cluster, Host
from tests.disks.failing_disk import FailingDisk, On, Rule
from tests.disks.pairs import drop_cache
from tests.ports import free_port
from tests.processes import Processes
from tests.requires import requires

pytestmark = requires("gcc")

EIO, ENOSPC = 5, 28
RECORD_FAILURES = {
    "no room": (Rule(".copy.json.new", On.WRITE, ENOSPC), "disk-full"),
    "EIO on write": (Rule(".copy.json.new", On.WRITE, EIO), "io-error"),
    "failed sync": (Rule(".copy.json.new", On.SYNC, EIO), "io-error"),
    "no new name": (Rule("copy.json", On.RENAME, EIO), "io-error"),
    "failed sync of the directory": (Rule("/copies/late/a$", On.SYNC, EIO), "io-error"),
}


@pytest.fixture
def nodes(disk: FailingDisk, disk_path: Path, processes: Processes) -> Iterator[Cluster]:
    """a and b, paired; all that they are is on the failing disk."""
    made = Cluster(disk_path / "nodes", ("a", "b"), processes)
    for host in made.hosts.values():
        host.prefix = disk.prefix
    try:
        yield made.start(through_line=False)
    finally:
        disk.well()
        made.close()


def test_a_record_of_the_node_that_cannot_be_written_leaves_everything_as_it_was(
    nodes: Cluster, disk: FailingDisk
) -> None:
    a, image = nodes.a, nodes.directory / "late.img"
    create = ("group", "create", "late", "--volume", f"data={image},size=4MiB")
    for what, (rule, code) in RECORD_FAILURES.items():
        disk.fail(rule)
        error = a.refused(*create)
        assert (error["code"], disk.hits() > 0) == (code, True), (what, error)
        assert not image.exists(), what
        assert a.node.status().groups == (), what
        assert not list((a.state / "copies").glob("*/*/copy.json")), what
        disk.well()
    a.done(*create)
    address = f"127.0.0.1:{free_port()}"
    before = a.node.group("late")
    for what in ("failed sync", "failed sync of the directory"):
        rule, code = RECORD_FAILURES[what]
        disk.fail(rule)
        assert a.refused("export", "late", "--tcp", address)["code"] == code, what
        disk.well()
        assert a.node.group("late") == before, what
    a.kill_node()
    a.start()
    assert a.node.group("late") == before
    a.done("export", "late", "--tcp", address)
    with a.client("late") as client:
        client.write(0, b"x" * 512)
        client.flush()


def test_an_operator_brings_a_group_back_after_errors_at_either_node(
    nodes: Cluster, disk: FailingDisk
) -> None:
    a, b = nodes.a, nodes.b
    nodes.group("shop", {"data": "8MiB"})
    nodes.link("shop", mode="sync")
    nodes.wait("shop")
    with a.client("shop") as client:
        client.write(0, b"flushed!" * 512)
        client.flush()
    _a_sync_fails(a, disk)
    _at_the_peer(nodes, disk)
    _a_region_cannot_be_read(a, disk)
    nodes.equal("shop")
    assert not a.json("shop")["fault"]
    assert not b.json("shop")["fault"]


def _a_sync_fails(a: Host, disk: FailingDisk) -> None:
    disk.fail(Rule("shop-data.img", On.SYNC, EIO))
    with a.client("shop") as client:
        client.write(8192, b"unsynced" * 512)
        with pytest.raises(NbdError):
            client.flush()
    shown = a.until("shop", lambda group: group.health == "failed", "shop to have failed")
    assert shown.next == "see to the disk, then farshore repair shop"
    error = a.refused("resync", "shop")
    assert (error["code"], error["next"]) == ("faulted", "farshore repair shop")
    pid = a.kill_engine("shop")
    a.engine("shop", other_than=pid)
    error = a.refused("repair", "shop")
    assert error["code"] == "plan-needed"
    shown = a.done("repair", "shop", "--dry-run", "--json")["plan"]
    assert "acknowledged after the last flush that succeeded" in shown["lost"][0]
    plan = shown["id"]
    assert error["next"] == f"farshore repair shop --accept {plan}"
    assert a.refused("repair", "shop", "--accept", "0123")["code"] == "stale-plan"
    error = a.refused("repair", "shop", "--accept", plan)
    assert error["code"] == "faulted", "the disk is not well yet"
    disk.well()
    assert a.refused("repair", "shop", "--accept", plan)["code"] == "stale-plan", "it failed once more"
    plan = a.done("repair", "shop", "--dry-run", "--json")["plan"]["id"]
    a.done("repair", "shop", "--accept", plan)
    shown = a.until("shop", lambda group: group.writes == "flowing", "shop to be served again")
    assert "the peer may have the better data" in str(shown.why)
    with a.client("shop") as client:
        assert client.read(0, 4096) == b"flushed!" * 512
    a.done("resync", "shop", "--wait")


def _at_the_peer(nodes: Cluster, disk: FailingDisk) -> None:
    a, b = nodes.a, nodes.b
    disk.fail(Rule(str(b.image("shop")), On.WRITE, EIO))
    with a.client("shop") as client:
        client.write(16384, b"not there" * 512)
        client.flush()
    b.until("shop", lambda group: group.health == "failed", "the peer to have failed")
    a.until("shop", lambda group: group.links[0].peer_usable is False, "a to know")
    assert "farshore repair" in str(a.json("shop")["next"])
    disk.well()
    b.done("repair", "shop")
    nodes.wait("shop")


def _a_region_cannot_be_read(a: Host, disk: FailingDisk) -> None:
    drop_cache(a.image("shop"))
    disk.fail(Rule("shop-data.img", On.READ, EIO, first=0, end=4096))
    with a.client("shop") as client:
        assert client.read(0, 4096) == b"flushed!" * 512
    shown = a.json("shop")
    assert (shown["health"], shown["writes"], shown["unreadable_bytes"]) == ("failed", "flowing", 32 << 10)
    assert "read error EIO" in shown["fault"]
    disk.well()
    told = a.done("repair", "shop", "--json")["copies"][0]
    assert (told["mended"], told["left"]) == (1, 0)
