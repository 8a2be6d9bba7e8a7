"""Read-only exports at the node of a secondary: made, listed, opened, and what they may not be."""

import asyncio
import json

import pytest

from farshore.demo.nbd_client import NbdClient, NbdError
from farshore.node.engines import EngineClient
from tests.interop.programs import run
from tests.ports import free_port
from tests.requires import requires
from tests.views.conftest import SIZE, Views
from tests.waiting import wait_until

pytestmark = requires("qemu-io", "nbdinfo")


def test_a_secondary_is_exported_read_only_in_all_words_and_ended(views: Views) -> None:
    made = views()
    a, b, group = made.a, made.b, made.group
    refused = b.farshore("export", group)
    assert refused.returncode == 4
    assert f"farshore export {group} --read-only" in refused.stderr
    uri = b.done("export", group, "--read-only").strip()
    (shown,) = b.done("export", group, "--read-only", "--json")["exports"]
    assert (shown["uri"], shown["read_only"], shown["role"], shown["snapshot"]) == (
        uri,
        True,
        "secondary",
        None,
    )
    with a.client(group) as client:
        client.write(4096, b"w" * 4096)
        client.flush()
    made.cluster.equal(group)
    assert run("qemu-io", "-r", "-f", "raw", "-c", "read -P 0x77 4096 4096", uri)
    assert "is_read_only: true" in run("nbdinfo", uri)
    assert "read-only=on" in b.done("export", group, "--read-only", "--format", "qemu")
    address = f"127.0.0.1:{free_port()}"
    on_tcp = b.done("export", group, "--read-only", "--tcp", address).strip()
    assert run("nbdinfo", "--size", on_tcp).strip() == str(SIZE)
    assert "secondary" in b.done("export", "list")
    assert {each["uri"] for each in b.json(group)["views"]} == {uri, on_tcp}
    b.done("export", "delete", group, "--tcp", address)
    assert [each["uri"] for each in b.done("export", "list", "--json")["exports"]] == [uri]
    b.done("export", "delete", group)
    assert b.done("export", "list", "--json")["exports"] == []
    assert b.farshore("export", "delete", group).returncode == 3


def test_with_tls_only_clients_that_were_allowed_read_a_secondary(views: Views) -> None:
    made = views()
    b, group = made.b, made.group
    address = f"127.0.0.1:{free_port()}"
    b.done("export", "allow", group, "reader", "--to", str(b.directory / "reader"))
    words = ("export", group, "--read-only", "--tcp", address, "--tls")
    uri = b.done(*words, "--certificates", str(b.directory / "reader")).strip()
    assert run("nbdinfo", "--size", uri).strip() == str(SIZE)
    b.done("export", "disallow", group, "reader")
    assert "CERTIFICATE" not in b.done("export", "clients", group)
    refused = b.farshore("export", "allow", group, "reader", "--to", str(b.directory / "reader"))
    assert refused.returncode == 4


def test_readers_are_let_go_by_a_switchover_and_find_the_primary_behind_the_same_address(
    views: Views,
) -> None:
    made = views(mode="sync")
    a, b, group = made.a, made.b, made.group
    uri = b.done("export", group, "--read-only").strip()
    client = NbdClient(uri)
    assert client.read(0, 512) == bytes(512)
    plan = a.done("switchover", group, "b", "--dry-run", "--json")["plan"]["id"]
    a.done("switchover", group, "b", "--accept", plan)
    a.hold()
    b.hold()
    with b.client(group) as writer:
        writer.write(0, b"n" * 512)
    client.close()
    again = wait_until(lambda: _opened(uri))
    assert again is not None
    assert again.read(0, 512) == b"n" * 512
    again.close()
    listed = {each["uri"]: each for each in b.done("export", "list", "--json")["exports"]}
    assert listed[uri]["role"] == "primary"
    assert not [each for each in a.done("export", "list", "--json")["exports"] if each["group"] == group]


def _opened(uri: str) -> NbdClient | None:
    try:
        return NbdClient(uri)
    except OSError:
        return None


def test_a_snapshot_is_exported_by_its_name_and_drilled_on_and_ends_with_its_layer(views: Views) -> None:
    made = views()
    a, b, group = made.a, made.b, made.group
    with a.client(group) as client:
        client.write(0, b"m" * 65536)
        client.flush()
    made.cluster.equal(group)
    image = made.kept("monday")
    with a.client(group) as client:
        client.write(0, b"t" * 65536)
        client.flush()
    made.cluster.equal(group)
    uri = b.done("export", f"{group}@monday").strip()
    assert b.done("export", f"{group}/data@monday").strip() == uri
    client = NbdClient(uri)
    assert client.read(0, SIZE) == image
    listed = [each for each in b.done("export", "list", "--json")["exports"] if each["group"] == group]
    assert [(each["snapshot"], each["uri"]) for each in listed] == [("monday", uri)]
    drill = b.done("drill", "start", group, "--at", "monday", "--json")["drill"]
    assert drill["snapshot"] == "monday"
    over = NbdClient(drill["exports"][0]["uri"])
    over.write(4096, b"d" * 4096)
    assert over.read(0, 3 * 4096) == b"m" * 4096 + b"d" * 4096 + b"m" * 4096
    assert client.read(0, SIZE) == image
    over.close()
    b.done("drill", "stop", group)
    stored = json.loads((next((b.state / "copies" / group).glob("*/copy.json"))).read_text())
    layer = stored["exports"][0]["layer"]
    asyncio.run(EngineClient(stored["control"], "engine").ask("layer-drop", {"id": layer}))
    wait_until(lambda: not b.json(group)["views"][0]["serves"])
    with pytest.raises((ConnectionError, NbdError)):
        client.read(0, 512)
    client.close()
    assert not [each for each in b.done("export", "list", "--json")["exports"] if each["group"] == group]


def test_what_is_not_there_is_said_to_be_missing(views: Views) -> None:
    made = views()
    b, group = made.b, made.group
    for words, code in (
        ((f"{group}@monday",), 3),
        ((f"{group}/other", "--read-only"), 3),
        ((group, "--read-only", "--copy", "nobody"), 3),
        ((f"{group}@",), 2),
        ((group, "--read-only", "--tls"), 2),
    ):
        assert b.farshore("export", *words).returncode == code, words
