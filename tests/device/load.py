"""Loads on a mounted device, each a process of `shadow`, watched and ended from the test."""

import hashlib
import struct
import subprocess
import sys
from pathlib import Path

from tests.processes import Processes
from tests.waiting import wait_until

_ROOT = Path(__file__).resolve().parents[2]


class Loads:
    """Several of them on one file system."""

    def __init__(self, processes: Processes, root: Path, room: Path, seed: int, *, each: int = 100) -> None:
        """`each`: operations of every load, at the least."""
        self.root = root
        self._loads: list[tuple[subprocess.Popen[bytes], Path, Path]] = []
        for number in range(2):
            progress, said = room / f"progress-{seed}-{number}", room / f"said-{seed}-{number}"
            progress.write_bytes(bytes(16))
            words = [root / f"file-{number}", progress, f"{seed + number}", f"{each}"]
            command = [sys.executable, "-m", "tests.device.shadow", *map(str, words)]
            self._loads.append((processes.start(command, cwd=_ROOT, output=said), progress, said))

    def done(self) -> int:
        """Operations of all of them."""
        return sum(struct.unpack_from("=Q", progress.read_bytes())[0] for _, progress, _ in self._loads)

    def go_on_for(self, operations: int, timeout: float = 60.0) -> None:
        """Waits until so many more are done."""
        goal = self.done() + operations
        wait_until(lambda: self._unharmed() and self.done() >= goal, timeout, what="the loads go on")

    def _unharmed(self) -> bool:
        for load, _, said in self._loads:
            assert load.poll() is None, said.read_text()
        return True

    def end(self, timeout: float = 90.0) -> dict[str, str]:
        """Lets them end, and each say that all was well; file name -> digest."""
        for _, progress, _ in self._loads:
            with progress.open("r+b") as file:
                file.seek(8)
                file.write(b"\1")
        digests: dict[str, str] = {}
        for number, (load, _, said) in enumerate(self._loads):
            assert load.wait(timeout) == 0, said.read_text()
            digests[f"file-{number}"] = said.read_text().split()[-1]
        return digests


def digests_in(root: Path, names: list[str]) -> dict[str, str]:
    """What stands in the files now."""
    return {name: hashlib.sha256((root / name).read_bytes()).hexdigest() for name in names}
