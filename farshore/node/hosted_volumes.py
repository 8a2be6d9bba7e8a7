"""The volumes of a copy that this node holds for another: made to match what its feeder says.

The whole list is told each time, so that asking twice changes nothing and a later request puts right what
an interrupted one left. A volume that the list has no more is let go of: its file stays, but for one
that was placed for a request which failed and that still holds nothing. The copy's engine is restarted, which
ends cleanly first; when anything fails, the copy runs on with the volumes that it had.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from farshore.errors import FarshoreError
from farshore.model.options import ResyncKind
from farshore.model.volumes import VolumeSpec
from farshore.node import disks, giving_up, hosting, placement, places
from farshore.node.copies import StoredCopy
from farshore.node.groups import give_back
from farshore.node.node import Node
from farshore.node.peers import Peer
from farshore.node.placement import Shaping, VolumeShape
from farshore.node.places import Place


async def shape(node: Node, peer: Peer, args: Mapping[str, Any]) -> dict[str, Any]:
    """`shape-copy`. Raises FarshoreError; the copy is as it was then."""
    wish = placement.shaping_from_json(args)
    async with node.changing(wish.group_name):
        stored = _the_copy(node, peer, wish)
        if _volumes(stored) == set(wish.volumes):
            return {"changed": False}
        async with node.places_lock:
            found = await asyncio.to_thread(_claim_new, node, peer, wish, stored)
        volumes = _shaped(stored, wish, found)
        fresh = replace(stored, config=replace(stored.config, volumes=volumes))
        await restart(node, stored, fresh, list(found.values()))
        gone = [each for each in stored.config.volumes if each not in volumes]
        if wish.undo:
            await asyncio.to_thread(_remove_blank, node, gone)
    text = f"{peer.name} changed the volumes of its copy of {wish.group_name} here"
    paths = [each.path for each in volumes]
    node.journal.add("copy-reshaped", text, group=wish.group_name, peer=peer.name, volumes=paths)
    return {"changed": True}


async def restart(node: Node, stored: StoredCopy, fresh: StoredCopy, made: list[Place]) -> StoredCopy:
    """Ends the engine cleanly and starts it with a new intent.

    Raises why that could not be; the old intent is back then, its engine wanted, and `made` given back.
    """
    try:
        await giving_up.end_whole(node, stored)
        begun = node.put(fresh)
        await node.supervisor.bring_up(begun)
    except BaseException:
        await node.supervisor.take_down(fresh)
        node.supervisor.want(node.put(stored))
        give_back(made)
        raise
    return begun


def _the_copy(node: Node, peer: Peer, wish: Shaping) -> StoredCopy:
    stored = node.copies.following(wish.group, wish.link)
    if stored is None:
        raise FarshoreError(
            "not-found",
            f"{node.name} holds no copy of {wish.group_name} for this link",
            means="nothing was changed on either node",
            next_step=f"farshore link delete {wish.group_name} {wish.copy_name}, then make it again",
        )
    upstream = stored.upstream
    if upstream is None or upstream.peer != peer.id or stored.config.group_name != wish.group_name:
        raise FarshoreError("wrong-feeder", f"the copy is not fed by {peer.name}")
    if stored.config.links:
        raise FarshoreError(
            "wrong-state",
            f"the copy of {wish.group_name} at {node.name} feeds others itself",
            means="nothing was changed on either node",
            next_step="delete its links first",
        )
    return stored


def _volumes(stored: StoredCopy) -> set[VolumeShape]:
    return {VolumeShape(each.id, each.name, each.size) for each in stored.config.volumes}


def _claim_new(node: Node, peer: Peer, wish: Shaping, stored: StoredCopy) -> dict[int, Place]:
    """The places of the volumes that the copy does not have yet, by id."""
    has = {each.id: each for each in _volumes(stored)}
    taken = node.taken_disks()
    found: dict[int, Place] = {}
    try:
        for volume in wish.volumes:
            if has.get(volume.id) == volume:
                continue
            if volume.id in has:
                raise FarshoreError(
                    "size-mismatch",
                    f"volume {has[volume.id].name} of {wish.group_name} is another one at {node.name}",
                    means="nothing was changed on either node",
                    next_step=f"farshore group show {wish.group_name}, on both nodes",
                )
            path = hosting.path_for(node, wish, volume.name, peer)
            found[volume.id] = one = places.claim(path, volume.size, taken)
            if one.disk.id in taken:
                raise FarshoreError(
                    "in-use", f"{path} is named twice", next_step="give each volume its own place"
                )
            taken.add(one.disk.id)
            places.refuse_data(one, ResyncKind.FULL)
    except FarshoreError:
        give_back(list(found.values()))
        raise
    return found


def _shaped(stored: StoredCopy, wish: Shaping, found: Mapping[int, Place]) -> tuple[VolumeSpec, ...]:
    has = {each.id: each for each in stored.config.volumes}
    made = {
        each.id: VolumeSpec(each.id, each.name, found[each.id].disk.path, each.size)
        for each in wish.volumes
        if each.id in found
    }
    return tuple(made.get(each.id) or has[each.id] for each in wish.volumes)


def _remove_blank(node: Node, gone: list[VolumeSpec]) -> None:
    """Takes away what was made for a request that failed: it lies below our own folder and holds nothing."""
    own = node.paths.volumes.resolve()
    for volume in gone:
        path = Path(volume.path)
        if own in path.parents and disks.first_data(disks.inspect(volume.path)) is None:
            path.unlink()
