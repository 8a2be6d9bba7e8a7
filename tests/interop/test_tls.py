"""Exports over TLS, opened by QEMU's block layer and by libnbd's programs, and closed to everybody else."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster import Cluster, clusters, first_difference
from tests.interop.programs import run, run_json
from tests.ports import free_port
from tests.requires import program, requires

pytestmark = requires("qemu-img", "qemu-io", "nbdcopy", "nbdinfo")

MIB = 1 << 20
_SIZE = 16 * MIB


@dataclass(frozen=True, slots=True)
class Secured:
    """A group of two volumes at a, exported over TLS, with a copy at b; a client that may come in."""

    cluster: Cluster
    port: int
    certificates: Path

    def uri(self, certificates: Path | None, volume: str = "data") -> str:
        """For libnbd's programs."""
        where = f"?tls-certificates={certificates}" if certificates else ""
        return f"nbds://127.0.0.1:{self.port}/{volume}{where}"

    def qemu(self, certificates: Path | None, *words: str) -> list[str]:
        """The image, and before it the credentials, for qemu-img and qemu-io."""
        image = f"driver=nbd,host=127.0.0.1,port={self.port},export=data"
        if certificates is None:
            return [*words, "--image-opts", image]
        credentials = f"tls-creds-x509,id=t,dir={certificates},endpoint=client"
        return ["--object", credentials, *words, "--image-opts", f"{image},tls-creds=t"]


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    base = tmp_path_factory.mktemp("tls")
    with clusters(base) as make:
        made = make()
        made.group("orders", {"data": f"{_SIZE // MIB}MiB", "log": "4MiB"})
        made.link("orders", mode="sync")
        made.wait("orders")
        port = free_port()
        words = ("--tcp", f"127.0.0.1:{port}", "--tls", "--tls-name", "store.example")
        said = made.a.done("export", "orders", *words)
        assert said.split() == [f"nbds://127.0.0.1:{port}/data", f"nbds://127.0.0.1:{port}/log"]
        made.a.done("export", "allow", "orders", "app", "--to", str(base / "app"))
        yield Secured(made, port, base / "app")


def _fails(name: str, *words: str | Path) -> str:
    """What the program said when it failed, which it has to."""
    ended = subprocess.run(
        [program(name), *map(str, words)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode != 0, ended.stdout
    return ended.stderr


def test_the_directory_for_a_client_is_complete_and_for_its_owner_alone(secured: Secured) -> None:
    assert sorted(each.name for each in secured.certificates.iterdir()) == [
        "ca-cert.pem",
        "client-cert.pem",
        "client-key.pem",
    ]
    assert secured.certificates.stat().st_mode & 0o777 == 0o700
    assert {each.stat().st_mode & 0o777 for each in secured.certificates.iterdir()} == {0o600}
    again = secured.cluster.a.farshore("export", "allow", "orders", "two", "--to", str(secured.certificates))
    assert again.returncode == 4
    assert "(exists)" in again.stderr
    assert secured.cluster.a.done("export", "clients", "orders", "--json")["clients"][0]["name"] == "app"


def test_qemu_writes_and_reads_back_and_the_copy_is_equal(secured: Secured) -> None:
    commands = ["write -P 0x51 0 8M", "write -f -P 0x52 4095 8194", "discard 6M 1M", "flush"]
    commands += ["read -P 0x52 4095 8194", "read -P 0x51 16k 5M", "read -P 0 6M 1M"]
    words = [word for each in commands for word in ("-c", each)]
    said = run("qemu-io", *secured.qemu(secured.certificates, *words))
    assert "failed" not in said, said
    secured.cluster.equal("orders")


def test_nbdcopy_fills_the_volume_over_four_connections_and_reads_it_back(
    secured: Secured, tmp_path: Path
) -> None:
    image = tmp_path / "image"
    image.write_bytes(os.urandom(_SIZE))
    uri = secured.uri(secured.certificates)
    run("nbdcopy", "--flush", "--connections=4", image, uri)
    secured.cluster.equal("orders")
    assert first_difference(image, secured.cluster.b.image("orders", "data")) is None
    run("nbdcopy", "--connections=4", uri, tmp_path / "back")
    assert first_difference(image, tmp_path / "back") is None


def test_nbdinfo_sees_tls_and_what_the_export_promises(secured: Secured) -> None:
    seen = run_json("nbdinfo", "--json", "--no-content", secured.uri(secured.certificates))
    assert seen["TLS"] is True
    (export,) = seen["exports"]
    assert (export["export-size"], export["can_multi_conn"]) == (_SIZE, True)
    assert export["contexts"] == ["base:allocation", "x-farshore:dirty-b"]
    listed = run_json("nbdinfo", "--json", "--list", secured.uri(secured.certificates, ""))
    assert [each["export-name"] for each in listed["exports"]] == ["data", "log"]


def test_the_certificate_holds_for_the_names_that_were_asked_for_and_no_other(secured: Secured) -> None:
    words = ["info", *secured.qemu(secured.certificates)]
    run("qemu-img", *words[:-1], f"{words[-1]},tls-hostname=store.example")
    refused = _fails("qemu-img", *words[:-1], f"{words[-1]},tls-hostname=other.example")
    assert "hostname" in refused


@pytest.mark.parametrize("who", ["nobody", "a-stranger", "another-group", "shut-out"])
def test_who_is_no_client_of_the_group_opens_nothing(who: str, secured: Secured, tmp_path: Path) -> None:
    a = secured.cluster.a
    where: Path = tmp_path / "given"
    if who == "nobody":
        where.mkdir()
        shutil.copy(secured.certificates / "ca-cert.pem", where)
    elif who == "another-group":
        a.done("group", "create", "other", "--volume", f"data={tmp_path / 'other.img'},size=1MiB")
        a.done("export", "allow", "other", "app", "--to", str(where))
        shutil.copy(secured.certificates / "ca-cert.pem", where)  # it trusts the server all the same
    else:
        a.done("export", "allow", "orders", who, "--to", str(where))
        a.done("export", "disallow", "orders", who)
    _fails("nbdinfo", secured.uri(where))
    _fails("qemu-img", "info", *secured.qemu(where))
    _fails("qemu-io", *secured.qemu(where, "-c", "read 0 512"))
    if who == "another-group":
        a.done("group", "delete", "other")


def test_a_client_that_trusts_another_authority_does_not_speak_to_the_server(
    secured: Secured, tmp_path: Path
) -> None:
    where = tmp_path / "given"
    shutil.copytree(secured.certificates, where)
    a = secured.cluster.a
    a.done("group", "create", "fake", "--volume", f"data={tmp_path / 'fake.img'},size=1MiB")
    a.done("export", "allow", "fake", "app", "--to", str(tmp_path / "fake"))
    shutil.copy(tmp_path / "fake" / "ca-cert.pem", where)
    assert "certificate" in _fails("qemu-img", "info", *secured.qemu(where)).lower()
    assert "certificate" in _fails("nbdinfo", secured.uri(where)).lower()
    a.done("group", "delete", "fake")


def test_clients_in_the_clear_are_told_that_tls_is_required(secured: Secured) -> None:
    assert "TLS" in _fails("qemu-img", "info", *secured.qemu(None))
    _fails("nbdinfo", f"nbd://127.0.0.1:{secured.port}/data")
    events = secured.cluster.a.done("events", "--json")["events"]
    assert any(each["kind"] == "export-client-allowed" for each in events)


def test_damaged_certificates_cost_exports_over_tls_and_nothing_else(secured: Secured) -> None:
    cluster, a = secured.cluster, secured.cluster.a
    (key,) = a.state.glob("copies/orders/*/tls/server-key.pem")
    good = key.read_text()
    again = ("export", "orders", "--tcp", f"127.0.0.1:{secured.port}", "--tls")
    key.write_text("no key")
    a.kill_engine("orders")
    cluster.wait("orders")
    with a.client("orders", "data") as client:
        client.write(4096, b"goes on" * 512)
    cluster.equal("orders")
    (told,) = [each for each in a.done("events", "--json")["events"] if each["kind"] == "tls-exports-refused"]
    assert str(key) in told["fields"]["next"]
    _fails("nbdinfo", secured.uri(secured.certificates))
    refused = a.farshore(*again)
    assert (refused.returncode, "state-damaged" in refused.stderr) == (1, True)
    a.done("export", "allow", "orders", "later", "--to", str(key.parent / "later"))  # takes no hurt from it
    key.write_text(good)
    a.done(*again)
    assert run_json("nbdinfo", "--json", secured.uri(secured.certificates))["TLS"] is True


def test_without_tls_on_the_socket_a_client_that_only_would_like_it_goes_on_without(secured: Secured) -> None:
    socket = secured.cluster.a.uri("orders", "data").partition("?")[2]
    assert run_json("nbdinfo", "--json", "--no-content", f"nbd+unix:///data?{socket}")["TLS"] is False
    _fails("nbdinfo", f"nbds+unix:///data?{socket}&tls-certificates={secured.certificates}")
