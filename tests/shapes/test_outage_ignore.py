"""A volume with outage=ignore: not logged while the peer is away, compared as a whole then (rule A6)."""

import os

from tests.shapes.conftest import MIB, Sites
from tests.waiting import wait_until


def _group(sites: Sites) -> str:
    sites.made += 1
    group = f"group-{sites.made}"
    data, scratch = (sites.volume(sites.a, group, name, 16) for name in ("data", "scratch"))
    sites.a.done("group", "create", group, "--volume", data, "--volume", f"{scratch},outage=ignore")
    sites.groups.append((sites.a, group))
    sites.link(group, sites.b, mode="async")
    for volume in ("data", "scratch"):
        _write(sites, group, volume, 0, 8 * MIB)
    sites.clean(group)
    return group


def _write(sites: Sites, group: str, volume: str, offset: int, size: int = 4096) -> None:
    with sites.a.client(group, volume) as client:
        client.write(offset, os.urandom(size))
        client.flush()


def _unlogged(sites: Sites, group: str) -> None:
    """Cuts the line and writes to scratch until its changes are not logged any more; then once more."""
    sites.line_to_b.cut()
    wait_until(lambda: sites.a.link(group).state == "logging", what="the link to log")
    _write(sites, group, "scratch", 0)
    wait_until(
        lambda: sites.a.json_link(group)["dirty_bytes"] == 16 * MIB, what="all of scratch to count as dirty"
    )
    _write(sites, group, "scratch", 3 * MIB)


def test_what_nobody_logged_is_found_by_comparing(sites: Sites) -> None:
    group = _group(sites)
    before = sites.a.json_link(group)["resent_bytes_total"]
    _unlogged(sites, group)
    _write(sites, group, "data", 5 * MIB)
    assert sites.a.json_link(group)["dirty_bytes"] == 16 * MIB + 32768  # data is logged as ever
    sites.line_to_b.heal()
    sites.equal(group, sites.b, "b")
    assert sites.a.json_link(group)["resent_bytes_total"] - before <= 1.1 * 3 * 32768


def test_it_stays_so_when_the_engine_is_killed(sites: Sites) -> None:
    group = _group(sites)
    _unlogged(sites, group)
    before = sites.a.kill_engine(group)
    sites.a.engine(group, other_than=before)
    sites.a.until(group, lambda seen: seen.writes == "flowing", "writes to flow")
    assert sites.a.json_link(group)["dirty_bytes"] >= 16 * MIB
    _write(sites, group, "scratch", 6 * MIB)
    sites.line_to_b.heal()
    sites.equal(group, sites.b, "b")


def test_an_outage_that_it_was_not_written_in_costs_nothing(sites: Sites) -> None:
    group = _group(sites)
    sites.line_to_b.cut()
    wait_until(lambda: sites.a.link(group).state == "logging", what="the link to log")
    _write(sites, group, "data", 5 * MIB)
    assert sites.a.json_link(group)["dirty_bytes"] == 32768
    sites.line_to_b.heal()
    sites.equal(group, sites.b, "b")
