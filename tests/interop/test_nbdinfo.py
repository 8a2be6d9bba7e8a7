"""nbdinfo sees what the export promises, where data lies, and which regions the peer lacks."""

import os
from pathlib import Path

from tests.cluster import MakeCluster
from tests.interop.conftest import Pair
from tests.interop.programs import run, run_json
from tests.requires import requires

pytestmark = requires("nbdinfo")

KIB, MIB = 1 << 10, 1 << 20


def _runs(uri: str, context: str) -> list[tuple[int, int, int]]:
    """(offset, length, flags) of every extent."""
    found = run_json("nbdinfo", "--json", f"--map={context}", uri)
    return [(each["offset"], each["length"], each["type"]) for each in found]


def test_the_export_says_what_it_can(pair: Pair) -> None:
    # Without --no-content it prints bytes of its memory where the program `file` is not installed.
    (export,) = run_json("nbdinfo", "--json", "--no-content", pair.uri)["exports"]
    assert export["export-name"] == "data"
    assert export["export-size"] == pair.size
    assert export["contexts"] == ["base:allocation", "x-farshore:dirty-b"]
    promised = {
        "is_rotational": False,
        "is_read_only": False,
        "can_cache": True,
        "can_df": True,
        "can_fast_zero": True,
        "can_flush": True,
        "can_fua": True,
        "can_multi_conn": True,
        "can_trim": True,
        "can_zero": True,
    }
    assert {key: export[key] for key in promised} == promised
    assert export["block_size_minimum"] == 1
    assert export["block_size_maximum"] == 32 * MIB
    assert export["block_size_preferred"] in (4 * KIB, 32 * KIB, 64 * KIB, MIB)


def test_every_export_is_listed(pair: Pair) -> None:
    socket = pair.uri.partition("?")[2]
    listed = run_json("nbdinfo", "--json", "--list", f"nbd+unix:///?{socket}")
    assert [each["export-name"] for each in listed["exports"]] == ["data"]


def test_holes_are_shown_as_holes(cluster: MakeCluster) -> None:
    made = cluster(("a",), through_line=False)
    made.group("alone", {"data": "8MiB"})
    with made.a.client("alone") as client:
        client.write(1 * MIB, os.urandom(64 * KIB))
        client.write(5 * MIB, os.urandom(64 * KIB))
        client.trim(5 * MIB, 64 * KIB)
    assert _runs(made.a.uri("alone"), "base:allocation") == [
        (0, 1 * MIB, 3),
        (1 * MIB, 64 * KIB, 0),
        (1 * MIB + 64 * KIB, 7 * MIB - 64 * KIB, 3),
    ]


def test_dirty_regions_of_an_outage_are_shown_exactly_and_none_while_replicating(
    cluster: MakeCluster, tmp_path: Path
) -> None:
    made = cluster()
    made.group("data", {"data": "16MiB"}, region="4KiB")
    made.link("data", mode="sync", wire="plain")
    made.wait("data")
    uri = made.a.uri("data")
    made.clean("data")
    assert _runs(uri, "x-farshore:dirty-b") == [(0, 16 * MIB, 0)]
    made.line.cut()
    made.wait("data", "logging")
    with made.a.client("data") as client:
        client.write(4 * MIB + 100, b"x")  # one byte: one region
        client.write(6 * MIB - 1, b"yy")  # two bytes across a border: two regions
        client.write(8 * MIB, bytes(64 * KIB))
        client.trim(12 * MIB, 8 * KIB)
    assert _runs(uri, "x-farshore:dirty-b") == [
        (0, 4 * MIB, 0),
        (4 * MIB, 4 * KIB, 1),
        (4 * MIB + 4 * KIB, 2 * MIB - 8 * KIB, 0),
        (6 * MIB - 4 * KIB, 8 * KIB, 1),
        (6 * MIB + 4 * KIB, 2 * MIB - 4 * KIB, 0),
        (8 * MIB, 64 * KIB, 1),
        (8 * MIB + 64 * KIB, 4 * MIB - 64 * KIB, 0),
        (12 * MIB, 8 * KIB, 1),
        (12 * MIB + 8 * KIB, 4 * MIB - 8 * KIB, 0),
    ]
    assert made.a.link("data").dirty_bytes == 84 * KIB
    made.line.heal()
    made.equal("data")
    assert _runs(uri, "x-farshore:dirty-b") == [(0, 16 * MIB, 0)]
    assert "dirty-b" in run("nbdinfo", "--no-content", uri)
