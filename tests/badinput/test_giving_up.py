"""A copy whose journal holds what its volumes lack is not given up with it (rule B2)."""

import os
from pathlib import Path

from farshore.errors import CODES
from tests.cluster import Cluster, MakeCluster
from tests.fault.bench import ENGINE
from tests.processes import running
from tests.waiting import wait_until


def _killed(cluster: MakeCluster) -> tuple[Cluster, Path]:
    """A copy at b with a journal, whose engine and node were killed; and the file of its volume."""
    made = cluster(through_line=False)
    made.group("orders", {"data": "16MiB"})
    made.link("orders", mode="sync", apply="journal")
    made.wait("orders")
    with made.a.client("orders") as client:
        for block in range(64):
            client.write(block << 16, os.urandom(4096))
    image = made.b.image("orders")
    made.b.kill_node()
    made.b.kill_engine_of("orders")
    return made, image


def test_a_copy_that_cannot_end_whole_is_kept(cluster: MakeCluster) -> None:
    made, image = _killed(cluster)
    away = image.rename(image.with_suffix(".away"))
    made.b.start()

    run = made.a.farshore("link", "delete", "orders", "b")
    assert run.returncode == 0
    assert "farshore group delete orders" in run.stderr
    refused = made.b.farshore("group", "delete", "orders")
    assert refused.returncode == CODES["wrong-state"].exit_code
    assert "writes that its volumes lack" in refused.stderr
    assert list(made.b.state.glob("copies/orders/*/header"))

    away.rename(image)
    wait_until(lambda: running(made.b.state, ENGINE), what="the engine at b to run again")
    made.b.done("group", "delete", "orders")
    assert not list(made.b.state.glob("copies/orders/*"))
    assert image.read_bytes() == made.a.image("orders").read_bytes()


def test_a_copy_whose_engine_was_killed_is_ended_whole(cluster: MakeCluster) -> None:
    made, image = _killed(cluster)
    made.b.start()
    run = made.a.farshore("link", "delete", "orders", "b")
    assert "could not be told" not in run.stderr, made.a.farshore("events").stdout
    assert not list(made.b.state.glob("copies/orders/*"))
    assert image.read_bytes() == made.a.image("orders").read_bytes()
