"""Two builds that speak different protocols: neither takes what the other says, and both can read why."""

import struct

import pytest

from farshore.errors import ProtocolError
from farshore.model.messages import Refusal
from farshore.wire import session
from tests.unit.wire.test_session import GOLDEN, sealed


@pytest.mark.parametrize("protocol", [1, 3])
def test_another_protocol_is_named_whatever_follows_it(protocol: int) -> None:
    _, kind, fields = GOLDEN[0]
    for rest in (bytes.fromhex(fields)[2:], b""):
        with pytest.raises(ProtocolError, match=f"protocol {protocol}, and we speak 2"):
            session.decode(*sealed(kind, struct.pack("<H", protocol) + rest))


def test_the_refusal_of_a_node_that_speaks_protocol_1_can_be_read() -> None:
    words = "the peer speaks protocol 2, and we speak 1"
    fields = b"\x08\0protocol" + struct.pack("<H", len(words)) + words.encode()
    assert session.decode(*sealed(3, fields)) == Refusal("protocol", words)
