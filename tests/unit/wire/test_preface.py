"""The preface: its 64 bytes, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.errors import CODES, ProtocolError
from farshore.wire import preface
from farshore.wire.preface import Preface, PrefaceKind
from tests.unit.wire.strategies import ids

GOLDEN = bytes.fromhex("46536870 01 01 0000" + "a1" * 16 + "b2" * 16 + "0300" + "00" * 22)


def test_a_preface_has_the_documented_bytes() -> None:
    wanted = Preface(PrefaceKind.LINK, b"\xa1" * 16, b"\xb2" * 16, 3)
    assert preface.encode(wanted) == GOLDEN
    assert preface.decode(GOLDEN) == wanted


@given(ids, ids, st.integers(0, (1 << 64) - 1))
def test_what_is_encoded_is_decoded(group: bytes, link: bytes, epoch: int) -> None:
    wanted = Preface(PrefaceKind.LINK, group, link, epoch)
    assert preface.decode(preface.encode(wanted)) == wanted
    for kind in (PrefaceKind.CONTROL, PrefaceKind.PAIRING):
        assert preface.decode(preface.encode(Preface(kind))) == Preface(kind)


@given(st.integers(0, 63), st.integers(1, 255))
def test_a_changed_byte_outside_of_ids_and_epoch_is_refused(at: int, mask: int) -> None:
    changed = bytearray(GOLDEN)
    changed[at] ^= mask
    if 8 <= at < 48:
        assert preface.decode(changed) != preface.decode(GOLDEN)
    else:
        with pytest.raises(ProtocolError):
            preface.decode(changed)


@given(st.binary(max_size=80))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(ProtocolError):
        preface.decode(noise)


def test_a_refusal_has_the_documented_bytes() -> None:
    golden = b"FShx\x01\0\0\0unknown-peer" + bytes(12)
    assert preface.encode_refusal("unknown-peer") == golden
    assert preface.decode_refusal(golden) == "unknown-peer"


@pytest.mark.parametrize("name", CODES)
def test_every_code_of_the_catalogue_fits_into_a_refusal(name: str) -> None:
    assert preface.decode_refusal(preface.encode_refusal(name)) == name


@given(st.binary(max_size=40))
def test_noise_is_no_refusal(noise: bytes) -> None:
    with pytest.raises(ProtocolError):
        preface.decode_refusal(noise)
    with pytest.raises(ProtocolError):
        preface.decode_refusal(b"FShx\x01\0\0\0" + noise[:20].ljust(24, b"\xff"))
