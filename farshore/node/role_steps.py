"""The steps that changes of roles are made of, each at whichever node the copy is.

A step is durable there before it is carried out, and may be repeated. Ids of links that a change makes follow
from its turn, so that a change that goes on after a death means the same links.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from farshore.errors import FarshoreError, ProtocolError
from farshore.model.options import Apply, LinkOptions, Mode, Role, options_from_json
from farshore.model.positions import Position
from farshore.model.role_change import ChangeIntent, Expected
from farshore.node import gathering, pointing, standings, turn_wishes, turns
from farshore.node.node import Node
from farshore.node.peer_client import ask
from farshore.node.peers import Peer
from farshore.node.pointing import Pointing
from farshore.node.standings import LinkStanding, Scene, Standing
from farshore.node.turn_wishes import FeedWish, Following, LinkTo, TurnWish

DRAIN_SECONDS: Final = 30.0
TURN_SECONDS: Final = 90.0
ASK_SECONDS: Final = 20.0
WHOLE_SECONDS: Final = 15.0
"""For what was drained to be durable at the copy that is to be promoted."""
_POLL_SECONDS: Final = 0.1


async def turned(node: Node, copy: Standing, wish: TurnWish) -> Standing:
    """`turn-copy` where the copy is; how it stands then. Raises FarshoreError."""
    if copy.node == node.identity.fingerprint:
        answer = await turns.turn(node, wish)
    else:
        seconds = TURN_SECONDS + (wish.drain or 0.0) + (0.0 if wish.rewind is None else turns.REWIND_SECONDS)
        answer = await ask(node.identity, peer_of(node, copy), "turn-copy", wish.to_json(), seconds)
    return standings.from_json(answer, copy.node, copy.node_name)


async def fed(node: Node, primary: Standing, wish: FeedWish) -> None:
    """`feed-copy` where the primary is. Raises FarshoreError."""
    if primary.node == node.identity.fingerprint:
        await turns.feed(node, wish)
    else:
        await ask(node.identity, peer_of(node, primary), "feed-copy", wish.to_json(), ASK_SECONDS)


async def noted(
    node: Node, scene: Scene, copy: Standing, change: ChangeIntent | None, gone: Collection[bytes] = ()
) -> None:
    """`note-change` where the copy is. Raises FarshoreError."""
    group, number = bytes.fromhex(scene.number), bytes.fromhex(copy.copy)
    if copy.node == node.identity.fingerprint:
        await turns.note(node, group, number, change, gone)
        return
    args = {
        "group": scene.number,
        "copy": copy.copy,
        "change": None if change is None else turns.changed(change),
        "gone": [each.hex() for each in gone],
    }
    await ask(node.identity, peer_of(node, copy), "note-change", args, ASK_SECONDS)


async def pointed(node: Node, scene: Scene, copy: Standing, feeder: Standing, link: LinkTo) -> None:
    """Has a secondary follow `feeder` by a link that keeps its id; not where it does already. Raises
    FarshoreError."""
    known = copy.fed_by
    if known is not None and (known.peer, known.epoch) == (feeder.node, link.epoch):
        return
    wish = Pointing(bytes.fromhex(scene.number), link.link, link.epoch, feeder.node, ())
    if copy.node == node.identity.fingerprint:
        await pointing.move(node, wish, node.name)
        return
    await ask(node.identity, peer_of(node, copy), "point-copy", wish.to_json(), ASK_SECONDS)


async def whole(node: Node, group: str, copy: str, position: Position) -> Standing:
    """The copy once everything up to `position` is durable there. Raises FarshoreError `timeout`."""
    loop = asyncio.get_running_loop()
    until = loop.time() + WHOLE_SECONDS
    while True:
        scene = await gathering.scene(node, group)
        found = scene.copy(copy)
        if found is not None and (found.primary or _holds(found, position)):
            return found
        if loop.time() > until:
            name = "it" if found is None else scene.called(found)
            raise FarshoreError(
                "timeout",
                f"what was drained is not known to be durable at {name} after {WHOLE_SECONDS:g} s",
                means="no copy takes writes until one is promoted; nothing is lost",
                next_step=f"farshore status {group}, then the same command again",
            )
        await asyncio.sleep(_POLL_SECONDS)


def _holds(copy: Standing, position: Position) -> bool:
    return copy.generation == position.generation.hex() and (copy.durable or 0) >= position.sequence


def peer_of(node: Node, copy: Standing) -> Peer:
    """The node of a copy. Raises FarshoreError `wrong-state` where it is no peer."""
    peer = node.peers.by_id(copy.node)
    if peer is None:
        raise FarshoreError(
            "wrong-state",
            f"{node.name} is not paired with {copy.node_name}",
            means="nothing was changed there",
            next_step="run the command on a node that is paired with both, or pair the two",
        )
    return peer


def options_of(link: LinkStanding | None, wire: str = "tls") -> LinkOptions:
    """What a link that takes the place of this one should be like. Raises ProtocolError."""
    if link is None:
        return LinkOptions(mode=Mode.ASYNC, apply=Apply.JOURNAL, wire=wire)
    try:
        return options_from_json(dict(link.options))
    except (TypeError, ValueError) as error:
        raise ProtocolError(f"the options of link {link.name} are malformed: {error!r}") from error


def rescue_of(change: ChangeIntent) -> str:
    """The name under which a copy that this change makes follow another one keeps what only it has: the same
    whenever the change goes on. Empty where the plan said that it is kept nowhere."""
    if change.unprotected:
        return ""
    return datetime.fromtimestamp(change.began, UTC).strftime(f"{change.kind}-%Y%m%d-%H%M%S")


def back_to(change: ChangeIntent, other: Standing, epoch: int) -> LinkTo:
    """The link by which the new primary feeds the copy that gave the role up."""
    head, drained = other.head, change.drained
    return LinkTo(
        link=turn_wishes.link_id(change.turn, other.copy),
        epoch=epoch,
        name=other.node_name,
        far=other.node,
        far_name=other.node_name,
        far_copy=other.copy,
        options=change.options,
        # After an unclean end its history has a head of its own, though nothing was acknowledged beyond.
        consent=None if head is None or head == drained else head,
        rescue=rescue_of(change),
    )


def siblings(scene: Scene, goal: Standing, other: Standing | None) -> list[tuple[Standing, LinkTo]]:
    """The copies that `goal` is to feed in place of the copy that gives its role up, and their links."""
    found = []
    for each, follows in scene.followers(goal, other):
        at_goal = follows.peer == goal.node
        link = scene.link(follows.link)
        found.append(
            (
                each,
                LinkTo(
                    link=bytes.fromhex(follows.link),
                    epoch=follows.epoch if at_goal else follows.epoch + 1,
                    name=link.name if link is not None else each.copy_name,
                    far=each.node,
                    far_name=each.node_name,
                    far_copy=each.copy,
                    options=replace(options_of(link), wire=follows.wire),
                    known=at_goal,
                ),
            )
        )
    return found


def expected(scene: Scene, copy: Standing) -> Expected:
    """How a copy stood when the plan was made: `scene` is the one that the plan rests on."""
    return (scene.copy(copy.copy) or copy).stands


def promotion(
    scene: Scene, goal: Standing, change: ChangeIntent, links: Iterable[LinkTo], **more: Any
) -> TurnWish:
    """The wish that makes `goal` the primary. What operators have set of a copy stays, unless `more` says
    what they have set of the primary before."""
    more = {"on_start": goal.on_start, "ignored": goal.ignored, **more}
    return TurnWish(
        group=bytes.fromhex(scene.number),
        copy=bytes.fromhex(goal.copy),
        turn=change.turn,
        role=Role.PRIMARY,
        expects=expected(scene, goal),
        links=tuple(links),
        change=change,
        **more,
    )


def demotion(scene: Scene, loser: Standing, turn: bytes, follows: Following, **more: Any) -> TurnWish:
    """The wish that makes `loser` a secondary that follows another copy."""
    return TurnWish(
        group=bytes.fromhex(scene.number),
        copy=bytes.fromhex(loser.copy),
        turn=turn,
        role=Role.SECONDARY,
        expects=expected(scene, loser),
        follows=follows,
        **more,
    )
