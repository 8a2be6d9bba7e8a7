"""The activity log on disk (rule A2): golden bytes, and damage that makes everything suspect (A3)."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.errors import FarshoreError
from farshore.store import activity_log
from farshore.store.activity_log import ActivityLogFile
from farshore.store.platform import RealFiles
from farshore.store.slots import SLOT_HEAD, RecordKind, SlotFile

LAYER = RealFiles()
extents = st.frozensets(st.tuples(st.integers(0, 65535), st.integers(0, (1 << 48) - 1)), max_size=30)


def opened(path: Path) -> ActivityLogFile:
    return ActivityLogFile.open(LAYER, str(path), 8)


def test_an_extent_is_eight_bytes_in_ascending_order() -> None:
    data = activity_log.encode(((2, 1), (1, 0x0A0B0C0D0E0F)))
    assert data.hex(" ", -8) == "0f0e0d0c0b0a0100 0100000000000200"


@given(extents)
def test_what_is_encoded_is_decoded(wanted: frozenset[tuple[int, int]]) -> None:
    assert activity_log.decode(activity_log.encode(wanted)) == wanted


@given(st.lists(extents, min_size=1, max_size=4))
def test_the_file_holds_what_it_was_given_last(
    tmp_path_factory: pytest.TempPathFactory, logs: list[frozenset[tuple[int, int]]]
) -> None:
    path = tmp_path_factory.mktemp("log") / "activity"
    log = ActivityLogFile.create(LAYER, str(path), 8)
    assert opened(path).read() == frozenset()
    for wanted in logs:
        log.replace(wanted)
        assert log.read() == opened(path).read() == wanted


def test_a_new_log_has_room_for_its_capacity_in_written_blocks(tmp_path: Path) -> None:
    path = tmp_path / "activity"
    log = ActivityLogFile.create(LAYER, str(path), 1024)
    before = path.stat()
    assert before.st_blocks * 512 >= before.st_size >= 2 * 8 * 1024
    log.replace([(1, index) for index in range(1024)])
    assert path.stat().st_size == before.st_size


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "zeroes", "flipped"])
def test_a_damaged_log_says_nothing_until_it_is_replaced(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "activity"
    log = ActivityLogFile.create(LAYER, str(path), 8)
    log.replace([(1, 2)])
    log.replace([(1, 3)])
    log.close()
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        flipped = bytearray(content)
        flipped[SLOT_HEAD] ^= 1
        flipped[len(content) // 2 + SLOT_HEAD] ^= 1
        kept = {"empty": b"", "cut": content[:-1], "zeroes": bytes(len(content)), "flipped": bytes(flipped)}
        path.write_bytes(kept[damage])
    assert opened(path).read() is None
    log = opened(path)
    assert log.read() is None
    log.replace([(4, 5)])
    assert opened(path).read() == log.read() == frozenset({(4, 5)})


def test_a_log_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "activity"
    SlotFile.create(LAYER, str(path), RecordKind(activity_log.KIND.magic, 2), b"", 0).close()
    with pytest.raises(FarshoreError) as refused:
        opened(path)
    assert refused.value.code.name == "state-newer"


def test_an_index_beyond_48_bits_is_refused() -> None:
    for index in (1 << 48, -1):
        with pytest.raises(ValueError):
            activity_log.encode([(1, index)])
