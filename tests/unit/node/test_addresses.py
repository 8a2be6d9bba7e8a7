"""Addresses as operators write them."""

import pytest

from farshore.errors import FarshoreError
from farshore.node import addresses
from farshore.node.addresses import Address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.0.0.1:7411", "10.0.0.1", 7411),
        ("[::1]:1", "::1", 1),
        ("b.example:0", "b.example", 0),
    ],
)
def test_written_and_read(text: str, host: str, port: int) -> None:
    assert addresses.parse(text) == Address(host, port)
    assert str(addresses.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", ":", "host", ":7411", "host:", "host:x", "host:65536", "::1:7", "a b:7", "h:²"]
)
def test_malformed(text: str) -> None:
    with pytest.raises(FarshoreError) as caught:
        addresses.parse(text)
    assert caught.value.code.name == "usage"


def test_a_peer_behind_a_wildcard_is_found_where_it_came_from() -> None:
    assert addresses.seen_from(Address("0.0.0.0", 7411), "10.1.2.3") == Address("10.1.2.3", 7411)
    assert addresses.seen_from(Address("::", 1), "fe80::1%eth0") == Address("fe80::1", 1)
    assert addresses.seen_from(Address("b.example", 1), "10.1.2.3") == Address("b.example", 1)


def test_loopback_and_reachable() -> None:
    assert [
        Address(host, 1).loopback for host in ("127.0.0.9", "::1", "localhost", "10.0.0.1", "0.0.0.0")
    ] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert addresses.reachable(Address("10.0.0.1", 7)) == Address("10.0.0.1", 7)
    own = addresses.reachable(Address("0.0.0.0", 7))
    assert own.port == 7
    assert not own.wildcard
