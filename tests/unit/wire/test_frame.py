"""Frames: what is encoded is decoded, bytes are what the format says, and damage never gets through."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from farshore.errors import ProtocolError
from farshore.model.positions import Position
from farshore.model.volumes import CUT, FLUSH, MAX_REQUEST, RESIZE, TRIM, WRITE, ZERO, Operation
from farshore.wire import frame
from farshore.wire.frame import FrameStamp
from tests.unit.wire.strategies import batches

STAMP = FrameStamp(
    group=bytes(range(16)),
    generation=bytes(range(16, 32)),
    first=0x0102030405060708,
    timestamp=1_700_000_000_000_000_000,
    follows=Position(bytes(range(32, 48)), 0x0102030405060700),
)
GOLDEN = bytes.fromhex(
    "4653687201010100 0000000000000000 03000000 35000000"
    "000102030405060708090a0b0c0d0e0f 101112131415161718191a1b1c1d1e1f"
    "0807060504030201 00002a36fe9c9717"
    "202122232425262728292a2b2c2d2e2f 0007060504030201"
    "0700 01 00 05000000 0010000000000000"
    "0800 02 00 00020000 0000010000000000"
    "0000 04 00 00000000 0000000000000000"
    "68656c6c6f"
)


def sealed(data: bytes) -> bytes:
    """These bytes of a frame with the checksum that belongs to them."""
    seed = int.from_bytes(data[:8], "little")
    return data[:8] + struct.pack("<Q", xxh3_64_intdigest(data[16:], seed)) + data[16:]


def one(operation: Operation, payload: bytes | None = None) -> bytes:
    return bytes(frame.encode(STAMP, [operation], [payload]))


def test_a_frame_has_the_documented_bytes() -> None:
    operations = [(7, WRITE, 4096, 5), (8, ZERO, 65536, 512), (0, FLUSH, 0, 0)]
    encoded = frame.encode(STAMP, operations, [b"hello", None, None])
    assert encoded == sealed(GOLDEN)
    assert encoded[8:16].hex() == "59e127ae59d94619"


@given(batches())
def test_what_is_encoded_is_decoded(
    batch: tuple[FrameStamp, list[Operation], list[bytes | None]],
) -> None:
    stamp, operations, payloads = batch
    encoded = frame.encode(stamp, operations, payloads)
    decoded = frame.check(encoded)
    assert decoded.data == encoded
    assert [(v, op, at, n) for v, op, _, at, n, _ in decoded.records()] == operations
    assert [None if data is None else bytes(data) for *_, data in decoded.records()] == payloads
    head = decoded.head
    assert (head.group, head.generation, head.first) == (stamp.group, stamp.generation, stamp.first)
    assert (head.follows, head.timestamp) == (stamp.follows, stamp.timestamp)
    assert (head.operations, head.size) == (len(operations), len(encoded))
    assert head.flush == (operations[-1][1] == FLUSH)
    assert encoded[frame.payload_offset(head.operations) :] == b"".join(data for data in payloads if data)


@given(batches(), st.integers(1, 50))
def test_the_head_is_read_from_the_midst_of_a_buffer(
    batch: tuple[FrameStamp, list[Operation], list[bytes | None]], before: int
) -> None:
    encoded = frame.encode(*batch)
    head = frame.check(encoded).head._replace(snapshot="")  # that name is not in the header
    assert frame.decode_head(bytes(before) + encoded, before) == head


def test_a_large_write_is_framed_in_place_into_the_same_bytes() -> None:
    payload = bytes(range(256)) * 1024
    start = frame.payload_offset(1)
    buffer = bytearray(b"\xff" * start + payload)
    frame.encode_into(buffer, STAMP, (7, WRITE, 1 << 20, len(payload)))
    assert buffer == frame.encode(STAMP, [(7, WRITE, 1 << 20, len(payload))], [payload])


def test_payloads_may_be_slices_of_a_shared_buffer() -> None:
    shared = bytearray(b"..first..second")
    views = [memoryview(shared)[2:7], memoryview(shared)[9:15]]
    encoded = frame.encode(STAMP, [(1, WRITE, 0, 5), (1, WRITE, 512, 6)], views)
    shared[:] = bytes(len(shared))
    assert [bytes(data or b"") for *_, data in frame.check(encoded).records()] == [b"first", b"second"]


@settings(max_examples=50)
@given(batches(), st.data())
def test_no_flipped_bit_gets_through(
    batch: tuple[FrameStamp, list[Operation], list[bytes | None]], data: st.DataObject
) -> None:
    damaged = bytearray(frame.encode(*batch))
    bit = data.draw(st.integers(0, len(damaged) * 8 - 1))
    damaged[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(ProtocolError):
        frame.check(damaged)


@given(batches(), st.data())
def test_no_cut_or_longer_frame_gets_through(
    batch: tuple[FrameStamp, list[Operation], list[bytes | None]], data: st.DataObject
) -> None:
    encoded = frame.encode(*batch)
    with pytest.raises(ProtocolError):
        frame.check(encoded[: data.draw(st.integers(0, len(encoded) - 1))])
    with pytest.raises(ProtocolError):
        frame.check(encoded + b"\0")


@given(st.binary(max_size=400))
def test_noise_is_refused(noise: bytes) -> None:
    for data in (noise, frame.MAGIC + b"\1\1" + noise):
        with pytest.raises(ProtocolError):
            frame.check(data)


@given(batches(), st.data())
def test_sealed_nonsense_raises_nothing_but_protocol_errors(
    batch: tuple[FrameStamp, list[Operation], list[bytes | None]], data: st.DataObject
) -> None:
    changed = bytearray(frame.encode(*batch))
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded = frame.check(sealed(bytes(changed)))
    except ProtocolError:
        return
    assert len(decoded.records()) == decoded.head.operations


def patched(encoded: bytes, at: int, layout: str, value: int) -> bytes:
    buffer = bytearray(encoded)
    struct.pack_into(layout, buffer, at, value)
    return sealed(bytes(buffer))


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("magic", patched(one((1, ZERO, 0, 512)), 0, "<I", 0)),
        ("version", patched(one((1, ZERO, 0, 512)), 4, "<B", 2)),
        ("kind", patched(one((1, ZERO, 0, 512)), 5, "<B", 0)),
        ("unknown flag", patched(one((1, ZERO, 0, 512)), 6, "<H", 2)),
        ("flush flag without flush", patched(one((1, ZERO, 0, 512)), 6, "<H", 1)),
        ("flush without flush flag", patched(one((0, FLUSH, 0, 0)), 6, "<H", 0)),
        ("no record", patched(one((1, ZERO, 0, 512))[:96], 16, "<Q", 0)),
        ("more records than body", patched(one((1, ZERO, 0, 512)), 16, "<I", 2)),
        ("body beyond the bound", patched(one((1, ZERO, 0, 512)), 20, "<I", frame.MAX_BODY + 1)),
        ("follows itself", patched(one((1, ZERO, 0, 512)), 88, "<Q", STAMP.first)),
        ("operation 0", patched(one((1, ZERO, 0, 512)), 98, "<B", 0)),
        ("operation 7", patched(one((1, ZERO, 0, 512)), 98, "<B", 7)),
        ("record flags", patched(one((1, ZERO, 0, 512)), 99, "<B", 1)),
        ("beyond any volume", patched(one((1, ZERO, 0, 512)), 104, "<Q", (1 << 63) - 512)),
        ("payload of nobody", patched(one((1, WRITE, 0, 4), b"abcd"), 100, "<I", 3)),
        ("payload cut", patched(one((1, WRITE, 0, 4), b"abcd"), 100, "<I", 5)),
        ("flush of a volume", patched(one((0, FLUSH, 0, 0)), 96, "<H", 1)),
        ("resize with a length", patched(one((1, RESIZE, 512, 0)), 100, "<I", 1)),
        ("resize to nothing", patched(one((1, RESIZE, 512, 0)), 104, "<Q", 0)),
    ],
)
def test_a_well_sealed_but_malformed_frame_is_refused(what: str, data: bytes) -> None:
    with pytest.raises(ProtocolError):
        frame.check(data)


def test_a_flush_only_ever_ends_a_frame() -> None:
    flush, zero = (0, FLUSH, 0, 0), (1, ZERO, 0, 512)
    for operations in ([flush, zero], [flush, flush]):
        with pytest.raises(ProtocolError):
            frame.check(frame.encode(STAMP, operations, [None, None]))


def test_sequences_do_not_overflow() -> None:
    last = FrameStamp(STAMP.group, STAMP.generation, frame.MAX_SEQUENCE, 0, STAMP.follows)
    assert frame.check(frame.encode(last, [(1, TRIM, 0, 512)], [None])).head.last == frame.MAX_SEQUENCE
    with pytest.raises(ProtocolError):
        frame.check(frame.encode(last, [(1, TRIM, 0, 512)] * 2, [None, None]))


def test_the_size_of_a_resized_volume_needs_more_than_32_bits() -> None:
    assert frame.check(one((3, RESIZE, 5 << 40, 0))).records() == [(3, RESIZE, 0, 5 << 40, 0, None)]


def test_a_resize_is_alone_in_its_frame() -> None:
    resize, zero = (1, RESIZE, 512, 0), (1, ZERO, 0, 512)
    for operations in ([resize, zero], [zero, resize], [resize, resize]):
        with pytest.raises(ProtocolError, match="only record"):
            frame.check(frame.encode(STAMP, operations, [None, None]))


def test_a_cut_ends_its_frame_and_shows_from_outside() -> None:
    whole = frame.check(one((0, CUT, 9, 0)))
    assert whole.records() == [(0, CUT, 0, 9, 0, None)]
    assert (whole.head.cut, whole.head.flush) == (True, False)
    for wrong in ((0, CUT, 9, 9), (3, CUT, 9, 0)):
        with pytest.raises(ProtocolError, match="malformed"):
            frame.check(one(wrong))
    between = frame.encode(STAMP, [(0, CUT, 9, 0), (1, TRIM, 0, 512)], [None, None])
    with pytest.raises(ProtocolError, match="not the last record"):
        frame.check(between)


def test_a_cut_may_carry_the_name_of_a_snapshot() -> None:
    data = frame.encode(STAMP, [(1, WRITE, 0, 4), (0, CUT, 9, 0)], [b"data", "at-neun-ü".encode()])
    whole = frame.check(data)
    assert whole.operations == [(1, WRITE, 0, 4), (0, CUT, 9, 0)]
    assert (whole.head.cut, whole.head.snapshot) == (True, "at-neun-ü")
    assert frame.decode_head(data).snapshot == ""  # only who looks inside knows
    assert frame.check(one((0, CUT, 9, 0))).head.snapshot == ""


@pytest.mark.parametrize("name", [b"x" * 65, b"\xff\xfe", b"two\nlines"])
def test_what_is_no_name_of_a_snapshot_is_refused(name: bytes) -> None:
    with pytest.raises(ProtocolError, match="no name of a snapshot"):
        frame.check(frame.encode(STAMP, [(0, CUT, 9, 0)], [name]))


def test_a_request_of_the_greatest_length_fits_into_a_frame() -> None:
    buffer = bytearray(frame.payload_offset(1) + MAX_REQUEST)
    frame.encode_into(buffer, STAMP, (1, WRITE, 0, MAX_REQUEST))
    assert frame.check(buffer).head.size == len(buffer)


@pytest.mark.parametrize(
    ("stamp", "operation", "payload"),
    [
        (STAMP, (1, WRITE, 0, 4), b"abc"),
        (STAMP, (1, WRITE, 0, 4), None),
        (STAMP, (1, ZERO, 0, 4), b"abcd"),
        (FrameStamp(b"short", STAMP.generation, 9, 0, Position(bytes(16), 8)), (1, ZERO, 0, 4), None),
        (FrameStamp(STAMP.group, STAMP.generation, 8, 0, Position(bytes(16), 8)), (1, ZERO, 0, 4), None),
    ],
)
def test_what_does_not_fit_together_is_not_encoded(
    stamp: FrameStamp, operation: Operation, payload: bytes | None
) -> None:
    with pytest.raises(ValueError):
        frame.encode(stamp, [operation], [payload])


def test_nothing_but_one_whole_write_is_framed_in_place() -> None:
    for operation in ((1, ZERO, 0, 4), (1, WRITE, 0, 5)):
        with pytest.raises(ValueError):
            frame.encode_into(bytearray(frame.payload_offset(1) + 4), STAMP, operation)
