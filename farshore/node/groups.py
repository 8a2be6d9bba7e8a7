"""Creates and deletes groups on this node.

A group exists once its engine runs on it: when that fails, everything is taken back, files that were made
for it included, and the engine's reason is what the operator hears. Volumes are never deleted with a group.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from farshore.errors import FarshoreError
from farshore.model.copy_config import CopyConfig, ExportIntent, to_json
from farshore.model.export_address import uri_of
from farshore.model.options import Role
from farshore.model.volumes import VolumeSpec
from farshore.node import chains, disks, giving_up, intent, places
from farshore.node.copies import StoredCopy
from farshore.node.disks import DiskId
from farshore.node.node import Node
from farshore.node.places import Place


async def create(node: Node, wish: intent.GroupWish) -> StoredCopy:
    """A new group with its primary copy here, exported on a Unix socket.

    Raises FarshoreError; nothing was changed then.
    """
    intent.check_group(wish)
    async with node.changing(wish.name):
        if any(each.config.group_name == wish.name for each in node.copies.all()):
            raise FarshoreError(
                "exists",
                f"there is a group {wish.name!r} on this node already",
                means="nothing was changed",
                next_step="choose another name, or farshore group show " + wish.name,
            )
        async with node.places_lock:
            found = await asyncio.to_thread(claim_all, node, wish.volumes)
            try:
                stored = node.copies.put(_config(node, wish, found), ())
            except FarshoreError:
                give_back(found)
                raise
        await start_or_take_back(node, stored, found)
    node.journal.add("group-created", f"group {wish.name} was created", group=wish.name)
    return stored


async def delete(node: Node, name: str) -> None:
    """Stops and forgets this node's copies of a group. Raises FarshoreError; the one that it speaks of, and
    those behind it, go on then."""
    async with node.changing(name):
        found = node.copies.of_group(name)
        node.devices.refuse_attached(name)
        for stored in found:
            await _refuse_needed(node, stored)
        for stored in found:
            await giving_up.give_up(node, stored)
    node.journal.add("group-deleted", f"group {name} was deleted; its volumes stay as they are", group=name)


async def start_or_take_back(node: Node, stored: StoredCopy, made: list[Place]) -> None:
    """Brings a new copy's engine up. Raises why it failed, after taking the copy back."""
    try:
        await node.supervisor.bring_up(stored)
    except BaseException:
        await node.supervisor.take_down(stored)
        node.copies.remove(stored)
        give_back(made)
        raise


def primary(node: Node, name: str) -> StoredCopy:
    """The group's primary copy on this node. Raises FarshoreError `not-found` or `wrong-role`."""
    stored = node.copies.of_group(name)[0]
    if stored.config.role is not Role.PRIMARY:
        upstream = stored.upstream
        where = upstream.peer_name if upstream is not None and upstream.peer_name else "the other node"
        raise FarshoreError(
            "wrong-role",
            f"this node's copy of {name} is a secondary",
            means="nothing was changed",
            next_step=f"run the command on {where}",
        )
    return stored


def held(node: Node, name: str, copy: str | None = None) -> StoredCopy:
    """The copy of a group here that is meant, whatever its role: the one of that name, else the primary or
    the only one.

    Raises FarshoreError `not-found`, or `usage` where it could be several.
    """
    found = node.copies.of_group(name)
    if copy is None and len(found) > 1 and found[0].config.role is not Role.PRIMARY:
        names = [each.config.copy_name for each in found]
        raise FarshoreError(
            "usage",
            f"{node.name} holds several copies of {name}: " + ", ".join(names),
            means="nothing was changed",
            next_step=f"say which: --copy {names[0]}",
        )
    return feeder(node, name, copy)


def feeder(node: Node, name: str, copy: str | None = None) -> StoredCopy:
    """The copy of a group here that is to feed another: the one of that name, else the primary or the only.

    Raises FarshoreError `not-found`, or `usage` where it could be several.
    """
    found = node.copies.of_group(name)
    if copy is None:
        return _the_one(node, name, found)
    for each in found:
        if each.config.copy_name == copy:
            return each
    raise FarshoreError(
        "not-found",
        f"{node.name} holds no copy {copy!r} of {name}",
        means="nothing was changed",
        next_step="its copies: " + ", ".join(each.config.copy_name for each in found),
    )


def feeding(node: Node, name: str, link: str | None) -> StoredCopy:
    """The copy of a group here that has this link (None: any). Where none has, the one that could.

    Raises FarshoreError `not-found`, or `usage` where it could be several.
    """
    found = node.copies.of_group(name)
    having = [each for each in found if any(link in (None, one.spec.name) for one in each.config.links)]
    return _the_one(node, name, having or found)


def _the_one(node: Node, name: str, copies: list[StoredCopy]) -> StoredCopy:
    if len(copies) > 1 and copies[0].config.role is not Role.PRIMARY:
        names = [each.config.copy_name for each in copies]
        raise FarshoreError(
            "usage",
            f"{node.name} holds several copies of {name}: " + ", ".join(names),
            means="nothing was changed",
            next_step=f"say which: --via {node.name}/{names[0]} for a new link, --link LINK for one that is"
            " there",
        )
    return copies[0]


def document(stored: StoredCopy) -> dict[str, Any]:
    """A group as `group show --json` prints it."""
    config = stored.config
    values = to_json(config)
    return {
        "name": config.group_name,
        "id": values["group"],
        "role": values["role"],
        "copy": values["copy"],
        "copy_name": config.copy_name,
        "region": config.region,
        "on_start": config.on_start,
        "volumes": [{**volume, "uri": uri(config, volume["id"])} for volume in values["volumes"]],
        "links": [link.spec.name for link in config.links],
        "upstream": values["upstream"] if stored.upstream is not None else None,
    }


def uri(config: CopyConfig, volume: int, *, read_only: bool = False) -> str | None:
    """What an NBD client opens, None where the volume has no export on a Unix socket."""
    name = next(each.name for each in config.volumes if each.id == volume)
    for export in config.exports:
        if export.volume == volume and export.unix is not None and export.read_only == read_only:
            return uri_of(export, name)
    return None


def claim_all(node: Node, volumes: Sequence[intent.VolumeWish]) -> list[Place]:
    """The files and devices that are to be volumes here, those that are missing made; with `places_lock`.

    Raises FarshoreError; nothing was made then.
    """
    taken = node.taken_disks()
    found: list[Place] = []
    try:
        for volume in volumes:
            found.append(_claim(volume, taken))
            if found[-1].disk.id in taken:
                raise FarshoreError(
                    "in-use", f"{volume.path} is named twice", next_step="name each volume once"
                )
            taken.add(found[-1].disk.id)
    except FarshoreError:
        give_back(found)
        raise
    return found


def _claim(volume: intent.VolumeWish, taken: set[DiskId]) -> Place:
    if volume.size is not None:
        return places.claim(volume.path, volume.size, taken)
    places.refuse_taken(volume.path, taken)
    return Place(disks.inspect(volume.path), False)


def _config(node: Node, wish: intent.GroupWish, found: list[Place]) -> CopyConfig:
    copy = intent.new_id()
    socket = str(node.paths.nbd_socket(copy))
    volumes = tuple(
        VolumeSpec(number, volume.name, place.disk.path, place.disk.size, volume.outage)
        for number, (volume, place) in enumerate(zip(wish.volumes, found, strict=True))
    )
    return CopyConfig(
        group=intent.new_id(),
        group_name=wish.name,
        copy=copy,
        copy_name=node.name,
        role=Role.PRIMARY,
        volumes=volumes,
        control=str(node.paths.control_socket(copy)),
        certificate=str(node.identity.certificate_path),
        key=str(node.identity.key_path),
        node_name=node.name,
        region=wish.region,
        on_start=wish.on_start,
        exports=tuple(ExportIntent(volume.id, unix=socket) for volume in volumes),
    )


async def _refuse_needed(node: Node, stored: StoredCopy) -> None:
    config = stored.config
    if config.links:
        raise FarshoreError(
            "wrong-state",
            f"group {config.group_name} has links: " + ", ".join(link.spec.name for link in config.links),
            means="nothing was changed",
            next_step=f"farshore link delete {config.group_name} {config.links[0].spec.name}",
        )
    feeder = node.peers.by_id(stored.upstream.peer) if stored.upstream is not None else None
    if feeder is not None and not await chains.let_go(node, stored, feeder):
        raise FarshoreError(
            "wrong-role",
            f"this node's copy of {config.group_name} is fed by {feeder.name}",
            means="nothing was changed",
            next_step=f"delete the link on {feeder.name}; if that node is gone for good: farshore node forget"
            f" {feeder.name}",
        )


def give_back(found: list[Place]) -> None:
    """Removes the files that were made for a request that failed."""
    for place in found:
        place.give_back()
