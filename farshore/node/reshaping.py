"""Gives a group more volumes, or takes one away: here, and at every peer that holds a copy.

What `copy.json` says here is what the group has. Before a peer is told of anything else, and until every
peer has what we have, `unsettled` is durable in it, and the peers are told again, also by the next process
of this node. A new volume goes to the peers first, so that one that cannot take it is heard in time; a volume
that goes away goes here first, since nobody could bring it back to a peer that has let go of it. Links
must be paused. The scoreboards carry their marks over when they are opened: a new volume is all dirty.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from farshore.errors import FarshoreError
from farshore.model.copy_config import CopyConfig, ExportIntent, LinkIntent
from farshore.model.options import LinkState, Reason
from farshore.model.volumes import VolumeSpec
from farshore.node import groups, intent
from farshore.node.copies import StoredCopy
from farshore.node.hosted_volumes import restart
from farshore.node.node import Node
from farshore.node.peer_client import ask
from farshore.node.placement import MOST_IDS, Shaping, VolumeShape
from farshore.node.places import Place

TELL_SECONDS = 60.0
"""For a peer to look at the places, make files and restart an engine."""
AGAIN_SECONDS = 5.0
"""Between two attempts to reach a peer that has not been told."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Growth:
    """More volumes for a group. `places`: [LINK:]VOLUME -> path at the link's peer."""

    volumes: tuple[intent.VolumeWish, ...]
    places: Mapping[str, str] = field(default_factory=dict)


async def add(node: Node, group: str, growth: Growth) -> StoredCopy:
    """More volumes. Raises FarshoreError; nothing was changed then."""
    async with node.changing(group):
        stored = groups.primary(node, group)
        config = stored.config
        intent.check_volumes(growth.volumes, config.volumes)
        chosen = {link.spec.name: _places(config, growth, link) for link in config.links}
        _refuse_unknown_places(config, growth, chosen)
        await _refuse_running(stored)
        first = config.fresh_volume
        if first + len(growth.volumes) > MOST_IDS:
            raise FarshoreError("usage", f"{config.group_name} has had {MOST_IDS} volumes: make a new group")
        async with node.places_lock:
            found = await asyncio.to_thread(groups.claim_all, node, growth.volumes)
        fresh = _grown(config, growth.volumes, found, first)
        reserved = replace(config, next_volume=fresh.next_volume, unsettled=bool(config.links))
        told: list[LinkIntent] = []
        try:
            stored = node.put(replace(stored, config=reserved))
            for link in config.links:
                told.append(link)  # also where its answer is lost
                await _tell(node, fresh, link, chosen[link.spec.name])
            stored = await restart(node, stored, replace(stored, config=fresh), found)
        except BaseException:
            groups.give_back(found)
            # A peer that was not told of an earlier change either has to hear of what stands in the end.
            await _settle(node, stored, config.links if config.unsettled else told, undo=True)
            settle_later(node, stored)
            raise
    names = ", ".join(each.name for each in growth.volumes)
    node.journal.add("volumes-added", f"group {group} has {names} now", group=group)
    return stored


async def remove(node: Node, group: str, name: str) -> bool:
    """A volume less; what it holds stays, here and at the peers. True when every peer was told.

    Raises FarshoreError; nothing was changed then.
    """
    async with node.changing(group):
        stored = groups.primary(node, group)
        config = stored.config
        volume = _find(config, name)
        if len(config.volumes) == 1:
            raise FarshoreError(
                "wrong-state",
                f"{name} is the last volume of {group}",
                means="nothing was changed",
                next_step=f"farshore group delete {group}",
            )
        node.devices.refuse_attached(group, name)
        await _refuse_running(stored)
        fresh = replace(
            config,
            volumes=tuple(each for each in config.volumes if each is not volume),
            exports=tuple(each for each in config.exports if each.volume != volume.id),
            next_volume=config.fresh_volume,
            unsettled=bool(config.links),
        )
        stored = await restart(node, stored, replace(stored, config=fresh), [])
        settled = await _settle(node, stored, config.links)
        settle_later(node, stored)
    text = f"{name} belongs to group {group} no more; {volume.path} stays as it is"
    node.journal.add("volume-removed", text, group=group)
    return settled


def settle_later(node: Node, stored: StoredCopy) -> None:
    """Has the peers told in the background, if any of them may hold other volumes than we do."""
    known = node.copies.get(stored.key)
    if known is not None and known.config.unsettled:
        node.background.start(_settle_at_last(node, stored.key), f"volumes of {stored.config.group_name}")


async def _settle_at_last(node: Node, key: str) -> None:
    """Until it is done, another request has done it, or the group is gone."""
    again = False
    while (stored := node.copies.get(key)) is not None and stored.config.unsettled:
        async with node.changing(stored.config.group_name):
            now = node.copies.get(key)
            if now is None or await _settle(node, now, now.config.links, again=again):
                return
        again = True
        await asyncio.sleep(AGAIN_SECONDS)


async def _settle(
    node: Node, stored: StoredCopy, links: Sequence[LinkIntent], *, undo: bool = False, again: bool = False
) -> bool:
    """Tells the peers what the group has; True when all of them have it. Holds the group's lock. The
    operator hears of a peer that cannot be told, but not `again`."""
    current = node.copies.get(stored.key)
    if current is None or not current.config.unsettled:
        return True
    all_told = True
    for link in links:
        try:
            await _tell(node, current.config, link, {}, undo=undo)
        except FarshoreError as error:
            all_told = False
            group = stored.config.group_name
            text = f"{link.peer_name} has not been told of the volumes of {group} yet: {error.what}"
            _log.info("%s", text)
            if not again:
                node.journal.add("peer-not-told", text, group=group, peer=link.peer_name)
    if all_told:
        node.put(replace(current, config=replace(current.config, unsettled=False)))
    return all_told


async def _tell(
    node: Node, config: CopyConfig, link: LinkIntent, places: Mapping[str, str], *, undo: bool = False
) -> None:
    peer = node.peers.by_id(link.spec.peer)
    if peer is None:
        raise FarshoreError("not-found", f"{link.peer_name} is no peer of this node any more")
    shapes = tuple(VolumeShape(each.id, each.name, each.size) for each in config.volumes)
    wish = Shaping(config.group, config.group_name, link.spec.name, link.spec.id, shapes, places, undo)
    await ask(node.identity, peer, "shape-copy", wish.to_json(), TELL_SECONDS)


def _grown(
    config: CopyConfig, volumes: Sequence[intent.VolumeWish], found: Sequence[Place], first: int
) -> CopyConfig:
    specs = tuple(
        VolumeSpec(first + number, wish.name, place.disk.path, place.disk.size, wish.outage)
        for number, (wish, place) in enumerate(zip(volumes, found, strict=True))
    )
    sockets = {each.unix for each in config.exports if each.unix is not None and not each.read_only}
    exports = tuple(ExportIntent(each.id, unix=socket) for each in specs for socket in sorted(sockets))
    return replace(
        config,
        volumes=(*config.volumes, *specs),
        exports=(*config.exports, *exports),
        next_volume=first + len(specs),
        unsettled=False,
    )


def _places(config: CopyConfig, growth: Growth, link: LinkIntent) -> dict[str, str]:
    """The places at one link's peer. A volume alone means the only link."""
    prefix = f"{link.spec.name}:"
    found = {key.removeprefix(prefix): path for key, path in growth.places.items() if key.startswith(prefix)}
    if len(config.links) == 1:
        found |= {key: path for key, path in growth.places.items() if ":" not in key}
    return found


def _refuse_unknown_places(
    config: CopyConfig, growth: Growth, chosen: Mapping[str, Mapping[str, str]]
) -> None:
    names = {each.name for each in growth.volumes}
    known = {f"{link}:{volume}" for link in chosen for volume in names}
    if len(chosen) == 1:
        known |= names
    unknown = sorted(growth.places.keys() - known)
    if unknown:
        raise FarshoreError(
            "not-found",
            f"--place {unknown[0]} names no link of {config.group_name} or no volume that is added",
            means="nothing was changed on either node",
            next_step="one of: " + (", ".join(sorted(known)) or "none, the group has no link"),
        )


async def _refuse_running(stored: StoredCopy) -> None:
    """Raises FarshoreError `wrong-state` unless every link only logs because the operator wanted it."""
    answer = await stored.engine.ask("status")
    quiet = (LinkState.DIVERGED.value, LinkState.FAILED.value)
    for link in answer["group"]["links"]:
        if link["state"] in quiet or link["reason"] == Reason.OPERATOR.value:
            continue
        name = stored.config.group_name
        raise FarshoreError(
            "wrong-state",
            f"link {link['name']} of {name} is {link['state']} ({link['reason']})",
            means="volumes come and go only while all links are paused; nothing was changed",
            next_step=f"farshore pause {name}",
        )


def _find(config: CopyConfig, name: str) -> VolumeSpec:
    for volume in config.volumes:
        if volume.name == name:
            return volume
    raise FarshoreError(
        "not-found",
        f"group {config.group_name} has no volume {name!r}",
        means="nothing was changed",
        next_step="its volumes: " + ", ".join(each.name for each in config.volumes),
    )
