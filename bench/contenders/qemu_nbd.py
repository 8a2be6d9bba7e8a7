"""qemu-nbd: QEMU's own NBD server over a raw file, without replication."""

from bench.contenders.base import Daemon, program, unix_ready, unix_uri


class QemuNbd(Daemon):
    """`qemu-nbd --persistent` on a Unix socket."""

    name = "qemu-nbd"
    label = "qemu-nbd, no replication"

    def start(self) -> str:
        """Start it in the foreground, with the default cache mode."""
        path = self._room.path / "qemu-nbd.sock"
        command = [program("qemu-nbd", "qemu-utils"), "--persistent", "--shared=8", "--format=raw"]
        process = self._processes.start([*command, f"--socket={path}", str(self._room.filled("qemu-nbd"))])
        self._processes.until(process, unix_ready(path))
        return unix_uri(path)
