"""The client's half of the protocol, against our own server's half and against what no server should send."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.errors import IllegalEvent, ProtocolError
from farshore.wire.nbd import constants as nbd
from farshore.wire.nbd.client import (
    ClientNegotiation,
    Partial,
    Refused,
    Reply,
    ReplyParser,
    Served,
    request,
)
from farshore.wire.nbd.negotiation import Negotiation
from farshore.wire.nbd.outcome import Ready
from farshore.wire.nbd.replies import simple_reply
from farshore.wire.nbd.transmission import Limits, RequestParser
from tests.unit.wire.nbd.client import DATA, Exports

_DATA = {1: 4, 2: 0, 3: 10, 4: 0}


def _talk(client: ClientNegotiation, server: Negotiation) -> None:
    sent = server.greeting
    for _ in range(8):
        answer = client.feed(sent)
        if client.outcome is not None:
            return
        sent = server.feed(answer)
    raise AssertionError("they do not come to an end")


def test_an_export_is_served_with_its_size_flags_and_description() -> None:
    client, server = ClientNegotiation("data"), Negotiation(Exports())
    _talk(client, server)
    # DF is offered with structured replies only
    flags = DATA.transmission_flags & ~nbd.NBD_FLAG_SEND_DF
    assert client.outcome == Served(1 << 30, flags, "orders", 1, b"")
    assert isinstance(server.outcome, Ready)
    assert server.outcome.export is DATA


def test_an_export_that_cannot_be_written_says_so() -> None:
    client = ClientNegotiation("log")
    _talk(client, Negotiation(Exports()))
    assert isinstance(client.outcome, Served)
    assert client.outcome.read_only


def test_an_export_that_is_not_there_is_refused() -> None:
    client = ClientNegotiation("nothing")
    _talk(client, Negotiation(Exports()))
    assert client.outcome == Refused("export 'nothing' was refused: there is no such export")
    with pytest.raises(IllegalEvent):
        client.feed(b"more")


@given(st.lists(st.integers(0, 300), max_size=12))
def test_any_split_of_the_handshake_gives_the_same(cuts: list[int]) -> None:
    server = Negotiation(Exports())
    client = ClientNegotiation("data")
    sent = client.feed(server.greeting[:10]) + client.feed(server.greeting[10:])
    answer = server.feed(sent)
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(answer)], strict=True):
        if client.outcome is None:
            assert client.feed(answer[start:end]) == b""
    assert isinstance(client.outcome, Served)


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        struct.pack(">QQH", nbd.NBD_MAGIC, nbd.NBD_IHAVEOPT, 0),
        Negotiation.greeting + bytes(20),
        Negotiation.greeting + struct.pack(">QIII", nbd.NBD_REP_MAGIC, nbd.NBD_OPT_GO, nbd.NBD_REP_ACK, 0),
        Negotiation.greeting + struct.pack(">QIII", nbd.NBD_REP_MAGIC, nbd.NBD_OPT_GO, 3, 1 << 20),
        Negotiation.greeting + struct.pack(">QIII", nbd.NBD_REP_MAGIC, nbd.NBD_OPT_GO, 77, 0),
        Negotiation.greeting + struct.pack(">QIII", nbd.NBD_REP_MAGIC, nbd.NBD_OPT_LIST, 1, 0),
        Negotiation.greeting
        + struct.pack(">QIIIH", nbd.NBD_REP_MAGIC, nbd.NBD_OPT_GO, nbd.NBD_REP_INFO, 2, 9) * 1001,
    ],
)
def test_a_server_that_follows_no_rule_is_not_spoken_to(sent: bytes) -> None:
    with pytest.raises(ProtocolError):
        ClientNegotiation("data").feed(sent)


def test_requests_are_what_our_server_reads() -> None:
    stream = request(nbd.NBD_CMD_WRITE, nbd.NBD_CMD_FLAG_FUA, 7, 4096, 3) + b"abc"
    stream += request(nbd.NBD_CMD_READ, 0, 8, 1 << 20, 512)
    parsed = RequestParser(Limits(1 << 30)).parse(memoryview(stream), len(stream))
    assert [(each[0], each[1], each[2], each[3], each[4]) for each in parsed.requests] == [
        (nbd.NBD_CMD_WRITE, nbd.NBD_CMD_FLAG_FUA, 7, 4096, 3),
        (nbd.NBD_CMD_READ, 0, 8, 1 << 20, 512),
    ]
    assert parsed.requests[0][5] == b"abc"


def _stream() -> tuple[bytes, list[tuple[int, int, bytes | None]]]:
    stream = (
        simple_reply(3) + b"0123456789" + simple_reply(4, 28) + simple_reply(1) + b"abcd" + simple_reply(2)
    )
    return stream, [(3, 0, b"0123456789"), (4, 28, None), (1, 0, b"abcd"), (2, 0, None)]


def _plain(replies: list[Reply]) -> list[tuple[int, int, bytes | None]]:
    return [(cookie, error, None if data is None else bytes(data)) for cookie, error, data in replies]


@given(st.lists(st.integers(0, 78), max_size=10))
def test_any_split_of_the_replies_gives_the_same(cuts: list[int]) -> None:
    stream, expected = _stream()
    parser, found, start = ReplyParser(_DATA.get), [], 0
    for end in [*sorted(cuts), len(stream)]:
        parsed = parser.parse(memoryview(stream), start, end)
        found += _plain(parsed.replies)
        start = parsed.consumed
    assert found == expected
    assert start == len(stream)


def test_a_read_that_has_begun_says_how_much_of_it_is_there() -> None:
    stream, _ = _stream()
    parsed = ReplyParser(_DATA.get).parse(memoryview(stream), 0, 20)
    assert (parsed.consumed, parsed.partial) == (0, Partial(3, 10, 4))


@pytest.mark.parametrize("stream", [simple_reply(99), bytes(16), b"x" * 64])
def test_a_reply_to_nothing_is_the_end_of_the_connection(stream: bytes) -> None:
    with pytest.raises(ProtocolError):
        ReplyParser(_DATA.get).parse(memoryview(stream), 0, len(stream))


def test_a_read_that_failed_brings_no_data() -> None:
    stream = simple_reply(3, 5) + simple_reply(2)
    parsed = ReplyParser(_DATA.get).parse(memoryview(stream), 0, len(stream))
    assert _plain(parsed.replies) == [(3, 5, None), (2, 0, None)]
