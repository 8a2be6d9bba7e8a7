"""Takes over how large an engine's volumes have become, into the intent of its copy and of its devices.

The engine knows, and nobody else decides: a volume grows with the stream, also at copies whose nodes
nobody has asked. What `copy.json` says of sizes is for those who make other copies after it.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from farshore.errors import FarshoreError
from farshore.node.copies import StoredCopy
from farshore.node.node import Node

KINDS = ("resized", "volume-grown")
"""Events of an engine after which its volumes may be larger."""
_log = logging.getLogger(__name__)


def told(node: Node, key: str, kind: str) -> None:
    """An engine has told something."""
    if kind in KINDS:
        look(node, key)


def look(node: Node, key: str) -> None:
    """Has it done in the background; an engine may have grown while nobody heard of it."""
    node.background.start(_look(node, key), "sizes of volumes")


async def _look(node: Node, key: str) -> None:
    stored = node.copies.get(key)
    if stored is None:
        return
    async with node.changing(stored.config.group_name):
        try:
            await take(node, key)
        except FarshoreError as error:
            _log.info("how large volumes are is not known: %s", error)


async def take(node: Node, key: str) -> StoredCopy | None:
    """The copy as it is now, None where it is gone; whoever calls holds the group's lock.

    Raises FarshoreError.
    """
    stored = node.copies.get(key)
    if stored is None:
        return None
    answer = await stored.engine.ask("status")
    sizes = {str(each["name"]): int(each["size"]) for each in answer["group"].get("volumes") or ()}
    volumes = tuple(
        replace(each, size=max(each.size, sizes.get(each.name, 0))) for each in stored.config.volumes
    )
    if volumes != stored.config.volumes:
        stored = node.put(replace(stored, config=replace(stored.config, volumes=volumes)))
    for device in node.devices.of_group(stored.config.group_name):
        size = sizes.get(device.config.volume, 0)
        if size > device.config.size:
            fresh = node.devices.put_again(replace(device, config=replace(device.config, size=size)))
            if node.device_supervisor.seen(fresh.key) is not None:
                node.device_supervisor.want(fresh)
                await fresh.control.ask("reload")
    return stored
