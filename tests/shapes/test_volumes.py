"""Volumes that are added to a group and taken out of it again, with copies at two peers."""

import json
import os
import sys

import pytest

from tests.cluster import Host
from tests.command_line import ROOT
from tests.shapes.conftest import MIB, Sites
from tests.waiting import wait_until


def refused(host: Host, code: str, *words: str) -> dict[str, str]:
    """That a command is refused with this code and a next step."""
    run = host.farshore(*words, "--json")
    assert run.returncode != 0, words
    error: dict[str, str] = json.loads(run.stderr)["error"]
    assert error["code"] == code, (words, error)
    assert error["next"], words
    return error


def _ids(host: Host, group: str) -> dict[str, int]:
    return {each["name"]: each["id"] for each in host.node.group(group)["volumes"]}


def _write(sites: Sites, group: str, volume: str, offset: int, size: int = MIB) -> None:
    with sites.a.client(group, volume) as client:
        client.write(offset, os.urandom(size))
        client.flush()


def test_a_volume_is_added_everywhere_and_only_what_is_new_is_copied(sites: Sites) -> None:
    group = sites.group(size=16)
    sites.link(group, sites.b, mode="sync")
    sites.link(group, sites.c, mode="async", name="far")
    _write(sites, group, "data", 0, 8 * MIB)
    sites.clean(group)
    more = sites.volume(sites.a, group, "logs", 8)
    error = refused(sites.a, "wrong-state", "group", "add", group, "--volume", more)
    assert error["next"] == f"farshore pause {group}"
    sites.a.done("pause", group)
    _write(sites, group, "data", 12 * MIB)  # marked while paused, and still marked afterwards
    place = sites.c.directory / f"{group}-elsewhere.img"
    sites.c.done("node", "allow", "a", "--path", str(place))
    sites.a.done("group", "add", group, "--volume", more, "--place", f"far:logs={place}")
    assert _ids(sites.a, group) == {"data": 0, "logs": 1}
    _write(sites, group, "logs", 0)
    dirty = {link: sites.a.json_link(group, link)["dirty_bytes"] for link in ("b", "far")}
    assert dirty == {"b": 8 * MIB + MIB, "far": 8 * MIB + MIB}
    sites.a.done("resync", group)
    sites.equal(group, sites.b, "b")
    sites.equal(group, sites.c, "far")
    assert sites.c.image(group, "logs") == place
    for link in ("b", "far"):
        assert sites.a.json_link(group, link)["sent_bytes_total"] <= 1.1 * 2 * MIB
    # One order over both volumes, from here on.
    _write(sites, group, "logs", 4 * MIB)
    _write(sites, group, "data", 4 * MIB)
    sites.equal(group, sites.b, "b")
    sites.equal(group, sites.c, "far")


def test_a_removed_volume_goes_everywhere_and_its_id_with_it(sites: Sites) -> None:
    group = sites.group(None, "data", "logs")
    sites.link(group, sites.b, mode="sync")
    _write(sites, group, "logs", 0)
    sites.clean(group)
    here, there = sites.a.image(group, "logs"), sites.b.image(group, "logs")
    refused(sites.a, "wrong-state", "group", "remove", group, "logs")
    sites.a.done("pause", group)
    _write(sites, group, "logs", MIB)
    _write(sites, group, "data", MIB)
    refused(sites.a, "not-found", "group", "remove", group, "other")
    sites.a.done("group", "remove", group, "logs")
    assert sites.a.json_link(group)["dirty_bytes"] == MIB
    refused(sites.a, "wrong-state", "group", "remove", group, "data")  # the last one
    assert here.stat().st_size == there.stat().st_size == 8 * MIB
    sites.a.done("resync", group)
    sites.equal(group, sites.b, "b")
    assert [each.name for each in sites.b.group(group).volumes] == ["data"]
    # A volume of that name again is another volume: it has its own id, and its copy needs a place of its own.
    sites.a.done("pause", group)
    again = ("group", "add", group, "--volume", f"logs={here}")
    refused(sites.a, "not-empty", *again)
    assert _ids(sites.a, group) == {"data": 0}
    assert here.exists()
    there.unlink()
    sites.a.done(*again)
    assert _ids(sites.a, group)["logs"] > 1
    sites.a.done("resync", group)
    sites.equal(group, sites.b, "b")


def test_what_one_peer_refuses_is_undone_at_the_others(sites: Sites) -> None:
    group = sites.group()
    sites.link(group, sites.b, name="first", mode="sync")
    sites.link(group, sites.c, name="second", mode="sync")
    sites.a.done("pause", group)
    more = sites.volume(sites.a, group, "logs")
    outside = sites.c.directory / "not-allowed.img"
    words = ("group", "add", group, "--volume", more)
    refused(sites.a, "outside-grant", *words, "--place", f"second:logs={outside}")
    refused(sites.a, "not-found", *words, "--place", f"third:logs={outside}")
    refused(sites.a, "exists", "group", "add", group, "--volume", sites.volume(sites.a, group, "data"))
    in_use = sites.a.image(group, "data")
    refused(sites.a, "in-use", "group", "add", group, "--volume", f"logs={in_use}")
    for host, copy in ((sites.b, "first"), (sites.c, "second")):
        assert [each["name"] for each in sites.copies(host, group)[copy]["volumes"]] == ["data"]
    assert not (sites.a.directory / f"{group}-logs.img").exists()
    assert not (sites.b.state / "volumes" / group / "logs.img").exists()
    sites.a.done("resync", group)
    sites.equal(group, sites.b, "first")
    sites.equal(group, sites.c, "second")


def test_a_peer_out_of_reach_refuses_an_add_and_is_told_of_a_remove_later(sites: Sites) -> None:
    group = sites.group(None, "data", "logs")
    sites.link(group, sites.b, mode="async")
    sites.a.done("pause", group)
    sites.line_to_b.cut()
    more = sites.volume(sites.a, group, "more")
    refused(sites.a, "unreachable", "group", "add", group, "--volume", more)
    assert _ids(sites.a, group).keys() == {"data", "logs"}
    told = sites.a.done("group", "remove", group, "logs", "--json")
    assert told["peers_told"] is False
    assert _ids(sites.a, group).keys() == {"data"}
    sites.line_to_b.heal()
    wait_until(
        lambda: [each.name for each in sites.b.group(group).volumes] == ["data"], 40.0, what="b to be told"
    )
    sites.a.done("resync", group)
    sites.equal(group, sites.b, "b")


@pytest.mark.parametrize("who", ["a", "b"])
def test_a_node_that_dies_in_the_middle_leaves_nothing_half_done(sites: Sites, who: str) -> None:
    """As soon as b has written down that its copy gets a volume: engines are being restarted then."""
    group = sites.group()
    sites.link(group, sites.b, mode="async")
    _write(sites, group, "data", 0)
    sites.clean(group)
    sites.a.done("pause", group)
    victim = sites.cluster.hosts[who]
    more = sites.volume(sites.a, group, "logs")
    command = sites.cluster.processes.start(
        [sys.executable, "-m", "farshore", "group", "add", group, "--volume", more],
        env={**os.environ, "FARSHORE_STATE": str(sites.a.state)},
        cwd=ROOT,
    )
    told = sites.b.state / "copies" / group / "b" / "copy.json"
    wait_until(lambda: b"logs" in told.read_bytes(), interval=0.001, what="b to be told")
    victim.kill_node()
    command.wait(60.0)
    victim.start()
    sites.a.until(group, lambda seen: bool(seen.links), "a's engine")
    if "logs" not in _ids(sites.a, group):
        sites.a.done("group", "add", group, "--volume", more)
    wait_until(
        lambda: {each.name for each in sites.b.group(group).volumes} == {"data", "logs"},
        40.0,
        what="b to have the volumes that a has",
    )
    sites.a.done("resync", group)
    sites.equal(group, sites.b, "b")
