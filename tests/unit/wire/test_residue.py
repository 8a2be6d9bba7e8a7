"""The residue of a welcome (rule A5): its bytes, and what is no residue."""

import struct

import pytest
from xxhash import xxh3_64_intdigest

from farshore.errors import ProtocolError
from farshore.model.messages import MAX_RANGES, Residue, Welcome
from farshore.model.positions import History, Position
from farshore.wire import session

KIND = 2
BASE = Position(b"g" * 16, 258)
HEAD = struct.pack("<Q", 7) + b"c" * 16 + b"i" * 16 + b"\0\0" + b"\0" + b"\0\1\0"


def welcome(*ranges: tuple[int, int, int]) -> Welcome:
    return Welcome(7, b"c" * 16, b"i" * 16, History(), None, False, True, Residue(BASE, ranges))


def fields(count: int, *ranges: tuple[int, int, int]) -> bytes:
    packed = b"".join(struct.pack("<HQQ", *each) for each in ranges)
    return HEAD + b"\1" + b"g" * 16 + struct.pack("<QI", 258, count) + packed


def sealed(data: bytes) -> memoryview:
    size = 8 + len(data)
    return memoryview(struct.pack("<Q", xxh3_64_intdigest(data, KIND << 32 | size)) + data)


def test_a_residue_has_the_documented_bytes() -> None:
    ranges = ((1, 4096, 8192), (2, 0, 512))
    (unit,) = session.encode(welcome(*ranges))
    assert bytes(unit)[session.PREFIX_BYTES + 8 :] == fields(2, *ranges)
    assert session.decode(KIND, sealed(fields(2, *ranges))) == welcome(*ranges)


@pytest.mark.parametrize(
    ("count", "ranges"),
    [
        (2, ((1, 4096, 8192), (1, 8192, 512))),
        (2, ((2, 0, 512), (1, 0, 512))),
        (1, ((1, 4096, 0),)),
        (1, ((1, 0, 1 << 63),)),
        (MAX_RANGES + 1, ()),
        (2, ((1, 0, 512),)),
    ],
    ids=["they overlap", "they go back", "empty", "endless", "too many", "fewer than said"],
)
def test_a_malformed_residue_is_refused(count: int, ranges: tuple[tuple[int, int, int], ...]) -> None:
    with pytest.raises(ProtocolError):
        session.decode(KIND, sealed(fields(count, *ranges)))


def test_more_ranges_than_anybody_accepts_are_not_sent() -> None:
    with pytest.raises(ValueError, match="too many"):
        session.encode(welcome(*[(1, at << 13, 4096) for at in range(MAX_RANGES + 1)]))


def test_the_longest_residue_fits_into_a_message() -> None:
    session.encode(welcome(*[(1, at << 13, 4096) for at in range(MAX_RANGES)]))
