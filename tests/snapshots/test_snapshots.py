"""`farshore snapshot` with real nodes: made at one cut, at every copy, or said not to be."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farshore.core.geometry import Geometry
from farshore.store.platform import RealFiles
from farshore.store.preserve import PreserveStore
from tests.cluster import Cluster, Host, clusters
from tests.outage.writing import anywhere, writing
from tests.roles.rescued import exported

MIB = 1 << 20
SIZE = 8 * MIB
REGION = 32 << 10


def snapshots(host: Host) -> dict[str, list[str]]:
    """Which copies have which snapshot."""
    found = host.done("snapshot", "list", "data", "--json")["snapshots"]
    return {each["name"]: sorted(copy["copy"] for copy in each["copies"]) for each in found}


def states(document: dict[str, Any]) -> dict[str, str]:
    return {each["copy"]: each["state"] for each in document["copies"]}


def shown(host: Host, image: Path, name: str) -> bytes:
    """What a snapshot shows, once nobody changes the copy any more."""
    (store,) = host.state.glob("copies/data/*/preserve")
    data = image.read_bytes()
    opened = PreserveStore.open(RealFiles(), str(store), Geometry({}, REGION, 4 * MIB), 1 << 40)
    try:
        (layer,) = [each for each in opened.layers if each.name == name]
        ((volume, _),) = layer.sizes
        parts = range(SIZE // REGION)
        live = lambda _, at, size: data[at : at + size]  # noqa: E731
        return b"".join(opened.read(layer.id, volume, n, live) for n in parts)
    finally:
        opened.close()


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """a feeds b and c, which do not know each other."""
    with clusters(tmp_path_factory.mktemp("snapshots")) as make:
        made = make(("a", "b", "c"))
        made.group("data", {"data": "8MiB"})
        made.link("data", made.b, mode="sync")
        made.link("data", made.c, mode="async")
        made.wait("data")
        yield made


def test_what_cannot_be_is_refused_and_nothing_has_moved(sites: Cluster) -> None:
    a = sites.a
    a.done("snapshot", "create", "data", "morning", "--everywhere")
    before = a.json("data")["sequence"]
    for words, code in (
        (("create", "data", "morning"), 4),
        (("create", "data", "No Name"), 2),
        (("create", "data", "--timeout", "5s"), 2),
        (("create", "nothing"), 3),
        (("delete", "data", "midnight"), 3),
        (("list", "nothing"), 3),
    ):
        run = a.farshore("snapshot", *words)
        assert (run.returncode, bool(run.stderr)) == (code, True), (words, run.stderr)
    assert a.json("data")["sequence"] == before
    assert snapshots(a) == {"morning": ["a", "b", "c"]}


def test_a_group_without_links_has_snapshots_of_its_own(sites: Cluster) -> None:
    sites.group("alone", {"data": "1MiB"})
    done = sites.a.done("snapshot", "create", "alone", "noon", "--everywhere", "--json")
    assert states(done) == {"a": "done"}


def test_what_a_copy_keeps_is_bounded_where_it_is(sites: Cluster) -> None:
    b = sites.b
    assert b.json("data")["preserve"]["limit_bytes"] > SIZE
    b.done("group", "set", "data", "preserve=64MiB")
    assert b.json("data")["preserve"]["limit_bytes"] == 64 * MIB
    assert b.farshore("group", "set", "data", "preserve=1KiB").returncode == 2
    assert b.farshore("group", "set", "data", "colour=red").returncode == 2
    b.done("group", "set", "data", "preserve=0")
    assert b.json("data")["preserve"]["limit_bytes"] > SIZE


def test_a_name_comes_from_the_time_and_a_deleted_one_is_gone_everywhere(sites: Cluster) -> None:
    name = sites.a.done("snapshot", "create", "data", "--everywhere").strip()
    assert name.startswith("20")
    assert snapshots(sites.b)[name] == ["a", "b", "c"]
    document = sites.c.done("snapshot", "delete", "data", name, "--json")
    assert (sorted(document["deleted"]), document["left"]) == (["a", "b", "c"], [])
    assert name not in snapshots(sites.a)


def test_every_copy_has_what_was_acknowledged_before_it(sites: Cluster) -> None:
    a, b, c = sites.a, sites.b, sites.c
    with a.client("data") as client:
        client.write(MIB, os.urandom(MIB))
        client.write(5 * MIB, os.urandom(64 << 10))
        expected = a.image("data").read_bytes()
        done = b.done("snapshot", "create", "data", "noon", "--everywhere", "--json")  # asked for anywhere
        assert states(done) == {"a": "done", "b": "done", "c": "done"}
        with writing(client, anywhere(SIZE, 1)) as load:
            load.go_on(150)
    uri = a.done("export", "data@noon").strip()
    assert exported(uri) == expected
    a.done("export", "delete", "data@noon")
    for host in (a, b, c):
        preserve = host.json("data")["preserve"]
        assert 0 < preserve["used_bytes"] <= preserve["limit_bytes"]
        assert [(each["kind"], each["name"]) for each in preserve["layers"]][-1] == ("snapshot", "noon")
    for host in (b, c):
        sites.equal("data", host)
    images = {host: host.image("data") for host in (b, c)}
    for host, image in images.items():
        host.done("node", "stop", "--engines")
        assert shown(host, image, "noon") == expected


def test_a_copy_that_is_away_is_said_to_be_and_the_exit_code_says_it(sites: Cluster) -> None:
    """Behind the test above: b and c are stopped."""
    a, b = sites.a, sites.b
    b.start()
    a.until(
        "data", lambda seen: [each.state for each in seen.links].count("replicating") == 1, "b to be back"
    )
    run = a.farshore("snapshot", "create", "data", "late", "--everywhere", "--timeout", "1s", "--json")
    assert run.returncode in (4, 7)
    told = states(json.loads(run.stdout))
    assert (told["a"], told["b"]) == ("done", "done"), run.stdout
    assert "c " in run.stderr
    assert a.farshore("snapshot", "create", "data", "later").returncode == 0
    deleted = a.farshore("snapshot", "delete", "data", "late")
    assert (deleted.returncode, "not at c" in deleted.stderr) == (0, True)
