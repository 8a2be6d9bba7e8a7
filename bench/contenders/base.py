"""What a contender is, and the room, volumes and processes that contenders are made of.

A room is a directory in memory that disappears with everything in it. Its volume files are filled
before anything is measured, so that no allocation is. A process that a contender started is ended
by the contender, by its own id, whatever happened meanwhile.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

START_LIMIT = 30.0
"""Seconds that a program may take until it can be used."""
_STOP_LIMIT = 10.0
_MEBIBYTE = 1 << 20
_CHECKOUT = Path(__file__).parents[2]


class CannotStart(Exception):
    """A contender could not be brought up; the text says why. It is reported, never estimated."""


class Unfair(Exception):
    """A run does not count: the program stopped replicating meanwhile, say. The text says why."""


class Contender(Protocol):
    """One program, set up for one job."""

    @property
    def name(self) -> str:
        """The word that scenarios and the command line use."""
        ...

    @property
    def label(self) -> str:
        """What the report calls it."""
        ...

    def start(self) -> str:
        """Bring it up; the NBD URI to write to. Raises CannotStart; stop() must be called all the same."""
        ...

    def stop(self) -> None:
        """End everything that start() began. May be called at any time, and again."""
        ...

    def queued_bytes(self) -> int | None:
        """Bytes that an asynchronous copy still lacks; None where there is no such queue."""
        ...

    def settle(self) -> None:
        """After a run: wait until the next one has the machine to itself.

        Raises Unfair if the program did not do its whole job during the run.
        """
        ...


@dataclass(frozen=True, slots=True)
class Room:
    """A directory in memory, and the size of the volumes in it."""

    path: Path
    volume_bytes: int

    @classmethod
    def make(cls, volume_bytes: int) -> "Room":
        """A new room on /dev/shm. Socket paths are short, so its name is too."""
        return cls(Path(tempfile.mkdtemp(prefix="fb-", dir="/dev/shm")), volume_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.path)

    def filled(self, name: str) -> Path:
        """A volume whose every byte is allocated, with content that does not compress."""
        path = self.path / name
        with path.open("wb") as volume:
            left = self.volume_bytes
            while left:
                left -= volume.write(os.urandom(min(left, _MEBIBYTE)))
        return path

    def blank(self, name: str) -> Path:
        """A volume of the right size without content."""
        path = self.path / name
        with path.open("wb") as volume:
            volume.truncate(self.volume_bytes)
        return path


def program(name: str, package: str) -> str:
    """The path of an installed program, or CannotStart with the Debian package that has it."""
    found = shutil.which(name)
    if found is None:
        raise CannotStart(f"{name} is not installed (Debian package {package})")
    return found


def free_port() -> int:
    """A TCP port of the loopback interface that nobody used a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Processes:
    """The processes of one contender, ended in the reverse order of their start."""

    __slots__ = ("_log", "_running")

    def __init__(self, log: Path) -> None:
        self._running: list[subprocess.Popen[str]] = []
        self._log = log

    def start(self, command: Sequence[str]) -> subprocess.Popen[str]:
        """Start `command` with its standard output piped and its complaints kept in the log."""
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=_CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._running.append(process)
        return process

    def first_line(self, process: subprocess.Popen[str]) -> str:
        """The first line that `process` prints; CannotStart if it ends without one."""
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        if not line:
            raise CannotStart(self._obituary(process))
        return line

    def until(self, process: subprocess.Popen[str], ready: Callable[[], bool]) -> None:
        """Wait until `ready()`; CannotStart if `process` ends before, or takes longer than START_LIMIT."""
        give_up = time.monotonic() + START_LIMIT
        while not ready():
            if time.monotonic() > give_up:
                raise CannotStart(f"{_shown(process)} was not ready after {START_LIMIT:.0f} s")
            try:
                process.wait(timeout=0.02)
            except subprocess.TimeoutExpired:
                continue
            raise CannotStart(self._obituary(process))

    def stop(self) -> None:
        """End all of them, politely first."""
        while self._running:
            process = self._running.pop()
            process.terminate()
            try:
                process.wait(timeout=_STOP_LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def _obituary(self, process: subprocess.Popen[str]) -> str:
        code = process.wait(timeout=_STOP_LIMIT)
        words = self._log.read_text(errors="replace").strip().splitlines()
        return f"{_shown(process)} ended with code {code}: {words[-1] if words else 'it said nothing'}"


def _shown(process: subprocess.Popen[str]) -> str:
    """The command of a process, as one would type it, without its arguments' tail."""
    words = [str(word) for word in process.args] if isinstance(process.args, list) else [str(process.args)]
    return f"`{' '.join(words[:4])}`"


class Daemon:
    """The common part of contenders that are processes of their own and keep no queue."""

    name = ""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._processes = Processes(room.path / f"{self.name}.log")

    def stop(self) -> None:
        """End its processes."""
        self._processes.stop()

    def queued_bytes(self) -> int | None:
        """A write is answered when all is done: there is no queue."""
        return None

    def settle(self) -> None:
        """Nothing goes on after the last answer."""


def unix_ready(path: Path) -> Callable[[], bool]:
    """Whether somebody accepts connections on the Unix socket `path`."""

    def ready() -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(path)) == 0

    return ready


def tcp_ready(port: int) -> Callable[[], bool]:
    """Whether somebody accepts connections on `port` of the loopback interface."""

    def ready() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    return ready


def unix_uri(socket_path: Path, export: str = "") -> str:
    """The NBD URI of an export on a Unix socket."""
    return f"nbd+unix:///{export}?socket={socket_path}"
