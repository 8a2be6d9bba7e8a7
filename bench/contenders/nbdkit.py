"""nbdkit's file plugin: a fast NBD server over a file, without replication."""

from bench.contenders.base import Daemon, program, unix_ready, unix_uri


class Nbdkit(Daemon):
    """`nbdkit file` on a Unix socket."""

    name = "nbdkit"
    label = "nbdkit file, no replication"

    def start(self) -> str:
        """Start it in the foreground."""
        path = self._room.path / "nbdkit.sock"
        command = [program("nbdkit", "nbdkit"), "--foreground", "--unix", str(path), "file"]
        process = self._processes.start([*command, str(self._room.filled("nbdkit"))])
        self._processes.until(process, unix_ready(path))
        return unix_uri(path)
