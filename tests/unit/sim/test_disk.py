"""The simulated disk keeps the file layer's obligations, and loses, tears and fails as it says."""

import errno
from random import Random

import pytest

from farshore.store.platform import FileLayer
from sim.disk import SECTOR, Died, Disk, Strike
from sim.files import SimFile, SimFiles
from tests.unit.store.file_layer_suite import FileLayerSuite

SEEDS = range(40)
OLD, NEW, NEWER = b"o" * SECTOR, b"n" * SECTOR, b"N" * SECTOR


class TestSimulatedFiles(FileLayerSuite):
    @pytest.fixture
    def layer(self) -> FileLayer:
        return SimFiles(Disk(Random(0)))

    @pytest.fixture
    def root(self, layer: FileLayer) -> str:
        layer.mkdir("/root")
        return "/root"


def a_file(seed: int, sectors: int) -> tuple[Disk, SimFile]:
    """A file of old sectors, durable with its name."""
    disk = Disk(Random(seed))
    files = SimFiles(disk)
    file = files.open("/file", create=True)
    file.pwrite(OLD * sectors, 0)
    file.fdatasync()
    files.fsync_dir("/")
    return disk, file


def after_power_loss(disk: Disk) -> bytes:
    disk.power_loss()
    return SimFiles(disk).open("/file").pread(1 << 20, 0)


def test_what_was_synced_survives_a_power_loss() -> None:
    for seed in SEEDS:
        disk, file = a_file(seed, 4)
        file.pwrite(NEW * 2, 0)
        file.fdatasync()
        assert after_power_loss(disk) == NEW * 2 + OLD * 2


def test_unsynced_sectors_are_lost_in_any_subset_and_in_any_version_but_never_torn() -> None:
    seen = set()
    for seed in SEEDS:
        disk, file = a_file(seed, 2)
        file.pwrite(NEW * 2, 0)
        file.pwrite(NEWER, 0)
        image = after_power_loss(disk)
        sectors = (image[:SECTOR], image[SECTOR:])
        assert sectors[0] in (OLD, NEW, NEWER)
        assert sectors[1] in (OLD, NEW)
        seen.add(sectors)
    assert len(seen) == 6


def test_the_death_of_a_process_loses_nothing() -> None:
    disk = Disk(Random(0))
    files = SimFiles(disk)
    files.open("/file", create=True).pwrite(NEW, 0)
    files.lock("/lock")
    files.end()
    assert SimFiles(disk).open("/file").pread(SECTOR, 0) == NEW
    SimFiles(disk).lock("/lock")


def test_a_dead_process_cannot_use_its_files() -> None:
    files = SimFiles(Disk(Random(0)))
    file = files.open("/file", create=True)
    files.end()
    with pytest.raises(RuntimeError):
        file.pread(1, 0)


def test_a_sync_covers_only_what_was_written_before_it_began() -> None:
    lost = 0
    for seed in SEEDS:
        disk, file = a_file(seed, 2)
        file.pwrite(NEW, 0)
        mark = file.begin_sync()
        file.pwrite(NEWER, SECTOR)
        file.end_sync(mark)
        image = after_power_loss(disk)
        assert image[:SECTOR] == NEW
        lost += image[SECTOR:] == OLD
    assert 0 < lost < len(SEEDS)


def test_after_a_failed_sync_pages_may_be_lost_although_a_later_sync_succeeds() -> None:
    lost = 0
    for seed in SEEDS:
        disk, file = a_file(seed, 1)
        file.pwrite(NEW, 0)
        disk.strikes.append(Strike("fdatasync", "/file", errno.EIO))
        with pytest.raises(OSError, match="Input/output"):
            file.fdatasync()
        assert file.pread(SECTOR, 0) == NEW
        file.fdatasync()
        lost += after_power_loss(disk) == OLD
    assert 0 < lost < len(SEEDS)


def test_a_cache_that_lets_go_shows_what_a_failed_sync_has_lost() -> None:
    seen = set()
    for seed in SEEDS:
        disk, file = a_file(seed, 1)
        file.pwrite(NEW, 0)
        disk.strikes.append(Strike("fdatasync", "/file", errno.EIO))
        with pytest.raises(OSError, match="Input/output"):
            file.fdatasync()
        node = disk.names["/file"]
        assert node is not None
        node.drop_clean()
        seen.add(file.pread(SECTOR, 0))
    assert seen == {OLD, NEW}


def test_a_process_that_dies_in_a_write_leaves_whole_sectors_from_the_front() -> None:
    seen = set()
    for seed in SEEDS:
        disk, file = a_file(seed, 3)
        disk.steps_left = 0
        with pytest.raises(Died):
            file.pwrite(NEW * 3, 0)
        image = file.pread(3 * SECTOR, 0)
        written = image.count(NEW[:1]) // SECTOR
        assert image == NEW * written + OLD * (3 - written)
        seen.add(written)
    assert seen == {0, 1, 2, 3}


def test_unsynced_names_survive_as_some_first_part_of_the_changes() -> None:
    seen = set()
    for seed in SEEDS:
        disk = Disk(Random(seed))
        files = SimFiles(disk)
        files.open("/a", create=True)
        files.fsync_dir("/")
        files.open("/b", create=True)
        files.rename("/a", "/c")
        disk.power_loss()
        seen.add(tuple(SimFiles(disk).listdir("/")))
    assert seen == {("a",), ("a", "b"), ("b", "c")}


def test_a_backup_brings_back_everything_below_a_directory() -> None:
    disk = Disk(Random(0))
    files = SimFiles(disk)
    files.mkdir("/state")
    files.open("/state/one", create=True).pwrite(OLD, 0)
    backup = disk.copy_of("/state")
    files.open("/state/one").pwrite(NEW, 0)
    files.open("/state/two", create=True)
    disk.restore("/state", backup)
    disk.power_loss()
    assert SimFiles(disk).listdir("/state") == ["one"]
    assert SimFiles(disk).open("/state/one").pread(SECTOR, 0) == OLD
