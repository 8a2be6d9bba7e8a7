"""A copy is given up: its engine ends for good, and what it knew of its volumes goes.

The volumes stay, and whoever looks at them takes them for what the copy held. So a secondary whose journal
holds writes that its volumes lack (rule B2) is not given up before they are in the volumes: an engine that
was killed is started once more for it. Where that fails nothing was changed.
"""

from __future__ import annotations

import asyncio
import logging

from farshore.errors import FarshoreError
from farshore.model.options import Role
from farshore.node.copies import StoredCopy
from farshore.node.node import Node
from farshore.store import header
from farshore.store.platform import RealFiles

_log = logging.getLogger(__name__)


async def give_up(node: Node, stored: StoredCopy) -> None:
    """Raises FarshoreError; the copy goes on then."""
    await end_whole(node, stored)
    node.copies.remove(stored)


async def end_whole(node: Node, stored: StoredCopy) -> None:
    """Ends the copy's engine with everything that the copy holds in its volumes.

    Raises FarshoreError; the engine is wanted again then.
    """
    try:
        await node.supervisor.take_down(stored)
        if await _lacking(stored):
            await _catch_up(node, stored)
    except BaseException:
        node.supervisor.want(stored)
        raise


async def _catch_up(node: Node, stored: StoredCopy) -> None:
    why = ""
    try:
        await node.supervisor.bring_up(stored)
    except FarshoreError as error:
        _log.warning("the journal of %s stays: %s", stored.config.group_name, error)
        why = f" ({error.what})"
    await node.supervisor.take_down(stored)
    if await _lacking(stored):
        raise FarshoreError(
            "wrong-state",
            f"the journal of {stored.config.group_name} at {node.name} holds writes that its volumes lack,"
            f" and they could not be written there in time{why}",
            means="nothing was changed; without the journal the volumes would be no state of the group",
            next_step=f"mend what farshore status {stored.config.group_name} says at {node.name}, then do it"
            f" again; if those volumes are lost for good: stop the node and its engines, and remove"
            f" {stored.directory}",
        )


async def _lacking(stored: StoredCopy) -> bool:
    """Whether volumes lack what the copy's journal has; for a copy that has no engine."""
    return stored.config.role is Role.SECONDARY and await asyncio.to_thread(_says_header, stored)


def _says_header(stored: StoredCopy) -> bool:
    path = str(stored.directory / header.NAME)
    layer = RealFiles()
    if not layer.exists(path):
        return False  # it never began
    try:
        file = header.HeaderFile.open(layer, path)
    except FarshoreError as error:
        if error.code.name == "state-damaged":
            return False  # no engine can do anything with such a copy, and with its journal
        raise
    try:
        return file.header.journaling and not file.header.clean
    finally:
        file.close()
