"""A group, a link and a volume, made, watched, changed and taken away by the command line alone."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.demo.nbd_client import NbdClient
from tests.integration.cli_hosts import Host, start_paired, two_hosts
from tests.processes import Processes

_SIZE = 8 << 20


@pytest.fixture
def hosts(processes: Processes, tmp_path: Path) -> Iterator[tuple[Host, Host]]:
    """site-a and site-b, paired."""
    with two_hosts(tmp_path, processes) as both:
        start_paired(*both)
        yield both


@pytest.fixture
def protected(hosts: tuple[Host, Host], tmp_path: Path) -> tuple[Host, Host]:
    """Group `orders` with one volume at site-a and a sync copy at site-b."""
    a, _ = hosts
    a.done("group", "create", "orders", "--volume", f"data={tmp_path / 'data.img'},size=8MiB", "--json")
    a.done("link", "create", "orders", "site-b", "--mode", "sync", "--json")
    a.done("wait", "orders", "--timeout", "30s")
    return hosts


def _client(host: Host) -> NbdClient:
    return NbdClient(host.done("export", "orders/data").strip())


def _image(host: Host) -> bytes:
    (group,) = host.done("status", "orders", "--json")["groups"]
    return Path(group["volumes"][0]["path"]).read_bytes()


def test_what_is_written_at_one_site_stands_at_the_other(protected: tuple[Host, Host]) -> None:
    a, b = protected
    client = _client(a)
    client.write(12345, b"hello" * 1000)
    client.flush()
    client.close()
    assert _image(b) == _image(a)
    assert _image(b)[12345 : 12345 + 5000] == b"hello" * 1000
    link = a.link("orders", "site-b")
    assert (link["state"], link["mode"], link["wire"], link["dirty_bytes"]) == (
        "replicating",
        "sync",
        "tls",
        0,
    )
    assert a.farshore("check", "orders").returncode == 0
    assert "site-b replicating" in a.done("group", "list")
    assert "site-b" in a.done("link", "list", "orders")
    assert "options.mode" in a.done("link", "show", "orders", "site-b")
    assert a.farshore("doctor").returncode == 0


def test_a_paused_link_logs_and_a_resync_sends_what_changed(protected: tuple[Host, Host]) -> None:
    a, b = protected
    (paused,) = a.done("pause", "orders", "--json")["links"]
    assert (paused["name"], paused["drained"]) == ("site-b", True)
    assert paused["position"]["sequence"] >= 0
    before = _image(b)
    client = _client(a)
    client.write(1 << 20, os.urandom(100_000))
    client.flush()
    link = a.link("orders", "site-b")
    assert (link["state"], link["reason"]) == ("logging", "operator")
    assert 100_000 <= link["dirty_bytes"] <= 100_000 + 2 * 32768
    assert _image(b) == before
    assert a.farshore("check", "orders").returncode == 2
    a.done("resync", "orders", "--wait", "--timeout", "30s")
    a.done("wait", "orders", "--timeout", "30s")
    assert _image(b) == _image(a)
    client.close()


def test_one_shot_mirroring_ends_in_logging(protected: tuple[Host, Host]) -> None:
    a, b = protected
    a.done("pause", "orders", "--json")
    client = _client(a)
    client.write(0, os.urandom(200_000))
    client.flush()
    content = _image(a)
    a.done("resync", "orders", "--once", "--wait", "--timeout", "30s")
    assert a.link("orders", "site-b")["state"] == "logging"
    client.write(0, os.urandom(200_000))
    client.flush()
    client.close()
    assert _image(b) == content


@pytest.mark.parametrize("kind", ["--full", "--digest"])
def test_a_copy_can_be_made_or_compared_anew(kind: str, protected: tuple[Host, Host]) -> None:
    a, b = protected
    client = _client(a)
    client.write(0, os.urandom(300_000))
    client.flush()
    client.close()
    a.done("resync", "orders", kind, "--wait", "--timeout", "30s")
    assert _image(b) == _image(a)


def test_options_change_while_the_link_runs(protected: tuple[Host, Host]) -> None:
    a, _ = protected
    options = a.done("link", "set", "orders", "site-b", "mode=async", "max-rate=100Mbit/s", "--json")[
        "options"
    ]
    assert (options["mode"], options["max_rate"]) == ("async", 12_500_000)
    assert a.link("orders", "site-b")["mode"] == "async"


def test_links_groups_and_exports_are_taken_away_and_volumes_stay(
    protected: tuple[Host, Host], tmp_path: Path
) -> None:
    a, b = protected
    refused = a.farshore("group", "delete", "orders")
    assert refused.returncode == 4
    assert "farshore link delete orders site-b" in refused.stderr
    a.done("link", "delete", "orders", "site-b")
    assert a.farshore("check", "orders").returncode == 2
    a.done("export", "delete", "orders")
    assert a.done("export", "list", "--json")["exports"] == []
    a.done("group", "delete", "orders")
    assert a.done("status", "--json")["groups"] == []
    assert b.done("status", "--json")["groups"] == []
    assert (tmp_path / "data.img").stat().st_size == _SIZE


def test_a_group_goes_on_without_its_node(protected: tuple[Host, Host], processes: Processes) -> None:
    a, b = protected
    pid = a.engine("orders")
    client = _client(a)
    a.done("node", "stop")
    client.write(0, b"without a node")
    client.flush()
    client.close()
    assert processes.alive(pid)
    a.start()
    assert a.engine("orders") == pid
    a.done("wait", "orders", "--timeout", "30s")
    assert _image(b)[:14] == b"without a node"


def test_bad_input_is_refused_with_its_reason_and_changes_nothing(
    hosts: tuple[Host, Host], tmp_path: Path
) -> None:
    a, b = hosts
    volume = tmp_path / "data.img"
    volume.write_bytes(bytes(_SIZE))
    wrong = tmp_path / "b" / "volumes" / "small.img"
    wrong.parent.mkdir(parents=True, exist_ok=True)
    wrong.write_bytes(bytes(4096))
    a.done("group", "create", "orders", "--volume", f"data={volume}", "--json")
    for words, exit_code, code in (
        (("group", "create", "orders", "--volume", str(tmp_path / "x,size=1M")), 4, "exists"),
        (("group", "create", "other", "--volume", str(volume)), 4, "in-use"),
        (("group", "create", "other", "--volume", str(tmp_path / "none.img")), 3, "not-found"),
        (("group", "create", "Other!", "--volume", f"d={tmp_path / 'y'},size=1M"), 2, "usage"),
        (("link", "create", "orders", "site-c"), 3, "not-found"),
        (("link", "create", "orders", "site-b", "--place", f"data={tmp_path / 'z.img'}"), 4, "outside-grant"),
        (("link", "create", "orders", "site-b", "--place", f"data={wrong}"), 4, "size-mismatch"),
        (("resync", "orders", "--link", "none"), 3, "not-found"),
        (("export", "orders/none"), 3, "not-found"),
    ):
        refused = a.farshore(*words, "--json")
        assert refused.stdout == "", words
        error = json.loads(refused.stderr)["error"]
        assert (refused.returncode, error["code"]) == (exit_code, code), (words, error)
    (group,) = a.done("status", "--json")["groups"]
    assert group["links"] == []
    assert b.done("status", "--json")["groups"] == []
    assert not (tmp_path / "z.img").exists()


def test_a_copy_refuses_what_only_its_primary_may_do(protected: tuple[Host, Host]) -> None:
    _, b = protected
    for words, code in (
        (("export", "orders"), "wrong-role"),
        (("group", "add", "orders", "--volume", "/srv/x.img,size=1MiB"), "wrong-role"),
        (
            ("link", "create", "orders", "site-a"),
            "ring",
        ),  # the copy may feed others, but not its feeder
    ):
        refused = b.farshore(*words)
        assert refused.returncode == 4, (words, refused.stderr)
        assert code in refused.stderr
