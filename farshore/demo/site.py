"""One site of the demo: a node of its own with its own state directory, driven by the command line.

Whatever a site started is known by pid and ended by `close`, whether or not the node still answers.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from farshore.client import Node
from farshore.client.answers import Group, Link
from farshore.errors import FarshoreError
from farshore.model.units import format_size

_COMMAND_S = 60.0
_END_S = 10.0
_LOOK_S = 0.03


class Site:
    """A node named `name` below `root`. `told`: called with each command line before it runs."""

    def __init__(self, root: Path, name: str, told: Callable[[str], None]) -> None:
        self.name = name
        self.state = root / name
        self.node = Node(state=str(self.state))
        self._told = told
        self._held: dict[int, int] = {}
        self._run: Path | None = None
        self.listen = "127.0.0.1:0"

    def start(self) -> None:
        """Starts the node on a free port of the loopback, or on the one that it had before."""
        with uninterrupted():  # a node that nobody holds yet would outlive the demo
            self.command("node", "start", "--listen", self.listen, "--name", self.name)
            self.hold()
        info = self.node.show()
        if info.api.startswith("unix:"):
            self._run = Path(info.api.removeprefix("unix:")).parent
        self.listen = info.listen or ""

    def hold(self) -> None:
        """Takes note of every process that the node has by now."""
        info = self.node.show()
        for pid in (info.pid, *(engine.pid for engine in info.engines)):
            if pid is None or (pid in self._held and not _ended(self._held[pid], 0.0)):
                continue
            with contextlib.suppress(ProcessLookupError):  # ended in between: there is nothing to hold
                self._held[pid] = os.pidfd_open(pid)

    def command(self, *words: str, token: str | None = None) -> dict[str, Any]:
        """Runs `farshore WORDS --json` at this site; its document. Raises FarshoreError when it fails."""
        self._told(f"{self.name}$ farshore {' '.join(words)}")
        environment = {name: value for name, value in os.environ.items() if name != "FARSHORE_API"}
        environment["FARSHORE_STATE"] = str(self.state)
        environment.pop("FARSHORE_TOKEN", None)
        if token is not None:
            environment["FARSHORE_TOKEN"] = token
        silent = words[:2] in (("node", "stop"), ("node", "allow"))
        run = subprocess.run(
            [sys.executable, "-m", "farshore", *words, *([] if silent else ["--json"])],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_S,
            check=False,
            start_new_session=True,  # an interrupt at the terminal is the demo's to handle
        )
        if run.returncode:
            raise _failure(words, run)
        document: dict[str, Any] = json.loads(run.stdout) if run.stdout.strip() else {}
        return document

    def group(self, name: str) -> Group:
        """The group as status shows it."""
        return next(each for each in self.node.status(name).groups if each.name == name)

    def until(self, name: str, seen: Callable[[Group], bool], what: str, timeout: float) -> Group:
        """The group once `seen` holds for it. Raises FarshoreError `timeout`, which names `what`."""
        deadline, pulse = time.monotonic() + timeout, threading.Event()
        while True:
            group: Group | None = None
            with contextlib.suppress(
                FarshoreError
            ):  # an engine that is down for a moment is what we wait out
                group = self.group(name)
            if group is not None and seen(group):
                return group
            if time.monotonic() > deadline:
                raise FarshoreError(
                    "timeout", f"{self.name}: {what} was not seen within {timeout:g} s; last: {brief(group)}"
                )
            pulse.wait(_LOOK_S)

    def engine(self, group: str) -> int | None:
        """The pid of the group's engine here."""
        return next((each.pid for each in self.node.show().engines if each.group == group), None)

    def kill(self, pid: int) -> None:
        """Kills one of this site's own processes, at once."""
        self.hold()
        signal.pidfd_send_signal(self._held[pid], signal.SIGKILL)

    def lose(self) -> int:
        """Kills every process of this site, at once; how many there were."""
        self.hold()
        killed = 0
        for descriptor in self._held.values():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                killed += 1
        return killed

    def accepted(self, *words: str) -> dict[str, Any]:
        """Runs a command that shows a plan first, and accepts what it has shown."""
        shown = self.command(*words, "--dry-run")
        return self.command(*words, "--accept", shown["plan"]["id"])

    def close(self) -> int:
        """Ends everything that this site started, by force where asking did not do; how many needed it."""
        with contextlib.suppress(FarshoreError):
            self.hold()
        if self._held:
            with contextlib.suppress(FarshoreError, subprocess.TimeoutExpired):
                self.command("node", "stop", "--engines")
        deadline, forced = time.monotonic() + _END_S, 0
        for descriptor in self._held.values():
            if not _ended(descriptor, max(0.0, deadline - time.monotonic())):
                forced += 1
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                _ended(descriptor, _END_S)
            os.close(descriptor)
        self._held.clear()
        if self._run is not None:
            shutil.rmtree(self._run, ignore_errors=True)
            self._run = None
        return forced


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Puts an interrupt off until the end of the block. In the main thread only, as signals are."""
    numbers: list[int] = []
    before = {
        number: signal.signal(number, lambda caught, _: numbers.append(caught))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if numbers:
        raise KeyboardInterrupt


def _failure(words: tuple[str, ...], run: subprocess.CompletedProcess[str]) -> FarshoreError:
    for line in reversed(run.stderr.strip().splitlines()):
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
            return FarshoreError.from_dict(json.loads(line)["error"])
    said = run.stderr.strip() or run.stdout.strip() or "nothing"
    return FarshoreError(
        "internal", f"farshore {' '.join(words)} ended with {run.returncode} and said: {said}"
    )


def brief(group: Group | None) -> str:
    """A group's state in a line."""
    if group is None:
        return "no answer"
    return "; ".join([f"{group.health}, writes {group.writes}", *(_link(each) for each in group.links)])


def _link(link: Link) -> str:
    text = f"{link.name} {link.state} ({link.reason})"
    if link.progress is not None:
        text += f" {link.progress * 100:.0f} %"
    return text if link.dirty_bytes is None else f"{text}, {format_size(link.dirty_bytes)} dirty"


def _ended(descriptor: int, timeout: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(timeout * 1000))
