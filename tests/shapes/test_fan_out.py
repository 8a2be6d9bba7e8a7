"""One group, many links: each goes its own way, and none of them makes another one wait."""

import os
import time

from farshore.demo.nbd_client import NbdClient
from tests.outage.writing import anywhere, writing
from tests.shapes.conftest import MIB, Sites
from tests.waiting import wait_until

_SLOW_MS = 300.0


def _slowest_write(client: NbdClient, count: int = 20) -> float:
    took = []
    for number in range(count):
        began = time.monotonic()
        client.write(4096 * number, os.urandom(4096))
        took.append(time.monotonic() - began)
    return sorted(took)[count // 2]  # others use the machine too: half of them must be quick


def test_each_link_has_its_own_mode_state_and_counters(sites: Sites) -> None:
    group = sites.group()
    sites.link(group, sites.b, mode="sync", rpo="7s", queue_memory="8MiB")
    sites.link(group, sites.c, mode="async", name="far")
    with sites.a.client(group) as client:
        client.write(MIB, os.urandom(MIB))
    sites.equal(group, sites.b, "b")
    sites.equal(group, sites.c, "far")
    before = sites.a.json_link(group, "b")
    sites.a.done("pause", group, "--link", "far")
    with sites.a.client(group) as client:
        client.write(3 * MIB, os.urandom(MIB))
        client.flush()
    far, near = sites.a.json_link(group, "far"), sites.a.json_link(group, "b")
    assert (far["mode"], far["state"], far["reason"]) == ("async", "logging", "operator")
    assert (near["mode"], near["state"]) == ("sync", "replicating")
    assert far["dirty_bytes"] == MIB
    assert near["queue"]["memory_limit"] == 8 * MIB
    assert near["since"] == before["since"]
    sites.a.done("resync", group, "--link", "far")
    sites.equal(group, sites.c, "far")
    assert sites.a.json_link(group, "far")["resent_bytes_total"] <= 8 * MIB + 1.1 * MIB
    assert sites.a.json_link(group, "b")["resent_bytes_total"] == before["resent_bytes_total"]


def test_a_sync_link_does_not_wait_for_a_slow_async_one(sites: Sites) -> None:
    group = sites.group()
    sites.link(group, sites.b, mode="async")
    sites.link(group, sites.c, mode="sync")
    sites.line_to_b.delay(_SLOW_MS)
    with sites.a.client(group) as client:
        assert _slowest_write(client) < _SLOW_MS / 1000
    sites.line_to_b.delay(0)
    sites.equal(group, sites.b, "b")
    sites.equal(group, sites.c, "c")


def test_a_silent_peer_of_an_async_link_holds_nobody_up(sites: Sites) -> None:
    group = sites.group(size=16)
    sites.link(group, sites.b, mode="async", queue_memory="1MiB")
    sites.link(group, sites.c, mode="sync")
    stood = sites.a.json_link(group, "c")["since"]
    with sites.a.client(group) as client, writing(client, anywhere(16 * MIB, 3)) as application:
        application.go_on(50)
        sites.line_to_b.stall()
        application.go_on(200)  # more than the queue to b takes
        wait_until(lambda: sites.a.link(group, "b").state == "logging", what="the link to b to log")
        application.go_on(50)
        assert sites.a.link(group, "c").state == "replicating"
        sites.line_to_b.heal()
        wait_until(lambda: sites.a.link(group, "b").state == "replicating", 40.0, what="b to be back")
    assert sites.a.json_link(group, "c")["since"] == stood
    sites.equal(group, sites.b, "b")
    sites.equal(group, sites.c, "c")


def test_a_dead_sync_peer_is_given_up_alone(sites: Sites) -> None:
    group = sites.group()
    sites.link(group, sites.b, mode="sync")
    sites.link(group, sites.c, mode="sync")
    with sites.a.client(group) as client, writing(client, anywhere(8 * MIB, 4)) as application:
        application.go_on(20)
        sites.line_to_b.cut()
        wait_until(lambda: sites.a.link(group, "b").state == "logging", what="the link to b to log")
        application.go_on(50)
        assert sites.a.link(group, "c").state == "replicating"
        assert sites.a.group(group).health == "unprotected"  # the worst of its links
        sites.line_to_b.heal()
        wait_until(lambda: sites.a.link(group, "b").state == "replicating", 40.0, what="b to be back")
    sites.equal(group, sites.b, "b")
    sites.equal(group, sites.c, "c")


def test_a_full_copy_to_one_peer_disturbs_no_other(sites: Sites) -> None:
    group = sites.group(size=16)
    sites.link(group, sites.c, mode="sync")
    with sites.a.client(group) as client, writing(client, anywhere(16 * MIB, 6)) as application:
        application.go_on(50)
        stood = sites.a.json_link(group, "c")["since"]
        sites.link(group, sites.b, mode="async")
        application.go_on(20)
    assert sites.a.json_link(group, "c")["since"] == stood
    sites.equal(group, sites.b, "b")
    sites.equal(group, sites.c, "c")


def test_all_links_survive_the_death_of_the_engine(sites: Sites) -> None:
    group = sites.group()
    sites.link(group, sites.b, mode="sync")
    sites.link(group, sites.c, mode="async")
    with sites.a.client(group) as client:
        client.write_all((at, os.urandom(65536)) for at in range(0, 4 * MIB, 65536))
    before = sites.a.kill_engine(group)
    sites.a.engine(group, other_than=before)
    sites.a.until(group, lambda seen: len(seen.links) == 2, "both links")
    sites.equal(group, sites.b, "b")
    sites.equal(group, sites.c, "c")
