"""The bytes of what is asked for and answered where a feeder's own disk cannot read (see docs/formats.md)."""

import struct

import pytest

from farshore.errors import ProtocolError
from farshore.model.messages import Message, ReadQuery, ReadReply
from farshore.wire import session
from tests.unit.wire.test_session import SESSION, SESSION_HEX, sealed, unit

_NUMBER = struct.Struct("<Q")
GOLDEN = (
    (ReadQuery(SESSION, 9, 2, 65536, 4), 20, (9, 2, 65536, 4), b""),
    (ReadReply(SESSION, 9, 0, b"abcd"), 21, (9, 0, 4), b"abcd"),
    (ReadReply(SESSION, 9, 5, b""), 21, (9, 5, 0), b""),
)


@pytest.mark.parametrize(("message", "kind", "numbers", "data"), GOLDEN)
def test_they_have_the_documented_bytes(
    message: Message, kind: int, numbers: tuple[int, ...], data: bytes
) -> None:
    fields = bytes.fromhex(SESSION_HEX) + b"".join(map(_NUMBER.pack, numbers)) + data
    _, body = sealed(kind, fields)
    assert unit(message) == struct.pack("<II", len(body), kind) + body
    assert session.decode(kind, body) == message
    for cut in range(len(fields)):
        with pytest.raises(ProtocolError):
            session.decode(*sealed(kind, fields[:cut]))
    with pytest.raises(ProtocolError):
        session.decode(*sealed(kind, fields + b"\0"))


def test_an_error_comes_without_data() -> None:
    fields = bytes.fromhex(SESSION_HEX) + b"".join(map(_NUMBER.pack, (9, 5, 4))) + b"abcd"
    with pytest.raises(ProtocolError, match="error"):
        session.decode(*sealed(21, fields))


def test_the_data_of_a_reply_is_not_copied_when_it_is_sent() -> None:
    data = bytearray(b"x" * 65536)
    assert session.encode(ReadReply(1, 1, 0, data))[1] is data
