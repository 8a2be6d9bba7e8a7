"""A node as a process: starting it, until its API answers or it has said why it cannot, and its end.

The node is a process of its own session, so that it outlives the terminal. What it writes before it has a
log of its own goes to `node.log` in its state directory; a node that ends early leaves its error as the
last line there, and that is what the operator is told.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from farshore.client import Node
from farshore.client.answers import NodeInfo
from farshore.errors import FarshoreError

_MODULE = "farshore.api.process"
_READY_S = 30.0
_LOOK_S = 0.05
_FULL = (errno.ENOSPC, errno.EDQUOT)
_TAIL = 16 << 10  # bytes of the log that are looked at for an error


@dataclass(frozen=True, slots=True)
class Start:
    """What `farshore node start` was told."""

    state: Path
    api: str | None = None
    listen: str | None = None
    name: str | None = None

    @property
    def command(self) -> list[str]:
        """The process to run."""
        words = [sys.executable, "-m", _MODULE, "--state", str(self.state)]
        for option in ("api", "listen", "name"):
            value = getattr(self, option)
            if value is not None:
                words += [f"--{option}", value]
        return words


def in_foreground(start: Start) -> None:
    """Becomes the node: for a service manager, which wants to hold the process itself."""
    os.execv(sys.executable, start.command)


def in_background(start: Start) -> NodeInfo:
    """Starts the node and returns what it says of itself once its API answers."""
    try:
        start.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (start.state / "node.log").open("ab") as log:
            began = log.tell()
            process = subprocess.Popen(
                start.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )
    except PermissionError as error:
        raise FarshoreError(
            "permission",
            f"the state directory {start.state} cannot be written: {error.strerror}",
            means="nothing was started",
            next_step="choose another with --state DIR, or run the command as the directory's owner",
        ) from error
    except OSError as error:
        code = "disk-full" if error.errno in _FULL else "io-error"
        raise FarshoreError(
            code,
            f"the state directory {start.state}: {error.strerror}",
            means="nothing was started; engines that ran before run on",
            next_step=f"see what is there (df {start.state}), or choose another with --state DIR",
        ) from error
    try:
        return _ready(start, process, began)
    except KeyboardInterrupt:
        process.terminate()  # whoever interrupts a start does not want a node
        raise


class End:
    """Watches a node's process from before it is told to stop, so that `wait` sees the right one end."""

    def __init__(self, info: NodeInfo) -> None:
        self._info = info
        self._descriptor = -1

    def __enter__(self) -> Self:
        # A node behind an address may live on another host, where its pid means nothing to us.
        if self._info.api.startswith("unix:"):
            with contextlib.suppress(ProcessLookupError):  # it has ended already: nothing to wait for
                self._descriptor = os.pidfd_open(self._info.pid)
        return self

    def wait(self) -> None:
        """Returns when the process is gone. Raises FarshoreError `timeout`."""
        if self._descriptor < 0:
            return
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        if not poll.poll(_READY_S * 1000):
            raise FarshoreError(
                "timeout",
                f"node {self._info.node.name} (pid {self._info.pid}) was told to stop and still runs",
                means="engines are not affected",
                next_step="farshore doctor",
            )

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)


def _ready(start: Start, process: subprocess.Popen[bytes], began: int) -> NodeInfo:
    node = Node(state=str(start.state), timeout=_READY_S)
    deadline = time.monotonic() + _READY_S
    pulse = threading.Event()
    while True:
        if process.poll() is not None:
            raise _reason(start.state / "node.log", began, process.returncode)
        try:
            info = node.show()
        except FarshoreError as error:
            if error.code.name not in ("unreachable", "state-damaged"):
                raise
        else:
            if info.pid == process.pid:
                return info
        if time.monotonic() > deadline:
            raise FarshoreError(
                "timeout",
                f"the node (pid {process.pid}) runs, but its API does not answer after {_READY_S:g} s",
                means="engines that ran before run on",
                next_step=f"look into {start.state / 'node.log'}; farshore doctor --state {start.state}",
            )
        pulse.wait(_LOOK_S)


def _reason(log: Path, began: int, code: int) -> FarshoreError:
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(began, size - _TAIL))
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
    for line in reversed(lines):
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict) and {"code", "what"} <= said.keys():
            return FarshoreError.from_dict(said)
    if not lines:
        _refuse_if_full(log)
    last = lines[-1] if lines else "it wrote nothing"
    return FarshoreError(
        "internal",
        f"the node ended with code {code} before its API answered: {last[:200]}",
        means="nothing was started; volumes were not touched",
        next_step=f"look into {log}",
    )


def _refuse_if_full(log: Path) -> None:
    """On a full disk a node cannot even write down what kept it from starting."""
    try:
        with log.open("ab", buffering=0) as file:
            file.write(b"\n")
    except OSError as error:
        if error.errno not in _FULL:
            return  # the log cannot be written, which is not what ended the node
        raise FarshoreError(
            "disk-full",
            f"{log.parent}: {error.strerror}",
            means="nothing was started; engines that ran before run on",
            next_step=f"free space there (df {log.parent}), then start the node again",
        ) from error
