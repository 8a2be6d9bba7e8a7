"""Rule D3: what tells a volume from another one at the same path."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from farshore.store import volume_identity as identity
from farshore.store.claim import create_volume, open_volume
from farshore.store.volume import Volume

MIB = 1 << 20


@pytest.fixture(params=["on a disk", "in memory"])
def place(request: pytest.FixtureRequest, disk_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "on a disk":
        return disk_path
    return tmp_path_factory.mktemp("identity")


@contextmanager
def made(path: Path, data: bytes = b"") -> Iterator[Volume]:
    volume = create_volume(str(path), MIB)
    try:
        if data:
            os.pwrite(volume.fd, data, 4096)
        yield volume
    finally:
        volume.close()


@contextmanager
def opened(path: Path) -> Iterator[Volume]:
    volume = open_volume(str(path))
    try:
        yield volume
    finally:
        volume.close()


@contextmanager
def device(path: Path, **sysfs: str) -> Iterator[tuple[Volume, Path]]:
    """A file that passes for a block device of which sysfs says that, and the folder of all devices."""
    with made(path) as volume:
        volume.is_device = True
        devices = path.parent / "devices"
        own = devices / "0:0"
        for name, value in sysfs.items():
            at = own / name.replace("__", "/")
            at.parent.mkdir(parents=True, exist_ok=True)
            at.write_text(value + "\n")
        yield volume, devices


def test_a_file_is_known_again_wherever_it_is_moved_and_however_it_grows(place: Path) -> None:
    with made(place / "v") as volume:
        known = identity.join(volume)
    assert known.startswith("mark:")
    assert len(known) == len("mark:") + 32
    (place / "v").rename(place / "w")
    os.truncate(place / "w", 2 * MIB)
    with opened(place / "w") as volume:
        os.pwrite(volume.fd, b"written", 0)
        assert identity.same(volume, known)


def test_d3_a_file_that_was_made_anew_or_copied_is_another_one(place: Path) -> None:
    with made(place / "v", b"data") as volume:
        known = identity.join(volume)
    shutil.copyfile(place / "v", place / "copied")
    (place / "v").unlink()
    with made(place / "v") as volume:
        assert not identity.same(volume, known)
        other = identity.told(volume)
        identity.join(volume)
        assert not identity.same(volume, known)
        assert identity.told(volume) != other
    with opened(place / "copied") as volume:
        assert not identity.same(volume, known)


def test_a_file_that_joins_another_copy_is_the_first_ones_no_more(place: Path) -> None:
    with made(place / "v") as volume:
        first, second = identity.join(volume), identity.join(volume)
        assert first != second
        assert not identity.same(volume, first)
        assert identity.same(volume, second)


@pytest.mark.parametrize("refusal", [errno.EOPNOTSUPP, errno.ENOSPC, errno.EPERM])
def test_without_attributes_it_is_the_inode_and_its_generation(
    disk_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(refusal, os.strerror(refusal))

    monkeypatch.setattr(os, "setxattr", refuse)
    with made(disk_path / "v") as volume:
        known = identity.join(volume)
        if known == "":
            pytest.skip("this file system tells no generations")
        assert known.startswith(f"inode:{os.fstat(volume.fd).st_ino}.")
        assert identity.same(volume, known)
    (disk_path / "v").unlink()
    with made(disk_path / "v") as volume:
        assert not identity.same(volume, known), "also where the inode's number is used again"


def test_an_attribute_that_cannot_be_written_for_another_reason_is_an_error(
    disk_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "setxattr", refuse)
    with made(disk_path / "v") as volume, pytest.raises(OSError, match="Input/output"):
        identity.join(volume)


@pytest.mark.parametrize(
    ("sysfs", "known"),
    [
        ({"dm__uuid": "LVM-abc", "wwid": "naa.1"}, "dm:LVM-abc"),
        ({"md__uuid": "1:2:3:4"}, "md:1:2:3:4"),
        ({"wwid": "eui.0025", "device__serial": "S1"}, "wwid:eui.0025"),
        ({"device__wwid": "naa.5000"}, "wwid:naa.5000"),
        ({"serial": "virtio-1"}, "serial:virtio-1"),
        ({"partition": "1", "start": "2048", "uevent": "DEVTYPE=partition\nPARTUUID=77-01"}, "part:77-01"),
    ],
)
def test_a_device_is_what_the_kernel_knows_of_it(tmp_path: Path, sysfs: dict[str, str], known: str) -> None:
    with device(tmp_path / "v", **sysfs) as (volume, devices):
        number = os.fstat(volume.fd).st_rdev
        assert (os.major(number), os.minor(number)) == (0, 0)
        assert identity.join(volume, devices) == known
        assert identity.same(volume, known, devices)
        assert not identity.same(volume, f"{known}?", devices)
        assert known in identity.told(volume, devices)


def test_a_partition_without_an_id_is_where_it_lies_on_what_it_lies_on(tmp_path: Path) -> None:
    disk = tmp_path / "sda"
    part = disk / "sda1"
    part.mkdir(parents=True)
    for path, value in ((disk / "wwid", "naa.9"), (part / "partition", "1"), (part / "start", "2048")):
        path.write_text(value)
    devices = tmp_path / "devices"
    devices.mkdir()
    (devices / "0:0").symlink_to(part)
    with device(tmp_path / "v") as (volume, _):
        assert identity.join(volume, devices) == "part:wwid:naa.9+2048"


def test_a_loop_device_is_what_its_file_is(disk_path: Path) -> None:
    with made(disk_path / "below") as below:
        mark = identity.join(below)
        sysfs = {"loop__backing_file": str(disk_path / "below"), "loop__offset": "512"}
        with device(disk_path / "v", **sysfs) as (volume, devices):
            known = identity.join(volume, devices)
            assert known == f"loop:{mark}+512"
            os.removexattr(below.fd, identity.ATTRIBUTE)
            assert not identity.same(volume, known, devices), "another file below it"


def test_d3_of_a_device_that_tells_nothing_it_is_known_that_it_held_something(tmp_path: Path) -> None:
    with device(tmp_path / "v") as (volume, devices):
        assert identity.join(volume, devices) == "", "it may be written or not"
        os.pwrite(volume.fd, b"written", MIB // 2)
        known = identity.join(volume, devices)
        assert known == identity.DATA
        assert identity.same(volume, known, devices)
        os.pwrite(volume.fd, bytes(7), MIB // 2)
        assert not identity.same(volume, known, devices)
        assert identity.same(volume, "", devices), "what is not known is not compared"


def test_d3_zeroes_are_zeroes_on_a_device_that_is_larger_than_what_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "READ_LIMIT", MIB // 4)
    with device(tmp_path / "v") as (volume, devices):
        os.pwrite(volume.fd, bytes(MIB), 0)  # no holes, as on a device
        assert identity.join(volume, devices) == ""
        assert not identity.same(volume, identity.DATA, devices), (
            "an empty disk in the place of one with data"
        )
        os.pwrite(volume.fd, b"written", 4096)
        assert identity.join(volume, devices) == identity.DATA
