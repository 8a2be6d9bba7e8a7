"""Requests: golden bytes, every validation, payloads that arrive in pieces, and any split of any stream."""

from __future__ import annotations

import struct
from dataclasses import replace
from itertools import pairwise
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.wire.nbd import constants as nbd
from farshore.wire.nbd.transmission import REQUEST_HEADER, Limits, Parsed, Partial, Request, RequestParser

MIB = 1 << 20
LIMITS = Limits(size=64 * MIB, structured=True, block_status=True)
# A request whose payload is bytes, so that it outlives the buffer and can be compared.
Taken: TypeAlias = tuple[int, int, int, int, int, bytes | None, int]


def request(
    command: int, offset: int = 0, length: int = 0, *, flags: int = 0, cookie: int = 7, payload: bytes = b""
) -> bytes:
    return struct.pack(">IHHQQI", 0x25609513, flags, command, cookie, offset, length) + payload


def write(offset: int, payload: bytes, *, flags: int = 0, cookie: int = 7) -> bytes:
    return request(nbd.NBD_CMD_WRITE, offset, len(payload), flags=flags, cookie=cookie, payload=payload)


def parse(data: bytes, limits: Limits = LIMITS) -> Parsed:
    return RequestParser(limits).parse(memoryview(data), len(data))


def taken(requests: list[Request]) -> list[Taken]:
    return [(*r[:5], None if r[5] is None else bytes(r[5]), r[6]) for r in requests]


def error_of(data: bytes, limits: Limits = LIMITS) -> int:
    """The error of the one request in `data`, which is whole and keeps the connection alive."""
    parsed = parse(data + request(nbd.NBD_CMD_FLUSH, cookie=8), limits)
    assert not parsed.fatal
    assert parsed.consumed == len(data) + REQUEST_HEADER
    first, second = parsed.requests
    assert second[2] == 8
    assert (first[5] is None) == (first[0] != nbd.NBD_CMD_WRITE or first[6] != 0)
    return first[6]


def test_a_write_is_read_off_the_bytes_of_the_protocol() -> None:
    data = bytes.fromhex("25609513 0001 0001 0102030405060708 0000000000100200 00000004 deadbeef")
    parsed = parse(data)
    assert taken(parsed.requests) == [(1, 1, 0x0102030405060708, 0x100200, 4, b"\xde\xad\xbe\xef", 0)]
    assert parsed == Parsed(32, parsed.requests, need=0, fatal="", partial=None)


def test_every_other_request_is_read_off_the_bytes_of_the_protocol() -> None:
    head, tail = "25609513", "00000000000000ff 0000000000001000 00000200"
    rows = ["0000 0000", "0004 0000", "0001 0004", "0000 0005", "0013 0006", "0008 0007"]
    data = b"".join(bytes.fromhex(f"{head} {row} {tail}") for row in rows)
    data += bytes.fromhex("25609513 0000 0003 00000000000000ff 0000000000000000 00000000")
    assert taken(parse(data).requests) == [
        (nbd.NBD_CMD_READ, 0, 0xFF, 0x1000, 0x200, None, 0),
        (nbd.NBD_CMD_READ, nbd.NBD_CMD_FLAG_DF, 0xFF, 0x1000, 0x200, None, 0),
        (nbd.NBD_CMD_TRIM, nbd.NBD_CMD_FLAG_FUA, 0xFF, 0x1000, 0x200, None, 0),
        (nbd.NBD_CMD_CACHE, 0, 0xFF, 0x1000, 0x200, None, 0),
        (nbd.NBD_CMD_WRITE_ZEROES, 0b10011, 0xFF, 0x1000, 0x200, None, 0),
        (nbd.NBD_CMD_BLOCK_STATUS, nbd.NBD_CMD_FLAG_REQ_ONE, 0xFF, 0x1000, 0x200, None, 0),
        (nbd.NBD_CMD_FLUSH, 0, 0xFF, 0, 0, None, 0),
    ]


def test_a_batch_is_parsed_in_one_pass_and_its_payloads_are_not_copied() -> None:
    buffer = bytearray(write(0, b"one", cookie=1) + write(4096, b"two", cookie=2))
    parsed = RequestParser(LIMITS).parse(memoryview(buffer), len(buffer))
    first, second = parsed.requests
    assert (first[2], second[2]) == (1, 2)
    buffer[REQUEST_HEADER : REQUEST_HEADER + 3] = b"new"
    assert first[5] is not None
    assert bytes(first[5]) == b"new"


def test_a_pass_can_begin_inside_the_buffer_and_ends_where_it_is_told() -> None:
    one = write(0, b"data", cookie=5)
    data = b"????" + one + b"????"
    parsed = RequestParser(LIMITS).parse(memoryview(data), 4 + len(one), 4)
    assert taken(parsed.requests) == [(1, 0, 5, 0, 4, b"data", 0)]
    assert parsed.consumed == 4 + len(one)


@pytest.mark.parametrize("here", [0, 1, 27])
def test_an_incomplete_header_is_left_for_the_next_pass(here: int) -> None:
    data = write(0, b"x") + write(0, b"y")[:here]
    parsed = parse(data)
    assert (parsed.consumed, len(parsed.requests), parsed.need, parsed.partial) == (29, 1, 0, None)


def test_an_incomplete_write_reports_its_header_and_what_it_needs() -> None:
    whole = write(8192, bytes(300_000), flags=nbd.NBD_CMD_FLAG_FUA, cookie=9)
    data = write(0, b"x") + whole[: REQUEST_HEADER + 1000]
    parsed = parse(data)
    assert parsed.consumed == 29
    assert parsed.need == REQUEST_HEADER + 300_000
    assert parsed.partial == Partial(1, 1, 9, 8192, 300_000, 29 + REQUEST_HEADER)
    assert len(data) - parsed.partial.payload_at == 1000


def test_a_caller_may_take_the_rest_of_a_payload_itself() -> None:
    payload = bytes(range(256)) * 1200
    stream = write(4096, payload, cookie=3) + request(nbd.NBD_CMD_FLUSH, cookie=4)
    parser, received = RequestParser(LIMITS), 1000
    parsed = parser.parse(memoryview(stream), received)
    assert parsed.partial is not None
    own = bytearray(parsed.partial.length)
    here = received - parsed.partial.payload_at
    own[:here] = stream[parsed.partial.payload_at : received]
    behind = parsed.consumed + parsed.need
    own[here:] = stream[received:behind]
    assert own == payload
    assert [r[:3] for r in parser.parse(memoryview(stream), len(stream), behind).requests] == [(3, 0, 4)]


END = LIMITS.size
BEYOND = [
    (nbd.NBD_CMD_READ, nbd.NBD_EINVAL),
    (nbd.NBD_CMD_CACHE, nbd.NBD_EINVAL),
    (nbd.NBD_CMD_BLOCK_STATUS, nbd.NBD_EINVAL),
    (nbd.NBD_CMD_TRIM, nbd.NBD_ENOSPC),
    (nbd.NBD_CMD_WRITE_ZEROES, nbd.NBD_ENOSPC),
    (nbd.NBD_CMD_WRITE, nbd.NBD_ENOSPC),
]


@pytest.mark.parametrize(("command", "error"), BEYOND)
@pytest.mark.parametrize("flags", [0, nbd.NBD_CMD_FLAG_FUA])
def test_a_request_may_end_at_the_end_of_the_export_and_not_behind_it(
    command: int, error: int, flags: int
) -> None:
    payload = b"x" * 512 if command == nbd.NBD_CMD_WRITE else b""
    assert error_of(request(command, END - 512, 512, flags=flags, payload=payload)) == 0
    for offset in (END - 511, END, END + 1, (1 << 64) - 1, (1 << 64) - 512):
        assert error_of(request(command, offset, 512, flags=flags, payload=payload)) == error


@pytest.mark.parametrize("command", [command for command, _ in BEYOND])
def test_a_length_of_zero_is_invalid(command: int) -> None:
    assert error_of(request(command, 4096, 0)) == nbd.NBD_EINVAL


def test_a_read_carries_at_most_the_maximum() -> None:
    assert error_of(request(nbd.NBD_CMD_READ, 0, nbd.MAX_PAYLOAD)) == 0
    assert error_of(request(nbd.NBD_CMD_READ, 0, nbd.MAX_PAYLOAD + 1)) == nbd.NBD_EINVAL


@pytest.mark.parametrize("command", [nbd.NBD_CMD_TRIM, nbd.NBD_CMD_WRITE_ZEROES, nbd.NBD_CMD_CACHE, 7])
def test_requests_that_carry_nothing_may_span_the_whole_export(command: int) -> None:
    big = replace(LIMITS, size=1 << 40)
    assert error_of(request(command, 0, 0xFFFFFFFF), big) == 0
    assert error_of(request(command, 0, END)) == 0


def test_a_write_above_the_maximum_is_refused_after_its_payload_was_skipped() -> None:
    limits = replace(LIMITS, max_payload=4096)
    assert error_of(write(0, bytes(4096)), limits) == 0
    assert error_of(write(0, bytes(4097)), limits) == nbd.NBD_EINVAL


def test_a_refused_payload_takes_no_room_and_is_answered_when_it_has_passed() -> None:
    parser, chunk = RequestParser(LIMITS), memoryview(bytes(MIB))
    head = request(nbd.NBD_CMD_WRITE, 0, nbd.MAX_DRAINED_PAYLOAD, cookie=5)
    assert parser.parse(memoryview(head), len(head)) == Parsed(len(head), [])
    for _ in range(nbd.MAX_DRAINED_PAYLOAD // MIB - 1):
        assert parser.parse(chunk, MIB) == Parsed(MIB, [])
    last = bytes(MIB) + write(0, b"fine", cookie=6)
    parsed = parser.parse(memoryview(last), len(last))
    assert taken(parsed.requests) == [
        (1, 0, 5, 0, nbd.MAX_DRAINED_PAYLOAD, None, nbd.NBD_EINVAL),
        (1, 0, 6, 0, 4, b"fine", 0),
    ]


def test_a_payload_too_large_to_skip_is_fatal() -> None:
    data = write(0, b"x", cookie=1) + request(nbd.NBD_CMD_WRITE, 0, nbd.MAX_DRAINED_PAYLOAD + 1)
    parsed = parse(data)
    assert parsed.fatal
    assert [r[2] for r in parsed.requests] == [1]


@pytest.mark.parametrize("command", [8, 9, 255, 0xFFFF])
def test_an_unknown_command_is_invalid(command: int) -> None:
    assert error_of(request(command, 0, 512)) == nbd.NBD_EINVAL


ALLOWED = {
    nbd.NBD_CMD_READ: nbd.NBD_CMD_FLAG_DF,
    nbd.NBD_CMD_WRITE: 0,
    nbd.NBD_CMD_FLUSH: 0,
    nbd.NBD_CMD_TRIM: 0,
    nbd.NBD_CMD_CACHE: 0,
    nbd.NBD_CMD_WRITE_ZEROES: nbd.NBD_CMD_FLAG_NO_HOLE | nbd.NBD_CMD_FLAG_FAST_ZERO,
    nbd.NBD_CMD_BLOCK_STATUS: nbd.NBD_CMD_FLAG_REQ_ONE,
}


@pytest.mark.parametrize("command", list(ALLOWED))
def test_a_flag_is_valid_only_with_its_command_and_fua_with_all(command: int) -> None:
    length = 0 if command == nbd.NBD_CMD_FLUSH else 512
    payload = bytes(512) if command == nbd.NBD_CMD_WRITE else b""
    for bit in range(16):
        valid = bool(1 << bit & (ALLOWED[command] | nbd.NBD_CMD_FLAG_FUA))
        data = request(command, 0, length, flags=1 << bit, payload=payload)
        assert error_of(data) == (0 if valid else nbd.NBD_EINVAL)


def test_df_is_invalid_where_replies_are_not_structured() -> None:
    read = request(nbd.NBD_CMD_READ, 0, 512, flags=nbd.NBD_CMD_FLAG_DF)
    assert error_of(read, replace(LIMITS, structured=False)) == nbd.NBD_EINVAL


def test_block_status_is_invalid_without_contexts() -> None:
    status = request(nbd.NBD_CMD_BLOCK_STATUS, 0, 512)
    assert error_of(status, replace(LIMITS, block_status=False)) == nbd.NBD_EINVAL


def test_flush_has_neither_offset_nor_length() -> None:
    assert error_of(request(nbd.NBD_CMD_FLUSH)) == 0
    assert error_of(request(nbd.NBD_CMD_FLUSH, 0, 512)) == nbd.NBD_EINVAL
    assert error_of(request(nbd.NBD_CMD_FLUSH, 512, 0)) == nbd.NBD_EINVAL


def test_a_read_only_export_refuses_what_modifies_and_nothing_else() -> None:
    limits = replace(LIMITS, read_only=True)
    assert error_of(write(0, b"x"), limits) == nbd.NBD_EPERM
    assert error_of(write(0, b"x", flags=nbd.NBD_CMD_FLAG_FUA), limits) == nbd.NBD_EPERM
    assert error_of(write(END, b"x"), limits) == nbd.NBD_EPERM
    for command in (nbd.NBD_CMD_TRIM, nbd.NBD_CMD_WRITE_ZEROES):
        assert error_of(request(command, 0, 512), limits) == nbd.NBD_EPERM
    for command in (nbd.NBD_CMD_READ, nbd.NBD_CMD_CACHE, nbd.NBD_CMD_BLOCK_STATUS):
        assert error_of(request(command, 0, 512), limits) == 0
    assert error_of(request(nbd.NBD_CMD_FLUSH), limits) == 0


@pytest.mark.parametrize("command", [command for command, _ in BEYOND])
def test_offset_and_length_are_multiples_of_the_minimum_block(command: int) -> None:
    limits = replace(LIMITS, min_block=512)
    for offset, length, error in [(512, 1024, 0), (1, 512, nbd.NBD_EINVAL), (512, 511, nbd.NBD_EINVAL)]:
        payload = bytes(length) if command == nbd.NBD_CMD_WRITE else b""
        assert error_of(request(command, offset, length, payload=payload), limits) == error


def test_a_minimum_block_that_is_no_power_of_two_is_our_own_mistake() -> None:
    for min_block in (0, 3):
        with pytest.raises(ValueError, match="power of two"):
            RequestParser(replace(LIMITS, min_block=min_block))


def test_nothing_is_parsed_behind_a_disconnect() -> None:
    parser = RequestParser(LIMITS)
    data = write(0, b"x") + request(nbd.NBD_CMD_DISC, cookie=2) + b"whatever else is here, magic or not"
    parsed = parser.parse(memoryview(data), len(data))
    assert [r[0] for r in parsed.requests] == [nbd.NBD_CMD_WRITE, nbd.NBD_CMD_DISC]
    assert parsed.consumed == len(data)
    assert parser.disconnected
    assert parser.parse(memoryview(data), len(data)) == Parsed(len(data), [])


def test_a_wrong_magic_is_fatal_and_stays_so() -> None:
    parser = RequestParser(LIMITS)
    data = write(0, b"x") + b"\x25\x60\x95\x14" + bytes(24) + write(0, b"y")
    parsed = parser.parse(memoryview(data), len(data))
    assert parsed.fatal
    assert len(parsed.requests) == 1
    again = parser.parse(memoryview(data), len(data))
    assert again.fatal
    assert again.requests == []
    assert not parser.disconnected


def test_new_limits_hold_from_the_next_pass_on() -> None:
    parser = RequestParser(LIMITS)
    data = write(END, b"x") + request(nbd.NBD_CMD_READ, END, 1)
    before = parser.parse(memoryview(data), len(data))
    parser.limits = replace(LIMITS, size=2 * END)
    after = parser.parse(memoryview(data), len(data))
    assert [r[6] for r in before.requests] == [nbd.NBD_ENOSPC, nbd.NBD_EINVAL]
    assert [r[6] for r in after.requests] == [0, 0]


SMALL = Limits(size=4096, structured=True, block_status=True, max_payload=512)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    command = draw(st.one_of(st.sampled_from([0, 1, 1, 1, 3, 4, 5, 6, 7]), st.integers(0, 9)))
    offset = draw(st.one_of(st.integers(0, 4500), st.integers(0, (1 << 64) - 1)))
    length = draw(st.integers(0, 700))
    flags = draw(st.one_of(st.just(0), st.integers(0, 31)))
    payload = bytes([draw(st.integers(0, 255))]) * length if command == nbd.NBD_CMD_WRITE else b""
    return request(
        command, offset, length, flags=flags, cookie=draw(st.integers(0, 1 << 63)), payload=payload
    )


def connection(pieces: list[bytes], limits: Limits = SMALL) -> tuple[list[Taken], bool]:
    """What a caller gets that keeps the unconsumed tail of each pass; and whether the connection must end."""
    parser, tail, got = RequestParser(limits), b"", []
    for piece in pieces:
        data = tail + piece
        parsed = parser.parse(memoryview(data), len(data))
        assert 0 <= parsed.consumed <= len(data)
        got += taken(parsed.requests)
        if parsed.fatal:
            return got, True
        tail = data[parsed.consumed :]
        assert (parsed.need > len(tail)) == (parsed.partial is not None)
        assert parsed.partial is not None or len(tail) < REQUEST_HEADER
    return got, False


def split(stream: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[start:stop] for start, stop in pairwise(places)]


@given(st.lists(messages(), max_size=8), st.binary(max_size=40), st.lists(st.integers(0, 6000), max_size=20))
def test_any_split_of_a_stream_gives_the_same_requests(
    sent: list[bytes], tail: bytes, cuts: list[int]
) -> None:
    stream = b"".join(sent) + tail
    assert connection(split(stream, cuts)) == connection([stream])


@given(st.lists(messages(), max_size=3))
def test_a_stream_byte_by_byte_gives_the_same_requests(sent: list[bytes]) -> None:
    stream = b"".join(sent)
    assert connection([stream[i : i + 1] for i in range(len(stream))]) == connection([stream])


@given(st.lists(messages(), max_size=8))
def test_every_request_up_to_a_disconnect_comes_out_once_and_in_order(sent: list[bytes]) -> None:
    headers = [struct.unpack_from(">IHHQQI", message)[1:] for message in sent]
    commands = [command for _, command, *_ in headers]
    expected = headers[: commands.index(2) + 1] if 2 in commands else headers
    got, fatal = connection([b"".join(sent)])
    assert not fatal
    assert [(flags, command, *rest) for command, flags, *rest, _, _ in got] == expected


@given(st.lists(messages(), max_size=8))
def test_a_request_that_passes_lies_within_the_export_and_has_its_payload(sent: list[bytes]) -> None:
    for command, _, _, offset, length, payload, error in connection([b"".join(sent)])[0]:
        if error == 0 and command not in (nbd.NBD_CMD_FLUSH, nbd.NBD_CMD_DISC):
            assert 0 < length <= SMALL.size - offset
            assert (payload is not None) == (command == nbd.NBD_CMD_WRITE)
            assert payload is None or len(payload) == length <= SMALL.max_payload


@given(st.lists(st.one_of(st.binary(max_size=200), messages(), st.just(b"\x25\x60\x95\x13")), max_size=12))
def test_garbage_ends_a_connection_cleanly_or_not_at_all(pieces: list[bytes]) -> None:
    assert connection(pieces) == connection([b"".join(pieces)])
