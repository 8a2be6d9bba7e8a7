"""Hosts that are driven through the command line alone, each with a state directory of its own."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.command_line import CommandLine, pair
from tests.processes import Processes


class Host(CommandLine):
    """A state directory and its command line; what runs for it is found and held through that alone."""

    def __init__(self, state: Path, processes: Processes) -> None:
        super().__init__(state)
        self.processes = processes

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


def start_paired(a: Host, b: Host) -> None:
    """Starts both nodes, site-a and site-b, and pairs them."""
    a.start("--name", "site-a")
    b.start("--name", "site-b")
    pair(a, b)
