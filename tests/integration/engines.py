"""Real engine processes, without a node: the test writes their intent, asks them, and hands sockets on.

`Engine` is one copy's process and its control socket. `Door` does the node's part for a follower: it
takes peers' connections on loopback, reads their preface and passes the socket to an engine; while it
is shut, connections are refused, and those that passed through it can be cut.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from farshore.errors import FarshoreError
from farshore.model.copy_config import CopyConfig, ExportIntent, LinkIntent, UpstreamIntent, to_json
from farshore.model.options import LinkOptions, LinkSpec, Role
from farshore.model.volumes import VolumeSpec
from farshore.wire import control, preface
from tests.interop.programs import run
from tests.processes import Processes
from tests.requires import program
from tests.unit.engine.keys import Key
from tests.waiting import wait_until

GROUP = bytes(range(16))
LINK = bytes(range(16, 32))
HOP = bytes(range(32, 48))
"""The link of a secondary that feeds a third copy."""


@dataclass(frozen=True, slots=True)
class Load:
    """What an application under load does."""

    longest: str
    """The longest write, as fio takes it; the shortest has 4 KiB."""
    flush_every: int
    """Writes between two flushes."""


class Engine:
    """One copy's engine."""

    def __init__(
        self, processes: Processes, directory: Path, config: CopyConfig, peers: Iterable[Key]
    ) -> None:
        self.directory = directory
        self.config = config
        self._processes = processes
        self._process: subprocess.Popen[bytes] | None = None
        self.environment: Mapping[str, str] | None = None
        """What it is started with, in place of the test's own."""
        (directory / "peers").mkdir(parents=True)
        for peer in peers:
            shutil.copy(peer.certificate, directory / "peers" / f"{peer.fingerprint}.pem")
        self.write_intent(config)

    def write_intent(self, config: CopyConfig) -> None:
        """Puts `copy.json` in place."""
        self.config = config
        beside = self.directory / "copy.json.new"
        beside.write_text(json.dumps(to_json(config)))
        beside.rename(self.directory / "copy.json")

    # -- process ----------------------------------------------------------------------------

    def launch(self) -> subprocess.Popen[bytes]:
        """Starts the process and does not wait for it."""
        command = [sys.executable, "-m", "farshore.engine.process", str(self.directory)]
        self._process = self._processes.start(
            command, output=self.directory / "engine.log", env=self.environment
        )
        return self._process

    def start(self) -> None:
        """Starts the process; returns when it answers."""
        process = self.launch()

        def answers() -> bool:
            assert process.poll() is None, self.log()
            return self.listening()

        wait_until(answers, what="the engine answers")

    def listening(self) -> bool:
        """Whether something answers at the control socket."""
        try:
            self.ask("hello")
        except (FileNotFoundError, ConnectionError):
            return False
        return True

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._processes.kill(self._process.pid)
        self._process.wait()

    def ended(self, seconds: float) -> bool:
        """Whether the process is gone, or goes before it answers; at most so long is waited for either."""
        assert self._process is not None
        process = self._process
        wait_until(
            lambda: process.poll() is not None or self.listening(), seconds, what="an end or an answer"
        )
        return process.poll() is not None

    def terminate(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(20)

    def log(self) -> str:
        """Everything that it has said."""
        return (self.directory / "engine.log").read_text()

    # -- control ----------------------------------------------------------------------------

    def ask(self, op: str, timeout: float = 30.0, **args: object) -> dict[str, Any]:
        """The result of one operation. Raises the FarshoreError that the engine answers."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(timeout)
            sock.connect(self.config.control)
            sock.sendall(control.encode_request(control.Request(1, op, args)))
            return _answer(sock)

    def adopt(self, peer: socket.socket, shown: bytes) -> None:
        """Hands a peer's socket over."""
        link = preface.decode(shown).link.hex()
        request = control.Request(1, "adopt", {"link": link, "preface": shown.hex()})
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(10.0)
            sock.connect(self.config.control)
            socket.send_fds(sock, [control.encode_request(request)], [peer.fileno()])
            _answer(sock)

    def status(self) -> dict[str, Any]:
        """The group's entry."""
        entry: dict[str, Any] = self.ask("status")["group"]
        return entry

    def link(self) -> dict[str, Any]:
        """The only link's entry."""
        (entry,) = self.status()["links"]
        assert isinstance(entry, dict)
        return entry

    def wait_for_link(self, state: str, timeout: float = 20.0) -> dict[str, Any]:
        """Waits until the only link is in this state; its entry."""
        wait_until(lambda: self.link()["state"] == state, timeout, what=f"link is {state}: {self.link()}")
        return self.link()

    def wait_until_clean(self, timeout: float = 20.0) -> None:
        """Waits until the only link replicates and nothing is owed."""
        wait_until(
            lambda: (entry := self.link())["state"] == "replicating" and entry["dirty_bytes"] == 0,
            timeout,
            what=f"the link is clean: {self.link()}",
        )

    # -- NBD --------------------------------------------------------------------------------

    def uri(self, volume: str = "data") -> str:
        """What an NBD client opens."""
        (entry,) = [each for each in self.status()["volumes"] if each["name"] == volume]
        uri: str = entry["uri"]
        return uri

    def qemu_io(self, *commands: str, volume: str = "data") -> str:
        """Commands of qemu-io on one connection; what it says. Each has to succeed."""
        parts = [part for command in commands for part in ("-c", command)]
        return run("qemu-io", "-f", "raw", *parts, self.uri(volume))

    def load(self, seconds: float, load: Load) -> subprocess.Popen[bytes]:
        """Random writes all over the volume `data` for so long, unless they are killed before."""
        (size,) = [each.size for each in self.config.volumes if each.name == "data"]
        command = [
            program("fio"),
            "--name=load",
            "--ioengine=nbd",
            f"--uri={self.uri()}",
            "--rw=randwrite",
            f"--bsrange=4k-{load.longest}",
            "--iodepth=16",
            f"--size={size}",
            "--time_based",
            f"--runtime={seconds}",
            f"--fsync={load.flush_every}",
            "--randrepeat=0",
            "--norandommap=1",
            "--thread",  # so that killing it kills all of it
        ]
        return self._processes.start(command)


def _answer(sock: socket.socket) -> dict[str, Any]:
    decoder = control.Decoder()
    while True:
        data = sock.recv(1 << 16)
        if not data:
            raise ConnectionResetError("the engine closed the control connection")
        for message in decoder.feed(data):
            reply = control.as_reply(message)
            if reply.error is not None:
                raise reply.error
            assert isinstance(reply.result, dict)
            return reply.result


class Door:
    """See the module. `direct` hands a peer's own socket over, so that nothing can be cut later; else
    bytes pass through here."""

    def __init__(self, follower: Engine, *, direct: bool = False) -> None:
        self.follower = follower
        self._direct = direct
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self._inner = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._passing: list[socket.socket] = []
        self._is_open = True
        self._ended = False
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def _serve(self) -> None:
        while True:
            peer, _ = self._listener.accept()
            if self._ended or not self._is_open:
                peer.close()
            else:
                self._pass_on(peer)
            if self._ended:
                return

    def _pass_on(self, peer: socket.socket) -> None:
        try:
            peer.settimeout(10.0)
            shown = peer.recv(preface.PREFACE_BYTES, socket.MSG_WAITALL)
            if self._direct:
                with peer:
                    self.follower.adopt(peer, shown)
                return
            near = self._behind(shown)
        except (OSError, FarshoreError):
            peer.close()  # the follower is not there; a node does the same
            return
        peer.settimeout(None)
        self._passing += [near, peer]
        for source, sink in ((peer, near), (near, peer)):
            self._threads.append(threading.Thread(target=_pump, args=(source, sink), daemon=True))
            self._threads[-1].start()

    def _behind(self, shown: bytes) -> socket.socket:
        """A connection to the follower for what passes through here."""
        near = socket.create_connection(self._inner.getsockname())
        far, _ = self._inner.accept()
        try:
            with far:
                self.follower.adopt(far, shown)
        except (OSError, FarshoreError):
            near.close()
            raise
        return near

    def shut(self) -> None:
        """Cuts every connection and lets no other through."""
        self._is_open = False
        for end in self._passing:
            _cut(end)

    def open(self) -> None:
        """Lets connections through again."""
        self._is_open = True

    def close(self) -> None:
        """Ends it."""
        self._ended = True
        with socket.create_connection(self._listener.getsockname()):
            self._threads[0].join(20)
        self.shut()
        for thread in self._threads:
            thread.join(20)
        for end in (*self._passing, self._listener, self._inner):
            end.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(1 << 18):
            sink.sendall(data)
    except OSError:
        pass  # one of both ends is gone, and the other one learns it now
    finally:
        _cut(source)
        _cut(sink)


def _cut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


def make_volume(path: Path, size: int) -> Path:
    """A sparse file."""
    with path.open("wb") as file:
        os.truncate(file.fileno(), size)
    return path


def primary_config(directory: Path, sockets: Path, volumes: list[VolumeSpec], key: Key) -> CopyConfig:
    """Intent of a primary that exports all volumes on one Unix socket."""
    name = directory.name
    return CopyConfig(
        group=GROUP,
        group_name="pg",
        copy=b"P" * 16,
        copy_name="pg",
        role=Role.PRIMARY,
        volumes=tuple(volumes),
        control=str(sockets / f"{name}.ctl"),
        certificate=str(key.certificate),
        key=str(key.key),
        node_name="a",
        on_start="alone",
        exports=tuple(ExportIntent(each.id, unix=str(sockets / f"{name}.nbd")) for each in volumes),
    )


def secondary_config(
    directory: Path, sockets: Path, volumes: list[VolumeSpec], key: Key, feeder: Key, wire: str
) -> CopyConfig:
    """Intent of a copy that follows the link of `with_link`."""
    return CopyConfig(
        group=GROUP,
        group_name="pg",
        copy=b"S" * 16,
        copy_name="b",
        role=Role.SECONDARY,
        volumes=tuple(volumes),
        control=str(sockets / f"{directory.name}.ctl"),
        certificate=str(key.certificate),
        key=str(key.key),
        node_name="b",
        upstream=UpstreamIntent(LINK, 1, feeder.fingerprint, "a", wire),
    )


def with_hop(config: CopyConfig, peer: Key, address: str, options: LinkOptions) -> CopyConfig:
    """A secondary's intent with a link of its own."""
    spec = LinkSpec(HOP, "c", peer.fingerprint, options)
    return replace(config, links=(LinkIntent(spec, "c", address),))


def behind_hop(config: CopyConfig, feeder: Key, wire: str) -> CopyConfig:
    """A secondary's intent, for the copy behind the hop of `with_hop`."""
    upstream = UpstreamIntent(HOP, 1, feeder.fingerprint, "b", wire)
    return replace(config, copy=b"T" * 16, copy_name="c", node_name="c", upstream=upstream)


def with_link(config: CopyConfig, peer: Key, address: str, options: LinkOptions) -> CopyConfig:
    """The primary's intent with its one link."""
    spec = LinkSpec(LINK, "b", peer.fingerprint, options)
    return replace(config, links=(LinkIntent(spec, "b", address),))
