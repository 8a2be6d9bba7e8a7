"""How a process of ours is started so that it outlives the node: the one place that knows.

`InSession` gives it a session of its own; its last words go to a file in its directory. `AsUnit` asks systemd
to run it as a unit of its own, so that stopping or upgrading the node's unit does not touch it; its last
words go to the journal. Either way it is found again by the lock on its directory, and nobody but the node
starts it again.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from farshore.errors import FarshoreError
from farshore.node import engine_process
from farshore.node.engine_process import Watch
from farshore.node.os_errors import as_farshore_error
from farshore.systemd.unit_names import unit_name

START_SECONDS = 30.0
_POLL = 0.05
_NO_UNIT = 5
"""What `systemctl start` exits with where there is no such unit."""


class Launch(Protocol):
    """A way to start an engine, or whatever else `name` says; `directory` is what it keeps."""

    async def start(self, name: str, directory: Path, command: Sequence[str]) -> Watch:
        """Starts it and watches for its end. Raises FarshoreError or OSError; none runs then."""

    def log(self, name: str, directory: Path) -> str:
        """Where its last words are, for people: a path or a command."""


class InSession:
    """Each in a session of its own: `command`, with the directory as its last word."""

    async def start(self, name: str, directory: Path, command: Sequence[str]) -> Watch:
        return engine_process.start_watched(directory, command, f"{name}.log")

    def log(self, name: str, directory: Path) -> str:
        return str(directory / f"{name}.log")


IN_SESSION: Final = InSession()


class AsUnit:
    """Each as an instance of `farshore-NAME@.service`, which says what to run."""

    def __init__(self, systemctl: Sequence[str] = ("systemctl",)) -> None:
        self._systemctl = tuple(systemctl)

    async def start(self, name: str, directory: Path, command: Sequence[str]) -> Watch:
        unit = _unit(name, directory)
        (directory / "failure.json").unlink(missing_ok=True)
        # `fail`: while all of this is being stopped, a start must not call that off.
        code, _, said = await self._run("start", "--no-block", "--job-mode=fail", unit)
        if code:
            raise _refused(unit, code, said)
        try:
            async with asyncio.timeout(START_SECONDS):
                while True:
                    shown = await self._shown(unit)
                    watch = _watch(int(shown.get("MainPID", "0")))
                    if watch is not None:
                        return watch
                    if not shown.get("Job", ""):  # the start is over, and nothing runs
                        raise engine_process.failure(directory) or _ended(unit, shown.get("Result", ""))
                    await asyncio.sleep(_POLL)
        except TimeoutError as error:
            raise FarshoreError(
                "timeout",
                f"systemd has not started {unit} within {START_SECONDS:g} s",
                next_step=f"systemctl status '{unit}'; systemctl list-jobs",
            ) from error

    def log(self, name: str, directory: Path) -> str:
        return f"journalctl -u '{_unit(name, directory)}'"

    async def _shown(self, unit: str) -> dict[str, str]:
        code, text, said = await self._run("show", "--property=MainPID,Job,Result", unit)
        if code:
            raise _refused(unit, code, said)
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    async def _run(self, *words: str) -> tuple[int, str, str]:
        """The exit code and what was said; a command that is given up on is ended."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._systemctl,
                *words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            raise as_farshore_error(error, self._systemctl[0]) from error
        try:
            out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode or 0, out.decode("utf-8", "replace"), err.decode("utf-8", "replace").strip()


def _unit(name: str, directory: Path) -> str:
    try:
        return unit_name(name, str(directory))
    except ValueError as error:
        raise FarshoreError(
            "usage", str(error), next_step="choose a shorter state directory, or shorter names"
        ) from error


def _watch(pid: int) -> Watch | None:
    """None where there is no such process, or no more."""
    try:
        return Watch(pid) if pid > 0 else None
    except ProcessLookupError:
        return None


def _refused(unit: str, code: int, said: str) -> FarshoreError:
    if code == _NO_UNIT:
        return FarshoreError(
            "not-found",
            f"systemd has no unit {unit}: {said}",
            means="nothing was started",
            next_step="install Farshore's units, then systemctl daemon-reload; farshore config show says who"
            " asks for units",
        )
    return FarshoreError(
        "wrong-state",
        f"systemd does not start {unit}: {said or f'exit code {code}'}",
        means="nothing was started; the node tries again",
        next_step=f"systemctl status '{unit}'",
    )


def _ended(unit: str, result: str) -> FarshoreError:
    return FarshoreError(
        "internal",
        f"{unit} ended before it ran ({result or 'no result'})",
        means="the node tries again",
        next_step=f"journalctl -u '{unit}'",
    )
