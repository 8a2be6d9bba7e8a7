"""Copies that this node holds for others: placed and removed at a peer's request.

A copy is placed for the node that asks and for no other (rule B8). Asking again for the same group and
copy name adopts what an interrupted request left behind, under a raised epoch, so that a retry is safe.
When anything fails, everything made for the request is taken back. Volumes outlive their copies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from farshore.errors import FarshoreError
from farshore.model.copy_config import CopyConfig, UpstreamIntent
from farshore.model.options import ResyncKind, Role
from farshore.model.volumes import VolumeSpec
from farshore.node import documents, giving_up, intent, placement, places, reroutes
from farshore.node.copies import StoredCopy
from farshore.node.groups import give_back, start_or_take_back
from farshore.node.node import Node
from farshore.node.os_errors import as_farshore_error
from farshore.node.peers import Peer
from farshore.node.placement import Placement, Shaping
from farshore.node.places import Place


async def place(node: Node, peer: Peer, args: Mapping[str, Any]) -> dict[str, Any]:
    """`place-copy`: the new or adopted copy's id, and the epoch under which it follows the link.

    Raises FarshoreError; nothing was changed then.
    """
    wish = placement.from_json(args)
    if wish.feeder != peer.id:
        raise FarshoreError("wrong-feeder", f"{peer.name} asks for a copy that another node is to feed")
    if node.identity.fingerprint in wish.above:
        raise FarshoreError(
            "ring",
            f"{node.name} feeds the copy of {wish.group_name} at {peer.name} itself:"
            " the link would close a ring",
            means="nothing was changed on any node",
        )
    async with node.changing(wish.group_name):
        known = _known(node, wish, peer)
        stored = await (_create(node, wish, peer) if known is None else _adopt(node, wish, peer, known))
    upstream = stored.upstream
    epoch = upstream.epoch if upstream is not None else wish.epoch
    node.journal.add(
        "copy-placed",
        f"a copy of {wish.group_name} was placed here by {peer.name}",
        group=wish.group_name,
        peer=peer.name,
        volumes=[volume.path for volume in stored.config.volumes],
    )
    return {"copy": stored.config.copy.hex(), "epoch": epoch}


async def remove(node: Node, peer: Peer, args: Mapping[str, Any]) -> dict[str, Any]:
    """`remove-copy`: stops the copy that a link of this peer feeds; volumes keep what they hold.

    A copy that is not there any more is no error, so that it can be asked twice. Raises FarshoreError.
    """
    try:
        group, link = placement.identifier(args["group"]), placement.identifier(args["link"])
        epoch = int(args.get("epoch", 0))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise FarshoreError("protocol", f"a malformed wish to remove a copy: {error!r}") from error
    stored = node.copies.following(group, link)
    if stored is None:
        return {"removed": False}
    async with node.changing(stored.config.group_name):
        stored = node.copies.following(group, link)
        if stored is None:
            return {"removed": False}
        upstream = stored.upstream
        # Two copies of one node may have fed it in turn, by the same link: then the epoch tells (rule B8).
        if upstream is None or upstream.peer != peer.id or 0 < epoch < upstream.epoch:
            raise FarshoreError("wrong-feeder", f"the copy is not fed by {peer.name} by that link any more")
        if any(not reroutes.replaced_by(stored.config, each) for each in stored.config.links):
            raise FarshoreError("wrong-state", f"the copy of {stored.config.group_name} feeds others itself")
        await giving_up.give_up(node, stored)
    name = stored.config.group_name
    node.journal.add(
        "copy-removed", f"{peer.name} ended its link to the copy of {name} here", group=name, peer=peer.name
    )
    return {"removed": True}


def _known(node: Node, wish: Placement, peer: Peer) -> StoredCopy | None:
    """The copy that the wish may adopt, None when a new one is to be made."""
    for stored in node.copies.all():
        config = stored.config
        if config.group == wish.group and config.role is Role.PRIMARY:
            raise FarshoreError(
                "ring",
                f"{node.name} holds the primary copy of {wish.group_name}: the link would close a ring",
                means="nothing was changed on either node",
            )
        if config.group_name != wish.group_name:
            continue
        if config.group != wish.group:
            raise FarshoreError(
                "exists",
                f"{node.name} has another group named {wish.group_name!r}",
                means="nothing was changed on either node",
                next_step="names are unique on a node: make one of the two groups anew under another name",
            )
        if config.copy_name != wish.copy_name:
            continue
        if config.upstream is None or config.upstream.peer != peer.id:
            raise FarshoreError(
                "wrong-feeder",
                f"the copy {wish.copy_name} of {wish.group_name} at {node.name} is fed by another node",
                means="nothing was changed on either node",
                next_step="choose another --name for the link",
            )
        return stored
    return None


async def _create(node: Node, wish: Placement, peer: Peer) -> StoredCopy:
    async with node.places_lock:
        found = await asyncio.to_thread(_claim_all, node, wish, peer)
        try:
            stored = node.copies.put(_config(node, wish, peer, found), (peer,))
        except FarshoreError:
            give_back(found)
            raise
    await start_or_take_back(node, stored, found)
    return stored


async def _adopt(node: Node, wish: Placement, peer: Peer, known: StoredCopy) -> StoredCopy:
    config = known.config
    same = [(each.id, each.name, each.size) for each in config.volumes] == [
        (each.id, each.name, each.size) for each in wish.volumes
    ]
    if not same or config.region != wish.region:
        raise FarshoreError(
            "size-mismatch",
            f"{node.name} holds a copy {wish.copy_name} of {wish.group_name} with other volumes or regions",
            means="nothing was changed on either node",
            next_step="choose another --name for the link",
        )
    before = config.upstream.epoch if config.upstream is not None else 0
    fresh = replace(config, upstream=_upstream(wish, peer, max(wish.epoch, before + 1)))
    await node.supervisor.take_down(known)
    try:
        stored = node.copies.put(fresh, (peer,))
    except FarshoreError:
        node.supervisor.want(known)  # the copy that stands goes on as it was
        raise
    await node.supervisor.bring_up(stored)
    return stored


def _claim_all(node: Node, wish: Placement, peer: Peer) -> list[Place]:
    taken = node.taken_disks()
    found: list[Place] = []
    try:
        for volume in wish.volumes:
            path = path_for(node, wish, volume.name, peer)
            one = places.claim(path, volume.size, taken)
            found.append(one)
            if one.disk.id in taken:
                raise FarshoreError(
                    "in-use", f"{path} is named twice", next_step="give each volume its own place"
                )
            taken.add(one.disk.id)
            places.refuse_data(one, wish.first)
    except FarshoreError:
        give_back(found)
        raise
    return found


def path_for(node: Node, wish: Placement | Shaping, volume: str, peer: Peer) -> str:
    """Where a volume of a copy for this peer is to lie. Raises FarshoreError."""
    wished = wish.places.get(volume)
    if wished is not None:
        own = f"{node.paths.volumes.resolve()}/**"
        return places.permitted(wished, (*peer.grants, own), peer.name)
    directory = node.paths.volumes / wish.group_name
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        documents.sync_directory(directory.parent)
    except OSError as error:
        raise as_farshore_error(error, directory) from error
    used = {each.path for stored in node.copies.all() for each in stored.config.volumes}
    usual = directory.resolve() / f"{volume}.img"
    if str(usual) not in used:
        return str(usual)
    return str(usual.with_name(f"{volume}@{wish.copy_name}.img"))  # a second copy of the group here


def _config(node: Node, wish: Placement, peer: Peer, found: list[Place]) -> CopyConfig:
    copy = intent.new_id()
    return CopyConfig(
        group=wish.group,
        group_name=wish.group_name,
        copy=copy,
        copy_name=wish.copy_name,
        role=Role.SECONDARY,
        volumes=tuple(
            VolumeSpec(each.id, each.name, one.disk.path, one.disk.size)
            for each, one in zip(wish.volumes, found, strict=True)
        ),
        control=str(node.paths.control_socket(copy)),
        certificate=str(Path(node.identity.certificate_path)),
        key=str(Path(node.identity.key_path)),
        node_name=node.name,
        region=wish.region,
        extent=wish.extent,
        hot_extents=wish.hot_extents,
        upstream=_upstream(wish, peer, wish.epoch),
        placed_blank=wish.first is not ResyncKind.DIGEST,  # else `refuse_data` did not look
    )


def _upstream(wish: Placement, peer: Peer, epoch: int) -> UpstreamIntent:
    return UpstreamIntent(wish.link, epoch, peer.id, peer.name, wish.wire, wish.above)
