"""File systems of root on replicated volumes and on copies of images: NBD, nbdfuse, loop device, ext4.

What is mounted here ends with the block that mounted it, also when what is below it was killed: then the
kernel has nothing left to write to, and the file system goes without being unmounted in order.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.interop.programs import run
from tests.loops import block_device_on
from tests.processes import Processes
from tests.requires import program
from tests.waiting import wait_until


@contextmanager
def as_file(uri: str, size: int, file: Path, processes: Processes) -> Iterator[int]:
    """The volume as the file `file` for as long as the block lasts; the pid of what shows it."""
    file.touch()
    fuse = processes.start([program("nbdfuse"), str(file), uri], output=file.with_suffix(".log"))
    try:
        wait_until(lambda: file.stat().st_size == size, what="nbdfuse to show the volume")
        yield fuse.pid
    finally:
        # Lazily, because it may be dead: then there is nobody to ask, only a mount to be removed.
        subprocess.run([program("fusermount3"), "-uz", str(file)], capture_output=True, check=False)
        processes.kill(fuse.pid)
        fuse.wait(30)


@contextmanager
def mounted(file: Path, at: Path, *, may_be_dead: bool = False) -> Iterator[None]:
    """The file system in `file` through a loop device. `may_be_dead`: nothing has to work at the end."""
    at.mkdir(exist_ok=True)
    with block_device_on(file) as device:
        run("mount", "-o", "noatime", device, at)
        try:
            yield
        finally:
            words = ["umount", "-l", str(at)] if may_be_dead else ["umount", str(at)]
            subprocess.run(words, capture_output=True, check=not may_be_dead)


def loops_of(directory: Path) -> list[str]:
    """Loop devices whose files lie below a directory: none may be left."""
    lines = run("losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE").splitlines()
    return [line.split()[0] for line in lines if str(directory) in line]
