"""How the devices of this node stand: what their processes say, and what is an event.

A device's process is asked each time; the node keeps nothing of its state. A process that is silent, or that
is not there, has a device all the same: its figures are null, and why says what is known.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from farshore.errors import FarshoreError
from farshore.node.device_store import StoredDevice
from farshore.node.node import Node

STATUS_SECONDS = 2.0
_LOOK_SECONDS = 1.0
_UNKNOWN_FIGURES = ("path", "file", "since", "held", "reconnects", "locked", "flusher")
_log = logging.getLogger(__name__)


async def documents(node: Node) -> list[dict[str, Any]]:
    """Every device of this node, as `device list --json` shows it."""
    return list(await asyncio.gather(*(document(node, each) for each in node.devices.all())))


async def by_volume(node: Node, group: str | None = None) -> dict[tuple[str, str], dict[str, Any]]:
    """The devices of a group, or of all, by the names of group and volume."""
    found = [each for each in node.devices.all() if group in (None, each.config.group)]
    said = await asyncio.gather(*(document(node, each) for each in found))
    return {(each["group"], each["volume"]): each for each in said}


async def document(node: Node, device: StoredDevice) -> dict[str, Any]:
    """One device: what its process says, or why there is none. Figures that nobody knows are null."""
    seen = node.device_supervisor.seen(device.key)
    pid = seen.pid if seen is not None else None
    if seen is not None and seen.running:
        try:
            said = await device.control.ask("status", seconds=STATUS_SECONDS)
        except FarshoreError as error:
            why = f"its process {pid} runs and does not answer: {error.what}"
            following = f"its log is {device.directory / 'device.log'}"
            return described(device, {"state": None, "why": why, "next": following, "pid": pid})
        return described(device, {**said, "pid": pid})
    if seen is not None and seen.error is not None:
        return described(device, {"state": "ended", "why": seen.error.what, "next": seen.error.next_step})
    return described(device, {"state": "starting", "why": "its process is being started"})


def described(device: StoredDevice, said: dict[str, Any]) -> dict[str, Any]:
    """What is said of a device, and with it what was intended."""
    config = device.config
    return {
        **dict.fromkeys(_UNKNOWN_FIGURES),
        "why": None,
        "next": None,
        "pid": None,
        "way": config.way,
        "at": config.at,
        "read_only": config.read_only,
        "size": config.size,
        "hold_seconds": config.hold,
        **said,
        "id": config.id,
        "group": config.group,
        "volume": config.volume,
    }


def is_up(node: Node, device: StoredDevice, adopted: bool) -> None:
    """Its process answers."""
    seen = node.device_supervisor.seen(device.key)
    pid = seen.pid if seen is not None else None
    kind, verb = ("device-adopted", "was found running") if adopted else ("device-started", "was started")
    node.journal.add(
        kind, f"the {device.called} {verb}", group=device.config.group, device=device.key, pid=pid
    )
    if pid is not None:
        node.background.start(follow(node, device, pid), f"states of {device.called}")


def has_ended(node: Node, device: StoredDevice, error: FarshoreError | None) -> None:
    """Its process has ended, or could not be started."""
    fields = {"group": device.config.group, "device": device.key}
    seen = node.device_supervisor.seen(device.key)
    if seen is not None and not seen.wanted:
        node.journal.add("device-stopped", f"the {device.called} was stopped", **fields)
        return
    if error is None:
        text = f"the {device.called} ended: what was open or mounted through it gets errors"
        node.journal.add("device-ended", text, **fields, next="farshore device list")
        return
    text = f"the {device.called} does not run: {error.what}"
    node.journal.add("device-failed", text, **fields, code=error.code.name, next=error.next_step)


async def follow(node: Node, device: StoredDevice, pid: int) -> None:
    """Makes changes of a device's state events, until its process is another one or does not answer."""
    last = "attached"
    while (seen := node.device_supervisor.seen(device.key)) is not None and seen.pid == pid:
        try:
            said = await device.control.ask("status", seconds=STATUS_SECONDS * 5)
        except FarshoreError as error:
            _log.debug("the states of the %s end: %s", device.called, error)
            return
        state = str(said.get("state"))
        if state != last:
            why = f": {said['why']}" if said.get("why") else ""
            text = f"the {device.called} is {state}{why}"
            fields = {"group": device.config.group, "device": device.key, "state": state}
            node.journal.add("device-state", text, **fields, next=str(said.get("next") or ""))
            last = state
        await asyncio.sleep(_LOOK_SECONDS)
