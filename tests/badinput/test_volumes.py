"""A volume that cannot be one: missing, in use, read-only."""

import fcntl
import os
from pathlib import Path

import pytest

from tests.badinput.mounting import loop_mounted, requires_mount, small_disk
from tests.badinput.scene import Expected, Scene
from tests.requires import requires

_MIB = 1 << 20


@pytest.fixture
def blank(scene: Scene, request: pytest.FixtureRequest) -> Path:
    """A file of a MiB that nobody uses."""
    path = scene.room / f"{request.node.name[:40]}.img"
    path.write_bytes(bytes(_MIB))
    return path


def _create(path: Path | str, more: str = "") -> str:
    return f"group create other --volume data={path}{more}"


def test_a_path_where_nothing_is(scene: Scene) -> None:
    missing = Expected("not-found", "PATH,size=10GiB")
    scene.refused(scene.a, _create(scene.room / "none.img"), missing)
    nowhere = scene.room / "no" / "such" / "place.img"
    scene.refused(scene.a, _create(nowhere, ",size=1MiB"), Expected("not-found", "make it first"))


def test_a_path_that_is_no_volume(scene: Scene, blank: Path) -> None:
    scene.refused(scene.a, _create(scene.room), Expected("usage", "a file or a device"))
    os.truncate(blank, 1000)
    scene.refused(scene.a, _create(blank), Expected("usage", "multiple of 512"))


def test_a_volume_of_another_group_at_this_node(scene: Scene) -> None:
    volume = scene.a.image("orders")
    used = Expected("in-use", "farshore group list")
    scene.refused(scene.a, _create(volume), used)
    (scene.room / "link.img").symlink_to(volume)
    scene.refused(scene.a, _create(scene.room / "link.img"), used)
    (scene.room / "second-name.img").hardlink_to(scene.room / "spare.img")
    scene.refused(scene.a, _create(scene.room / "second-name.img"), used)
    twice = f"group create other --volume one={scene.room / 'new.img'},size=1MiB --volume two={volume}"
    scene.refused(scene.a, twice, used)


def test_a_volume_of_another_node_of_this_host(scene: Scene) -> None:
    scene.refused(scene.c, _create(scene.a.image("orders")), Expected("in-use", "fuser -v"))
    scene.refused(scene.c, _create(scene.b.image("orders")), Expected("in-use", "fuser -v"))
    scene.unharmed()


def test_a_volume_that_another_program_has_locked(scene: Scene, blank: Path) -> None:
    with blank.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        scene.refused(scene.a, _create(blank), Expected("in-use", "fuser -v"))


def test_a_read_only_file(scene: Scene, blank: Path) -> None:
    blank.chmod(0o444)
    scene.refused(scene.a, _create(blank), Expected("read-only", "chmod u+w"))


@requires_mount
@requires("mkfs.ext4")
def test_a_mounted_file_or_device(scene: Scene, tmp_path: Path) -> None:
    image = tmp_path / "mounted.img"  # outside of what must not change: its file system writes to it
    image.write_bytes(bytes(8 * _MIB))
    with loop_mounted(image) as device:
        scene.refused(scene.a, _create(image), Expected("in-use", f"losetup -d {device}"))
        scene.refused(scene.a, _create(device), Expected("in-use", "unmount it first"))
        place = f"link create spare b --place data={image}"
        scene.b.done("node", "allow", "a", "--path", str(image))
        scene.refused(scene.a, place, Expected("in-use", f"losetup -d {device}"))
        scene.b.done("node", "disallow", "a", "--path", str(image))


@requires_mount
def test_a_read_only_file_system(scene: Scene, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        (disk.path / "volume.img").write_bytes(bytes(4096))
        disk.remount("ro")
        scene.refused(scene.a, _create(disk.path / "volume.img"), Expected("read-only", "make it writable"))
        new = _create(disk.path / "new.img", ",size=1MiB")
        scene.refused(scene.a, new, Expected("read-only", "make it writable"))


def test_a_volume_for_a_group_whose_links_run(scene: Scene) -> None:
    expected = Expected("wrong-state", "farshore pause orders")
    scene.refused(scene.a, f"group add orders --volume {scene.room / 'more.img'},size=1MiB", expected)
    scene.refused(scene.a, "group remove orders data", Expected("wrong-state", "farshore group delete"))
    scene.unharmed()


def test_a_volume_that_a_group_gets_on_the_wrong_node(scene: Scene) -> None:
    words = f"group add orders --volume {scene.room / 'more.img'},size=1MiB"
    scene.refused(scene.b, words, Expected("wrong-role", "run the command on a"))
    scene.refused(scene.b, "group remove orders data", Expected("wrong-role", "run the command on a"))
    scene.refused(scene.c, words, Expected("not-found", "farshore group list"))


def test_a_volume_that_is_in_a_group_already(scene: Scene) -> None:
    here = scene.a.image("orders")
    scene.refused(scene.a, f"group add spare --volume data={scene.room / 'x.img'},size=1MiB", _taken())
    scene.refused(scene.a, f"group add spare --volume more={here}", Expected("in-use", "choose another"))
    one = f"--volume one={scene.room / 'x.img'},size=1MiB"
    scene.refused(scene.a, f"group add spare {one} --place b:one=/x", Expected("not-found", "no link"))


def _taken() -> Expected:
    return Expected("exists", "NAME=PATH")
