"""`resync --reverse`: the content of the primary is replaced by that of a copy that it feeds (rule E6).

It is made of changes of roles that exist, so that at each instant at most one copy can be written. Order:
(1) the primary becomes a secondary of the peer, durably; its exports are closed by that; (2) the peer is
promoted, durably, with no export that could be written and with a link that may overwrite exactly what the
former primary holds, which keeps that as a rescue; (3) that link is asked for a resync as thorough as was
planned, durably, and replicates, which installs the peer's history; (4) the role moves back as by a
switchover, and the exports are open again; (5) copies that are ahead of this content follow it, each with a
rescue. Cut off anywhere, the same command goes on. While the peer is out of reach a failover at the former
primary takes all of it back: what the resync has overwritten there is restored first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from farshore.errors import FarshoreError, ProtocolError
from farshore.model.copy_config import DOUBTFUL
from farshore.model.options import LinkState, ResyncKind
from farshore.model.role_change import ChangeIntent
from farshore.node import (
    gathering,
    joining,
    placement,
    plan_refusals,
    reverse_plans,
    role_steps,
    switchover,
    turns,
    under_way,
)
from farshore.node.node import Node
from farshore.node.peer_client import ask
from farshore.node.peers import Peer
from farshore.node.standings import LinkStanding, Scene, Standing
from farshore.node.switchover import answer, begun, changing_roles, explained
from farshore.node.turn_wishes import Following, LinkTo, link_id

NOTHING: Final = "nothing was changed there"
_RESYNC_SECONDS: Final = 15.0
CLOSED: Final = "it lends its content to the former primary: farshore resync --reverse is not done"
"""Why the peer cannot be written meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReverseWish:
    """An operator's wish; `accept` is the plan's id, None to be shown the plan only."""

    group: str
    link: str | None = None
    kind: ResyncKind = ResyncKind.UPDATE
    accept: str | None = None
    unprotected: bool = False
    """What is overwritten is to be kept nowhere."""


async def reverse(node: Node, wish: ReverseWish) -> dict[str, Any]:
    """The plan, and what was done: `done` false and `waits_for` while the content is copied. Raises
    FarshoreError."""
    async with changing_roles(node, wish.group):
        scene = await gathering.scene(node, wish.group)
        noted = under_way.noted(scene, reverse_plans.KIND_OF_END, reverse_plans.KIND)
        if noted is not None:
            return await _goes_on(node, scene, wish, noted)
        here, there = _ends(node, scene, wish)
        plan = reverse_plans.reverse(scene, here, there, wish.kind, kept=not wish.unprotected)
        if wish.accept is None:
            return answer(plan, done=False)
        plan.require()
        plan.accepted(wish.accept, f"farshore resync {wish.group} --reverse")
        node.journal.add("reverse-begun", plan.title, group=wish.group, plan=plan.id)
        waits = await _explained(node, scene, _begun(here, there, wish), wish)
        return _told(plan.document(), waits)


async def _goes_on(node: Node, scene: Scene, wish: ReverseWish, noted: ChangeIntent) -> dict[str, Any]:
    """One that was accepted goes on under the id by which it was. Raises FarshoreError."""
    if wish.kind not in (ResyncKind.UPDATE, noted.resync):
        raise FarshoreError(
            "usage",
            f"the reverse resync of {wish.group} that is not done is of another kind: {noted.resync}",
            means="nothing was changed on any node",
            next_step=f"farshore resync {wish.group} --reverse --accept {noted.plan}",
        )
    here = _known(scene, noted.goal, noted.goal_name)
    document = {**reverse_plans.going_on(scene, here, noted).document(), "id": noted.plan}
    if wish.accept is None:
        return {"plan": document, "done": False}
    if wish.accept != noted.plan:
        raise FarshoreError(
            "stale-plan",
            f"another reverse resync of {wish.group} is not done",
            means="nothing was changed on any node",
            next_step=f"farshore resync {wish.group} --reverse --accept {noted.plan}",
        )
    return _told(document, await _explained(node, scene, noted, wish))


async def _explained(
    node: Node, scene: Scene, change: ChangeIntent, wish: ReverseWish
) -> dict[str, Any] | None:
    command = f"farshore resync {wish.group} --reverse --accept {change.plan}"
    waits: dict[str, Any] | None = await explained(_carry_out(node, scene, change), command)
    if waits is None:
        text = f"{change.goal_name} has the content that {change.other_name} had, and is the primary again"
        node.journal.add("reverse-done", text, group=wish.group)
    return waits


def _told(plan: dict[str, Any], waits: dict[str, Any] | None) -> dict[str, Any]:
    return {"plan": plan, "done": waits is None, "waits_for": waits}


def _begun(here: Standing, there: Standing, wish: ReverseWish) -> ChangeIntent:
    options = role_steps.options_of(here.link_to(there))
    fresh = begun(reverse_plans.KIND, here, there, wish.accept or "", options)
    return replace(fresh, unprotected=wish.unprotected, resync=wish.kind)


def _ends(node: Node, scene: Scene, wish: ReverseWish) -> tuple[Standing, Standing]:
    """The copy whose content is replaced, and the one that it comes from. Raises FarshoreError."""
    own = next((each for each in scene.copies if each.node == scene.here and each.primary), None)
    if own is None:
        raise FarshoreError(
            "wrong-role",
            f"the copy of {scene.group} at {node.name} is not the primary",
            means="nothing was changed on any node",
            next_step="run the command on the primary's node: farshore topology " + scene.group,
        )
    fed = [(link, each) for each in scene.copies if (link := own.link_to(each)) is not None]
    chosen = [(link, each) for link, each in fed if wish.link in (None, link.name)]
    if len(chosen) == 1:
        return own, chosen[0][1]
    known = ", ".join(link.name for link, _ in fed) or "none whose far copy answers"
    raise FarshoreError(
        "not-found" if not chosen else "usage",
        f"{scene.group} has the links: {known}",
        means="nothing was changed on any node",
        next_step=f"say which copy is the good one: farshore resync {scene.group} --reverse --link LINK",
    )


async def _carry_out(node: Node, scene: Scene, change: ChangeIntent) -> dict[str, Any] | None:
    """All that can be done now; what is waited for, None once it is done."""
    if change.kind == reverse_plans.KIND:
        waits = await _content_moves(node, scene, change)
        if waits is not None:
            return waits
        turn = link_id(change.turn, change.other)
        change = replace(change, kind=reverse_plans.KIND_OF_END, turn=turn, drained=None)
        scene = await gathering.scene(node, scene.group)
    here = _known(scene, change.goal, change.goal_name)
    await switchover.carry_out(node, scene, here, change, role_steps.DRAIN_SECONDS)
    await _bring_others(node, scene.group, here.copy, replace(change, kind=reverse_plans.KIND))
    return None


async def _content_moves(node: Node, scene: Scene, change: ChangeIntent) -> dict[str, Any] | None:
    """Until the former primary has what the peer has."""
    here = _known(scene, change.goal, change.goal_name)
    there = _known(scene, change.other, change.other_name)
    if here.primary:
        here = await _given_up(node, scene, here, there, change)
    if not there.primary:
        there = await _lent(node, scene, here, there, change)
    if change.resync is ResyncKind.UPDATE or _was_asked(there, change):
        return _catching_up(scene, here, there)
    # The link has begun, or even ended, an update by itself: what the operator distrusts is not in that.
    args = {
        "group": scene.number,
        "copy": there.copy,
        "link": link_id(change.turn, here.copy).hex(),
        "kind": change.resync.value,
    }
    if there.node == node.identity.fingerprint:
        await _resync_link(node, args)
    else:
        await ask(node.identity, role_steps.peer_of(node, there), "resync-link", args, role_steps.ASK_SECONDS)
    await role_steps.noted(node, scene, there, replace(there.change or change, asked=True))
    return _waits_for(scene, here, there)


def _was_asked(there: Standing, change: ChangeIntent) -> bool:
    noted = there.change
    return noted is not None and noted.turn == change.turn and noted.asked


def _known(scene: Scene, copy: str, name: str) -> Standing:
    """Raises FarshoreError `unreachable`."""
    found = scene.copy(copy)
    if found is None:
        raise FarshoreError(
            "unreachable",
            f"{name} does not say how its copy of {scene.group} stands",
            means="no copy takes writes until the content is replaced, or that is taken back",
            next_step="when it is back, the same command; where it was to give its content, farshore failover"
            f" {scene.group} at the former primary restores what was there",
        )
    return found


async def _given_up(
    node: Node, scene: Scene, here: Standing, there: Standing, change: ChangeIntent
) -> Standing:
    """The primary as a secondary of the peer. What it wrote last need not get there: it is overwritten."""
    link, known = here.link_to(there), here.fed_by
    follows = Following(
        link=link_id(change.turn, here.copy),
        epoch=(0 if known is None else known.epoch) + 1,
        feeder=there.node,
        wire=change.options.wire,
    )
    gone = () if link is None else (bytes.fromhex(link.id),)
    wish = role_steps.demotion(scene, here, change.turn, follows, gone=gone, change=change)
    return await role_steps.turned(node, here, wish)


async def _lent(node: Node, scene: Scene, here: Standing, there: Standing, change: ChangeIntent) -> Standing:
    """The peer as a primary that nobody can write to, and that may overwrite what `here` holds now."""
    if here.head is None or here.fed_by is None:
        raise FarshoreError(
            "wrong-state",
            f"where the copy at {scene.called(here)} stands is not known: its engine does not answer",
            means="no copy takes writes until it does; nothing was overwritten",
            next_step=f"farshore status {scene.group}, at {here.node_name}",
        )
    to = LinkTo(
        link=link_id(change.turn, here.copy),
        epoch=here.fed_by.epoch,
        name=here.node_name,
        far=here.node,
        far_name=here.node_name,
        far_copy=here.copy,
        options=change.options,
        consent=here.head,
        rescue=role_steps.rescue_of(change),
    )
    accepts = (DOUBTFUL,) if plan_refusals.doubtful(there) else ()
    settings = {"on_start": here.on_start, "ignored": here.ignored, "accepts": accepts, "closed": CLOSED}
    wish = role_steps.promotion(scene, there, change, (to,), **settings)
    return await role_steps.turned(node, there, wish)


def _catching_up(scene: Scene, here: Standing, there: Standing) -> dict[str, Any] | None:
    """What is waited for; None once everything is here. Raises FarshoreError where that needs an operator."""
    link = there.link_to(here)
    if link is not None and link.state == LinkState.REPLICATING.value and here.promotable is not False:
        return None
    joining.require_room(scene, there, here, link)
    return _waits_for(scene, here, there)


def _waits_for(scene: Scene, here: Standing, there: Standing) -> dict[str, Any]:
    link = there.link_to(here)
    return {
        "node": scene.called(there),
        "link": scene.called(here) if link is None else link.name,
        "state": None if link is None else link.state,
    }


async def serve_resync(node: Node, peer: Peer, args: Mapping[str, Any]) -> dict[str, Any]:
    """`resync-link` for a peer: how thorough the resync over a link of a copy here is to be. Raises
    FarshoreError."""
    try:
        group, copy = placement.identifier(args["group"]), placement.identifier(args["copy"])
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"a malformed wish for a resync: {error!r}") from error
    await turns.require_related(node, peer, turns.find(node, group, copy))
    return await _resync_link(node, args)


async def _resync_link(node: Node, args: Mapping[str, Any]) -> dict[str, Any]:
    """Answered once no restart of the engine forgets it. Raises FarshoreError."""
    try:
        group, copy = placement.identifier(args["group"]), placement.identifier(args["copy"])
        link, kind = placement.identifier(args["link"]), ResyncKind(args["kind"])
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"a malformed wish for a resync: {error!r}") from error
    stored = turns.find(node, group, copy)
    names = [each.spec.name for each in stored.config.links if each.spec.id == link]
    if not names:
        raise FarshoreError("not-found", f"the copy at {node.name} has no such link", means=NOTHING)
    return await stored.engine.ask("resync", {"link": names[0], "kind": kind.value}, seconds=_RESYNC_SECONDS)


async def _bring_others(node: Node, group: str, copy: str, change: ChangeIntent) -> None:
    """Copies that hold more than the content which is the group's now may be overwritten, and keep it."""
    scene = await gathering.scene(node, group)
    here = scene.copy(copy)
    if here is None:
        return
    for link in here.links:
        each = _far(scene, here, link)
        if each is None or each.head is None or each.primary or link.left_for:
            continue
        to = LinkTo(
            link=bytes.fromhex(link.id),
            epoch=link.epoch,
            name=link.name,
            far=each.node,
            far_name=each.node_name,
            far_copy=each.copy,
            options=role_steps.options_of(link),
            consent=each.head,
            rescue=role_steps.rescue_of(change),
        )
        if each.generation != here.generation:
            await role_steps.fed(node, here, joining.wished(scene, here, to, None))


def _far(scene: Scene, here: Standing, link: LinkStanding) -> Standing | None:
    return next((each for each in scene.copies if here.link_to(each) == link), None)
