"""A reroute that the far node refuses changes nothing: neither who feeds, nor what was paused."""

import os

from tests.cluster import MakeCluster, first_difference
from tests.command_line import pair
from tests.shapes.conftest import MIB
from tests.waiting import wait_until


def test_a_link_feeds_or_is_paused_as_before_when_the_far_node_refuses(cluster: MakeCluster) -> None:
    made = cluster(("a", "b", "c"), through_line=False)
    a, b, c = made.a, made.b, made.c
    pair(b, c)
    made.group("orders", {"data": "4MiB"})
    made.link("orders", b)
    made.link("orders", c)
    made.wait("orders")
    c.done("node", "forget", "b")  # b does not know that, and would take the link

    refused = a.farshore("link", "reroute", "orders", "c", "--via", "b")
    assert refused.returncode == 4
    assert "nothing was changed" in refused.stderr
    with a.client("orders") as client:
        client.write(0, os.urandom(MIB))
    made.clean("orders")  # c is fed

    a.done("pause", "orders", "--link", "c")
    with a.client("orders") as client:
        client.write(MIB, os.urandom(MIB))
    assert a.farshore("link", "reroute", "orders", "c", "--via", "b").returncode == 4
    wait_until(lambda: a.link("orders", "b").dirty_bytes == 0, what="b to have it")
    link = a.link("orders", "c")
    assert (link.state, link.reason, link.rerouting) == ("logging", "operator", None)
    assert first_difference(a.image("orders"), c.image("orders")) == MIB
    a.done("resync", "orders", "--link", "c")
    made.equal("orders", c)
