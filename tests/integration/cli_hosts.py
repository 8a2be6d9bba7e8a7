"""Hosts that are driven through the command line alone, each with a state directory of its own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.processes import Processes

ROOT = Path(__file__).resolve().parents[2]


class Host:
    """A state directory, and the command line for it."""

    def __init__(self, state: Path, processes: Processes) -> None:
        self.state = state
        self.processes = processes

    def farshore(self, *words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a command with FARSHORE_STATE set to this host's directory."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("FARSHORE_")}
        return subprocess.run(
            [sys.executable, "-m", "farshore", *words],
            cwd=ROOT,
            env={**clean, "FARSHORE_STATE": str(self.state), **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def done(self, *words: str) -> Any:
        """Runs a command that has to succeed; its JSON document, where it has one."""
        run = self.farshore(*words)
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout) if "--json" in words else run.stdout

    def start(self, *words: str) -> dict[str, Any]:
        """Starts the node on a free port; what it says of itself."""
        shown: dict[str, Any] = self.done("node", "start", "--listen", "127.0.0.1:0", "--json", *words)
        self.processes.adopt(shown["pid"])
        return shown

    def engine(self, group: str) -> int:
        """The pid of the group's engine, held from now on."""
        engines = self.done("node", "show", "--json")["engines"]
        (pid,) = [each["pid"] for each in engines if each["group"] == group]
        self.processes.adopt(pid)
        return int(pid)

    def link(self, group: str, name: str) -> dict[str, Any]:
        """A link as status shows it."""
        (found,) = self.done("status", group, "--json")["groups"]
        (link,) = [each for each in found["links"] if each["name"] == name]
        return dict(link)


@contextmanager
def two_hosts(directory: Path, processes: Processes) -> Iterator[tuple[Host, Host]]:
    """Two hosts whose nodes are not started; at the end their engines are held too, and sockets go."""
    hosts = Host(directory / "a", processes), Host(directory / "b", processes)
    try:
        yield hosts
    finally:
        for host in hosts:
            for lock in host.state.glob("**/lock"):
                text = lock.read_text().strip()
                if text.isdigit() and str(host.state) in _command_of(int(text)):
                    processes.adopt(int(text))
            record = host.state / "node.json"
            run = json.loads(record.read_text()).get("run") if record.exists() else None
            if run:
                processes.close()
                shutil.rmtree(run, ignore_errors=True)


def _command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def pair(a: Host, b: Host) -> None:
    """Starts both nodes, site-a and site-b, and pairs them."""
    a.start("--name", "site-a")
    b.start("--name", "site-b")
    invitation = b.done("node", "invite", "--json")
    joined = a.farshore("node", "join", invitation["address"], env={"FARSHORE_TOKEN": invitation["token"]})
    assert joined.returncode == 0, joined.stderr
