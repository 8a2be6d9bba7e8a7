"""Our own minimal loop, as a contender: what synchronous replication costs at least in plain Python."""

import subprocess
import sys

from bench.contenders.base import Daemon, unix_uri


class Limit(Daemon):
    """`bench.limit` with both of its processes."""

    name = "limit"
    label = "the limit (minimal loop)"

    def start(self) -> str:
        """Start the replica, then the primary."""
        path = self._room.path / "limit.sock"
        port = self._processes.first_line(self._run("replica", str(self._room.filled("limit-b"))))
        local = str(self._room.filled("limit-a"))
        arguments = ("primary", local, "--socket", str(path), "--replica-port", port)
        self._processes.first_line(self._run(*arguments))
        return unix_uri(path)

    def _run(self, *arguments: str) -> "subprocess.Popen[str]":
        return self._processes.start([sys.executable, "-m", "bench.limit", *arguments])
