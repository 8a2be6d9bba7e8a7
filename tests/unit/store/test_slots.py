"""Two slots: golden bytes, and a torn or damaged replacement leaves the record before it."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.errors import FarshoreError
from farshore.store.platform import RealFiles
from farshore.store.slots import ALIGNMENT, SLOT_HEAD, RecordKind, SlotFile

KIND = RecordKind(b"FShrTest", 3)
LAYER = RealFiles()


def made(path: Path, *payloads: bytes) -> str:
    slots = SlotFile.create(LAYER, str(path), KIND, payloads[0], 0)
    for payload in payloads[1:]:
        slots.write(payload)
    slots.close()
    return str(path)


def read(path: str) -> bytes:
    slots = SlotFile.open(LAYER, path, KIND)
    try:
        return slots.read()
    finally:
        slots.close()


def code_of_reading(path: str) -> str:
    with pytest.raises(FarshoreError) as refused:
        read(path)
    assert path in refused.value.what
    return refused.value.code.name


def test_a_record_has_the_documented_bytes(tmp_path: Path) -> None:
    data = Path(made(tmp_path / "file", b"first", b"second")).read_bytes()
    assert len(data) == 2 * ALIGNMENT
    assert (
        data[:45].hex(" ", -8)
        == "4653687254657374 0300000005000000 0010000000000000 0100000000000000 1515aee1485cc446 6669727374"
    )
    assert (
        data[4096:4142].hex(" ", -8)
        == "4653687254657374 0300000006000000 0010000000000000 0200000000000000 a191e55ef36c4cdd 7365636f6e64"
    )
    assert not any(data[45:4096])
    assert not any(data[4142:])


def test_records_alternate_and_the_newest_counts(tmp_path: Path) -> None:
    path = made(tmp_path / "file", *[b"record %d" % n for n in range(7)])
    assert read(path) == b"record 6"
    slots = SlotFile.open(LAYER, path, KIND)
    slots.write(b"record 7")
    slots.close()
    assert read(path) == b"record 7"


@given(st.integers(0, 2), st.data())
def test_a_damaged_newest_record_leaves_the_one_before(
    tmp_path_factory: pytest.TempPathFactory, extra: int, data: st.DataObject
) -> None:
    payloads = [b"%d" % n * 40 for n in range(2 + extra)]
    path = Path(made(tmp_path_factory.mktemp("slots") / "file", *payloads))
    newest = (len(payloads) - 1) % 2 * ALIGNMENT
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        bit = data.draw(st.integers(0, (SLOT_HEAD + 40) * 8 - 1))
        content[newest + bit // 8] ^= 1 << bit % 8
    else:
        # Torn: only a first part of it arrived, over what stood there before.
        before = (path.parent / "before").absolute()
        made(before, *payloads[:-1])
        cut = data.draw(st.integers(0, SLOT_HEAD + 39))
        content[newest + cut : newest + ALIGNMENT] = before.read_bytes()[newest + cut : newest + ALIGNMENT]
    path.write_bytes(content)
    assert read(str(path)) == payloads[-2]


def test_two_damaged_slots_are_an_error(tmp_path: Path) -> None:
    path = Path(made(tmp_path / "file", b"one", b"two"))
    content = bytearray(path.read_bytes())
    content[50 - 8] ^= 1
    content[ALIGNMENT + 42] ^= 1
    path.write_bytes(content)
    assert code_of_reading(str(path)) == "state-damaged"


@pytest.mark.parametrize("size", [0, 1, 4096, 4097, 8191, 12288, 1 << 20])
def test_a_file_of_another_size_is_damaged(tmp_path: Path, size: int) -> None:
    # Also where the slot that is left would hold: it may be the older one.
    path = Path(made(tmp_path / "file", b"one", b"two", b"three"))
    path.write_bytes(path.read_bytes()[:size].ljust(size, b"\0"))
    assert code_of_reading(str(path)) == "state-damaged"


def test_a_missing_and_a_zeroed_file_are_damaged(tmp_path: Path) -> None:
    assert code_of_reading(str(tmp_path / "none")) == "state-damaged"
    (tmp_path / "zeroes").write_bytes(bytes(2 * ALIGNMENT))
    assert code_of_reading(str(tmp_path / "zeroes")) == "state-damaged"


@pytest.mark.parametrize("sealed", [True, False])
def test_a_newer_version_is_named_and_left_alone(tmp_path: Path, sealed: bool) -> None:
    path = str(tmp_path / "file")
    slots = SlotFile.create(LAYER, path, RecordKind(KIND.magic, 4), b"from the future", 0)
    slots.write(b"more of it")
    slots.close()
    if not sealed:
        content = bytearray(Path(path).read_bytes())
        content[32] ^= 1
        content[ALIGNMENT + 32] ^= 1
        Path(path).write_bytes(content)
    before = Path(path).read_bytes()
    assert code_of_reading(path) == "state-newer"
    assert Path(path).read_bytes() == before


def test_another_kind_of_record_is_damage(tmp_path: Path) -> None:
    path = made(tmp_path / "file", b"one")
    with pytest.raises(FarshoreError):
        SlotFile.open(LAYER, path, RecordKind(b"FShrElse", 3))


def test_a_record_outgrows_its_file_without_a_moment_of_absence(tmp_path: Path) -> None:
    path = made(tmp_path / "file", b"small")
    (tmp_path / "file.new").write_bytes(b"left behind by a crash")
    slots = SlotFile.open(LAYER, path, KIND)
    for size in (5_000, 5_001, 100_000):
        slots.write(bytes([size % 251]) * size)
        assert read(path) == slots.read() == bytes([size % 251]) * size
    slots.write(b"small again")
    slots.close()
    assert read(path) == b"small again"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_record_has_a_bound(tmp_path: Path) -> None:
    slots = SlotFile.create(LAYER, str(tmp_path / "file"), KIND, b"", 0)
    with pytest.raises(ValueError):
        slots.write(bytes(64 << 20))
    assert struct.calcsize("<8sHHIIIQQ") == SLOT_HEAD
