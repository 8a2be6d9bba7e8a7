"""A chain of sites at work: what is written at the first stands at the last, and no later hop is felt."""

import os
import time
from pathlib import Path

from tests.cluster import first_difference
from tests.shapes.conftest import MIB, Sites
from tests.waiting import wait_until


def _chain(sites: Sites, size: int = 8) -> str:
    """a -> b sync, b -> c async; both replicate."""
    group = sites.group(size=size)
    sites.link(group, sites.b, mode="sync")
    sites.a.done("link", "create", group, "c", "--via", "b", "--mode", "async")
    _replicates(sites, group)
    # A copy that gets its first hop meets its feeder anew, to have a journal from then on.
    wait_until(lambda: sites.a.link(group, "b").state == "replicating", 40.0, what="b to follow again")
    _replicates(sites, group)
    return group


def _replicates(sites: Sites, group: str) -> None:
    wait_until(lambda: sites.b.link(group, "c").state == "replicating", 40.0, what="the hop to replicate")


def _equal_at_c(sites: Sites, group: str) -> None:
    here, there = sites.a.image(group), Path(sites.copies(sites.c, group)["c"]["volumes"][0]["path"])
    wait_until(lambda: first_difference(here, there) is None, 40.0, what="c to hold what a holds")


def _resyncs(sites: Sites, group: str) -> list[object]:
    """The kinds of the resyncs of the hop that b tells of, oldest first."""
    found, since = [], 0
    while (page := sites.b.node.events(since)).events:
        found += [each.fields for each in page.events if each.kind == "link-state"]
        since = page.next
    return [
        each["reason"]
        for each in found
        if (each["group"], each["link"], each["state"]) == (group, "c", "resyncing")
    ]


def test_what_is_written_at_the_first_site_stands_at_the_last(sites: Sites) -> None:
    group = _chain(sites)
    with sites.a.client(group) as client:
        for number in range(64):
            client.write(number * 65536, os.urandom(65536))
        client.flush()
    sites.equal(group, sites.b, "b")
    _equal_at_c(sites, group)
    link = sites.b.json_link(group, "c")
    assert (link["mode"], link["reason"]) == ("async", "in-order")


def test_a_later_hop_is_paused_resynced_and_waited_for_where_it_begins(sites: Sites) -> None:
    group = _chain(sites)
    (paused,) = sites.b.done("pause", group, "--link", "c", "--json")["links"]
    assert paused["drained"]
    with sites.a.client(group) as client:
        client.write(MIB, os.urandom(MIB))
        client.flush()
    sites.clean(group)
    wait_until(lambda: sites.b.link(group, "c").dirty_bytes == MIB, what="the hop to mark what it lacks")
    began = sites.b.json_link(group, "c")["resent_bytes_total"]
    sites.b.done("resync", group, "--link", "c", "--wait", "--timeout", "40s")
    _equal_at_c(sites, group)
    assert sites.b.json_link(group, "c")["resent_bytes_total"] - began <= 1.1 * MIB


def test_the_application_does_not_feel_a_dead_last_site(sites: Sites) -> None:
    group = _chain(sites)
    sites.c.kill_node()
    sites.c.kill_engine_of(group)
    with sites.a.client(group) as client:
        began = time.monotonic()
        for number in range(50):
            client.write(number * 4096, os.urandom(4096))
        assert time.monotonic() - began < 5.0  # the limit after which a peer counts as lost
    assert sites.a.group(group).health == "protected"
    sites.c.start()
    _replicates(sites, group)
    _equal_at_c(sites, group)


def test_a_middle_that_is_back_takes_its_far_copy_again_with_an_update(sites: Sites) -> None:
    group = _chain(sites, size=32)
    with sites.a.client(group) as client:
        for at in range(0, 32 * MIB, MIB):
            client.write(at, os.urandom(MIB))
        client.flush()
    sites.clean(group)
    sites.clean(group, sites.b)
    sites.b.kill_node()
    sites.b.kill_engine_of(group)
    sites.a.done("link", "reroute", group, "c", "--via", "a")
    wait_until(lambda: sites.a.link(group, "c").state == "replicating", 40.0, what="a to feed c")
    with sites.a.client(group) as client:
        client.write(MIB, os.urandom(MIB))
        client.flush()
    sites.b.start()
    sites.clean(group)
    wait_until(
        lambda: "pointed at another feeder" in str(sites.b.json_link(group, "c")["why"]),
        what="b to be refused",
    )
    sites.a.done("link", "reroute", group, "c", "--via", "b")
    _replicates(sites, group)
    assert _resyncs(sites, group)[-1] == "update"  # its scoreboard covers what the far copy may lack
    with sites.a.client(group) as client:
        client.write(2 * MIB, os.urandom(MIB))
        client.flush()
    _equal_at_c(sites, group)
    sites.a.done("wait", group, "--timeout", "20s")  # its own link to c rests, and counts for nothing
    sites.a.done("wait", group, "--for", "replicating", "--timeout", "20s")
    assert sites.a.link(group, "c").left_for == "b"
