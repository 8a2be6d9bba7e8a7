"""Several copies on one node, several groups to one node, nodes that hold copies for each other."""

import json
import os
from pathlib import Path

from tests.cluster import Host
from tests.shapes.conftest import MIB, Sites
from tests.waiting import wait_until


def _refused(host: Host, code: str, *words: str) -> dict[str, str]:
    run = host.farshore(*words, "--json")
    assert run.returncode != 0, words
    error: dict[str, str] = json.loads(run.stderr)["error"]
    assert error["code"] == code, (words, error)
    assert error["next"], words
    return error


def test_one_node_holds_two_copies_of_a_group(sites: Sites) -> None:
    group = sites.group(None, "data", "logs")
    sites.link(group, sites.b, name="near", mode="sync")
    sites.link(group, sites.b, name="later", mode="async")
    with sites.a.client(group, "data") as data, sites.a.client(group, "logs") as logs:
        data.write(0, os.urandom(MIB))
        logs.write(MIB, os.urandom(MIB))
    copies = sites.copies(sites.b, group)
    assert copies.keys() == {"near", "later"}
    paths = [volume["path"] for copy in copies.values() for volume in copy["volumes"]]
    assert len(set(paths)) == 4
    for name in ("near", "later"):
        sites.equal(group, sites.b, name)
    # One of the two is paused and left behind; the other one is not touched by that.
    sites.a.done("pause", group, "--link", "later")
    with sites.a.client(group, "data") as data:
        data.write(2 * MIB, os.urandom(MIB))
        data.flush()
    assert sites.a.link(group, "near").state == "replicating"
    later = {each["name"]: Path(each["path"]) for each in copies["later"]["volumes"]}
    assert not any(later["data"].read_bytes()[2 * MIB : 3 * MIB])
    sites.a.done("resync", group, "--link", "later")
    sites.equal(group, sites.b, "later")
    # Its end is the end of one copy only.
    sites.a.done("link", "delete", group, "later")
    assert sites.copies(sites.b, group).keys() == {"near"}
    sites.equal(group, sites.b, "near")


def test_two_groups_of_different_nodes_at_a_third(sites: Sites) -> None:
    one, other = sites.group(sites.a), sites.group(sites.b)
    sites.link(one, sites.c, mode="sync")
    sites.link(other, sites.c, sites.b, mode="sync")
    for host, group in ((sites.a, one), (sites.b, other)):
        with host.client(group) as client:
            client.write(4096, os.urandom(MIB))
        sites.equal(group, sites.c, "c", host)


def test_two_nodes_are_primary_and_secondary_for_each_other(sites: Sites) -> None:
    here, there = sites.group(sites.a), sites.group(sites.b)
    sites.link(here, sites.b, mode="sync")
    sites.link(there, sites.a, sites.b, mode="sync")
    for host, peer, group in ((sites.a, sites.b, here), (sites.b, sites.a, there)):
        with host.client(group) as client:
            client.write(0, os.urandom(MIB))
        sites.equal(group, peer, peer.name, host)
    roles = {each.name: each.role for each in sites.a.node.status().groups}
    assert (roles[here], roles[there]) == ("primary", "secondary")
    # The engine of one direction dies; the other direction does not notice.
    since = sites.b.json_link(there)["since"]
    before = sites.a.kill_engine(here)
    sites.a.engine(here, other_than=before)
    sites.equal(here, sites.b, "b")
    assert sites.b.json_link(there)["since"] == since


def test_a_link_back_to_where_the_group_is_written_would_close_a_ring(sites: Sites) -> None:
    group = sites.group()
    sites.link(group, sites.b, mode="sync")
    error = _refused(sites.b, "ring", "link", "create", group, "a")
    assert f"topology {group}" in error["next"]
    assert sites.a.link(group).state == "replicating"


def test_a_copy_is_never_fed_twice(sites: Sites) -> None:
    group = sites.group()
    sites.link(group, sites.b, mode="sync")
    _refused(sites.a, "exists", "link", "create", group, "b", "--name", "b")
    # Another node's group of the same name cannot take the copy over.
    sites.c.done("group", "create", group, "--volume", sites.volume(sites.c, group, "data"))
    try:
        _refused(sites.c, "exists", "link", "create", group, "b")
    finally:
        sites.c.done("group", "delete", group)
    assert sites.copies(sites.b, group).keys() == {"b"}
    sites.equal(group, sites.b, "b")


def test_a_second_copy_cannot_have_the_place_of_the_first(sites: Sites) -> None:
    group = sites.group()
    sites.link(group, sites.b, mode="sync")
    place = sites.b.image(group)
    words = ("link", "create", group, "b", "--name", "second", "--place", f"data={place}")
    _refused(sites.a, "in-use", *words)
    assert sites.copies(sites.b, group).keys() == {"b"}
    assert [link.name for link in sites.a.group(group).links] == ["b"]
    wait_until(lambda: sites.a.link(group).state == "replicating", what="the first link")
