"""The position file: golden bytes, one call per applied position, belief under one boot only."""

from pathlib import Path

import pytest

from farshore.errors import FarshoreError
from farshore.model.positions import Position
from farshore.store.platform import RealFiles
from farshore.store.position_file import FILE_BYTES, PositionFile, PositionImage

LAYER = RealFiles()
G1, G2 = b"\x11" * 16, b"\x22" * 16


def read(path: Path, boot: str = "boot") -> PositionImage:
    file = PositionFile.open(LAYER, str(path), boot)
    file.close()
    return file.read()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "position"


@pytest.fixture
def file(path: Path) -> PositionFile:
    return PositionFile.create(LAYER, str(path), "boot")


def test_the_file_has_the_documented_bytes(path: Path, file: PositionFile) -> None:
    file.write_durable(Position(G1, 0x0102))
    file.write_applied(Position(G2, 0x0304))
    data = path.read_bytes()
    assert len(data) == FILE_BYTES
    assert data[:64].hex(" ", -8) == (
        "46536872506f736e 0100000018000000 0010000000000000 0100000000000000 "
        "4af02bc6d9c0d1ca 1111111111111111 1111111111111111 0201000000000000"
    )
    assert data[8704:8768].hex(" ", -8) == (
        "4653684101000000 0100000000000000 2222222222222222 2222222222222222 "
        "0403000000000000 23aa2b769d87928a f6bd22b261b529d0 d82044d5ad39e265"
    )


def test_a_new_file_knows_no_position(path: Path, file: PositionFile) -> None:
    assert read(path) == PositionImage(None, None)
    assert path.stat().st_blocks * 512 >= FILE_BYTES


def test_both_positions_are_kept_apart(path: Path, file: PositionFile) -> None:
    for sequence in range(1, 6):
        file.write_applied(Position(G1, 10 * sequence))
        assert read(path).applied == Position(G1, 10 * sequence)
    file.write_durable(Position(G1, 30))
    assert read(path) == PositionImage(Position(G1, 30), Position(G1, 50))
    again = PositionFile.open(LAYER, str(path), "boot")
    again.write_applied(Position(G2, 51))
    again.write_durable(Position(G2, 51))
    assert read(path) == PositionImage(Position(G2, 51), Position(G2, 51))


def test_an_applied_position_counts_under_its_own_boot_only(path: Path, file: PositionFile) -> None:
    file.write_durable(Position(G1, 1))
    file.write_applied(Position(G1, 2))
    assert read(path, "another boot") == PositionImage(Position(G1, 1), None)
    PositionFile.open(LAYER, str(path), "another boot").write_applied(Position(G1, 1))
    assert read(path, "another boot").applied == Position(G1, 1)
    assert read(path, "boot").applied is None


def test_a_torn_applied_position_leaves_the_one_before(path: Path, file: PositionFile) -> None:
    file.write_applied(Position(G1, 1))
    before = path.read_bytes()
    file.write_applied(Position(G1, 2))
    after = path.read_bytes()
    for cut in range(8192, 8192 + 64):
        path.write_bytes(after[:cut] + before[cut:])
        torn = read(path).applied
        # The first bytes of a cell are the same in each of them.
        assert torn == Position(G1, 1) or after[:cut] + before[cut:] == after
    path.write_bytes(after)
    assert read(path).applied == Position(G1, 2)


@pytest.mark.parametrize("bit", range(0, 64 * 8, 7))
def test_a_damaged_applied_position_is_never_believed(path: Path, file: PositionFile, bit: int) -> None:
    file.write_applied(Position(G1, 1))
    content = bytearray(path.read_bytes())
    content[8704 + bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    assert read(path).applied is None


@pytest.mark.parametrize("damage", ["missing", "cut", "longer", "both slots"])
def test_a_file_without_a_durable_position_is_damaged(path: Path, file: PositionFile, damage: str) -> None:
    file.write_durable(Position(G1, 1))
    file.write_durable(Position(G1, 2))
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "both slots":
        content[50] ^= 1
        content[4096 + 50] ^= 1
        path.write_bytes(content)
    else:
        path.write_bytes(content[:-1] if damage == "cut" else content + b"\0")
    with pytest.raises(FarshoreError) as refused:
        read(path)
    assert refused.value.code.name == "state-damaged"
