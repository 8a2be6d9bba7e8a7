"""Files as block devices of root, made and taken off without a look at other loop devices of this machine.

`mount -o loop` opens and closes every one of them, to see whether it has the same file already. One that
stands on an attached volume lets nobody close it while its engine is away and something is left to be
written: the mount would wait for an engine of somebody else, of another run of tests say.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.interop.programs import run
from tests.requires import program


@contextmanager
def block_device_on(file: Path) -> Iterator[Path]:
    """The block device, for as long as the block lasts, or whoever still uses it then."""
    device = run("losetup", "--find", "--show", file).strip()
    try:
        yield Path(device)
    finally:
        subprocess.run([program("losetup"), "--detach", device], capture_output=True, timeout=60, check=True)
