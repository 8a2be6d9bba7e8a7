"""Which volumes of the primary copies here NBD clients can open, and under which address.

One Unix socket per copy exports its volumes by name; further exports listen on TCP, or are read-only on a
socket of their own. Making an export that exists gives its address again. The engine carries it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from farshore.errors import FarshoreError
from farshore.model.copy_config import CopyConfig, ExportIntent
from farshore.model.options import Role
from farshore.node import addresses, groups
from farshore.node.copies import StoredCopy
from farshore.node.node import Node


async def create(
    node: Node, group: str, volume: str | None, *, tcp: str | None = None, read_only: bool = False
) -> list[dict[str, Any]]:
    """Exports one volume or all of a group. Raises FarshoreError; nothing was changed then."""
    async with node.changing(group):
        stored = groups.primary(node, group)
        place = _place(node, stored, tcp, read_only)
        wanted = [replace(place, volume=each) for each in _volumes(stored.config, volume)]
        await ensure(node, stored, wanted)
    return [_document(stored.config, each) for each in wanted]


async def ensure(node: Node, stored: StoredCopy, wanted: Sequence[ExportIntent]) -> StoredCopy:
    """Makes those of these exports that are missing; holds the group's lock.

    Raises FarshoreError; nothing was changed then.
    """
    config = stored.config
    missing = [each for each in wanted if each not in config.exports]
    if missing:
        stored = await _apply(node, stored, (*config.exports, *missing))
    for each in missing:
        what = f"{config.group_name}/{_name(config, each.volume)}"
        uri = _uri(config, each)
        node.journal.add("export-created", f"{what} was exported", group=config.group_name, uri=uri)
    return stored


def unix_export(node: Node, stored: StoredCopy, volume: int, *, read_only: bool) -> ExportIntent:
    """The export of a volume on the Unix socket of its copy, whether or not there is one."""
    return replace(_place(node, stored, None, read_only), volume=volume)


async def delete(node: Node, group: str, volume: str | None, tcp: str | None) -> list[dict[str, Any]]:
    """Ends the exports of one volume or all of a group, only those on `tcp` where it is given."""
    async with node.changing(group):
        stored = groups.primary(node, group)
        chosen = set(_volumes(stored.config, volume))
        address = str(addresses.parse(tcp)) if tcp is not None else None
        gone = [
            each
            for each in stored.config.exports
            if each.volume in chosen and (address is None or each.tcp == address)
        ]
        if not gone:
            raise FarshoreError(
                "not-found",
                f"{group} has no such export",
                means="nothing was changed",
                next_step="farshore export list shows what is exported",
            )
        for each in gone:
            if each.unix is not None:
                node.devices.refuse_attached(group, _name(stored.config, each.volume), each.unix)
        await _apply(node, stored, tuple(each for each in stored.config.exports if each not in gone))
    node.journal.add("export-deleted", f"{len(gone)} exports of {group} were ended", group=group)
    return [_document(stored.config, each) for each in gone]


def all_exports(node: Node) -> list[dict[str, Any]]:
    """Of every primary copy on this node."""
    return [
        _document(stored.config, each)
        for stored in node.copies.all()
        if stored.config.role is Role.PRIMARY
        for each in stored.config.exports
    ]


async def _apply(node: Node, stored: StoredCopy, exports: tuple[ExportIntent, ...]) -> StoredCopy:
    fresh = node.put(replace(stored, config=replace(stored.config, exports=exports)))
    try:
        await stored.engine.ask("reload", seconds=15.0)
    except FarshoreError:
        node.put(stored)  # what the engine did not take is not intended either
        raise
    return fresh


def _place(node: Node, stored: StoredCopy, tcp: str | None, read_only: bool) -> ExportIntent:
    if tcp is None:
        unix = node.paths.nbd_socket(stored.config.copy, read_only=read_only)
        return ExportIntent(-1, unix=str(unix), read_only=read_only)
    address = addresses.parse(tcp)
    if address.port == 0:
        raise FarshoreError("usage", "an export needs a port", next_step="write --tcp HOST:PORT")
    return ExportIntent(-1, tcp=str(address), read_only=read_only)


def _volumes(config: CopyConfig, name: str | None) -> list[int]:
    found = [each.id for each in config.volumes if name is None or each.name == name]
    if not found:
        raise FarshoreError(
            "not-found",
            f"group {config.group_name} has no volume {name!r}",
            next_step="its volumes: " + ", ".join(each.name for each in config.volumes),
        )
    return found


def _document(config: CopyConfig, export: ExportIntent) -> dict[str, Any]:
    return {
        "group": config.group_name,
        "volume": _name(config, export.volume),
        "uri": _uri(config, export),
        "read_only": export.read_only,
    }


def _name(config: CopyConfig, volume: int) -> str:
    return next(each.name for each in config.volumes if each.id == volume)


def _uri(config: CopyConfig, export: ExportIntent) -> str:
    name = _name(config, export.volume)
    return f"nbd://{export.tcp}/{name}" if export.tcp else f"nbd+unix:///{name}?socket={export.unix}"
