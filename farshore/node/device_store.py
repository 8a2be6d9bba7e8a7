"""The node's intent for devices: which volumes are to be attached here, one `devices/ID/device.json` each.

Each document is durable before its process is started; while that lives only the level of its log changes.
The same directory holds the process's lock, log and record of a failed start. A device is gone once its
document is.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from farshore.errors import FarshoreError
from farshore.model.device_config import DeviceConfig, from_json, to_json
from farshore.node import documents
from farshore.node.engines import EngineClient
from farshore.node.os_errors import as_farshore_error
from farshore.node.paths import Paths

_WITHOUT = (
    "what is opened through it gets errors until it runs again; the node restarts it when nothing holds it"
)


@dataclass(frozen=True, slots=True)
class StoredDevice:
    """One attached volume: its directory and what should be."""

    directory: Path
    config: DeviceConfig

    @property
    def key(self) -> str:
        return self.config.id

    @property
    def what(self) -> str:
        """GROUP/VOLUME."""
        return f"{self.config.group}/{self.config.volume}"

    @property
    def called(self) -> str:
        """Its process in words."""
        return f"device of {self.what}"

    @property
    def control(self) -> EngineClient:
        """Its process."""
        return EngineClient(self.config.control, self.called, _WITHOUT)


class DeviceStore:
    """All devices of the node, in memory and on disk. Whatever is written says how their processes log."""

    def __init__(self, paths: Paths, log_level: str = "info") -> None:
        """Raises FarshoreError `state-newer`; a damaged record is kept in `unreadable`, the rest goes on."""
        self._paths = paths
        self.log_level = log_level
        self._devices: dict[str, StoredDevice] = {}
        self.unreadable: dict[Path, FarshoreError] = {}
        for directory in sorted(paths.devices.glob("*/")):
            self._load(directory / "device.json")

    def all(self) -> list[StoredDevice]:
        """By group, then volume."""
        return sorted(self._devices.values(), key=lambda each: (each.config.group, each.config.volume))

    def of_group(self, group: str, volume: str | None = None) -> list[StoredDevice]:
        """The devices of a group's volumes, or of one of them."""
        return [
            each for each in self.all() if each.config.group == group and volume in (None, each.config.volume)
        ]

    def put(self, config: DeviceConfig) -> StoredDevice:
        """Writes a device's intent. Raises FarshoreError; nothing is left then."""
        directory = self._paths.devices / config.id
        try:
            return self._write(directory, config)
        except FarshoreError:
            shutil.rmtree(directory, ignore_errors=True)
            raise

    def put_again(self, stored: StoredDevice) -> StoredDevice:
        """Has it log as this store says. Raises FarshoreError; what was stands then."""
        return self._write(stored.directory, stored.config)

    def _write(self, directory: Path, config: DeviceConfig) -> StoredDevice:
        stored = StoredDevice(directory, replace(config, log_level=self.log_level))
        documents.write(directory / "device.json", to_json(stored.config))
        self._devices[stored.key] = stored
        return stored

    def remove(self, stored: StoredDevice) -> None:
        """Forgets a device whose process has ended; that needs no space. Raises FarshoreError."""
        try:
            (stored.directory / "device.json").unlink(missing_ok=True)
            documents.sync_directory(stored.directory)
        except OSError as error:
            raise as_farshore_error(error, stored.directory) from error
        self._devices.pop(stored.key, None)
        shutil.rmtree(stored.directory, ignore_errors=True)  # what stays goes at the next start

    def refuse_attached(self, group: str, volume: str | None = None, socket: str | None = None) -> None:
        """Raises FarshoreError `in-use` while a volume of the group, or this one, is attached; with `socket`,
        while it is through that export."""
        for each in self.of_group(group, volume):
            if socket in (None, each.config.socket):
                raise FarshoreError(
                    "in-use",
                    f"{each.what} is attached as a device",
                    means="nothing was changed",
                    next_step=f"unmount what is mounted from it, then: farshore device detach {each.what}",
                )

    def _load(self, path: Path) -> None:
        try:
            document = documents.read(path)
            if document is None:
                shutil.rmtree(path.parent, ignore_errors=True)  # cut off while it was made or removed
                return
            stored = StoredDevice(path.parent, from_json(document))
        except FarshoreError as error:
            if error.code.name == "state-newer":
                raise
            self.unreadable[path.parent] = error
            return
        self._devices[stored.key] = stored
