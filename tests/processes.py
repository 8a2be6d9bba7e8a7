"""The processes that a test started, so that none outlives it.

Each is held by a pidfd from the moment that it is known, so that what is killed at the end is the
process that the test started and never a stranger that was given its number.
"""

import os
import select
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_END_S = 10.0


class Processes:
    """Starts processes, remembers those that daemonised, and ends all of them by `close`."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[bytes]] = []
        self._held: dict[int, int] = {}

    def start(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        output: Path | None = None,
        user: int | None = None,
    ) -> subprocess.Popen[bytes]:
        """Starts `command` with no stdin; stdout and stderr go to the file `output`, or nowhere. `user`: as
        whom, for root."""
        sink = (
            subprocess.DEVNULL if output is None else os.open(output, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        )
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=None if env is None else dict(env),
                cwd=cwd,
                user=user,
            )
        finally:
            if output is not None:
                os.close(sink)
        self._started.append(process)
        self.adopt(process.pid)
        return process

    def adopt(self, pid: int) -> bool:
        """Holds a process that something started by the test has left running; False if none is there."""
        if pid in self._held and self.alive(pid):
            return True
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        stale = self._held.pop(pid, None)
        if stale is not None:
            os.close(stale)
        self._held[pid] = descriptor
        return True

    def alive(self, pid: int) -> bool:
        """Whether a held process still runs; one that ended and was not reaped counts as ended."""
        return not _ended(self._held[pid], 0.0)

    def kill(self, pid: int, number: int = signal.SIGKILL) -> None:
        """Sends a signal to a held process; after SIGKILL, waits until it is gone."""
        descriptor = self._held[pid]
        _send(descriptor, number)
        if number == signal.SIGKILL and not _ended(descriptor, _END_S):
            raise AssertionError(f"process {pid} is still there {_END_S} s after SIGKILL")

    def close(self) -> None:
        """Kills what still runs, all before it waits for any, and reaps the direct children."""
        for descriptor in self._held.values():
            _send(descriptor, signal.SIGKILL)
        for process in self._started:
            process.wait(_END_S)
        left = [pid for pid, descriptor in self._held.items() if not _ended(descriptor, _END_S)]
        if left:
            raise AssertionError(f"processes {left} are still there {_END_S} s after SIGKILL")
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()


def command_lines() -> Iterator[tuple[int, list[str]]]:
    """The pid and the words of every other process that there is."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
        except OSError:
            continue  # it ended while we looked
        yield int(entry.name), words


def running(directory: Path, module: str = "") -> list[int]:
    """The processes that have `directory`, or something below it, as an argument, and `module` as another."""
    return [
        pid
        for pid, words in command_lines()
        if (not module or module in words)
        and any(word == str(directory) or word.startswith(f"{directory}/") for word in words)
    ]


def _send(descriptor: int, number: int) -> None:
    try:
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return  # ended and reaped: nobody is left to receive it


def _ended(descriptor: int, timeout: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(timeout * 1000))
