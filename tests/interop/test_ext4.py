"""A file system on a replicated volume: made, mounted, written and found clean at both sites."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.interop.conftest import Pair
from tests.interop.programs import run
from tests.loops import block_device_on
from tests.processes import Processes
from tests.requires import program, requires, requires_fuse, requires_root
from tests.waiting import wait_until

pytestmark = [requires("nbdfuse", "fusermount3", "mkfs.ext4", "fsck.ext4"), requires_fuse(), requires_root()]

_FILES = 150


@contextmanager
def _as_file(pair: Pair, room: Path, processes: Processes) -> Iterator[Path]:
    """The volume as a file, for as long as the block lasts."""
    file = room / "volume"
    file.touch()
    fuse = processes.start([program("nbdfuse"), str(file), pair.uri], output=room / "nbdfuse.log")
    try:
        wait_until(lambda: file.stat().st_size == pair.size, what="nbdfuse to show the volume")
        yield file
    finally:
        run("fusermount3", "-u", file)
        fuse.wait(30)
    assert fuse.returncode == 0, (room / "nbdfuse.log").read_text()


@contextmanager
def _mounted(file: Path, room: Path) -> Iterator[Path]:
    """The file system in `file`, through a loop device."""
    at = room / "mounted"
    at.mkdir(exist_ok=True)
    with block_device_on(file) as device:
        run("mount", device, at)
        try:
            yield at
        finally:
            run("umount", at)


def _write_tree(root: Path, seed: int) -> dict[str, bytes]:
    """Files of all sizes in directories; some are written over, some removed, one is synced by itself."""
    chosen = random.Random(seed)
    made: dict[str, bytes] = {}
    for number in range(_FILES):
        path = root / f"dir-{number % 7}" / f"file-{number}"
        path.parent.mkdir(exist_ok=True)
        content = chosen.randbytes(chosen.choice((0, 10, 4096, 20_000, 70_000)))
        path.write_bytes(content)
        made[str(path.relative_to(root))] = content
    for name in chosen.sample(sorted(made), _FILES // 3):
        (root / name).unlink()
        del made[name]
    for name in chosen.sample(sorted(made), _FILES // 5):
        with (root / name).open("ab") as file:
            file.write(b"more")
            file.flush()
        made[name] += b"more"
    with (root / "synced").open("wb") as file:
        file.write(b"on disk")
        os.fsync(file.fileno())
    made["synced"] = b"on disk"
    return made


def _tree(root: Path) -> dict[str, bytes]:
    files = (each for each in root.rglob("*") if each.is_file())
    return {str(each.relative_to(root)): each.read_bytes() for each in files}


@pytest.mark.timeout(120)
def test_ext4_is_clean_and_whole_at_both_sites(pair: Pair, tmp_path: Path, processes: Processes) -> None:
    with _as_file(pair, tmp_path, processes) as file:
        run("mkfs.ext4", "-q", "-F", file)
        with _mounted(file, tmp_path) as root:
            written = _write_tree(root, seed=1)
        with _mounted(file, tmp_path) as root:
            assert _tree(root) == written
            written |= {f"again/{name}": content for name, content in _again(root).items()}
        run("fsck.ext4", "-f", "-n", file)
    pair.equal()
    run("fsck.ext4", "-f", "-n", pair.copy)
    taken = tmp_path / "taken"  # what is at b, taken away from there and used
    taken.write_bytes(pair.copy.read_bytes())
    with _mounted(taken, tmp_path) as root:
        assert _tree(root) == written


def _again(root: Path) -> dict[str, bytes]:
    (root / "again").mkdir()
    return _write_tree(root / "again", seed=2)
