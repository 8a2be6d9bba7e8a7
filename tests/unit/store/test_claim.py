"""Claiming volumes: every refusal has its code, names the path, and changes nothing."""

import fcntl
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.errors import FarshoreError
from farshore.store import volume_identity
from farshore.store.claim import create_volume, no_own_mounts, open_volume
from farshore.store.mounts import Mount, mount_of, mounts
from farshore.store.own_mounts import OwnMount


def refusal(path: Path | str, expected: int | None = None, own: OwnMount = no_own_mounts) -> FarshoreError:
    with pytest.raises(FarshoreError) as refused:
        open_volume(str(path), expected, own)
    assert str(path) in refused.value.what
    assert refused.value.next_step
    return refused.value


def refusal_to_make(path: Path, size: int) -> FarshoreError:
    with pytest.raises(FarshoreError) as refused:
        create_volume(str(path), size)
    return refused.value


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "volume"
    path.write_bytes(bytes(8192))
    return path


def test_a_file_is_opened_as_it_is(file: Path) -> None:
    volume = open_volume(str(file), 8192)
    assert (volume.size, volume.is_device, volume.sector, volume.path) == (8192, False, 1, str(file))
    volume.close()
    open_volume(str(file)).close()


def test_a_volume_has_one_claim(file: Path) -> None:
    volume = open_volume(str(file))
    assert refusal(file).code.name == "in-use"
    other = file.with_name("other name")
    other.hardlink_to(file)
    assert refusal(other).code.name == "in-use"
    volume.close()
    open_volume(str(other)).close()


def test_a_file_that_somebody_locked_is_in_use(file: Path) -> None:
    with file.open("rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_SH)
        assert refusal(file).code.name == "in-use"


@pytest.mark.parametrize("name", ["none", "none/volume", "volume/below", "x" * 300])
def test_a_missing_path_is_named(file: Path, name: str) -> None:
    assert refusal(file.parent / name).code.name == "not-found"


def test_a_size_must_be_as_expected_and_of_whole_sectors(file: Path) -> None:
    assert "8192 bytes instead of 4096" in refusal(file, 4096).what
    for size in (0, 100, 8191):
        os.truncate(file, size)
        assert refusal(file).code.name == "size-mismatch"


def test_what_is_neither_file_nor_device_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "pipe").code.name == "usage"
    assert refusal(tmp_path).code.name == "usage"
    assert refusal("/dev/null").code.name == "usage"


def test_a_file_without_write_permission_is_read_only(file: Path) -> None:
    file.chmod(0o444)
    assert refusal(file).code.name == "read-only"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open everything")
def test_a_file_that_cannot_be_read_is_a_matter_of_permission(file: Path) -> None:
    file.chmod(0o200)
    assert refusal(file).code.name == "permission"


def test_links_are_followed_but_not_forever(file: Path) -> None:
    link, ring = file.with_name("link"), file.with_name("ring")
    link.symlink_to("./../" + file.parent.name + "/volume")
    ring.symlink_to("ring")
    open_volume(str(link)).close()
    assert refusal(ring).code.name == "not-found"


def test_a_relative_path_is_meant_from_here(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    open_volume("volume").close()
    open_volume("../" + file.parent.name + "/volume").close()


def test_nothing_on_our_own_mounts_is_claimed_or_even_looked_at(file: Path) -> None:
    asked: list[str] = []

    def own(mount: Mount) -> bool:
        asked.append(mount.point)
        return mount.point == "/proc"

    link = file.with_name("link")
    link.symlink_to("/proc/no such thing")
    for path in ("/proc/version", "/proc/../proc/none", "/proc", link):
        assert refusal(path, own=own).code.name == "own-device"
    open_volume(str(file), own=own).close()
    assert "/proc" in asked


def test_a_made_volume_is_sparse_zeroed_and_claimed(tmp_path: Path) -> None:
    path = tmp_path / "volume"
    volume = create_volume(str(path), 1 << 40)
    assert path.stat().st_size == 1 << 40
    assert path.stat().st_blocks == 0
    assert path.stat().st_mode & 0o777 == 0o600
    assert volume.is_blank()
    assert refusal(path).code.name == "in-use"
    volume.close()


def test_a_volume_is_made_only_where_there_is_none(file: Path) -> None:
    assert refusal_to_make(file, 4096).code.name == "exists"
    assert file.stat().st_size == 8192
    assert refusal_to_make(file.with_name("none") / "volume", 4096).code.name == "not-found"
    assert str(file.with_name("none")) in refusal_to_make(file.with_name("none") / "volume", 4096).what
    assert refusal_to_make(file / "below", 4096).code.name == "not-found"


@pytest.mark.parametrize("size", [0, -512, 100, 1 << 63])
def test_an_impossible_size_leaves_no_file(tmp_path: Path, size: int) -> None:
    assert refusal_to_make(tmp_path / "volume", size).code.name == "size-mismatch"
    assert list(tmp_path.iterdir()) == []


def test_a_size_that_the_disk_cannot_hold_leaves_no_file(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        assert refusal_to_make(tmp_path / "volume", 2 << 20).code.name == "disk-full"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


TABLE = """\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:25 / /mnt/with\\040blank rw - tmpfs some\\134thing rw
31 22 0:26 / /mnt rw shared:2 master:3 - fuse.farshore farshore rw
32 31 0:27 / /mnt/inner rw - xfs /dev/nbd0 rw
"""


def test_mountinfo_is_understood(tmp_path: Path) -> None:
    (tmp_path / "table").write_text(TABLE)
    table = mounts(str(tmp_path / "table"))
    assert [mount.point for mount in table] == ["/", "/mnt/with blank", "/mnt", "/mnt/inner"]
    assert table[0].device == os.makedev(254, 1)
    assert table[1].source == "some\\thing"
    assert table[2].kind == "fuse.farshore"
    places = {"/": "/", "/mntx": "/", "/mnt": "/mnt", "/mnt/file": "/mnt", "/mnt/inner/a/b": "/mnt/inner"}
    for path, point in places.items():
        found = mount_of(path, table)
        assert found is not None
        assert found.point == point
    assert mounts()


@pytest.fixture
def loop(file: Path) -> Iterator[str]:
    if os.geteuid() or not shutil.which("losetup"):
        pytest.skip("needs root and losetup (Debian package mount)")
    os.truncate(file, 1 << 20)
    made = subprocess.run(["losetup", "--show", "-f", str(file)], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"loop devices cannot be set up here: {made.stderr.strip()}")
    yield made.stdout.strip()
    subprocess.run(["losetup", "-d", made.stdout.strip()], check=True)


def test_block_devices_are_claimed_and_files_below_them_are_not(file: Path, loop: str) -> None:
    assert "below /dev/loop" in refusal(file).what
    volume = open_volume(loop, 1 << 20)
    assert (volume.is_device, volume.sector) == (True, 512)
    assert refusal(loop).code.name == "in-use"
    volume.write(b"x" * 10_000, 100)
    volume.zero(1000, 5000, may_unmap=True)
    assert volume.read(0, 10_200) == bytes(100) + b"x" * 900 + bytes(5000) + b"x" * 4100 + bytes(100)
    volume.fdatasync()
    volume.close()
    assert refusal(loop, 4096).code.name == "size-mismatch"
    own = mount_of(str(file), mounts())
    assert refusal(loop, own=lambda mount: mount == own and mount.point != "/").code.name == "own-device"


def test_a_loop_device_is_known_by_the_file_below_it(file: Path, loop: str) -> None:
    volume = open_volume(loop, 1 << 20)
    unmarked = volume_identity.join(volume)
    assert unmarked.startswith(("loop:inode:", "data:")) or not unmarked, unmarked
    os.setxattr(file, volume_identity.ATTRIBUTE, b"a" * 32)
    known = volume_identity.join(volume)
    assert known == f"loop:mark:{'a' * 32}+0"
    assert volume_identity.same(volume, known)
    os.setxattr(file, volume_identity.ATTRIBUTE, b"b" * 32)
    assert not volume_identity.same(volume, known)
    volume.close()
