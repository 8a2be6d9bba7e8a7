"""Device processes for tests: started, asked, killed, and not left behind, also not by a test that fails."""

import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from farshore.device import loop_device, mounting
from farshore.device.appearance import file_of
from farshore.errors import FarshoreError
from farshore.model.device_config import DeviceConfig, identity_of, to_json
from farshore.wire import control
from tests.integration.engines import GROUP, Engine
from tests.interop.programs import run
from tests.processes import Processes
from tests.waiting import wait_until

_ROOT = Path(__file__).resolve().parents[2]


def config_for(engine: Engine, directory: Path, sockets: Path, volume: str = "data") -> DeviceConfig:
    """An attachment of a volume of this engine."""
    (spec,) = [each for each in engine.config.volumes if each.name == volume]
    (export,) = [each for each in engine.config.exports if each.volume == spec.id]
    assert export.unix is not None
    device = secrets.token_hex(8)
    return DeviceConfig(
        id=device,
        group=engine.config.group_name,
        volume=volume,
        socket=export.unix,
        export=volume,
        size=spec.size,
        identity=identity_of(GROUP, spec.id),
        mount=str(directory / device),
        control=str(sockets / f"{device}.ctl"),
        hold=60.0,
    )


class Attached:
    """One device's directory and process."""

    def __init__(self, processes: Processes, directory: Path, config: DeviceConfig) -> None:
        self.directory = directory / f"device-{config.id}"
        self.directory.mkdir(mode=0o700)
        self.config = config
        self._processes = processes
        self._process: subprocess.Popen[bytes] | None = None

    def change(self, **fields: Any) -> None:
        """Another intent, for the next start."""
        self.config = replace(self.config, **fields)

    def launch(self, user: int | None = None) -> subprocess.Popen[bytes]:
        """Starts the process and does not wait for it. `user`: as whom, for root."""
        (self.directory / "device.json").write_text(json.dumps(to_json(self.config)))
        command = [sys.executable, "-m", "farshore.device", str(self.directory)]
        self._process = self._processes.start(
            command, cwd=_ROOT, output=self.directory / "device.log", user=user
        )
        return self._process

    def start(self) -> Path:
        """Starts the process; what programs open, once that is there."""
        process = self.launch()

        def answers() -> bool:
            assert process.poll() is None, self.log()
            try:
                self.ask("hello")
            except (FileNotFoundError, ConnectionError):
                return False
            return True

        wait_until(answers, 20.0, what="the device answers")
        return self.path

    @property
    def path(self) -> Path:
        """What programs open."""
        return Path(str(self.status()["path"]))

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def ask(self, op: str, timeout: float = 30.0, **args: object) -> dict[str, Any]:
        """The result of one operation. Raises the FarshoreError that the device answers."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(timeout)
            sock.connect(self.config.control)
            sock.sendall(control.encode_request(control.Request(1, op, args)))
            decoder = control.Decoder()
            while data := sock.recv(1 << 16):
                for message in decoder.feed(data):
                    reply = control.as_reply(message)
                    if reply.error is not None:
                        raise reply.error
                    assert isinstance(reply.result, dict)
                    return reply.result
            raise ConnectionResetError("the device closed the control connection")

    def status(self) -> dict[str, Any]:
        """How it stands."""
        return self.ask("status")

    def wait_for(self, state: str, timeout: float = 20.0) -> dict[str, Any]:
        """Waits until it is in that state; its status."""
        wait_until(lambda: self.status()["state"] == state, timeout, what=f"{state}: {self.status()}")
        return self.status()

    def detach(self) -> int:
        """Over the control socket; the exit code."""
        assert self._process is not None
        assert self.ask("stop", lazy=False) == {}
        return self._process.wait(20)

    def ended(self, timeout: float = 20.0) -> int:
        """Waits for its end; the exit code."""
        assert self._process is not None
        return self._process.wait(timeout)

    def kill(self) -> None:
        """SIGKILL: the device breaks."""
        self._processes.kill(self.pid)
        assert self._process is not None
        self._process.wait()

    def failure(self) -> FarshoreError:
        """Why it did not start."""
        return FarshoreError.from_dict(json.loads((self.directory / "failure.json").read_text()))

    def log(self) -> str:
        """Everything that it has said."""
        return (self.directory / "device.log").read_text()

    def events(self, kind: str) -> list[dict[str, Any]]:
        """What it has noted of that kind."""
        lines = (json.loads(line) for line in self.log().splitlines() if line.startswith("{"))
        return [line for line in lines if line.get("kind") == kind]

    def clear_away(self) -> None:
        """After a test, whatever became of it: nobody waits any more, and nothing is left."""
        if self._process is not None and self._process.poll() is None:
            self._processes.kill(self._process.pid)
            self._process.wait()
        file = file_of(self.config)
        for device in (*loop_device.on(file), *loop_device.once_on(file)):
            loop_device.free_when_unused(device)
        mounting.clear_away(self.config.mount)


@contextmanager
def mounted(device: Path, at: Path, *options: str) -> Iterator[Path]:
    """The file system on a device."""
    at.mkdir(exist_ok=True)
    run("mount", *options, device, at)
    try:
        yield at
    except BaseException:
        subprocess.run(["umount", "-l", str(at)], check=False, timeout=30)
        raise
    else:
        run("umount", at)


def open_direct(path: Path) -> int:
    """A descriptor for reading and writing past the page cache."""
    return os.open(path, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
