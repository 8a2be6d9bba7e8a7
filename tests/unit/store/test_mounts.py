"""Files behind loop devices, found without a look at file systems that may hang."""

import os
from pathlib import Path

import pytest

from farshore.store.mounts import Mount, loop_on


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "here" / "volume.img"
    made.parent.mkdir()
    made.write_bytes(bytes(512))
    (tmp_path / "there").symlink_to("here")
    return made


def _block(tmp_path: Path, backing: str) -> str:
    loop = tmp_path / "block" / "loop7" / "loop"
    loop.mkdir(parents=True)
    (loop / "backing_file").write_text(backing + "\n")
    return str(tmp_path / "block")


def _mount(point: Path, minor: int) -> Mount:
    return Mount(str(point), "ext4", "/dev/sda1", os.makedev(8, minor), "/")


@pytest.mark.parametrize("gone", ["", " (deleted)"])
def test_a_loop_device_on_the_same_file_system_is_found(file: Path, tmp_path: Path, gone: str) -> None:
    table = [_mount(tmp_path / "here", 1), _mount(tmp_path / "there", 1)]
    block = _block(tmp_path, f"{tmp_path / 'there' / 'volume.img'}{gone}")
    assert loop_on(str(file), table, block) == "loop7"
    other = file.with_name("other.img")
    other.write_bytes(bytes(512))
    assert loop_on(str(other), table, block) is None


def test_a_file_on_another_file_system_is_not_looked_at(file: Path, tmp_path: Path) -> None:
    """A look would find that it is the same file: so there was none."""
    table = [_mount(tmp_path / "here", 1), _mount(tmp_path / "there", 2)]
    block = _block(tmp_path, str(tmp_path / "there" / "volume.img"))
    assert loop_on(str(file), table, block) is None
