"""A block unpacks to what went in, or to an error: never to more than it announced."""

import os

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from farshore.errors import ProtocolError
from farshore.wire.compression import (
    HEADER,
    LEAST_SAVED,
    MAX_RAW,
    RAW,
    ZSTD,
    Codecs,
    Packer,
    Unpacker,
    available,
    decode_header,
    header,
)

TEXT = b"insert into orders values (1, 'a', 2026-11-22);\n" * 200


def test_what_is_packed_unpacks_to_the_same() -> None:
    content = Packer().pack(TEXT)
    assert content is not None
    assert Unpacker().open(ZSTD, len(TEXT), memoryview(content)) == TEXT


def test_what_would_hardly_shrink_is_left_raw() -> None:
    packer, size = Packer(), 64 << 10
    assert packer.pack(os.urandom(size)) is None
    saved = LEAST_SAVED + 2  # and a little for the form of zstd itself
    hardly = bytes(size * (LEAST_SAVED - 2) // 100)
    enough = bytes(size * saved // 100)
    assert packer.pack(hardly + os.urandom(size - len(hardly))) is None
    assert packer.pack(enough + os.urandom(size - len(enough))) is not None


def test_a_head_is_read_as_it_was_written() -> None:
    assert header(ZSTD, 4096, 100) == bytes.fromhex("010000000010000064000000")
    assert decode_header(b"x" + header(ZSTD, 4096, 100), 1) == (ZSTD, 4096, 100)
    assert decode_header(header(RAW, MAX_RAW, MAX_RAW), 0) == (RAW, MAX_RAW, MAX_RAW)


@pytest.mark.parametrize(
    "head",
    [
        header(2, 10, 5),
        header(ZSTD, MAX_RAW + 1, 5),
        header(ZSTD, 10, 11),
        header(ZSTD, 10, 0),
        header(ZSTD, 0, 0),
        header(RAW, 10, 9),
        b"\1\0\1\0" + header(ZSTD, 10, 5)[4:],
    ],
)
def test_a_head_that_nobody_writes_is_refused(head: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_header(head, 0)


def test_a_block_that_would_unpack_to_more_is_refused_before_it_is_unpacked() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 30))
    assert len(bomb) < MAX_RAW
    with pytest.raises(ProtocolError, match="announces"):
        Unpacker().open(ZSTD, MAX_RAW, memoryview(bomb))


def test_a_block_that_hides_its_size_is_refused() -> None:
    hidden = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 20))
    with pytest.raises(ProtocolError):
        Unpacker().open(ZSTD, MAX_RAW, memoryview(hidden))


def test_a_block_that_lies_about_its_size_is_refused() -> None:
    honest = bytearray(zstandard.ZstdCompressor().compress(bytes(100_000)))
    size = honest.find((100_000).to_bytes(4, "little"))
    honest[size : size + 4] = (1000).to_bytes(4, "little")
    with pytest.raises(ProtocolError):
        Unpacker().open(ZSTD, 1000, memoryview(bytes(honest)))


@given(st.binary(max_size=300), st.integers(1, MAX_RAW))
def test_nonsense_is_refused_as_nonsense(content: bytes, raw: int) -> None:
    try:
        found = Unpacker().open(ZSTD, raw, memoryview(content))
    except ProtocolError:
        return
    assert len(found) == raw


def test_a_head_has_the_documented_size() -> None:
    assert HEADER.size == 12
    assert available() is Codecs.ZSTD
