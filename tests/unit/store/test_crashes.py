"""Every record after a crash at every step, on the simulated disk: it is the old one or the new one.

Each test carries out a change again and again; each time the process dies one disk operation later,
in the middle of it, and then, in one of several ways, the page cache is lost. What comes back is
opened as after a real start.
"""

from collections.abc import Callable
from random import Random
from typing import TypeVar

import pytest

from farshore.core.geometry import PAGE_BITS, PAGE_BYTES, Geometry
from farshore.core.scoreboard import DIRTY, SUSPECT, BoardImage
from farshore.errors import FarshoreError
from farshore.model.header import Header
from farshore.model.options import Role
from farshore.model.positions import Position
from farshore.store import copy_dir
from farshore.store.activity_log import ActivityLogFile
from farshore.store.copy_dir import CopyDir, Environment
from farshore.store.platform import FileLayer
from farshore.store.position_file import PositionFile
from farshore.store.scoreboard_file import ScoreboardFile
from farshore.store.slots import RecordKind, SlotFile
from sim.disk import Died, Disk, Strike
from sim.files import SimFiles

T = TypeVar("T")

KIND = RecordKind(b"FShrTest", 1)
PATH = "/state/record"
G, PEER = b"\x11" * 16, b"\x22" * 16
SEEDS = range(4)


def after_a_crash(
    seed: int,
    prepare: Callable[[FileLayer], None],
    change: Callable[[FileLayer], None],
    read: Callable[[FileLayer], T],
) -> list[tuple[T, bool]]:
    """What is read after `change` was interrupted at each of its steps in turn, and whether it had
    returned; without and with the loss of the page cache."""
    found: list[tuple[T, bool]] = []
    for lose in (False, True):
        for steps in range(1000):
            disk = Disk(Random(seed * 1000 + steps))
            layer = SimFiles(disk)
            layer.mkdir("/state")
            layer.fsync_dir("/")
            prepare(layer)
            layer.fsync_dir("/state")
            disk.steps_left = steps
            try:
                change(layer)
                done = True
            except Died:
                done = False
            layer.end()
            disk.steps_left = None
            if lose:
                disk.power_loss()
            found.append((read(SimFiles(disk)), done))
            if done:
                break
        else:
            raise AssertionError("the change never ends")
    return found


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("size", [10, 3000, 20_000])
def test_a_record_is_the_old_or_the_new_one(seed: int, size: int) -> None:
    old, new = b"o" * 100, b"n" * size

    def prepare(layer: FileLayer) -> None:
        SlotFile.create(layer, PATH, KIND, b"first", 200).write(old)

    def change(layer: FileLayer) -> None:
        slots = SlotFile.open(layer, PATH, KIND)
        slots.write(new)

    outcomes = after_a_crash(seed, prepare, change, lambda layer: SlotFile.open(layer, PATH, KIND).read())
    assert {data for data, _ in outcomes} == {old, new}
    assert all(data == new for data, done in outcomes if done)


@pytest.mark.parametrize("seed", range(30))
def test_a_record_that_was_opened_once_never_goes_back(seed: int) -> None:
    # The sync fails, the process ends, the next one reads the new record from the cache and replaces
    # it; then the power goes. Had opening not written it down, the older of both could come back.
    disk = Disk(Random(seed))
    layer = SimFiles(disk)
    layer.mkdir("/state")
    layer.fsync_dir("/")
    slots = SlotFile.create(layer, PATH, KIND, b"first", 200)
    slots.write(b"second")
    layer.fsync_dir("/state")
    disk.strikes.append(Strike("fdatasync", "record", 5))
    with pytest.raises(OSError):
        slots.write(b"third")
    layer.end()
    layer = SimFiles(disk)
    slots = SlotFile.open(layer, PATH, KIND)
    seen = slots.read()
    disk.steps_left = 0
    with pytest.raises(Died):
        slots.write(b"fourth")
    disk.power_loss()
    assert SlotFile.open(SimFiles(disk), PATH, KIND).read() in (seen, b"fourth")


@pytest.mark.parametrize("seed", SEEDS)
def test_an_activity_log_is_the_old_or_the_new_one(seed: int) -> None:
    old, new = frozenset([(1, 1), (1, 2)]), frozenset((1, n) for n in range(900))

    def prepare(layer: FileLayer) -> None:
        ActivityLogFile.create(layer, PATH, 1024).replace(old)

    def read(layer: FileLayer) -> frozenset[tuple[int, int]] | None:
        return ActivityLogFile.open(layer, PATH, 1024).read()

    def change(layer: FileLayer) -> None:
        ActivityLogFile.open(layer, PATH, 1024).replace(new)

    outcomes = after_a_crash(seed, prepare, change, read)
    assert {log for log, _ in outcomes} == {old, new}
    assert all(log == new for log, done in outcomes if done)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_durable_position_is_the_old_or_the_new_one(seed: int) -> None:
    old, new = Position(G, 1), Position(G, 9)

    def prepare(layer: FileLayer) -> None:
        PositionFile.create(layer, PATH, "boot").write_durable(old)

    def change(layer: FileLayer) -> None:
        file = PositionFile.open(layer, PATH, "boot")
        file.write_applied(new)
        file.write_durable(new)

    def read(layer: FileLayer) -> Position | None:
        return PositionFile.open(layer, PATH, "another boot").read().durable

    outcomes = after_a_crash(seed, prepare, change, read)
    assert {position for position, _ in outcomes} == {old, new}
    assert all(position == new for position, done in outcomes if done)


GEOMETRY = Geometry({1: (PAGE_BITS + 100) * 4096}, 4096, 4 << 20)
FIRST, SECOND = Position(G, 5), Position(G, 6)
SET = b"\xf0" * PAGE_BYTES


@pytest.mark.parametrize("seed", range(8))
def test_a_scoreboard_is_never_clean_where_it_was_dirty_under_the_same_base(seed: int) -> None:
    # Rule A5: the second write moves the base and clears the bits that it allows to clear, and sets others.
    cleared = b"\0" * (PAGE_BYTES // 2) + b"\xf1" * (PAGE_BYTES // 2)

    def prepare(layer: FileLayer) -> None:
        board = ScoreboardFile.create(layer, PATH, GEOMETRY)
        board.write(FIRST, PEER, [(DIRTY, 1, 0, SET), (DIRTY, 1, 1, b"\x0f"), (SUSPECT, 1, 0, b"\xff")])

    def change(layer: FileLayer) -> None:
        board = ScoreboardFile.open(layer, PATH, GEOMETRY)
        board.write(SECOND, PEER, [(DIRTY, 1, 0, cleared), (DIRTY, 1, 1, b"\xff")])

    def read(layer: FileLayer) -> BoardImage:
        return ScoreboardFile.open(layer, PATH, GEOMETRY).read()

    outcomes = after_a_crash(seed, prepare, change, read)
    assert {image.base for image, _ in outcomes} == {FIRST, SECOND}
    for image, done in outcomes:
        assert not image.damaged
        page, tail = image.maps[DIRTY, 1][:PAGE_BYTES], image.maps[DIRTY, 1][PAGE_BYTES:]
        assert page in (SET, cleared, b"\xff" * PAGE_BYTES)
        assert tail[0] in (0x0F, 0xFF)
        assert image.maps[SUSPECT, 1][0] == 0xFF
        if image.base == FIRST:
            assert page == SET
        if done:
            assert (image.base, page, tail[0]) == (SECOND, cleared, 0xFF)


@pytest.mark.parametrize("seed", range(20))
def test_bits_that_were_opened_once_stay_set(seed: int) -> None:
    # The sync of set bits fails and the process ends; the next one reads them from the cache.
    disk = Disk(Random(seed))
    layer = SimFiles(disk)
    layer.mkdir("/state")
    layer.fsync_dir("/")
    board = ScoreboardFile.create(layer, PATH, GEOMETRY)
    disk.strikes.append(Strike("fdatasync", "record", 5))
    # The name with which it was opened is that of the file beside its place.
    disk.strikes.append(Strike("fdatasync", "record.new", 5))
    with pytest.raises(OSError):
        board.write(None, None, [(DIRTY, 1, 0, SET)])
    layer.end()
    disk.strikes.clear()
    seen = ScoreboardFile.open(SimFiles(disk), PATH, GEOMETRY).read()
    disk.power_loss()
    again = ScoreboardFile.open(SimFiles(disk), PATH, GEOMETRY).read()
    assert again.maps == seen.maps
    assert any(seen.maps[DIRTY, 1])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_new_copy_is_whole_or_not_there(seed: int) -> None:
    header = Header(b"\1" * 16, b"\2" * 16, Role.PRIMARY)
    here = Environment("boot", 64)

    def read(layer: FileLayer) -> str:
        try:
            copy = CopyDir.open(layer, "/state/copy", here)
        except FarshoreError as reason:
            copy_dir.create(layer, "/state/copy", header, here)
            return reason.code.name
        assert copy.header.header == header
        assert copy.activity.read() == frozenset()
        return "there"

    outcomes = after_a_crash(
        seed, lambda _: None, lambda layer: copy_dir.create(layer, "/state/copy", header, here), read
    )
    assert {found for found, _ in outcomes} == {"there", "not-found"}
    assert all(found == "there" for found, done in outcomes if done)
