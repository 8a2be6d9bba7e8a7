"""A former primary that finds a promoted copy follows it by itself, where it can have lost nothing (rule
D6).

That is so where its link to that copy was sync, with acknowledgements at `applied` or later, where it never
acknowledged a write without that peer, and where the promoted copy had been fed in order by a process that
lived on until it was promoted. What such a copy holds and the other lacks was never acknowledged to
anybody. In all other cases the copy stays diverged, and waits for `failback` or `split-brain`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from farshore.errors import FarshoreError
from farshore.model.options import AckLevel, Mode, Role
from farshore.node import gathering, joining, role_steps, status
from farshore.node.copies import StoredCopy
from farshore.node.joining import REJOIN
from farshore.node.node import Node
from farshore.node.peers import Peer
from farshore.node.standings import Scene, Standing
from farshore.node.switchover import begun, changing_roles

FENCED: Final = "fenced"
"""The kind of event with which an engine says that it takes no writes any more."""
_TRIES: Final = 60
_PAUSE_SECONDS: Final = 5.0
_log = logging.getLogger(__name__)


def told(node: Node, key: str, kind: str) -> None:
    """An event of a copy's engine; returns at once."""
    if kind == FENCED:
        node.background.start(_rejoin(node, key), "a former primary")


def peer_is_back(node: Node, peer: Peer) -> None:
    """A node that a copy here fed, and that may hold a promoted one, answers again; returns at once."""
    for stored in node.copies.all():
        if any(each.spec.peer == peer.id for each in stored.config.links) or unfinished(stored):
            told(node, stored.key, FENCED)


def may_rejoin(scene: Scene, own: Standing) -> Standing | None:
    """The promoted copy that `own` may follow by itself; None where it has to wait for a plan. Pure."""
    if not own.primary or not own.fenced or len(scene.primaries) != 2:
        return None
    promoted = next(each for each in scene.primaries if each.copy != own.copy)
    link = own.link_to(promoted)
    fed = promoted.fed_by
    if link is None or fed is None or fed.link != link.id or not promoted.whole or promoted.fenced:
        return None
    sync = link.mode == Mode.SYNC.value and link.ack in (AckLevel.APPLIED.value, AckLevel.DURABLE.value)
    reverting = own.change is not None or (promoted.change is not None and promoted.change.kind != "failover")
    return promoted if sync and link.alone_since is None and not reverting else None


def unfinished(stored: StoredCopy) -> bool:
    """Whether it follows the promoted copy already, and that one may not know yet."""
    change = stored.config.change
    return change is not None and change.kind == REJOIN


async def _rejoin(node: Node, key: str) -> None:
    """Tries until it is done, or is not to be."""
    for _ in range(_TRIES):
        stored = node.copies.get(key)
        if stored is None or not (stored.config.role is Role.PRIMARY or unfinished(stored)):
            return
        try:
            if await _once(node, stored):
                return
        except FarshoreError as error:
            _log.info("%s does not follow the promoted copy yet: %s", stored.config.group_name, error)
        await asyncio.sleep(_PAUSE_SECONDS)


async def _once(node: Node, stored: StoredCopy) -> bool:
    """Whether there is nothing more to do. Raises FarshoreError."""
    group = stored.config.group_name
    if not unfinished(stored) and not (await status.entry(node, stored)).get("fenced"):
        return True
    async with changing_roles(node, group):
        scene = await gathering.scene(node, group)
        own = scene.copy(stored.key)
        if own is None or not (own.fenced or unfinished(stored)):
            return True
        change = own.change
        if change is not None and change.kind == REJOIN:
            promoted = scene.copy(change.goal)
            if promoted is None or not promoted.primary:
                return False
        else:
            if len(scene.primaries) < 2:
                return False  # the promoted copy's node does not answer
            promoted = may_rejoin(scene, own)
            if promoted is None:
                return True
            change = begun(REJOIN, promoted, own, "", role_steps.options_of(own.link_to(promoted)))
            text = (
                f"the copy of {group} here follows {scene.called(promoted)} from now on, which was promoted;"
            )
            node.journal.add("rejoining", f"{text} nothing that was acknowledged is lost", group=group)
        await joining.join(node, scene, own, promoted, change)
        await role_steps.noted(node, scene, own, None)
    return True
