"""A chain of sites as operators make, see and mend it. What its engines relay is shown in `test_relaying`."""

import os
from typing import Any

from tests.shapes.conftest import MIB, Sites
from tests.waiting import wait_until


def _chain(sites: Sites, *options: str) -> str:
    """a -> b, and b -> c that was made at a."""
    group = sites.group()
    sites.link(group, sites.b, mode="sync")
    sites.a.done("link", "create", group, "c", "--via", "b", *options)
    return group


def _listed(sites: Sites, group: str) -> dict[str, dict[str, Any]]:
    shown = sites.a.done("link", "list", group, "--json")["links"]
    return {each["name"]: each for each in shown}


def test_a_chain_is_listed_drawn_set_and_taken_down_at_the_primary(sites: Sites) -> None:
    group = _chain(sites, "--mode", "async", "--rpo", "7s")
    links = _listed(sites, group)
    assert {name: each["via"] for name, each in links.items()} == {"b": None, "c": "b"}
    assert links["c"]["options"]["rpo"] == 7
    text = sites.a.done("topology", group).splitlines()
    assert [line.split()[:2] for line in text[1:]] == [["a", "primary,"], ["└─", "b"], ["└─", "c"]]
    (middle,) = sites.b.done("status", group, "--json")["groups"]
    assert middle["role"] == "secondary"
    assert [(each["name"], each["peer"], each["mode"]) for each in middle["links"]] == [("c", "c", "async")]
    sites.a.done("link", "set", group, "c", "rpo=9s", "mode=sync")
    assert sites.b.node.link(group, "c")["options"]["rpo"] == 9
    assert "feeds others itself" in sites.a.farshore("link", "delete", group, "b").stderr
    sites.a.done("link", "delete", group, "c")
    assert group not in [each.name for each in sites.c.node.status().groups]
    assert _listed(sites, group).keys() == {"b"}
    sites.equal(group, sites.b, "b")


def test_the_primary_takes_over_what_the_middle_fed(sites: Sites) -> None:
    group = _chain(sites)
    with sites.a.client(group) as client:
        client.write(MIB, os.urandom(MIB))
    sites.a.done("link", "reroute", group, "c", "--via", "a")
    sites.equal(group, sites.c, "c")
    left = sites.b.node.link(group, "c")
    assert left["left_for"] == "a"
    with sites.a.client(group) as client:
        client.write(3 * MIB, os.urandom(MIB))
    sites.equal(group, sites.c, "c")
    assert len(sites.a.done("topology", group).splitlines()) == 4  # a, and b and c below it


def test_a_dead_middle_is_bypassed_and_changes_nothing_when_it_is_back(sites: Sites) -> None:
    group = _chain(sites)
    sites.b.kill_node()
    sites.b.kill_engine_of(group)
    drawn = sites.a.done("topology", group, "--json")["groups"][0]["roots"]
    ((middle,),) = [root["copies"] for root in drawn]
    assert (middle["node"], middle["seen"]) == ("b", False)
    assert [(each["node"], each["seen"]) for each in middle["copies"]] == [("c", True)]
    assert _listed(sites, group)["c"]["state"] is None
    refused = sites.a.farshore("link", "delete", group, "c")
    assert refused.returncode == 6
    assert f"farshore link reroute {group} c --via a" in refused.stderr
    done = sites.a.done("link", "reroute", group, "c", "--via", "a", "--json")
    assert not done["old_feeder_told"]
    wait_until(lambda: sites.a.link(group, "c").state == "replicating", 40.0, what="c to be fed by a")
    sites.b.start()
    with sites.a.client(group) as client:
        client.write(MIB, os.urandom(MIB))
    wait_until(lambda: sites.a.link(group, "b").state == "replicating", 40.0, what="b to be back")
    sites.equal(group, sites.c, "c")
    sites.equal(group, sites.b, "b")
    assert sites.a.link(group, "c").state == "replicating"
