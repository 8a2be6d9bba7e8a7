"""What stands on a device of Farshore is known by what the kernel says, and no path there is asked for."""

import os
from pathlib import Path

import pytest

from farshore.errors import FarshoreError
from farshore.store.mounts import Mount, mounts
from farshore.store.own_mounts import devices_on, own_mounts, refuse_own, resolve

TABLE = """\
22 1 254:1 / / rw - ext4 /dev/root rw
30 22 0:50 / /run/farshore/1/d/77 rw - fuse.farshore orders/data rw
31 22 7:0 / /srv/data rw - ext4 /dev/loop0 rw
32 22 0:51 / /srv/tree rw - btrfs /dev/loop1p1 rw
33 22 253:0 / /srv/mapped rw - xfs /dev/mapper/vg-lv rw
34 22 7:3 / /srv/other rw - ext4 /dev/loop3 rw
35 22 7:4 / /srv/inner rw - ext4 /dev/loop4 rw
36 22 7:0 /below /srv/bound rw - ext4 /dev/loop0 rw
"""
BACKING = {
    "loop0": "/run/farshore/1/d/77/data",
    "loop1": "/run/farshore/1/d/77/data (deleted)",
    "loop3": "/var/images/other.img",
    "loop4": "/srv/data/file.img",
}


@pytest.fixture
def block(tmp_path: Path) -> str:
    """A /sys/block: loop1 has a partition, on which a mapped device stands; loop4 is on a mounted loop0."""
    top = tmp_path / "block"
    for name, backing in BACKING.items():
        _device(top / name, f"7:{name[4:]}")
        (top / name / "loop").mkdir()
        (top / name / "loop" / "backing_file").write_text(backing + "\n")
    _device(top / "loop1" / "loop1p1", "259:0")
    (top / "loop1" / "loop1p1" / "holders" / "dm-0").mkdir()
    _device(top / "dm-0", "253:0")
    return str(top)


def _device(directory: Path, number: str) -> None:
    (directory / "holders").mkdir(parents=True)
    (directory / "dev").write_text(number + "\n")


@pytest.fixture
def table(tmp_path: Path) -> list[Mount]:
    (tmp_path / "mountinfo").write_text(TABLE)
    return mounts(str(tmp_path / "mountinfo"))


def test_whatever_stands_on_a_device_is_known(table: list[Mount], block: str) -> None:
    own = own_mounts(table, block)
    assert [mount.point for mount in table if own(mount)] == [
        "/run/farshore/1/d/77",
        "/srv/data",
        "/srv/tree",
        "/srv/mapped",
        "/srv/inner",
        "/srv/bound",
    ]
    assert set(devices_on(own, table, block).values()) == {"loop0", "loop1", "loop1p1", "dm-0", "loop4"}


def test_where_nothing_is_attached_nothing_is_ours(table: list[Mount], block: str) -> None:
    others = [mount for mount in table if mount.kind != "fuse.farshore"]
    own = own_mounts(others, block)
    assert not any(own(mount) for mount in others)
    assert devices_on(own, others, block) == {}


def test_a_path_through_links_is_refused_before_anything_there_is_asked(
    table: list[Mount], block: str, tmp_path: Path
) -> None:
    own = own_mounts(table, block)
    (tmp_path / "link").symlink_to("/srv/inner/deep/in/there")
    (tmp_path / "onward").symlink_to("link")
    for path in (
        "/srv/data",
        "/srv/data/none/at/all",
        "/srv/other/../bound/x",
        str(tmp_path / "onward"),
        str(tmp_path / "link" / "below"),
    ):
        with pytest.raises(FarshoreError) as caught:  # none of these paths exists on this host
            resolve(path, table, own, strict=False)
        assert caught.value.code.name == "own-device"
        assert path in caught.value.what
    assert resolve("/srv/other/none", table, own, strict=False) == "/srv/other/none"


def test_what_is_missing_is_an_error_only_where_that_is_wanted(tmp_path: Path) -> None:
    table = mounts()
    missing = str(tmp_path / "none" / "below")
    with pytest.raises(FileNotFoundError):
        resolve(missing, table, lambda _: False)
    assert resolve(missing, table, lambda _: False, strict=False) == missing
    (tmp_path / "ring").symlink_to("ring")
    with pytest.raises(OSError, match="Too many levels"):
        resolve(str(tmp_path / "ring"), table, lambda _: False, strict=False)


def test_what_is_wrong_in_another_way_is_left_to_others(tmp_path: Path) -> None:
    (tmp_path / "ring").symlink_to("ring")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "ring", tmp_path / "none", tmp_path / "pipe", tmp_path, "/dev/null", "a\0b"):
        refuse_own(str(path))
