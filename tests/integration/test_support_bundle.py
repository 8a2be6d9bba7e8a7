"""The support bundle of a node that has secrets to keep, up and down."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import Cluster, MakeCluster

_INSIDE = b"what the application wrote "


@pytest.fixture
def made(cluster: MakeCluster) -> Cluster:
    """Two sites with a linked group, whose volume has content."""
    made = cluster()
    made.group("orders", {"data": "4MiB"})
    made.link("orders", mode="sync")
    made.wait("orders")
    with made.a.client("orders") as client:
        client.write(0, _INSIDE * 2000)
        client.flush()
    return made


def unpacked(path: Path, to: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        archive.extractall(to)
    top = to / path.name.removesuffix(".tar.gz")
    return {str(each.relative_to(top)): each.read_bytes() for each in top.rglob("*") if each.is_file()}


def secrets(made: Cluster, *tokens: dict[str, Any]) -> list[bytes]:
    """Everything that host a holds and nobody else may know, piece by piece."""
    key = (made.a.state / "identity/key.pem").read_bytes()
    found = [line for line in key.splitlines() if not line.startswith(b"-----")]
    for each in tokens:
        found.append(each["token"].encode())
    invitations = made.a.state / "invitations.json"
    if invitations.exists():
        found += [each["digest"].encode() for each in json.loads(invitations.read_text())["invitations"]]
    return [*found, _INSIDE]


def test_a_bundle_has_all_that_helps_and_no_secret(made: Cluster, tmp_path: Path) -> None:
    invitation = made.a.done("node", "invite", "--json")
    with (made.a.state / "node.log").open("a") as log:
        log.write(f"somebody has logged {invitation['token']}\n")
    environment = {"FARSHORE_TOKEN": "never-tell-this-to-anybody"}
    path = tmp_path / "help.tar.gz"
    told = made.a.done("support-bundle", "--to", str(path), "--json", env=environment)
    found = unpacked(path, tmp_path)
    assert set(told["parts"]) == set(found)
    assert {
        "versions.json",
        "node/node.json",
        "node/status.json",
        "node/doctor.json",
        "node/devices.json",
        "node/topology.json",
        "node/links/orders.json",
        "state/events",
        "state/node.log",
        "state/copies/orders/a/copy.json",
        "state/copies/orders/a/engine.log",
        "settings/settings.json",
        "doctor.json",
        "kernel/meminfo",
        "missing.json",
    } <= set(found)
    assert json.loads(found["node/status.json"])["groups"][0]["health"] == "protected"
    engine = made.a.engine("orders")
    assert b"VmRSS" in found[f"processes/{engine}-engine-process/status"]
    wanted = [*secrets(made, invitation), environment["FARSHORE_TOKEN"].encode()]
    assert len(wanted) > 4
    for secret in wanted:
        assert not [name for name, content in found.items() if secret in content], secret
    assert b"PRIVATE KEY" not in b"".join(found.values())
    before = path.read_bytes()
    again = made.a.farshore("support-bundle", "--to", str(path))
    assert (again.returncode, "(exists)" in again.stderr, path.read_bytes()) == (4, True, before)


def test_a_node_that_is_down_leaves_what_the_disk_tells(made: Cluster, tmp_path: Path) -> None:
    made.a.kill_node()
    path = tmp_path / "down.tar.gz"
    told = made.a.done("support-bundle", "--to", str(path), "--json")
    found = unpacked(path, tmp_path)
    assert not [name for name in found if name.startswith("node/")]
    assert b"group-created" in found["state/events"]
    assert b"writes-flow" in found["state/copies/orders/a/engine.log"]
    (why,) = [each["why"] for each in told["missing"] if each["name"] == "node/node.json"]
    assert "unreachable" in why
    for secret in secrets(made):
        assert not [name for name, content in found.items() if secret in content]
