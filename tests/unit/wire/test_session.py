"""The link connection: messages round-trip, streams split anywhere, and nothing malformed gets through."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from farshore.errors import ProtocolError
from farshore.model.header import OpenResync
from farshore.model.messages import (
    Ack,
    Buffer,
    DigestQuery,
    DigestReply,
    Fill,
    Heartbeat,
    Hello,
    Message,
    Ready,
    Refusal,
    Resume,
    ResyncBegin,
    ResyncDone,
    ResyncEnd,
    Skip,
    SyncNow,
    Welcome,
)
from farshore.model.options import ResyncKind
from farshore.model.positions import History, Position, Stretch
from farshore.model.volumes import MAX_REQUEST, WRITE
from farshore.wire import frame, session
from tests.unit.wire.strategies import messages


def unit(message: Message) -> bytes:
    return b"".join(session.encode(message))


def body_of(data: bytes) -> tuple[int, memoryview]:
    ((kind, body),), consumed, missing = session.split(data, 0, len(data))
    assert (consumed, missing) == (len(data), 0)
    return kind, body


def sealed(kind: int, fields: bytes) -> tuple[int, memoryview]:
    """Type and body of a message with these fields and the checksum that belongs to them."""
    seed = int.from_bytes(struct.pack("<II", len(fields) + 8, kind), "little")
    return kind, memoryview(struct.pack("<Q", xxh3_64_intdigest(fields, seed)) + fields)


def id_of(number: int) -> bytes:
    return bytes([number]) * 16


HISTORY = History((Stretch(id_of(0xA1), 10), Stretch(id_of(0xA2), 258)))
HISTORY_HEX = "0200" + "a1" * 16 + "0a00000000000000" + "a2" * 16 + "0201000000000000"
POSITION_HEX = "a2" * 16 + "0201000000000000"
SESSION_HEX = "0807060504030201"
SESSION = 0x0102030405060708
HEAD = Position(id_of(0xA2), 258)

GOLDEN: list[tuple[Message, int, str]] = [
    (
        Hello(
            protocol=2,
            group=id_of(1),
            link=id_of(2),
            epoch=3,
            copy=id_of(4),
            instance=id_of(5),
            history=HISTORY,
            region=32768,
            volumes=((1, 1 << 20), (2, 1 << 40)),
            peer_copy=id_of(6),
            first=ResyncKind.DIGEST,
            journal=True,
            chain=(id_of(7), id_of(8)),
            queue=1 << 26,
        ),
        1,
        "0200" + "01" * 16 + "02" * 16 + "0300000000000000" + "04" * 16 + "05" * 16 + HISTORY_HEX + "00800000"
        "0200" + "0100" + "0000100000000000" + "0200" + "0000000000010000" + "01" + "06" * 16 + "0301"
        "0200" + "07" * 16 + "08" * 16 + "0000000400000000",
    ),
    (
        Welcome(
            SESSION,
            id_of(4),
            id_of(5),
            HISTORY,
            OpenResync(id_of(7), ResyncKind.UPDATE, HEAD),
            doubtful=True,
            empty=False,
            undo=True,
        ),
        2,
        SESSION_HEX
        + "04" * 16
        + "05" * 16
        + HISTORY_HEX
        + "01"
        + "07" * 16
        + "01"
        + POSITION_HEX
        + "01"  # doubtful
        + "0001"
        + "00",
    ),
    (
        Welcome(SESSION, id_of(4), id_of(5), History(), None, doubtful=False, empty=True),
        2,
        SESSION_HEX + "04" * 16 + "05" * 16 + "0000" + "00" + "00" + "01" + "00" + "00",
    ),
    (Refusal("diverged", "né"), 3, "0800" + b"diverged".hex() + "0300" + "6ec3a9"),
    (Refusal("fenced", "", id_of(7)), 3, "0600" + b"fenced".hex() + "0000" + "07" * 16),
    (Resume(SESSION, HISTORY, HEAD), 4, SESSION_HEX + HISTORY_HEX + POSITION_HEX),
    (
        ResyncBegin(SESSION, id_of(7), ResyncKind.FULL, HISTORY, HEAD, 258, True, "né"),
        5,
        SESSION_HEX
        + "07" * 16
        + "02"
        + HISTORY_HEX
        + POSITION_HEX
        + "0201000000000000"
        + "01"
        + "03006ec3a9",
    ),
    (Ready(SESSION, True), 6, SESSION_HEX + "01"),
    (Skip(SESSION, HEAD), 7, SESSION_HEX + POSITION_HEX),
    (
        Fill(SESSION, 9, 258, 2, 65536, 4, b"abcd"),
        8,
        SESSION_HEX
        + "0900000000000000"
        + "0201000000000000"
        + "0200"
        + "0100"
        + "00000000"
        + "0000010000000000"
        + "0400000000000000"
        + b"abcd".hex(),
    ),
    (
        Fill(SESSION, 9, 258, 2, 65536, 1 << 33, None),
        8,
        SESSION_HEX
        + "0900000000000000"
        + "0201000000000000"
        + "0200"
        + "0000"
        + "00000000"
        + "0000010000000000"
        + "0000000002000000",
    ),
    (
        DigestQuery(SESSION, 9, 258, 2, 65536, 4097, 4096, id_of(8) + id_of(9)),
        9,
        SESSION_HEX
        + "0900000000000000"
        + "0201000000000000"
        + "0200"
        + "0000"
        + "00100000"
        + "0000010000000000"
        + "0110000000000000"
        + "08" * 16
        + "09" * 16,
    ),
    (DigestReply(SESSION, 9, b"\0\1"), 10, SESSION_HEX + "0900000000000000" + "02000000" + "0001"),
    (ResyncEnd(SESSION, id_of(7), HISTORY, HEAD), 11, SESSION_HEX + "07" * 16 + HISTORY_HEX + POSITION_HEX),
    (ResyncDone(SESSION, id_of(7)), 12, SESSION_HEX + "07" * 16),
    (
        Ack(SESSION, 4, 3, 2, 1),
        13,
        SESSION_HEX + "0400000000000000" + "0300000000000000" + "0200000000000000" + "0100000000000000",
    ),
    (SyncNow(SESSION), 14, SESSION_HEX),
    (Heartbeat(5, 6, 7, 8), 15, "".join(f"{n:02}" + "00" * 7 for n in (5, 6, 7, 8))),
    (Heartbeat(5), 15, "0500000000000000" + "00" * 16 + "ff" * 8),
]


@pytest.mark.parametrize(("message", "kind", "fields"), GOLDEN, ids=lambda value: type(value).__name__)
def test_a_message_has_the_documented_bytes(message: Message, kind: int, fields: str) -> None:
    _, body = sealed(kind, bytes.fromhex(fields))
    assert unit(message) == struct.pack("<II", len(body), kind) + body
    assert session.decode(kind, body) == message


def test_one_checksum_is_pinned() -> None:
    assert unit(Ready(SESSION)).hex() == "1100000006000000" + "764243937832c619" + SESSION_HEX + "00"


@given(messages)
def test_what_is_encoded_is_decoded(message: Message) -> None:
    assert session.decode(*body_of(unit(message))) == message


def test_the_data_of_a_fill_is_never_copied() -> None:
    data = bytearray(b"x" * 65536)
    head, last = session.encode(Fill(1, 1, 1, 1, 0, len(data), data))
    assert last is data
    received = bytearray(bytes(head) + bytes(last))
    decoded = session.decode(*body_of_view(received))
    assert isinstance(decoded, Fill)
    assert isinstance(decoded.data, memoryview)
    received[-1:] = b"y"
    assert decoded.data.tobytes()[-1:] == b"y"


def body_of_view(data: bytearray) -> tuple[int, memoryview]:
    return session.split(data, 0, len(data)).units[0]


@given(st.lists(messages, max_size=6), st.data())
def test_a_stream_splits_alike_wherever_it_is_cut(stream: list[Message], data: st.DataObject) -> None:
    text = b"".join(unit(message) for message in stream)
    cut = data.draw(st.integers(0, len(text)))
    before = data.draw(st.integers(0, 20))
    buffer = bytes(before) + text + b"\xff" * 9
    first = session.split(buffer, before, before + cut)
    second = session.split(buffer, before + first.consumed, before + len(text))
    assert first.consumed <= cut
    assert second.missing == 0
    assert first.consumed + second.consumed == len(text)
    assert [session.decode(*each) for each in first.units + second.units] == stream
    # What is missing is the rest of the unit, or of its prefix, that was cut.
    ends = [sum(len(unit(message)) for message in stream[:count]) for count in range(len(stream) + 1)]
    if cut in ends:
        assert first.missing == 0
    else:
        begun = max(end for end in ends if end < cut)
        whole = min(end for end in ends if end > cut)
        assert first.missing == (8 if cut - begun < 8 else whole - begun) - (cut - begun)


def test_frames_travel_beside_messages() -> None:
    stamp = frame.FrameStamp(id_of(1), id_of(2), 7, 0, Position(id_of(2), 6))
    encoded = frame.encode(stamp, [(1, WRITE, 0, 4)], [b"abcd"])
    stream = unit(Ready(1)) + session.frame_prefix(len(encoded)) + encoded + unit(SyncNow(1))
    units = session.split(stream, 0, len(stream)).units
    assert [kind for kind, _ in units] == [6, session.FRAME, 14]
    assert frame.check(units[1][1]).head.first == 7


@settings(max_examples=60)
@given(messages, st.data())
def test_no_flipped_bit_gets_through(message: Message, data: st.DataObject) -> None:
    damaged = bytearray(unit(message))
    bit = data.draw(st.integers(0, len(damaged) * 8 - 1))
    damaged[bit // 8] ^= 1 << (bit % 8)
    try:
        units, _, missing = session.split(damaged, 0, len(damaged))
        assert missing or units[0][0] == session.FRAME or session.decode(*units[0]) is None
    except ProtocolError:
        return
    if not missing:  # the type became that of a frame, which has a checksum of its own
        with pytest.raises(ProtocolError):
            frame.check(units[0][1])


@given(st.binary(max_size=100))
def test_noise_splits_or_is_refused(noise: bytes) -> None:
    try:
        batch = session.split(noise, 0, len(noise))
    except ProtocolError:
        return
    assert 0 <= batch.consumed <= len(noise)
    for kind, body in batch.units:
        if kind != session.FRAME:
            with pytest.raises(ProtocolError):
                session.decode(kind, body)


@given(st.integers(0, 16), st.binary(max_size=200))
def test_well_sealed_noise_raises_nothing_but_protocol_errors(kind: int, noise: bytes) -> None:
    try:
        message = session.decode(*sealed(kind, noise))
    except ProtocolError:
        return
    assert bytes(sealed(kind, noise)[1]) == unit(message)[8:]


@given(messages, st.data())
def test_well_sealed_changes_raise_nothing_but_protocol_errors(message: Message, data: st.DataObject) -> None:
    kind, body = body_of(unit(message))
    fields = bytearray(body[8:])
    fields[data.draw(st.integers(0, len(fields) - 1))] = data.draw(st.integers(0, 255))
    del fields[data.draw(st.integers(0, 2 * len(fields))) :]
    try:
        session.decode(*sealed(kind, bytes(fields)))
    except ProtocolError:
        return


def test_the_trailing_byte_of_every_message_is_refused() -> None:
    for _, kind, fields in GOLDEN:
        with pytest.raises(ProtocolError):
            session.decode(*sealed(kind, bytes.fromhex(fields) + b"\0"))


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (2, GOLDEN[2][2][:-4] + "0200"),
        (
            4,
            SESSION_HEX
            + "0200"
            + "a1" * 16
            + "0a00000000000000"
            + "a2" * 16
            + "0900000000000000"
            + POSITION_HEX,
        ),
        (5, SESSION_HEX + "07" * 16 + "04" + HISTORY_HEX + POSITION_HEX),
        (3, "4100" + "41" * 65 + "0000"),
        (3, "0100" + "ff" + "0000"),
        (10, SESSION_HEX + "0900000000000000" + "02000000" + "0003"),
        (10, SESSION_HEX + "0900000000000000" + "ffffffff" + "00"),
        (4, SESSION_HEX + "ffff" + "00" * 100),
    ],
    ids=[
        "flag",
        "falling history",
        "kind",
        "long code",
        "not UTF-8",
        "neither",
        "long list",
        "long history",
    ],
)
def test_a_well_sealed_but_malformed_message_is_refused(kind: int, fields: str) -> None:
    with pytest.raises(ProtocolError):
        session.decode(*sealed(kind, bytes.fromhex(fields)))


@pytest.mark.parametrize("volumes", [((1, 512), (1, 512)), tuple((n, 512) for n in range(4097))])
def test_a_hello_names_each_volume_once_and_not_too_many(volumes: tuple[tuple[int, int], ...]) -> None:
    head, tail = bytes.fromhex(GOLDEN[0][2]).split(struct.pack("<I", 32768))
    listed = struct.pack("<H", len(volumes)) + b"".join(struct.pack("<HQ", *each) for each in volumes)
    with pytest.raises(ProtocolError, match="volume"):
        session.decode(*sealed(1, head + struct.pack("<I", 32768) + listed + tail[-18:]))


def test_units_are_bounded_before_they_are_received() -> None:
    for length, kind in ((frame.MAX_FRAME + 1, 0), (session.MAX_MESSAGE + 1, 1), (MAX_REQUEST + 57, 8)):
        with pytest.raises(ProtocolError):
            session.split(struct.pack("<II", length, kind), 0, 8)
    assert session.split(struct.pack("<II", MAX_REQUEST + 56, 8), 0, 8).missing == MAX_REQUEST + 56
    with pytest.raises(ProtocolError):
        session.split(struct.pack("<II", 4097, 1), 0, 8, bound=4096)


def test_unknown_types_and_reserved_bytes_are_refused() -> None:
    for prefix in (struct.pack("<II", 16, 16), struct.pack("<II", 16, 0x0106)):
        with pytest.raises(ProtocolError):
            session.split(prefix + bytes(16), 0, 24)
    with pytest.raises(ProtocolError):
        session.decode(16, memoryview(bytes(16)))
    with pytest.raises(ProtocolError):
        session.decode(session.FRAME, memoryview(bytes(96)))


def test_a_text_is_cut_at_a_character_and_a_code_is_short() -> None:
    assert session.decode(*body_of(unit(Refusal("internal", "é" * 3000)))) == Refusal("internal", "é" * 2048)


@pytest.mark.parametrize(
    "message",
    [
        Fill(1, 1, 1, 1, 0, 5, b"four"),
        DigestQuery(1, 1, 1, 1, 0, 4097, 4096, id_of(1)),
        DigestReply(1, 1, bytes(session.MAX_MESSAGE)),
        ResyncDone(1, b"short"),
        Resume(1, History((Stretch(id_of(1), 1),) * 65536), HEAD),
    ],
    ids=lambda message: type(message).__name__,
)
def test_what_no_peer_would_accept_is_not_encoded(message: Message) -> None:
    with pytest.raises(ValueError):
        session.encode(message)


def test_the_longest_history_and_the_longest_fill_fit() -> None:
    history = History(tuple(Stretch(id_of(1), n) for n in range(65535)))
    assert session.decode(*body_of(unit(Resume(1, history, HEAD)))) == Resume(1, history, HEAD)
    data: Buffer = bytes(MAX_REQUEST)
    assert session.decode(*body_of(unit(Fill(1, 1, 1, 1, 0, MAX_REQUEST, data)))) is not None
