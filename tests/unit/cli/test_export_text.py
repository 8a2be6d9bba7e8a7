"""The words in which QEMU and libvirt are told of an export: whole, quoted, and right for every kind."""

import shlex
from xml.etree import ElementTree as ET

import pytest

from farshore.cli.export_text import Reader, text
from farshore.client.answers import Export

UNIX = Export("orders", "data", "nbd+unix:///data?socket=/run/f/9a.nbd", unix="/run/f/9a.nbd")
TLS = Export("orders", "data", "nbds://192.0.2.7:10809/data", tcp="0.0.0.0:10809", tls=True)
SIX = Export("orders", "log", "nbd://[2001:db8::7]:10809/log", True, tcp="[2001:db8::7]:10809")
DIRECTORY = Reader("/etc/pki/a,b c")


def test_a_uri_names_the_clients_certificates_where_it_needs_any() -> None:
    assert text("uri", UNIX, DIRECTORY) == "nbd+unix:///data?socket=/run/f/9a.nbd"
    assert text("uri", TLS, Reader()) == "nbds://192.0.2.7:10809/data"
    assert text("uri", TLS, DIRECTORY) == "nbds://192.0.2.7:10809/data?tls-certificates=/etc/pki/a%2Cb%20c"


def test_qemu_is_given_a_disk_that_waits_for_its_engine() -> None:
    assert shlex.split(text("qemu", UNIX, Reader())) == [
        "-blockdev",
        (
            "driver=nbd,node-name=orders-data,server.type=unix,server.path=/run/f/9a.nbd,export=data,"
            "discard=unmap,reconnect-delay=600"
        ),
        "-device",
        "virtio-blk-pci,drive=orders-data",
    ]


def test_qemu_is_given_credentials_for_tls_and_a_comma_does_not_end_a_value() -> None:
    assert shlex.split(text("qemu", TLS, DIRECTORY)) == [
        "-object",
        "tls-creds-x509,id=orders-data-tls,dir=/etc/pki/a,,b c,endpoint=client",
        "-blockdev",
        (
            "driver=nbd,node-name=orders-data,server.type=inet,server.host=192.0.2.7,server.port=10809,export=data,"
            "discard=unmap,tls-creds=orders-data-tls"
        ),
        "-device",
        "virtio-blk-pci,drive=orders-data",
    ]


def test_a_volume_that_may_only_be_read_is_a_disk_of_that_kind() -> None:
    assert "server.host=2001:db8::7,server.port=10809" in text("qemu", SIX, Reader())
    assert "read-only=on" in text("qemu", SIX, Reader())
    assert ET.fromstring(text("libvirt", SIX, Reader())).find("readonly") is not None


@pytest.mark.parametrize("names", [("9lives", "data"), ("a" * 40, "b" * 40), ("orders", "x" * 25)])
def test_names_that_qemu_does_not_take_become_ones_that_it_does(names: tuple[str, str]) -> None:
    long = Export(*names, "nbds://h:1/x", tcp="h:1", tls=True)
    said = text("qemu", long, DIRECTORY)
    (name,) = {each.partition("=")[2] for each in said.split(",") if each.startswith("node-name=")}
    assert len(name) <= 31
    assert name[0].isalpha()
    assert name != text("qemu", Export(names[0], "other", "nbd://h:1/x", tcp="h:1"), Reader())


def test_no_guest_is_kept_going_over_a_server_that_may_have_lost_power() -> None:
    assert "reconnect-delay" not in text("qemu", TLS, DIRECTORY)
    assert "error_policy" not in text("libvirt", TLS, DIRECTORY)


@pytest.mark.parametrize(("disks", "name"), [(0, "vda"), (1, "vdb"), (26, "vdaa"), (701, "vdzz")])
def test_disks_of_one_guest_have_names_of_their_own(disks: int, name: str) -> None:
    target = ET.fromstring(text("libvirt", UNIX, Reader(disks=disks))).find("target")
    assert target is not None
    assert target.get("dev") == name


def test_libvirt_is_given_a_network_disk() -> None:
    disk = ET.fromstring(text("libvirt", UNIX, Reader()))
    assert (disk.tag, disk.get("type"), disk.get("device")) == ("disk", "network", "disk")
    source = disk.find("source")
    assert source is not None
    assert (source.get("protocol"), source.get("name"), source.get("tls")) == ("nbd", "data", None)
    host, driver = source.find("host"), disk.find("driver")
    assert host is not None
    assert host.attrib == {"transport": "unix", "socket": "/run/f/9a.nbd"}
    assert driver is not None
    assert driver.get("error_policy") == "stop"
    secured = ET.fromstring(text("libvirt", TLS, Reader())).find("source")
    assert secured is not None
    assert secured.get("tls") == "yes"
    far = secured.find("host")
    assert far is not None
    assert far.attrib == {"name": "192.0.2.7", "port": "10809"}
