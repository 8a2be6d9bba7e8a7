"""An engine that is found running is what `copy.json` says, or is made so.

An earlier node may have ended in the middle of a turn. Where it had drained a primary and not yet written the
new role down, the engine holds its writes for a change of roles of which nobody knows any more: it lets them
flow. Where the new role was written and the engine not yet taken down, that goes on in the old one, and may
take writes that whoever decided its turn does not count on: it is started anew. A hold does not end by
itself, because in that second case it is what keeps the copy still.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from farshore.errors import FarshoreError
from farshore.model.options import Role
from farshore.node.copies import StoredCopy
from farshore.node.node import Node

_ASK_SECONDS: Final = 10.0
_TRIES: Final = 60
_PAUSE_SECONDS: Final = 5.0
_log = logging.getLogger(__name__)


async def settle(node: Node, key: str) -> None:
    """Until that is done, or the process is another one."""
    pid = _pid(node, key)
    for _ in range(_TRIES):
        stored = node.copies.get(key)
        if stored is None or _pid(node, key) != pid:
            return
        try:
            async with node.changing(stored.config.group_name):  # no turn of this node is under way then
                await _once(node, node.copies.get(key), pid)
            return
        except FarshoreError as error:
            _log.warning("the %s does not say what it is: %s", stored.called, error)
        await asyncio.sleep(_PAUSE_SECONDS)


async def _once(node: Node, stored: StoredCopy | None, pid: int | None) -> None:
    """Raises FarshoreError."""
    if stored is None or _pid(node, stored.key) != pid:
        return
    group = stored.config.group_name
    if await _is_as_intended(stored):
        if stored.config.role is Role.PRIMARY:
            await stored.engine.ask("resume", seconds=_ASK_SECONDS)
        return
    text = f"the engine of {group} was found in an earlier role, and is started anew"
    node.journal.add("copy-turning", text, group=group, copy=stored.key)
    await node.supervisor.take_down(stored)
    node.supervisor.want(stored)


async def _is_as_intended(stored: StoredCopy) -> bool:
    """Raises FarshoreError."""
    entry = (await stored.engine.ask("status", seconds=_ASK_SECONDS)).get("group") or {}
    turn = stored.config.turn
    carried_out = turn is None or entry.get("turn") == turn.id.hex()
    return entry.get("role") == stored.config.role.value and carried_out


def _pid(node: Node, key: str) -> int | None:
    seen = node.supervisor.seen(key)
    return None if seen is None else seen.pid
