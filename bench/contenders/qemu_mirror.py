"""QEMU's mirror job in qemu-storage-daemon: the nearest thing to synchronous replication that QEMU has.

copy-mode=write-blocking makes a write wait for the replica, which is an export of a second process.
QEMU writes locally first and to the replica afterwards, and sends it neither FLUSH nor FUA.

Ours reaches its replica over TCP, so the judged form does too. There QEMU's small requests wait for
delayed acknowledgements now and then; the form with a Unix socket between the processes, which no
second site could use, shows what the job itself costs.
"""

from collections.abc import Callable
from pathlib import Path

from bench.contenders.base import (
    Daemon,
    Unfair,
    free_port,
    program,
    tcp_ready,
    unix_ready,
    unix_uri,
)
from bench.contenders.qmp import Monitor

_COPY_LIMIT = 120.0


class QemuMirror(Daemon):
    """blockdev-mirror from one process to an NBD export of another, over TCP on the loopback interface."""

    name = "qemu-mirror"
    label = "QEMU mirror, write-blocking"

    def start(self) -> str:
        """Start both, then the job, and wait until it is in step."""
        replica = [program("qemu-nbd", "qemu-utils"), "--persistent", "--shared=8", "--format=raw"]
        options, server, ready = self._line()
        process = self._processes.start([*replica, *options, str(self._room.filled(f"{self.name}-b"))])
        self._processes.until(process, ready)
        exported = self._room.path / f"{self.name}.sock"
        local = self._room.filled(f"{self.name}-a")
        daemon = [program("qemu-storage-daemon", "qemu-system-common")]
        daemon += ["--blockdev", f"driver=file,node-name=file,filename={local}"]
        daemon += ["--blockdev", "driver=raw,node-name=volume,file=file"]
        daemon += ["--blockdev", f"driver=nbd,node-name=replica,{server},export="]
        daemon += ["--nbd-server", f"addr.type=unix,addr.path={exported},max-connections=16"]
        daemon += ["--export", "type=nbd,id=export,node-name=volume,name=volume,writable=on"]
        daemon += ["--chardev", f"socket,id=monitor,path={self._monitor},server=on,wait=off"]
        daemon += ["--monitor", "chardev=monitor"]
        process = self._processes.start(daemon)
        self._processes.until(process, self._monitor.exists)
        with Monitor(self._monitor) as qmp:
            job = {"job-id": "mirror", "device": "volume", "target": "replica", "sync": "full"}
            qmp.do("blockdev-mirror", **job, **{"copy-mode": "write-blocking"})
            qmp.until_event("BLOCK_JOB_READY", _COPY_LIMIT)
        return unix_uri(exported, "volume")

    def settle(self) -> None:
        """A job that met an error is cancelled and its export goes on alone: that must not count."""
        with Monitor(self._monitor) as qmp:
            jobs = qmp.do("query-block-jobs")
        if not any(job["ready"] and job["io-status"] == "ok" for job in jobs):
            raise Unfair(f"QEMU's mirror job is not in step: {jobs}")

    def _line(self) -> tuple[list[str], str, Callable[[], bool]]:
        """How the replica listens, how it is reached, and whether it can be."""
        port = free_port()
        server = f"server.type=inet,server.host=127.0.0.1,server.port={port}"
        return ["--bind=127.0.0.1", f"--port={port}"], server, tcp_ready(port)

    @property
    def _monitor(self) -> Path:
        return self._room.path / f"{self.name}.qmp"


class QemuMirrorUnix(QemuMirror):
    """The same with a Unix socket between the two processes."""

    name = "qemu-mirror-unix"
    label = "QEMU mirror, replica by Unix socket"

    def _line(self) -> tuple[list[str], str, Callable[[], bool]]:
        path = self._room.path / f"{self.name}.replica"
        return [f"--socket={path}"], f"server.type=unix,server.path={path}", unix_ready(path)
