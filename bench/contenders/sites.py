"""Two Farshore nodes on this machine, set up with the command line as a user would.

Each has a state directory of its own and listens on a free port of the loopback
interface; the first is paired with the second and may place copies in the room. stop() leaves no
process that was started with one of these state directories, even if its node no longer answers.
"""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.contenders.base import CannotStart, Room, free_port
from farshore.client.node import Node

_COMMAND_LIMIT = 180.0
_END_MS = 10_000
NEAR, FAR = "near", "far"


@dataclass(frozen=True, slots=True)
class Group:
    """What one contender wants: a name that is free, and the options of its links; None for no link."""

    name: str
    link: Sequence[str] | None
    copies: int = 1
    """How many links, each to a copy of its own at the far node."""


class Sites:
    """Both nodes. Started when the first contender needs them, stopped once."""

    def __init__(self, room: Room, states: Path | None = None) -> None:
        """Volumes lie in the room; state directories too, unless `states` is another place for them."""
        self._room = room
        self._states = states or room.path
        self._command = ""
        self._started: set[str] = set()

    def start(self) -> None:
        """Start and pair both nodes; again is no work. Raises CannotStart."""
        if self._started == {NEAR, FAR}:
            return
        for site in (NEAR, FAR):
            self.start_node(site)
        invitation = self.document(FAR, "node", "invite")
        self.run(NEAR, "node", "join", invitation["address"], secret=invitation["token"])
        self.run(FAR, "node", "allow", NEAR, "--path", f"{self._room.path}/*")

    def start_node(self, site: str) -> None:
        """Start one, on the processors that this thread may use; again is no work. Raises CannotStart."""
        if site in self._started:
            return
        self._command = _installed()
        places = ("--state", self._state(site), "--api", self._api(site))
        self.run(site, "node", "start", *places, "--listen", f"127.0.0.1:{free_port()}", "--name", site)
        self._started.add(site)

    def group(self, wanted: Group) -> str:
        """Make a group of one volume, wait until its copies are in step; the URI of its export."""
        self.start()
        near = self._room.filled(f"{wanted.name}-near")
        self.run(NEAR, "group", "create", wanted.name, "--volume", f"volume={near}")
        if wanted.link is not None:
            for number in range(1, wanted.copies + 1):
                far = self._room.blank(f"{wanted.name}-far-{number}")
                place = ("--name", f"{FAR}-{number}", "--place", f"volume={far}")
                self.run(NEAR, "link", "create", wanted.name, FAR, *place, *wanted.link)
            self.run(NEAR, "wait", wanted.name, "--timeout", "120s")
        exported = self.run(NEAR, "export", wanted.name).split()
        if not exported:
            raise CannotStart(f"`farshore export {wanted.name}` printed no address")
        return exported[0]

    def status(self, group: str) -> dict[str, Any]:
        """The group as `farshore status GROUP --json` shows it at the near site."""
        found: dict[str, Any] = self.document(NEAR, "status", group)["groups"][0]
        return found

    def node(self, site: str) -> Node:
        """The node at a site as an object, for whoever asks too often for a command each time."""
        return Node(self._state(site), self._api(site))

    def stop(self) -> None:
        """Stop nodes and engines, and kill what is left of them."""
        if not self._command:
            return
        left = [pidfd for site in (NEAR, FAR) for pidfd in _running(self._state(site))]
        for site in (NEAR, FAR):
            self._call(site, ("node", "stop", "--engines"), None)  # a node that is gone already refuses
        for pidfd in left:
            if not _ended(pidfd):
                _kill(pidfd)
            os.close(pidfd)
        self._command = ""

    def document(self, site: str, *arguments: str) -> dict[str, Any]:
        """What a command prints with --json. Raises CannotStart."""
        said = self.run(site, *arguments, "--json")
        try:
            found: dict[str, Any] = json.loads(said)
        except ValueError as broken:
            raise CannotStart(f"`farshore {' '.join(arguments)} --json` printed {said[:200]!r}") from broken
        return found

    def run(self, site: str, *arguments: str, secret: str | None = None) -> str:
        """The output of one command at a site; CannotStart with its last words if it fails."""
        done = self._call(site, arguments, secret)
        if done.returncode:
            words = done.stderr.strip().splitlines() or ["nothing was said"]
            command = " ".join(("farshore", *arguments[:2]))
            raise CannotStart(f"`{command}` ended with {done.returncode}: {words[0]}")
        return done.stdout

    def _call(
        self, site: str, arguments: Sequence[str], secret: str | None
    ) -> "subprocess.CompletedProcess[str]":
        chosen = {"FARSHORE_STATE": self._state(site), "FARSHORE_API": self._api(site)}
        environment = {**os.environ, **chosen}
        if secret is not None:
            environment["FARSHORE_TOKEN"] = secret
        command = [self._command, *arguments]
        try:
            return subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=_COMMAND_LIMIT,
            )
        except subprocess.TimeoutExpired as late:
            raise CannotStart(f"`{' '.join(command)}` took longer than {_COMMAND_LIMIT:.0f} s") from late

    def _state(self, site: str) -> str:
        return str(self._states / site)

    def _api(self, site: str) -> str:
        return f"unix:{self._room.path / site}.api"


def _installed() -> str:
    """The `farshore` command of this Python's environment, else the one on the path."""
    beside = Path(sys.executable).with_name("farshore")
    found = str(beside) if beside.exists() else shutil.which("farshore")
    if found is None:
        raise CannotStart("the command farshore is not installed: run `make setup`")
    return found


def _running(state: str) -> list[int]:
    """Pidfds of the processes that were started with this state directory; nobody else knows its name."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            pidfd = os.pidfd_open(int(entry.name))
        except OSError:
            continue  # it ended, or is a thread
        if _names(entry, state):
            found.append(pidfd)
        else:
            os.close(pidfd)
    return found


def _names(process: Path, state: str) -> bool:
    """Whether a word of the process's command is the directory or lies in it."""
    try:
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return False
    return any(word == state or word.startswith(f"{state}/") for word in words)


def _ended(pidfd: int) -> bool:
    """Whether the process ends within the limit."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(_END_MS))


def _kill(pidfd: int) -> None:
    """End a process that did not end by itself, and wait until it has."""
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        return  # it ended just now
    _ended(pidfd)
