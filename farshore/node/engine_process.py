"""One engine, or one device, as an operating-system process: start it, find it, watch for its end.

It runs in a session of its own and inherits nothing but its log, so it outlives the node that started it.
Who holds the lock on a copy's directory is its engine, and on a device's its process; the lock, not a pid in
a file, is the truth. Ends are noticed through a pidfd, at once and for children and strangers alike.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from farshore.errors import FarshoreError
from farshore.node.os_errors import as_farshore_error

ENGINE_COMMAND = (sys.executable, "-m", "farshore.engine.process")
DEVICE_COMMAND = (sys.executable, "-m", "farshore.device")
_LOG_LIMIT = 8 << 20


def start(
    directory: Path, command: Sequence[str] = ENGINE_COMMAND, log_name: str = "engine.log"
) -> subprocess.Popen[bytes]:
    """Starts the process of a directory; its last words go to DIR/LOG_NAME.

    Raises FarshoreError where the operating system does not let us.
    """
    log = directory / log_name
    try:
        if log.exists() and log.stat().st_size > _LOG_LIMIT:
            log.replace(directory / f"{log_name}.1")
        with log.open("ab") as lines:
            log.chmod(0o600)
            return subprocess.Popen(
                [*command, str(directory)],
                stdin=subprocess.DEVNULL,
                stdout=lines,
                stderr=lines,
                cwd="/",
                start_new_session=True,
                close_fds=True,
            )
    except OSError as error:
        raise as_farshore_error(error, directory) from error


def holder(directory: Path) -> int | None:
    """The pid of the process that holds DIR/lock, None when nobody does; 0 when it wrote no pid yet.

    To look is to share the lock for an instant: others who look do not see it as held, and a process that
    takes it meanwhile tries again (`store.process_lock`). Raises FarshoreError where that cannot be done.
    """
    try:
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise as_farshore_error(error, directory / "lock") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, 32, 0).strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(descriptor)
    return None


def failure(directory: Path) -> FarshoreError | None:
    """Why the last start went wrong, as the process wrote it down; None when it did not."""
    try:
        value = _left(directory)
    except FarshoreError as error:
        return error
    return None if value is None else FarshoreError.from_dict(value)


def durably(directory: Path) -> tuple[str, str] | None:
    """What the copy was, durably, when its engine's last start failed: its role, and its last turn in hex.
    None where that start did not fail, runs, or could not tell."""
    try:
        value = _left(directory) or {}
    except FarshoreError:
        return None
    return (value["role"], value["turn"]) if {"role", "turn"} <= value.keys() else None


def replaced(directory: Path) -> str:
    """What names the other volumes for which the last start failed (rule D3); empty where it did not."""
    try:
        return (_left(directory) or {}).get("replaced", "")
    except FarshoreError:
        return ""


def _left(directory: Path) -> dict[str, str] | None:
    try:
        value = json.loads((directory / "failure.json").read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise FarshoreError("internal", f"{directory}/failure.json cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise FarshoreError("internal", f"{directory}/failure.json is no object")
    return {str(name): str(each) for name, each in value.items()}


class Watch:
    """Tells when a process has ended. Belongs to the running loop; close it."""

    def __init__(self, pid: int, child: subprocess.Popen[bytes] | None = None) -> None:
        """Raises ProcessLookupError where there is no such process."""
        self.pid = pid
        self.ended = asyncio.Event()
        self._child = child
        self._descriptor = os.pidfd_open(pid)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._descriptor, self._end)

    @property
    def exit_code(self) -> int | None:
        """Of a child that ended (negative: by that signal); None for others."""
        return None if self._child is None else self._child.returncode

    def send(self, number: signal.Signals) -> None:
        """Signals this process and never a later one with its pid."""
        if self._descriptor >= 0:
            try:
                signal.pidfd_send_signal(self._descriptor, number)
            except ProcessLookupError:
                self._end()

    async def wait(self, seconds: float) -> bool:
        """True when it has ended within `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self.ended.wait()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Stops watching; the process goes on, and a child that has not ended is init's to collect."""
        if self._child is not None and self._child.returncode is None:
            self._child.returncode = 0  # else the interpreter warns of a process that it was to wait for
        self._let_go()

    def _let_go(self) -> None:
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _end(self) -> None:
        if self._child is not None:
            self._child.wait()  # it has ended: this only collects it
        self._let_go()
        self.ended.set()


def start_watched(
    directory: Path, command: Sequence[str] = ENGINE_COMMAND, log_name: str = "engine.log"
) -> Watch:
    """`start`, with its end watched for. Raises FarshoreError or OSError; no process is left then."""
    child = start(directory, command, log_name)
    try:
        return Watch(child.pid, child)
    except OSError:
        child.kill()
        child.wait()
        raise
