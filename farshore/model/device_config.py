"""What a node tells a device process: one volume's export, and what to make of it, as one JSON document.

The node writes it to `device.json` in the device's directory before it starts the process, and changes
nothing of it but its size and the level of the log while that process lives. It holds intent only; how the
device stands is asked over its control socket.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Final

from farshore.errors import FarshoreError

DEVICE_VERSION: Final = 1
DEFAULT_HOLD: Final = 600.0
"""Seconds that requests are held while the engine is away."""
WAYS: Final = ("auto", "kernel", "loop", "file")

_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class DeviceConfig:
    """One attached volume. `id`: 16 hexadecimal digits of a random number."""

    id: str
    group: str
    volume: str
    socket: str
    """Path of the engine's NBD socket."""
    export: str
    """Name of the export there."""
    size: int
    """Bytes."""
    identity: str
    """What the export says it is (`identity_of`); empty: whatever it says will do."""
    mount: str
    """Directory on which the file system with the file is mounted; the device process makes it."""
    control: str
    """Path of the device's control socket."""
    way: str = "auto"
    """One of `WAYS`; `auto` is `loop` where that is permitted, else `file`."""
    at: str | None = None
    """Path of a symbolic link to make to what programs open."""
    hold: float = DEFAULT_HOLD
    read_only: bool = False
    log_level: str = "info"
    """What its process writes into its log: `debug`, `info`, `warning` or `error`. This, and the size, which
    may become larger, may change while the process lives, which reads them when it is told to `reload`."""


def identity_of(group: bytes, volume: int, turn: bytes = b"") -> str:
    """The description of an export of the volume with this id, in the group with this id.

    `turn` is the one by which the copy became the primary, if it was not so from the beginning: what caches
    know of a volume is worth nothing once another copy was written in between, and a device that was attached
    before then takes the export for another volume.
    """
    return f"farshore {group.hex()} {volume:x}" + (f" {turn.hex()}" if turn else "")


def to_json(config: DeviceConfig) -> dict[str, Any]:
    """The document, ready for `json.dumps`."""
    return {"version": DEVICE_VERSION, **asdict(config)}


def from_json(document: dict[str, Any]) -> DeviceConfig:
    """The inverse of `to_json`.

    Raises FarshoreError `state-newer` for a later version and `state-damaged` for anything malformed.
    """
    try:
        version = int(document["version"])
        if version > DEVICE_VERSION:
            raise FarshoreError(
                "state-newer",
                f"device.json has version {version}, this device process knows {DEVICE_VERSION}",
                means="The volume is not attached; nothing was changed.",
                next_step="farshore doctor",
            )
        at = document.get("at")
        config = DeviceConfig(
            **{name: str(document[name]) for name in _WORDS},
            size=int(document["size"]),
            way=str(document.get("way", "auto")),
            at=None if at is None else str(at),
            hold=float(document.get("hold", DEFAULT_HOLD)),
            read_only=bool(document.get("read_only", False)),
            log_level=str(document.get("log_level", "info")),
        )
        _check(config)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FarshoreError(
            "state-damaged",
            f"device.json is malformed: {error!r}",
            means="The volume is not attached; nothing was changed.",
            next_step="farshore device list",
        ) from error
    return config


_WORDS: Final = ("id", "group", "volume", "socket", "export", "identity", "mount", "control")


def _check(config: DeviceConfig) -> None:
    if not _ID.fullmatch(config.id):
        raise ValueError(f"{config.id!r} is not an id of a device")
    if config.way not in WAYS:
        raise ValueError(f"way {config.way!r} is none of {', '.join(WAYS)}")
    if config.size <= 0 or config.hold <= 0:
        raise ValueError("size and hold are greater than 0")
    for path in (config.socket, config.mount, config.control, config.at or "/"):
        if not path.startswith("/"):
            raise ValueError(f"{path!r} is not an absolute path")
