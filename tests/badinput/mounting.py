"""Small file systems of a test's own, as only root can have them; unmounted at the end whatever happens."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.loops import block_device_on
from tests.requires import program


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A file system in memory that is soon full."""

    path: Path

    def remount(self, options: str) -> None:
        """Changes it while it is in use: `ro`, or `size=32m`."""
        _run("mount", "-o", f"remount,{options}", str(self.path))

    def fill(self) -> Path:
        """Leaves no block free; the file that takes them."""
        path = self.path / "filler"
        with path.open("ab", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                return path
        raise AssertionError("the disk has no end")


@contextmanager
def small_disk(path: Path, size: str = "2m") -> Iterator[SmallDisk]:
    """A new tmpfs at `path`."""
    path.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={size}", "farshore-test", str(path))
    try:
        yield SmallDisk(path)
    finally:
        # Lazily: what a failing test leaves open there must not keep it for ever.
        _run("umount", "-l", str(path))


@contextmanager
def loop_mounted(image: Path) -> Iterator[str]:
    """Makes a file system in the file and mounts it; the loop device."""
    _run("mkfs.ext4", "-q", "-F", str(image))
    point = image.with_suffix(".mount")
    point.mkdir()
    with block_device_on(image) as device:
        _run("mount", str(device), str(point))
        try:
            yield str(device)
        finally:
            _run("umount", str(point))
            point.rmdir()


def _run(name: str, *words: str) -> None:
    found = program(name) if name == "mkfs.ext4" else name
    subprocess.run([found, *words], check=True, capture_output=True)


def _may_mount() -> bool:
    """Root in a container may be denied it."""
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "farshore-test", directory],
            check=False,
            capture_output=True,
        )
        if done.returncode == 0:
            _run("umount", directory)
        return done.returncode == 0


requires_mount = pytest.mark.skipif(not _may_mount(), reason="needs root, and that root may mount")
