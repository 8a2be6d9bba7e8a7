"""Attaches volumes of the primary copies here as devices, and detaches them.

Each attached volume has a process of its own (`farshore.device`), which a supervisor keeps as it keeps
engines. What is attached is intent: it survives the node and the host, until it is detached. A device that is
in use is never stopped; a process that was killed is replaced once nothing holds what it left behind
(`dead_devices`).
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farshore.errors import FarshoreError
from farshore.model.copy_config import CopyConfig, ExportIntent
from farshore.model.device_config import WAYS, DeviceConfig, identity_of
from farshore.model.volumes import VolumeSpec
from farshore.node import dead_devices, device_states, engine_process, exports, groups
from farshore.node.device_store import StoredDevice
from farshore.node.node import Node
from farshore.settings.known import LONGEST_HOLD
from farshore.store.mounts import mounts
from farshore.store.own_mounts import refuse_own

STOP_SECONDS = 20.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeviceWish:
    """A volume, or every volume of a group, to be attached. `hold` in seconds, None for the node's own."""

    group: str
    volume: str | None = None
    at: str | None = None
    way: str = "auto"
    hold: float | None = None
    read_only: bool = False


async def attach(node: Node, wish: DeviceWish) -> list[dict[str, Any]]:
    """Attaches, and returns when the devices can be used. Raises FarshoreError; nothing was changed then."""
    _check(wish)
    made: list[StoredDevice] = []
    async with node.changing(wish.group):
        stored = groups.primary(node, wish.group)
        chosen = _volumes(stored.config, wish)
        for volume in chosen:
            _refuse_attached(node, wish.group, volume.name)
        if wish.at is not None:
            await asyncio.to_thread(_refuse_place, wish.at)
        exported = stored.config.exports
        wanted = [exports.unix_export(node, stored, each.id, read_only=wish.read_only) for each in chosen]
        stored = await exports.ensure(node, stored, wanted)
        try:
            for volume, export in zip(chosen, wanted, strict=True):
                made.append(node.devices.put(_config(node, stored.config, wish, volume, export)))
                await node.device_supervisor.bring_up(made[-1])
        except BaseException:
            for each in made:
                await _take_back(node, each)
            await exports.take_back(node, stored, exported)
            raise
    for each in made:
        node.journal.add("device-attached", f"{each.what} was attached", group=wish.group, device=each.key)
    return list(await asyncio.gather(*(device_states.document(node, each) for each in made)))


async def detach(node: Node, group: str, volume: str | None) -> list[dict[str, Any]]:
    """Detaches a volume, or all of a group. Raises FarshoreError; a device that is in use stays as it is."""
    async with node.changing(group):
        found = node.devices.of_group(group, volume)
        if not found:
            what = group if volume is None else f"{group}/{volume}"
            raise FarshoreError(
                "not-found",
                f"{what} is not attached on this node",
                means="nothing was changed",
                next_step="farshore device list shows what is",
            )
        for each in found:
            await _stop(node, each)
            try:
                node.devices.remove(each)
            except FarshoreError:
                node.device_supervisor.want(each)
                raise
            node.journal.add("device-detached", f"{each.what} was detached", group=group, device=each.key)
    return [device_states.described(each, {"state": "detached"}) for each in found]


async def stop_all(node: Node) -> None:
    """Stops every device's process; the next start of the node attaches them again.

    Raises FarshoreError `in-use`; all of them go on then.
    """
    stopped: list[StoredDevice] = []
    try:
        for each in node.devices.all():
            await _stop(node, each)
            stopped.append(each)
    except FarshoreError:
        for each in stopped:
            node.device_supervisor.want(each)
        raise


class Remains:
    """What may keep a process from ending: see `wards.Around`."""

    async def after_kill(self, ward: StoredDevice) -> None:
        try:
            await dead_devices.abort(ward.directory)
        except FarshoreError as error:  # an ordinary user's process opens no file of its own
            _log.info("what still waits for the %s was not ended: %s", ward.called, error)


def _check(wish: DeviceWish) -> None:
    if wish.way not in WAYS:
        raise FarshoreError("usage", f"--way {wish.way} is unknown", next_step="use " + ", ".join(WAYS))
    if wish.hold is not None and not 0 < wish.hold <= LONGEST_HOLD:
        raise FarshoreError(
            "usage",
            f"requests cannot be held for {wish.hold:g} s",
            means="nothing was changed",
            next_step="use --hold 10m, and at most 30d",
        )
    if wish.at is not None and not wish.at.startswith("/"):
        raise FarshoreError("usage", f"{wish.at} is not an absolute path", next_step="begin it with /")


def _volumes(config: CopyConfig, wish: DeviceWish) -> Sequence[VolumeSpec]:
    found = [each for each in config.volumes if wish.volume in (None, each.name)]
    names = ", ".join(each.name for each in config.volumes)
    if not found:
        raise FarshoreError(
            "not-found",
            f"group {wish.group} has no volume {wish.volume!r}",
            means="nothing was changed",
            next_step=f"its volumes: {names}",
        )
    if wish.at is not None and len(found) > 1:
        raise FarshoreError(
            "usage",
            f"{wish.at} can lead to one device, and {wish.group} has {len(found)} volumes",
            means="nothing was changed",
            next_step=f"name the volume, {wish.group}/VOLUME; one of: {names}",
        )
    return found


def _refuse_attached(node: Node, group: str, volume: str) -> None:
    if node.devices.of_group(group, volume):
        raise FarshoreError(
            "exists",
            f"{group}/{volume} is attached already",
            means="nothing was changed",
            next_step=f"farshore device list shows where; farshore device detach {group}/{volume} ends it",
        )


def _refuse_place(at: str) -> None:
    parent = Path(at).parent
    refuse_own(str(parent))
    if any(mount.point == at for mount in mounts()) or os.path.lexists(at):
        raise FarshoreError(
            "exists",
            f"{at} is there already",
            means="nothing was changed",
            next_step="choose another path for --at, or remove what is there",
        )
    if not parent.is_dir():
        raise FarshoreError(
            "not-found",
            f"{parent} is not a directory",
            means="nothing was changed",
            next_step="make it first, or choose another path for --at",
        )


def _config(
    node: Node, config: CopyConfig, wish: DeviceWish, volume: VolumeSpec, export: ExportIntent
) -> DeviceConfig:
    number = os.urandom(8).hex()
    return DeviceConfig(
        id=number,
        group=config.group_name,
        volume=volume.name,
        socket=str(export.unix),
        export=volume.name,
        size=volume.size,
        identity=identity_of(config.group, volume.id, config.turn.id if config.turn is not None else b""),
        mount=str(node.paths.device_mount(number)),
        control=str(node.paths.device_socket(number)),
        way=wish.way,
        at=wish.at,
        hold=node.hold if wish.hold is None else wish.hold,
        read_only=wish.read_only,
    )


async def _stop(node: Node, device: StoredDevice) -> None:
    """Ends a device's process where it is not in use. Raises FarshoreError; it is kept as before then."""
    supervisor = node.device_supervisor
    seen = supervisor.seen(device.key)
    watched = seen is not None and seen.watch is not None
    if watched or await asyncio.to_thread(engine_process.holder, device.directory) is not None:
        await _ask_down(node, device)
    else:
        await supervisor.take_down(device)
    try:
        await dead_devices.clear(device.directory)  # of a process that was killed something may be left
    except FarshoreError as error:
        supervisor.want(device)
        if error.code.name != "permission":
            raise
        await _clear_by_a_process(node, device)


async def _clear_by_a_process(node: Node, device: StoredDevice) -> None:
    """Its own process may do what this node may not, and does it before all else, even where it can do
    nothing more."""
    try:
        await _ask_down(node, device)
    except FarshoreError as error:
        seen = node.device_supervisor.seen(device.key)
        if seen is not None and seen.watch is not None:  # it is in use, for all we know
            raise
        await node.device_supervisor.take_down(device)
        try:
            await dead_devices.clear(device.directory)
        except FarshoreError:
            node.device_supervisor.want(device)
            raise error from None


async def _ask_down(node: Node, device: StoredDevice) -> None:
    """The process is asked, also one that this node has not met yet: whether it is in use, it alone knows."""
    try:
        await node.device_supervisor.bring_up(device, STOP_SECONDS)
        await node.device_supervisor.ask_down(device, {"lazy": False}, STOP_SECONDS)
    except FarshoreError as error:
        if error.code.name != "timeout":
            raise
        raise FarshoreError(
            "timeout",
            f"{device.what} was not detached within {STOP_SECONDS:g} s",
            means="it stays attached; what was confirmed is safe",
            next_step=f"see whether its engine runs: farshore status {device.config.group}",
        ) from error


async def _take_back(node: Node, device: StoredDevice) -> None:
    """Removes a device that could not be attached as it was wished. One that somebody uses already stays."""
    supervisor = node.device_supervisor
    seen = supervisor.seen(device.key)
    try:
        if seen is not None and seen.running:
            await supervisor.ask_down(device, {"lazy": False}, STOP_SECONDS)
        else:
            await supervisor.take_down(device)
    except FarshoreError as error:
        _log.warning("the %s stays: %s", device.called, error)
        return
    try:
        await dead_devices.clear(device.directory)
    except FarshoreError as error:
        _log.warning("something is left of the %s: %s", device.called, error)
    node.devices.remove(device)
