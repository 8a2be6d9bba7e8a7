"""Rule E7 with real nodes: what was planted is found, also beside an application, and nothing else is."""

import os
import random
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.cluster import Cluster, Host, MakeCluster
from tests.outage.writing import Writing
from tests.waiting import wait_until

MIB = 1 << 20
REGION = 4096
SIZE = 32 * MIB
WRITTEN = 8 * MIB
"""Where the application writes; differences are planted behind it."""
PLANTED = 1000


def pieces(seed: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Writes of some KiB all over the first `end` bytes, without end."""
    drawn = random.Random(seed)
    for _ in count():
        size = drawn.choice([512, 4096, 4096, 65536])
        yield drawn.randrange((end - size) // 512) * 512, drawn.randbytes(512) * (size // 512)


def plant(image: Path, regions: list[int]) -> None:
    """Changes a byte in each of these regions, behind the engine's back."""
    drawn, file = random.Random(1), os.open(image, os.O_RDWR)
    try:
        for region in regions:
            at = region * REGION + drawn.randrange(REGION)
            (byte,) = os.pread(file, 1, at)
            os.pwrite(file, bytes([byte ^ 0x5A]), at)
    finally:
        os.close(file)


def made(cluster: MakeCluster, **options: str) -> Cluster:
    """Group `data` with a copy at b, filled and in order."""
    sites = cluster()
    sites.group("data", {"data": "32MiB"}, region="4KiB")
    sites.link("data", **options)
    sites.wait("data")
    with sites.a.client("data") as client:
        for at in range(0, SIZE, 8 * MIB):
            client.write(at, random.Random(at).randbytes(MIB) * 8)
        client.flush()
    sites.equal("data")
    return sites


def found(host: Host) -> int:
    verify = host.json_link("data")["verify"]
    size: int = verify["found_bytes"]
    return size


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_equal_copies_stay_without_a_finding_while_they_are_written(cluster: MakeCluster, mode: str) -> None:
    sites = made(cluster, mode=mode)
    with sites.a.client("data") as client:
        writing = Writing(client, pieces(2, SIZE), 0)
        for _ in range(3):
            writing.go_on(10)
            sites.a.done("verify", "data", "--timeout", "60s")
            assert sites.a.json_link("data")["verify"]["state"] == "finished"
            assert found(sites.a) == 0
        writing.end()
    sites.equal("data")


def test_a_thousand_planted_differences_are_found_under_load_and_repaired(cluster: MakeCluster) -> None:
    sites = made(cluster, mode="sync")
    regions = random.Random(3).sample(range(WRITTEN // REGION, SIZE // REGION), PLANTED)
    plant(sites.b.image("data"), regions)
    with sites.a.client("data") as client:
        writing = Writing(client, pieces(4, WRITTEN), 0)
        verified = sites.a.farshore("verify", "data", "--timeout", "60s")
        assert verified.returncode == 1
        assert "(differences)" in verified.stderr
        writing.go_on(10)
        assert found(sites.a) == PLANTED * REGION
        group = sites.a.json("data")
        assert group["health"] == "failed"
        assert "--repair" in group["next"]
        assert sites.a.json_link("data")["peer_usable"] is False

        shown = sites.a.farshore("verify", "data", "--repair")
        assert shown.returncode == 4
        plan = sites.a.done("verify", "data", "--repair", "--dry-run", "--json")["plan"]
        assert plan["id"] in shown.stdout
        assert found(sites.a) == PLANTED * REGION
        assert sites.a.farshore("verify", "data", "--repair", "--accept", "0" * 12).returncode == 4
        sites.a.done("verify", "data", "--repair", "--accept", plan["id"])
        sites.wait("data")
        assert sites.a.farshore("verify", "data", "--repair", "--accept", plan["id"]).returncode == 4
        writing.end()
    sites.equal("data")
    sites.a.done("verify", "data")
    assert found(sites.a) == 0


def test_the_first_difference_halts_the_link(cluster: MakeCluster) -> None:
    sites = made(cluster, mode="async")
    plant(sites.b.image("data"), [5000])
    halted = sites.a.farshore("verify", "data", "--halt")
    assert halted.returncode == 1
    link = sites.a.json_link("data")
    assert (link["state"], link["reason"], link["verify"]["state"]) == ("logging", "verify", "halted")
    kinds = [each.kind for each in sites.a.node.events().events]
    assert "verify-halted" in kinds
    plan = sites.a.done("verify", "data", "--repair", "--dry-run", "--json")["plan"]["id"]
    sites.a.done("verify", "data", "--repair", "--accept", plan)
    sites.wait("data")
    sites.equal("data")


@pytest.mark.parametrize("lost", ["line", "engine"])
def test_a_verify_goes_on_where_it_stood(cluster: MakeCluster, lost: str) -> None:
    sites = made(cluster, mode="async")
    plant(sites.b.image("data"), [2, 8000])
    sites.a.done("verify", "data", "--no-wait", "--max-rate", "4MiB/s")
    wait_until(lambda: found(sites.a) == REGION, 30.0, what="the first difference to be found")
    # A process that dies goes on from what it recorded last.
    wait_until(lambda: (sites.a.json_link("data")["verify"]["progress"] or 0) > 0.55, 30.0, what="half of it")
    if lost == "line":
        sites.line.cut()
        wait_until(lambda: sites.a.json_link("data")["verify"]["state"] == "waiting", what="it to wait")
        sites.line.heal()
    else:
        # Stopped, not killed: after that the extents that were hot would be compared by a resync (A3).
        sites.a.done("node", "stop", "--engines")
        sites.a.start()
    sites.wait("data", "replicating")
    wait_until(lambda: sites.a.json_link("data")["verify"]["state"] == "finished", 30.0, what="its end")
    assert found(sites.a) == 2 * REGION


def test_one_is_stopped_and_another_begins_by_itself(cluster: MakeCluster) -> None:
    sites = made(cluster, mode="sync")
    sites.a.done("verify", "data", "--no-wait", "--max-rate", "1MiB/s")
    assert sites.a.json_link("data")["verify"]["state"] == "running"
    sites.a.done("verify", "data", "--stop")
    assert sites.a.json_link("data")["verify"]["state"] == "stopped"
    sites.a.done("verify", "data", "--every", "1s")
    plant(sites.b.image("data"), [77])
    wait_until(lambda: found(sites.a) == REGION, 30.0, what="the difference to be found")
    assert sites.a.json_link("data")["verify"]["every_seconds"] == 1.0
    sites.a.done("verify", "data", "--every", "never")
    assert sites.a.json_link("data")["verify"]["next"] is None
