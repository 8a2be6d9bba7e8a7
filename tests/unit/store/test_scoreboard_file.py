"""The scoreboard on disk: golden bytes; whatever happens to the file, nothing dirty reads as clean (A1)."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farshore.core.geometry import PAGE_BITS, PAGE_BYTES, Geometry
from farshore.core.scoreboard import DIRTY, FOUND, MAPS, SECOND, SUSPECT, BoardImage, Page
from farshore.errors import FarshoreError
from farshore.model.positions import Position
from farshore.store.platform import RealFiles
from farshore.store.scoreboard_file import (
    KIND,
    PAGE_ON_DISK,
    ScoreboardFile,
    decode_page,
    encode_page,
    page_seed,
)
from farshore.store.slots import RecordKind, SlotPair

LAYER = RealFiles()
REGION = 4096
# Volume 1 has two pages and a little of a third, volume 7 has 5 regions.
GEOMETRY = Geometry({7: 5 * REGION - 512, 1: (2 * PAGE_BITS + 9) * REGION}, REGION, 4 << 20)
SLOTS = 2 * 4096
PEER = b"\x33" * 16
BASE = Position(b"\x44" * 16, 99)


def opened(path: Path, geometry: Geometry = GEOMETRY) -> BoardImage:
    board = ScoreboardFile.open(LAYER, str(path), geometry)
    board.close()
    return board.read()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "link.board"


@pytest.fixture
def board(path: Path) -> ScoreboardFile:
    return ScoreboardFile.create(LAYER, str(path), GEOMETRY)


def test_a_page_has_the_documented_bytes() -> None:
    page = encode_page(page_seed(SUSPECT, 7, 0x0102), b"\x05", 3)
    assert len(page) == PAGE_ON_DISK
    assert page[:PAGE_BYTES] == b"\x05" + bytes(PAGE_BYTES - 1)
    assert page[PAGE_BYTES:].hex(" ", -8) == "0300000000000000 8c37f5a625287535"
    assert page_seed(SUSPECT, 7, 0x0102) == 0x0200_0700_0000_0102


def test_the_binding_has_the_documented_text(path: Path, board: ScoreboardFile) -> None:
    board.write(BASE, PEER, [])
    text = (
        f'{{"base":["{"44" * 16}",99],"peer_copy":"{"33" * 16}","region":4096,'
        f'"volumes":[[1,{(2 * PAGE_BITS + 9) * REGION}],[7,{5 * REGION - 512}]]}}'
    )
    assert text.encode() in path.read_bytes()[:SLOTS]


def test_pages_stand_in_the_documented_order(path: Path, board: ScoreboardFile) -> None:
    assert path.stat().st_size == SLOTS + 4 * 4 * PAGE_ON_DISK
    content = path.read_bytes()
    at = SLOTS
    for name in MAPS:
        for volume, number in ((1, 0), (1, 1), (1, 2), (7, 0)):
            page = content[at : at + PAGE_ON_DISK]
            assert decode_page(page_seed(name, volume, number), page) == (bytes(PAGE_BYTES), 0)
            at += PAGE_ON_DISK


def test_a_new_scoreboard_is_clean_without_a_base(path: Path, board: ScoreboardFile) -> None:
    image = opened(path)
    assert (image.base, image.peer_copy, image.damaged) == (None, None, False)
    assert set(image.maps) == {(name, volume) for name in MAPS for volume in (1, 7)}
    assert not any(any(bitmap) for bitmap in image.maps.values())
    assert len(image.maps[DIRTY, 1]) == -(-(2 * PAGE_BITS + 9) // 8)


def test_what_is_written_is_read(path: Path, board: ScoreboardFile) -> None:
    board.write(BASE, PEER, [(DIRTY, 1, 0, b"\x01"), (DIRTY, 1, 2, b"\x00\x01"), (SECOND, 7, 0, b"\x1f")])
    board.write(BASE, PEER, [(DIRTY, 1, 1, b"\x80" * PAGE_BYTES)])
    image = opened(path)
    assert (image.base, image.peer_copy) == (BASE, PEER)
    assert image.maps[DIRTY, 1] == b"\x01" + bytes(PAGE_BYTES - 1) + b"\x80" * PAGE_BYTES + b"\x00\x01"
    assert image.maps[SECOND, 7] == b"\x1f"
    assert not any(image.maps[SUSPECT, 1])


def test_bits_beyond_the_end_of_a_volume_are_not_read(path: Path, board: ScoreboardFile) -> None:
    board.write(None, None, [(DIRTY, 7, 0, b"\xff\xff")])
    assert opened(path).maps[DIRTY, 7] == b"\x1f"


pages = st.lists(
    st.tuples(
        st.sampled_from(MAPS),
        st.sampled_from(((1, 0), (1, 1), (1, 2), (7, 0))),
        st.integers(1, PAGE_BYTES).flatmap(
            lambda n: st.binary(max_size=1).map(lambda b: bytes(n - len(b)) + b)
        ),
    ),
    max_size=8,
).map(lambda drawn: [(name, volume, number, data) for name, (volume, number), data in drawn])


@settings(max_examples=30)
@given(st.lists(pages, max_size=3))
def test_any_pages_in_any_order(tmp_path_factory: pytest.TempPathFactory, writes: list[list[Page]]) -> None:
    path = tmp_path_factory.mktemp("board") / "board"
    board = ScoreboardFile.create(LAYER, str(path), GEOMETRY)
    wanted: dict[tuple[str, int, int], bytes] = {}
    for batch in writes:
        once = {(name, volume, number): data for name, volume, number, data in batch}
        board.write(None, None, [(*key, data) for key, data in once.items()])
        wanted |= once
    image = opened(path)
    for name in MAPS:
        for volume, count in ((1, 3), (7, 1)):
            whole = b"".join(
                wanted.get((name, volume, number), b"").ljust(PAGE_BYTES, b"\0") for number in range(count)
            )
            bits = image.maps[name, volume]
            regions = GEOMETRY.regions(volume)
            assert int.from_bytes(bits, "little") == int.from_bytes(whole, "little") & ((1 << regions) - 1)


@pytest.mark.parametrize("how", ["flipped", "torn", "zeroes", "another page", "stale place"])
def test_a_page_that_does_not_hold_is_all_dirty(path: Path, board: ScoreboardFile, how: str) -> None:
    at = SLOTS + PAGE_ON_DISK  # page 1 of volume 1 in the dirty map
    before = path.read_bytes()
    board.write(None, None, [(DIRTY, 1, 1, b"\x01"), (DIRTY, 1, 0, b"\x02")])
    content = bytearray(path.read_bytes())
    if how == "flipped":
        content[at + 2000] ^= 1
    elif how == "torn":
        content[at + 512 : at + PAGE_ON_DISK] = before[at + 512 : at + PAGE_ON_DISK]
    elif how == "zeroes":
        content[at : at + PAGE_ON_DISK] = bytes(PAGE_ON_DISK)
    elif how == "another page":
        content[at : at + PAGE_ON_DISK] = content[SLOTS:at]
    else:
        suspect = SLOTS + 5 * PAGE_ON_DISK
        content[at : at + PAGE_ON_DISK] = content[suspect : suspect + PAGE_ON_DISK]
    path.write_bytes(content)
    image = opened(path)
    assert not image.damaged
    assert image.maps[DIRTY, 1] == b"\x02" + bytes(PAGE_BYTES - 1) + b"\xff" * PAGE_BYTES + b"\0\0"
    assert image.maps == opened(path).maps


@pytest.mark.parametrize("how", ["missing", "empty", "cut", "longer", "both slots", "smaller", "region"])
def test_a_file_that_is_not_this_scoreboard_is_damaged(path: Path, board: ScoreboardFile, how: str) -> None:
    board.write(BASE, PEER, [])
    content = bytearray(path.read_bytes())
    shorter, longer = bytes(content[:-PAGE_ON_DISK]), bytes(content) + b"\0"
    geometry = GEOMETRY
    if how == "missing":
        path.unlink()
    elif how == "smaller":
        geometry = Geometry({1: GEOMETRY.sizes[1], 7: GEOMETRY.sizes[7] - REGION}, REGION, 4 << 20)
    elif how == "region":
        geometry = Geometry(GEOMETRY.sizes, 2 * REGION, 4 << 20)
    elif how == "both slots":
        content[60] ^= 1
        content[4096 + 60] ^= 1
        path.write_bytes(content)
    else:
        path.write_bytes({"empty": b"", "cut": shorter, "longer": longer}[how])
    image = opened(path, geometry)
    assert image.damaged
    assert (image.base, image.peer_copy) == (None, None)
    # What took its place has no base and every region dirty, whoever reads it next.
    image = opened(path, geometry)
    assert (image.base, image.damaged) == (None, False)
    for volume in geometry.sizes:
        bits = int.from_bytes(image.maps[DIRTY, volume], "little")
        assert bits == (1 << geometry.regions(volume)) - 1


def test_a_newer_scoreboard_is_refused_and_left_alone(path: Path, board: ScoreboardFile) -> None:
    pair = SlotPair(LAYER.open(str(path)), RecordKind(KIND.magic, 2), 4096)
    pair.write(b"from the future")
    pair.write(b"more of it")
    before = path.read_bytes()
    with pytest.raises(FarshoreError) as refused:
        opened(path)
    assert refused.value.code.name == "state-newer"
    assert path.read_bytes() == before


def test_a_terabyte_opens_in_a_moment(tmp_path: Path) -> None:
    geometry = Geometry({1: 1 << 40})
    path = tmp_path / "board"
    ScoreboardFile.create(LAYER, str(path), geometry).write(BASE, PEER, [(DIRTY, 1, 1000, b"\x01")])
    image = opened(path, geometry)
    assert len(image.maps[DIRTY, 1]) == 4 << 20
    assert image.maps[DIRTY, 1][1000 * PAGE_BYTES] == 1


# -- volumes that came or went --------------------------------------------------------------------

GROWN = Geometry({**GEOMETRY.sizes, 9: 11 * REGION}, REGION, 4 << 20)


def _marked(board: ScoreboardFile) -> None:
    pages: list[Page] = [(name, 1, 1, bytes([number + 1])) for number, name in enumerate(MAPS)]
    board.write(BASE, PEER, pages)
    board.close()


def test_a_volume_that_came_is_dirty_and_the_others_are_as_they_were(
    path: Path, board: ScoreboardFile
) -> None:
    _marked(board)
    before = opened(path)
    for _ in range(2):  # as it is carried over, and as it stands then
        image = opened(path, GROWN)
        assert (image.base, image.peer_copy, image.damaged) == (BASE, PEER, False)
        assert image.maps == {
            **before.maps,
            (DIRTY, 9): b"\xff\x07",
            (SUSPECT, 9): bytes(2),
            (SECOND, 9): bytes(2),
            (FOUND, 9): bytes(2),
        }


def test_what_a_volume_has_grown_by_is_clear_and_the_rest_as_it_was(
    path: Path, board: ScoreboardFile
) -> None:
    _marked(board)
    before = opened(path)
    larger = Geometry({**GEOMETRY.sizes, 1: GEOMETRY.sizes[1] + 3 * PAGE_BITS * REGION}, REGION, 4 << 20)
    for _ in range(2):  # as it is carried over, and as it stands then
        image = opened(path, larger)
        assert (image.base, image.peer_copy, image.damaged) == (BASE, PEER, False)
        for (name, volume), bits in before.maps.items():
            found = image.maps[name, volume]
            assert found.rstrip(b"\0") == bits.rstrip(b"\0")
            assert len(found) <= -(-larger.regions(volume) // 8)


def test_a_file_that_is_open_gains_what_its_volumes_gain(path: Path, board: ScoreboardFile) -> None:
    geometry = GEOMETRY.copied()
    board.close()
    open_board = ScoreboardFile.open(LAYER, str(path), geometry)
    open_board.write(BASE, PEER, [(DIRTY, 1, 1, b"\x05"), (SUSPECT, 7, 0, b"\x02")])
    geometry.grow(1, GEOMETRY.sizes[1] + PAGE_BITS * REGION)
    last = (geometry.regions(1) - 1) // PAGE_BITS
    open_board.write(BASE, PEER, [(DIRTY, 1, last, b"\x01")])
    open_board.close()
    image = opened(path, geometry)
    assert (image.base, image.peer_copy, image.damaged) == (BASE, PEER, False)
    assert image.maps[DIRTY, 1][PAGE_BYTES] == 5
    assert image.maps[DIRTY, 1][last * PAGE_BYTES] == 1
    assert image.maps[SUSPECT, 7][0] == 2
    assert not any(image.maps[SECOND, 1])


def test_a_file_from_before_there_was_a_verify_is_carried_over(path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScoreboardFile.__init__, "__defaults__", (MAPS[:-1],))
        board = ScoreboardFile.create(LAYER, str(path), GEOMETRY)
        board.write(BASE, PEER, [(DIRTY, 1, 1, b"\x05"), (SUSPECT, 7, 0, b"\x02")])
        board.close()
    assert path.stat().st_size == SLOTS + 3 * 4 * PAGE_ON_DISK
    image = opened(path)
    assert (image.base, image.peer_copy, image.damaged) == (BASE, PEER, False)
    assert image.maps[DIRTY, 1][PAGE_BYTES] == 5
    assert image.maps[SUSPECT, 7] == b"\x02"
    assert path.stat().st_size == SLOTS + 4 * 4 * PAGE_ON_DISK
    assert not any(opened(path).maps[FOUND, 1])


def test_a_volume_that_went_takes_its_marks_along(path: Path, board: ScoreboardFile) -> None:
    _marked(board)
    before = opened(path)
    shrunk = Geometry({1: GEOMETRY.sizes[1]}, REGION, 4 << 20)
    image = opened(path, shrunk)
    assert image.base == BASE
    assert image.maps == {key: data for key, data in before.maps.items() if key[1] == 1}
    again = opened(path)  # the change was taken back: nothing is known of it any more
    assert again.maps[DIRTY, 7] == b"\x1f"
    assert again.maps[DIRTY, 1] == before.maps[DIRTY, 1]


def test_a_first_copy_that_had_not_ended_stays_one_without_a_base(path: Path) -> None:
    ScoreboardFile.create(LAYER, str(path), GEOMETRY, dirty=True).close()
    image = opened(path, GROWN)
    assert image.base is None
    assert not image.damaged
    assert image.maps[DIRTY, 7] == b"\x1f"


def test_volumes_by_the_hundred_come_and_go(path: Path, board: ScoreboardFile) -> None:
    """Then the record has another size, and the pages lie elsewhere."""
    _marked(board)
    many = Geometry({**GEOMETRY.sizes, **dict.fromkeys(range(10, 310), 2 * REGION)}, REGION, 4 << 20)
    assert opened(path, many).maps[SUSPECT, 1] == opened(path).maps[SUSPECT, 1]
