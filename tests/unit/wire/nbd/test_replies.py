"""Replies, byte for byte."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.wire.nbd import constants as nbd
from farshore.wire.nbd.replies import (
    block_status_chunk,
    done_chunk,
    error_chunk,
    error_offset_chunk,
    error_reply,
    offset_data_header,
    offset_hole_chunk,
    simple_replies,
    simple_reply,
)

COOKIE = 0x0102030405060708


def test_a_simple_reply() -> None:
    assert simple_reply(COOKIE) == bytes.fromhex("67446698 00000000 0102030405060708")
    assert simple_reply(COOKIE, nbd.NBD_ENOSPC) == bytes.fromhex("67446698 0000001c 0102030405060708")


@given(st.lists(st.integers(0, (1 << 64) - 1), max_size=40), st.integers(0, 108))
def test_a_batch_of_simple_replies_is_one_after_the_other(cookies: list[int], error: int) -> None:
    assert simple_replies(iter(cookies), error) == b"".join(simple_reply(cookie, error) for cookie in cookies)


def test_the_header_of_a_data_chunk_counts_its_offset_and_data() -> None:
    assert offset_data_header(COOKIE, 0x100200, 4096) == bytes.fromhex(
        "668e33ef 0001 0001 0102030405060708 00001008 0000000000100200"
    )
    assert offset_data_header(COOKIE, 0, 1, done=False) == bytes.fromhex(
        "668e33ef 0000 0001 0102030405060708 00000009 0000000000000000"
    )


def test_a_hole_chunk() -> None:
    assert offset_hole_chunk(COOKIE, 0x1000, 0x2000, done=False) == bytes.fromhex(
        "668e33ef 0000 0002 0102030405060708 0000000c 0000000000001000 00002000"
    )
    assert offset_hole_chunk(COOKIE, 0x1000, 0x2000)[4:6] == b"\0\1"


def test_the_chunk_that_only_ends_a_reply() -> None:
    assert done_chunk(COOKIE) == bytes.fromhex("668e33ef 0001 0000 0102030405060708 00000000")


def test_an_error_chunk_with_its_message() -> None:
    assert error_chunk(COOKIE, nbd.NBD_EIO, "bad") == bytes.fromhex(
        "668e33ef 0001 8001 0102030405060708 00000009 00000005 0003 626164"
    )
    assert error_chunk(COOKIE, nbd.NBD_EIO, done=False) == bytes.fromhex(
        "668e33ef 0000 8001 0102030405060708 00000006 00000005 0000"
    )


def test_an_error_chunk_with_its_offset_behind_the_message() -> None:
    assert error_offset_chunk(COOKIE, nbd.NBD_EIO, 0x1000, "bad") == bytes.fromhex(
        "668e33ef 0001 8002 0102030405060708 00000011 00000005 0003 626164 0000000000001000"
    )
    assert error_offset_chunk(COOKIE, nbd.NBD_EIO, 0x1000, done=False)[4:6] == b"\0\0"


def test_a_message_is_cut_at_the_length_of_a_string_and_the_end_of_a_character() -> None:
    chunk = error_chunk(COOKIE, nbd.NBD_EIO, "x" + "ü" * 4000)
    payload, error, length = struct.unpack_from(">IIH", chunk, 16)
    assert (payload, error, length) == (6 + 4095, nbd.NBD_EIO, 4095)
    assert chunk[26:].decode() == "x" + "ü" * 2047


def test_a_block_status_chunk() -> None:
    assert block_status_chunk(COOKIE, 3, [(0x1000, 0), (0x2000, 3)]) == bytes.fromhex(
        "668e33ef 0001 0005 0102030405060708 00000014 00000003 00001000 00000000 00002000 00000003"
    )
    assert block_status_chunk(COOKIE, 3, [(1, 0)], done=False)[4:6] == b"\0\0"


def test_only_read_and_block_status_are_refused_in_chunks_and_only_where_negotiated() -> None:
    for command in range(9):
        chunked = command in (nbd.NBD_CMD_READ, nbd.NBD_CMD_BLOCK_STATUS)
        simple = simple_reply(COOKIE, nbd.NBD_EINVAL)
        assert error_reply(command, COOKIE, nbd.NBD_EINVAL, structured=False, message="no") == simple
        expected = error_chunk(COOKIE, nbd.NBD_EINVAL, "no") if chunked else simple
        assert error_reply(command, COOKIE, nbd.NBD_EINVAL, structured=True, message="no") == expected


def test_chunks_that_the_protocol_forbids_are_our_own_mistakes() -> None:
    with pytest.raises(ValueError, match="error"):
        error_chunk(COOKIE, 0)
    with pytest.raises(ValueError, match="error"):
        error_offset_chunk(COOKIE, 0, 0)
    with pytest.raises(ValueError, match="byte"):
        offset_data_header(COOKIE, 0, 0)
    with pytest.raises(ValueError, match="byte"):
        offset_hole_chunk(COOKIE, 0, 0)
    with pytest.raises(ValueError, match="descriptor"):
        block_status_chunk(COOKIE, 1, [])
