"""The control socket: whole messages out of any pieces, and a refusal for everything else."""

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.errors import FarshoreError, ProtocolError
from farshore.wire import control
from farshore.wire.control import Decoder, Reply, Request

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 60), 1 << 60) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def only(data: bytes) -> dict[str, object]:
    (message,) = Decoder().feed(data)
    return message


def test_a_request_and_its_replies_have_the_documented_bytes() -> None:
    request = control.encode_request(Request(7, "pause", {"link": "b"}))
    assert request == b'\x2f\0\0\0{"v":1,"id":7,"op":"pause","args":{"link":"b"}}'
    assert control.encode_reply(Reply(7, [1])) == b'\x17\0\0\0{"v":1,"id":7,"ok":[1]}'
    failure = control.as_reply(only(control.encode_reply(Reply(7, error=FarshoreError("faulted", "a disk")))))
    assert failure.error is not None
    assert (failure.id, failure.error.code.name, failure.error.what) == (7, "faulted", "a disk")


@given(st.lists(st.dictionaries(st.text(max_size=8), json_values, max_size=4), max_size=5), st.data())
def test_messages_come_whole_out_of_any_pieces(
    messages: list[dict[str, object]], data: st.DataObject
) -> None:
    text = b"".join(control.encode(message) for message in messages)
    decoder = Decoder()
    got: list[dict[str, object]] = []
    at = 0
    while at < len(text):
        step = data.draw(st.integers(1, len(text) - at))
        got += decoder.feed(text[at : at + step])
        at += step
    assert got == messages


@given(
    st.integers(0, 1 << 60),
    st.text(max_size=20),
    st.dictionaries(st.text(max_size=5), json_values, max_size=3),
)
def test_requests_and_replies_round_trip(number: int, op: str, args: dict[str, object]) -> None:
    request = Request(number, op, args)
    assert control.as_request(only(control.encode_request(request))) == request
    assert control.as_reply(only(control.encode_reply(Reply(number, args)))) == Reply(number, args)


def framed(text: bytes) -> bytes:
    return struct.pack("<I", len(text)) + text


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"1", b"{", b"\xff", b'{"a":NaN}', b'{"a":' * 100_000, b'{"a":' + b"9" * 5000 + b"}"]
)
def test_what_is_no_object_is_refused(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        list(Decoder().feed(framed(text)))


def test_a_length_beyond_the_bound_is_refused_before_it_arrives() -> None:
    with pytest.raises(ProtocolError):
        list(Decoder().feed(struct.pack("<I", control.MAX_MESSAGE + 1)))
    with pytest.raises(ValueError):
        control.encode({"a": "x" * control.MAX_MESSAGE})


@given(st.binary(max_size=60))
def test_noise_is_refused_or_incomplete(noise: bytes) -> None:
    try:
        messages = list(Decoder().feed(noise))
    except ProtocolError:
        return
    assert all(isinstance(message, dict) for message in messages)


@pytest.mark.parametrize(
    "changed",
    [{"v": 2}, {"v": "1"}, {"v": True}, {"v": None}, {"id": "7"}, {"id": None}, {"op": None}, {"args": []}],
    ids=json.dumps,
)
def test_a_malformed_request_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        control.as_request({"v": 1, "id": 7, "op": "pause", "args": {}} | changed)


@pytest.mark.parametrize("body", [{}, {"error": "text"}, {"error": {"code": 1}}], ids=json.dumps)
def test_a_malformed_reply_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        control.as_reply({"v": 1, "id": 7} | body)
