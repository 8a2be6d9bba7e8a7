"""Rounds of writing more than fits into memory, on a file system on a device."""

import subprocess
import sys
from pathlib import Path

from tests.device.attaching import mounted
from tests.device.conftest import MakeDevice
from tests.device.limits import Limit, limited
from tests.integration.conftest import Sites
from tests.interop.programs import run
from tests.processes import Processes

MIB = 1 << 20
SIZE = 256 * MIB
WRITTEN = 160 * MIB
ROUND_S = 45.0
ALONE = 24 * MIB
"""The limit of a group with the application alone."""
TOGETHER = 160 * MIB
"""The limit of a group in which engine and device, two interpreters with their libraries, live as well."""

_WRITER = f"""
import mmap, os, sys
path, number = sys.argv[1], int(sys.argv[2])
fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
os.ftruncate(fd, {WRITTEN})
view = mmap.mmap(fd, {WRITTEN})
for at in range(0, {WRITTEN}, {MIB}):
    piece = (at + number).to_bytes(8, "big") * {MIB // 8}
    if at // {MIB} % 2:
        view[at : at + {MIB}] = piece
    else:
        os.pwrite(fd, piece, at)
os.fsync(fd)
for at in range(0, {WRITTEN}, {MIB}):
    assert os.pread(fd, {MIB}, at) == (at + number).to_bytes(8, "big") * {MIB // 8}, at
"""


class Pressure:
    """An engine with its volume on a real disk, and a device with a file system."""

    def __init__(self, room: Path, sockets: Path, attach: MakeDevice, processes: Processes) -> None:
        self.room = room
        self.processes = processes
        sites = Sites(processes, room, sockets)
        self.engine = sites.alone({"data": SIZE})
        with sites.image("a", "data").open("r+b") as image:
            for _ in range(SIZE // MIB):
                image.write(bytes(MIB))
        self.engine.start()
        self.device = attach(self.engine)
        self.path = self.device.start()

    def play(self, *, rounds: int, everybody: bool) -> int:
        """How often the limit was reached. Raises AssertionError for a round that does not end."""
        run("mkfs.ext4", "-q", "-F", self.path)
        with limited() as limit, mounted(self.path, self.room / "mounted") as root:
            if everybody:
                for pid in (self.engine.pid, self.device.pid):
                    limit.take(pid)
            limit.set(TOGETHER if everybody else ALONE)
            for number in range(rounds):
                self._round(limit, root, number)
            reached = limit.reached()
            limit.lift()
        assert self.device.status()["state"] == "attached"
        assert self.device.status()["reconnects"] == 0
        assert self.device.detach() == 0
        return reached

    def _round(self, limit: Limit, root: Path, number: int) -> None:
        said = self.room / f"said-{number}"
        # It waits until it is in the group, so that all of its memory counts there.
        go = f"import sys; sys.stdin.read(1)\n{_WRITER}"
        words = [sys.executable, "-c", go, str(root / "file"), str(number)]
        with said.open("wb") as sink:
            writer = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=sink, stderr=sink)
        try:
            self.processes.adopt(writer.pid)
            limit.take(writer.pid)
            assert writer.stdin is not None
            writer.stdin.close()
            code = writer.wait(ROUND_S)
        except subprocess.TimeoutExpired:
            limit.lift()
            writer.kill()
            writer.wait(ROUND_S)
            raise AssertionError(f"round {number} did not end: {self.device.log()}") from None
        assert code == 0, said.read_text()
