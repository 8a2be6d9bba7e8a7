"""A copy that was a primary, or contradicts one, is made to follow another copy, with a plan's consent (D6,
D7).

Order: (1) the loser becomes a secondary of the copy that is kept, durably: from then on it takes no writes,
and tells nobody but that one what it may hold that others lack; (2) the kept one gets, or raises, the link
to it, with consent to overwrite exactly the head at which the loser's history now ends. Cut off between the
two the loser waits, and the same command goes on. What differs, and only that, is then copied by the link's
resync; what only the loser has is kept there as a rescue, unless the plan said that it is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from farshore.errors import FarshoreError
from farshore.model.options import LinkOptions, Reason
from farshore.model.role_change import ChangeIntent
from farshore.node import role_steps
from farshore.node.node import Node
from farshore.node.standings import LinkStanding, Scene, Standing
from farshore.node.turn_wishes import FeedWish, Following, LinkTo, link_id

REJOIN: Final = "rejoin"
"""The kind of change by which a former primary follows a promoted copy by itself."""


async def join(node: Node, scene: Scene, loser: Standing, keep: Standing, change: ChangeIntent) -> Standing:
    """Has `loser` follow `keep`; how it stands then. Raises FarshoreError."""
    link = keep.link_to(loser)
    number = link_id(change.turn, loser.copy) if link is None else bytes.fromhex(link.id)
    options = _options(link, loser.link_to(keep), change)
    known, epoch = loser.fed_by, 0 if link is None else link.epoch
    follows_now = not loser.primary and known is not None and bytes.fromhex(known.link) == number
    if known is not None and follows_now and known.peer == keep.node and loser.alive:
        epoch = known.epoch
    else:
        epoch = max(epoch, known.epoch if known is not None else 0) + 1
        follows = Following(link=number, epoch=epoch, feeder=keep.node, wire=options.wire)
        loser = await role_steps.turned(
            node,
            loser,
            role_steps.demotion(
                scene, loser, change.turn, follows, gone=_gone(scene, loser, keep), change=change
            ),
        )
    if loser.head is None:
        raise FarshoreError(
            "wrong-state",
            f"where the copy at {scene.called(loser)} stands is not known: its engine does not answer",
            means="it takes no writes any more, and is not copied over before that is known",
            next_step=f"farshore status {scene.group}, at {loser.node_name}",
        )
    to = LinkTo(
        link=number,
        epoch=epoch,
        name=loser.node_name if link is None else link.name,
        far=loser.node,
        far_name=loser.node_name,
        far_copy=loser.copy,
        options=options,
        consent=loser.head,
        rescue=role_steps.rescue_of(change),
    )
    noted = None if change.kind == REJOIN else change  # which leaves a failover to be committed as it is
    await role_steps.fed(node, keep, wished(scene, keep, to, noted))
    return loser


async def bring_along(
    node: Node, scene: Scene, keep: Standing, losers: Sequence[Standing], change: ChangeIntent
) -> list[str]:
    """Has the copies that the losers fed follow the kept one as well; the names of those that do not."""
    untold = []
    along = {each.copy for each in scene.brought_along(keep, losers)}
    links = {
        copy.copy: (copy, link) for each in losers for copy, link in role_steps.siblings(scene, keep, each)
    }
    for copy, link in [each for number, each in links.items() if number in along]:
        to = replace(link, consent=copy.head, rescue=role_steps.rescue_of(change))
        wish = wished(scene, keep, to, change)
        try:
            await role_steps.pointed(node, scene, copy, keep, link)
            await role_steps.fed(node, keep, wish)
        except FarshoreError as error:
            text = f"{scene.called(copy)} does not follow {scene.called(keep)}: {error.what}"
            node.journal.add("copy-not-pointed", text, group=scene.group, peer=copy.node_name)
            untold.append(scene.called(copy))
    return untold


def require_room(scene: Scene, keep: Standing, loser: Standing, link: LinkStanding | None) -> None:
    """Raises FarshoreError `store-full` where the loser cannot keep what only it has."""
    if link is None or link.reason != Reason.STORE_FULL.value:
        return
    name = scene.called(loser)
    raise FarshoreError(
        "store-full",
        f"link {link.name} of {scene.group} waits: {name} has no room to keep what only its copy has",
        means="nothing that is not kept was overwritten there",
        next_step=f"make room there: farshore rescue list {scene.group}; or, to keep it nowhere:"
        f" farshore resync {scene.group} --link {link.name} --unprotected, at {scene.called(keep)}",
    )


def wished(scene: Scene, keep: Standing, link: LinkTo, change: ChangeIntent | None) -> FeedWish:
    """The wish that the kept copy feeds another one by this link."""
    number, copy = bytes.fromhex(scene.number), bytes.fromhex(keep.copy)
    turn = role_steps.expected(scene, keep).turn
    return FeedWish(group=number, copy=copy, link=link, turn=turn, change=change)


def _options(link: LinkStanding | None, back: LinkStanding | None, change: ChangeIntent) -> LinkOptions:
    """As the link was by which the loser fed the other, where that is known; the wire stays a link's own."""
    if back is not None:
        options = role_steps.options_of(back)
        return options if link is None else replace(options, wire=role_steps.options_of(link).wire)
    return change.options if link is None else role_steps.options_of(link)


def _gone(scene: Scene, loser: Standing, keep: Standing) -> tuple[bytes, ...]:
    """The loser's links that lead to the kept copy, or that this one feeds by now."""
    taken = {each.id for each in keep.links if not each.left_for}
    back = loser.link_to(keep)
    return tuple(
        bytes.fromhex(each.id)
        for each in loser.links
        if each.id in taken or (back is not None and each.id == back.id)
    )
