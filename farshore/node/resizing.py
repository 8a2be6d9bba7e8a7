"""A volume of a group grows, at every copy of it, while it is used: `group resize` and `grow-copy`.

First everybody is asked whether he could; nothing has changed then. After that each copy makes room, those
at the ends of chains first and the primary last, and only then the primary's engine issues the new size in
the stream. Nothing of that is written down here: room that was made stays, each step asked again changes
nothing, and so the same command goes on where one was cut off. What the engines then have is taken over
into the intent by `grown`.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from farshore.errors import FarshoreError, ProtocolError
from farshore.model.copy_config import CopyConfig, LinkIntent
from farshore.model.options import LinkState
from farshore.model.units import format_size
from farshore.model.volumes import VolumeSpec
from farshore.node import groups, grown, placement, reroutes
from farshore.node.copies import StoredCopy
from farshore.node.disks import SECTOR
from farshore.node.node import Node
from farshore.node.os_errors import as_farshore_error
from farshore.node.peer_client import ask
from farshore.node.peers import Peer
from farshore.store.own_mounts import refuse_own

LOOK_SECONDS = 45.0
ROOM_SECONDS = 600.0
"""For a whole chain: what a device has held behind a volume's end may have to be overwritten."""
_NOTHING = "nothing was changed on any node"


@dataclass(frozen=True, slots=True)
class Larger:
    """What a copy is asked for: room for `size` bytes of a volume, or, with `check`, whether it could."""

    group: bytes
    group_name: str
    volume: int
    size: int
    check: bool

    def to_json(self, link: bytes) -> dict[str, Any]:
        """The arguments of `grow-copy`, of the copy that this link feeds."""
        return {
            "group": self.group.hex(),
            "group_name": self.group_name,
            "link": link.hex(),
            "volume": self.volume,
            "size": self.size,
            "check": self.check,
        }


def from_json(value: Mapping[str, Any]) -> tuple[Larger, bytes]:
    """The inverse of `Larger.to_json`. Raises ProtocolError."""
    try:
        wish = Larger(
            placement.identifier(value["group"]),
            str(value["group_name"]),
            int(value["volume"]),
            int(value["size"]),
            bool(value["check"]),
        )
        link = placement.identifier(value["link"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"a malformed wish for a larger copy: {error!r}") from error
    if not 0 < wish.size <= placement.MOST_BYTES or wish.size % SECTOR:
        raise ProtocolError("a malformed wish for a larger copy: its size")
    return wish, link


async def resize(node: Node, group: str, name: str, size: int) -> dict[str, Any]:
    """The volume has `size` bytes then, at every copy. Raises FarshoreError; no copy is larger then, though
    there may be room for it."""
    async with node.changing(group):
        stored = groups.primary(node, group)
        volume = _find(stored.config, name)
        _refuse_size(group, name, size)
        _refuse_changing(stored.config)
        has = await _size_of(stored, volume)
        if size < has:
            raise _shrinks(group, name, has, size)
        wish = Larger(stored.config.group, group, volume.id, size, True)
        if not await _all_could(node, stored, wish) and size == has:
            raise FarshoreError(
                "wrong-state",
                f"{name} of {group} has {format_size(size)} already, at every copy",
                means=_NOTHING,
                next_step="give a larger size",
            )
        await _make_room(node, stored, replace(wish, check=False))
        await stored.engine.ask("resize", {"volume": volume.id, "size": size}, seconds=15.0)
        await grown.take(node, stored.key)
    text = f"{name} of {group} has grown from {format_size(has)} to {format_size(size)}"
    node.journal.add("volume-resized", text, group=group, volume=name, size=size)
    return {"name": group, "volume": name, "size": size, "before": has}


async def serve_grow(node: Node, peer: Peer, args: Mapping[str, Any]) -> dict[str, Any]:
    """`grow-copy`, of the node that feeds the copy. Without the group's lock: a node above may hold it, also
    where that is this one."""
    wish, link = from_json(args)
    stored = node.copies.following(wish.group, link)
    if stored is None:
        raise FarshoreError(
            "not-found", f"{node.name} holds no copy of {wish.group_name} that follows this link"
        )
    if stored.upstream is None or stored.upstream.peer != peer.id:
        raise FarshoreError("wrong-feeder", f"the copy is not fed by {peer.name}")
    if wish.check:
        return {"short": await _all_could(node, stored, wish)}
    await _make_room(node, stored, wish)
    return {"short": False}


async def _all_could(node: Node, stored: StoredCopy, wish: Larger) -> bool:
    """Whether this copy or one that it feeds has less than is wanted. Raises FarshoreError where one of them
    could not have it."""
    config = stored.config
    answer = (await stored.engine.ask("status"))["group"]
    for link in answer["links"]:
        if link["state"] == LinkState.RESYNCING.value:
            raise FarshoreError(
                "wrong-state",
                f"link {link['name']} of {config.group_name}, from {node.name}, is being resynced",
                means=f"a volume grows while all copies stand still or follow; {_NOTHING}",
                next_step=f"at {node.name}: farshore wait {config.group_name} --for replicating;"
                " then the same command",
            )
    volume = next((each for each in config.volumes if each.id == wish.volume), None)
    if volume is None:
        raise FarshoreError("not-found", f"the copy of {config.group_name} at {node.name} has other volumes")
    short = (await _size_of(stored, volume)) < wish.size
    if short:
        await asyncio.to_thread(_refuse_without_room, node.name, volume.path, wish.size)
    for link in _fed(config):
        answer = await _ask(node, config, link, wish, LOOK_SECONDS)
        short = bool(answer.get("short")) or short
    return short


async def _make_room(node: Node, stored: StoredCopy, wish: Larger) -> None:
    """At the copies that this one feeds, then here."""
    for link in _fed(stored.config):
        await _ask(node, stored.config, link, wish, ROOM_SECONDS)
    try:
        await stored.engine.ask("make-room", {"volume": wish.volume, "size": wish.size}, ROOM_SECONDS)
    except FarshoreError as error:
        if error.code.name == "usage":
            raise _older(f"the engine of {wish.group_name} at {node.name}") from error
        raise


def _fed(config: CopyConfig) -> list[LinkIntent]:
    return [each for each in config.links if not reroutes.replaced_by(config, each)]


async def _ask(
    node: Node, config: CopyConfig, link: LinkIntent, wish: Larger, seconds: float
) -> dict[str, Any]:
    """Raises FarshoreError that names the link: a copy that is out of reach cannot be passed over, since it
    could not be fed any more once it is back."""
    remedy = f"then the same command; or, without that copy: farshore link delete {config.group_name}"
    try:
        peer = node.peers.by_id(link.spec.peer)
        if peer is None:
            raise FarshoreError("not-found", f"{link.peer_name} is no peer of this node any more")
        return await ask(node.identity, peer, "grow-copy", wish.to_json(link.spec.id), seconds)
    except FarshoreError as error:
        if error.code.name == "usage" and "grow-copy" in error.what:
            raise _older(link.peer_name) from error
        if error.code.name not in ("unreachable", "timeout", "not-found", "wrong-feeder"):
            raise
        raise FarshoreError(
            error.code.name,
            f"the copy of {config.group_name} at {link.peer_name} cannot be made larger: {error.what}",
            means="every copy has to have room before one of them grows; no volume has changed its size",
            next_step=f"bring {link.peer_name} back, {remedy} {link.spec.name}",
        ) from error


async def _size_of(stored: StoredCopy, volume: VolumeSpec) -> int:
    """As the engine has it."""
    answer = await stored.engine.ask("status")
    return next(int(each["size"]) for each in answer["group"]["volumes"] if each["name"] == volume.name)


def _refuse_without_room(node: str, path: str, size: int) -> None:
    """Raises FarshoreError where the file cannot, or the device does not, have so many bytes."""
    refuse_own(path)
    try:
        found = Path(path).stat()
        if stat.S_ISBLK(found.st_mode):
            with open(path, "rb") as device:
                has = device.seek(0, os.SEEK_END)
            if has < size:
                raise FarshoreError(
                    "size-mismatch",
                    f"{path} at {node} has {format_size(has)}, and {format_size(size)} are wanted",
                    means=_NOTHING,
                    next_step="enlarge the device itself first (lvextend, say), then the same command again",
                )
            return
        there = os.statvfs(path)
    except OSError as error:
        raise as_farshore_error(error, path) from error
    if there.f_bavail * there.f_frsize < size - found.st_size:
        raise FarshoreError(
            "disk-full",
            f"{path} at {node} cannot become {format_size(size)} large:"
            f" {format_size(there.f_bavail * there.f_frsize)} are free there",
            means=_NOTHING,
            next_step="make room there, then the same command again",
        )


def _refuse_size(group: str, name: str, size: int) -> None:
    if not 0 < size <= placement.MOST_BYTES or size % SECTOR:
        raise FarshoreError(
            "usage",
            f"{name} of {group} cannot have {size} bytes",
            means=_NOTHING,
            next_step=f"a volume has a multiple of {SECTOR} bytes",
        )


def _refuse_changing(config: CopyConfig) -> None:
    name = config.group_name
    for wish in config.reroutes:
        means = f"volumes grow only while it is known who feeds each copy; {_NOTHING}"
        raise FarshoreError(
            "wrong-state", reroutes.why(wish), means=means, next_step=reroutes.next_step(name, wish)
        )
    if config.change is not None:
        raise FarshoreError(
            "wrong-state",
            f"a change of roles of {name} is not done ({config.change.kind})",
            means=f"volumes grow only while it is known which copies there are; {_NOTHING}",
            next_step=f"farshore status {name} says how it goes on",
        )


def _find(config: CopyConfig, name: str) -> VolumeSpec:
    for volume in config.volumes:
        if volume.name == name:
            return volume
    raise FarshoreError(
        "not-found",
        f"group {config.group_name} has no volume {name!r}",
        means=_NOTHING,
        next_step="its volumes: " + ", ".join(each.name for each in config.volumes),
    )


def _older(who: str) -> FarshoreError:
    return FarshoreError(
        "wrong-state",
        f"{who} is of a version that cannot let volumes grow",
        means="every copy has to have room before one of them grows; no volume has changed its size",
        next_step="bring that node up to this version and restart it with its engines, then the same command",
    )


def _shrinks(group: str, name: str, has: int, wanted: int) -> FarshoreError:
    return FarshoreError(
        "size-mismatch",
        f"{name} of {group} has {format_size(has)}, and {format_size(wanted)} would be less",
        means=f"no volume becomes smaller: what lies behind the new end would be lost; {_NOTHING}",
        next_step=f"farshore group add {group} --volume NEW=PATH,size=SIZE makes a smaller one to copy to",
    )
