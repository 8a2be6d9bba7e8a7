"""A volume that grows at several sites at once, while it is written to."""

import json
from pathlib import Path

import pytest

from farshore.model.copy_config import from_json
from tests.cluster import Host, first_difference
from tests.outage.writing import anywhere, writing
from tests.shapes.conftest import MIB, Sites
from tests.shapes.test_relaying import _chain, _replicates
from tests.shapes.test_volumes import refused
from tests.waiting import wait_until


def _size(host: Host, group: str) -> int:
    return int(host.done("status", group, "--json")["groups"][0]["volumes"][0]["size"])


def _intended(host: Host, group: str) -> int:
    """What the node of a copy would tell others."""
    (path,) = (host.directory / "state" / "copies" / group).glob("*/copy.json")
    return from_json(json.loads(path.read_text())).volumes[0].size


def _write(sites: Sites, group: str, size: int, seed: int, count: int = 40) -> None:
    """A new client writes all over the volume."""
    with sites.a.client(group) as client, writing(client, anywhere(size, seed)) as writer:
        writer.go_on(count)


def _whole(sites: Sites, group: str, offset: int) -> None:
    """Something stands at the very end."""
    with sites.a.client(group) as client:
        client.write(offset - 4096, b"end!" * 1024)
        client.flush()


def _grow(sites: Sites, group: str, size: int) -> None:
    """Grows a volume of the chain to `size` MiB. The hop is waited for as the refusal advises: after a death
    of b's engine it may be resynced once more after it has replicated."""
    for _ in range(20):
        _replicates(sites, group)
        run = sites.a.farshore("group", "resize", group, "data", f"{size}MiB", "--json")
        if run.returncode == 0:
            return
        error = json.loads(run.stderr)["error"]
        assert "is being resynced" in error["what"], error
        assert error["next"].startswith("at b: farshore wait"), error
    pytest.fail(f"the hop is resynced again and again: {error}")


def test_a_volume_grows_under_load_at_all_its_copies(sites: Sites) -> None:
    group = sites.group(size=8)
    sites.link(group, sites.b, mode="sync")
    sites.link(group, sites.c, mode="async", name="far")
    with sites.a.client(group) as client, writing(client, anywhere(8 * MIB, 1)) as writer:
        writer.go_on(30)
        answer = sites.a.done("group", "resize", group, "data", "20MiB", "--json")
        assert (answer["size"], answer["before"]) == (20 * MIB, 8 * MIB)
        writer.go_on(30)
    assert _size(sites.a, group) == 20 * MIB
    _write(sites, group, 20 * MIB, 2)
    _whole(sites, group, 20 * MIB)
    sites.equal(group, sites.b, "b")
    sites.equal(group, sites.c, "far")
    for host in (sites.a, sites.b, sites.c):
        wait_until(lambda host=host: _intended(host, group) == 20 * MIB, what="the intent to know of it")  # type: ignore[misc]
    assert sites.a.json_link(group, "b")["reason"] == "in-order"
    refused(sites.a, "wrong-state", "group", "resize", group, "data", "20MiB")
    refused(sites.a, "size-mismatch", "group", "resize", group, "data", "8MiB")
    refused(sites.a, "not-found", "group", "resize", group, "other", "32MiB")
    refused(sites.a, "usage", "group", "resize", group, "data", str(20 * MIB + 100))
    refused(sites.b, "wrong-role", "group", "resize", group, "data", "32MiB")
    # A copy that is made afterwards is as large as the others.
    sites.a.done("link", "delete", group, "far")
    sites.link(group, sites.c, mode="async", name="later", first="digest")
    sites.equal(group, sites.c, "later")


def test_a_chain_grows_under_load_and_outlives_the_death_of_its_middle(sites: Sites) -> None:
    group = _chain(sites)
    for size in (12, 13):
        with sites.a.client(group) as client, writing(client, anywhere(8 * MIB, size)) as writer:
            writer.go_on(20)
            _grow(sites, group, size)
            writer.go_on(20)
        _write(sites, group, size * MIB, size)
        _whole(sites, group, size * MIB)
        sites.b.kill_engine_of(group)
        _write(sites, group, size * MIB, size + 100, count=10)
        sites.clean(group)
    sites.equal(group, sites.b, "b")
    here = sites.a.image(group)
    there = Path(sites.copies(sites.c, group)["c"]["volumes"][0]["path"])
    wait_until(lambda: first_difference(here, there) is None, 40.0, what="c to hold what a holds")
    assert there.stat().st_size == 13 * MIB


def test_a_copy_that_logs_meanwhile_has_the_size_once_it_is_back(sites: Sites) -> None:
    group = sites.group(size=8)
    sites.link(group, sites.b, mode="async")
    sites.a.done("pause", group)
    sites.a.done("group", "resize", group, "data", "10MiB")
    assert (_size(sites.a, group), _size(sites.b, group)) == (10 * MIB, 8 * MIB)
    _whole(sites, group, 10 * MIB)
    assert sites.a.json_link(group, "b")["dirty_bytes"] == 32 << 10
    sites.a.kill_engine_of(group)
    sites.a.until(group, lambda seen: seen.writes == "flowing", "the engine to be back")
    sites.a.done("resync", group)
    sites.equal(group, sites.b, "b")
    assert _size(sites.b, group) == 10 * MIB
