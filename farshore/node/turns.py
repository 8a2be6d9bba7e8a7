"""A copy here is turned: it becomes the primary, or a secondary of another one, at our wish or a peer's.

What the copy is to be is written to `copy.json` first, and its engine carries it out at its next start,
before it serves anybody, so a death at any point leaves the one role or the other. A primary that is asked
to has everything that it acknowledged durable at its peers before, and takes no write between that and its
end as primary: where its engine was started anew in between, that is not claimed. A promotion that the
engine refuses leaves the copy what it was. Only a node that feeds the copy, is fed by it, or stands in for
its feeder that is gone may ask for that.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from typing import Any, Final

from farshore.errors import FarshoreError, ProtocolError
from farshore.model.copy_config import (
    PREVIEWED,
    CopyConfig,
    ExportIntent,
    LinkIntent,
    TurnIntent,
    UpstreamIntent,
)
from farshore.model.options import LinkSpec, Role
from farshore.model.positions import Position
from farshore.model.role_change import ChangeIntent, Expected, change_from_json
from farshore.node import chains, engine_process, gathering, links, placement, reroutes
from farshore.node.copies import StoredCopy
from farshore.node.node import Node
from farshore.node.peers import Peer
from farshore.node.turn_wishes import (
    FeedWish,
    LinkTo,
    TurnWish,
    feed_from_json,
    hexed,
    position_from_json,
    turn_from_json,
)

_SLACK_SECONDS: Final = 5.0
_TURN_SECONDS: Final = 60.0
"""For an engine to replay its journal and come up in its new role."""
REWIND_SECONDS: Final = 300.0
"""The same for one that goes back to an earlier state first: as much is written as was since."""
_log = logging.getLogger(__name__)


async def serve_turn(node: Node, peer: Peer, args: Mapping[str, Any]) -> dict[str, Any]:
    """`turn-copy` for a peer. Raises FarshoreError."""
    wish = turn_from_json(args)
    await require_related(node, peer, find(node, wish.group, wish.copy))
    return await turn(node, wish, peer.name)


async def serve_feed(node: Node, peer: Peer, args: Mapping[str, Any]) -> dict[str, Any]:
    """`feed-copy` for a peer. Raises FarshoreError; nothing was changed then."""
    wish = feed_from_json(args)
    await require_related(node, peer, find(node, wish.group, wish.copy))
    return await feed(node, wish)


async def serve_note(node: Node, peer: Peer, args: Mapping[str, Any]) -> dict[str, Any]:
    """`note-change` for a peer: what change of roles a copy here is a part of, or that none is, and which
    links it has lost by it for good. Raises FarshoreError; nothing was changed then."""
    try:
        group, copy = placement.identifier(args["group"]), placement.identifier(args["copy"])
        change = change_from_json(args["change"])
        gone = tuple(placement.identifier(each) for each in list(args["gone"]))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"a malformed word of a change of roles: {error!r}") from error
    await require_related(node, peer, find(node, group, copy))
    return await note(node, group, copy, change, gone)


async def turn(node: Node, wish: TurnWish, asked_by: str = "") -> dict[str, Any]:
    """Turns a copy here; how it stands then. Raises FarshoreError: the copy is what it was where that says
    so, and otherwise becomes what was wished for when its engine starts."""
    async with node.changing(find(node, wish.group, wish.copy).config.group_name):
        before = stored = find(node, wish.group, wish.copy)
        done = stored.config.turn is not None and stored.config.turn.id == wish.turn
        if not done:
            _require_expected(node, stored, wish)
            stored = await _write(node, stored, wish, asked_by)
        if not done or not await _is_carried_out(stored, wish):
            await _carry_out(node, stored, wish, None if done else before)
    return (await gathering.standing(node, find(node, wish.group, wish.copy))).to_json()


async def feed(node: Node, wish: FeedWish) -> dict[str, Any]:
    """Has the primary here feed a copy by a link, new or known; how it stands then. Raises FarshoreError."""
    async with node.changing(find(node, wish.group, wish.copy).config.group_name):
        stored = find(node, wish.group, wish.copy)
        if stored.config.role is not Role.PRIMARY:
            raise FarshoreError("wrong-role", f"the copy at {node.name} is no primary any more")
        if _stands(stored.config).turn != wish.turn:
            raise _stale(node, stored.config, "part of another change")
        fresh = _with_link(node, stored.config, wish.link)
        change = wish.change or fresh.change
        closed = "" if wish.link.consent is not None and fresh.closed == PREVIEWED else fresh.closed
        await links.apply(node, stored, replace(fresh, change=change, closed=closed))
    return (await gathering.standing(node, find(node, wish.group, wish.copy))).to_json()


async def note(
    node: Node, group: bytes, copy: bytes, change: ChangeIntent | None, gone: Collection[bytes] = ()
) -> dict[str, Any]:
    """Writes down at a copy here what it is a part of, or crosses it out. Of the links that are `gone` those
    go that rest: others feed their far copies by them."""
    async with node.changing(find(node, group, copy).config.group_name):
        stored = find(node, group, copy)
        kept = tuple(
            each for each in stored.config.links if each.spec.id not in gone or not each.spec.resting
        )
        fresh = replace(stored.config, change=change, links=kept)
        if kept != stored.config.links:
            await links.apply(node, stored, fresh)
        elif fresh != stored.config:
            node.put(replace(stored, config=fresh))
    return {"change": None if change is None else changed(change)}


def changed(change: ChangeIntent) -> dict[str, Any]:
    """A change as it crosses to other nodes."""
    document: dict[str, Any] = hexed(asdict(change))
    return document


async def require_related(node: Node, peer: Peer, stored: StoredCopy) -> None:
    """Raises FarshoreError `wrong-feeder` unless that node has a say in who this copy is."""
    config = stored.config
    known = {each.spec.peer for each in config.links} | {each.peer for each in config.hops}
    if config.upstream is not None:
        known |= {config.upstream.peer, *config.upstream.above}
    if peer.id in known or await chains.stands_in(node, peer, stored):
        return
    raise FarshoreError(
        "wrong-feeder",
        f"{peer.name} neither feeds the copy of {config.group_name} at {node.name} nor is fed by it",
        means="nothing was changed there",
        next_step=f"run the command on {node.name}, or on the node of the primary",
    )


# -- steps of a turn ----------------------------------------------------------------------------------


def find(node: Node, group: bytes, copy: bytes) -> StoredCopy:
    """A copy here, by its ids. Raises FarshoreError `not-found`."""
    stored = node.copies.get(copy.hex())
    if stored is None or stored.config.group != group:
        raise FarshoreError(
            "not-found",
            f"{node.name} holds no such copy of that group any more",
            means="nothing was changed there",
            next_step="farshore topology shows what there is",
        )
    return stored


def _require_expected(node: Node, stored: StoredCopy, wish: TurnWish) -> None:
    config, stands = stored.config, _stands(stored.config)
    if stands != wish.expects:
        same_role = stands.role is wish.expects.role
        raise _stale(node, config, "part of another change" if same_role else f"a {stands.role.value}")
    follows = wish.follows
    if wish.role is Role.SECONDARY:
        if follows is None:
            raise ProtocolError("a secondary is to follow somebody")
        before = config.upstream.epoch if config.upstream is not None else 0
        if follows.epoch <= before:
            raise FarshoreError("stale-plan", f"the copy was pointed elsewhere meanwhile (epoch {before})")
        if follows.feeder != node.identity.fingerprint and node.peers.by_id(follows.feeder) is None:
            raise FarshoreError(
                "wrong-state",
                f"{node.name} is not paired with the node that is to feed its copy of {config.group_name}",
                means="nothing was changed there",
                next_step="pair the two: farshore node invite on one, farshore node join on the other",
            )


def _stands(config: CopyConfig) -> Expected:
    turn = b"" if config.turn is None else config.turn.id
    epoch = 0 if config.upstream is None else config.upstream.epoch
    return Expected(role=config.role, turn=turn, epoch=epoch)


def _stale(node: Node, config: CopyConfig, by_now: str) -> FarshoreError:
    return FarshoreError(
        "stale-plan",
        f"the copy of {config.group_name} at {node.name} is {by_now} by now",
        means="nothing was changed there",
        next_step=f"farshore status {config.group_name}, then the command again",
    )


async def _write(node: Node, stored: StoredCopy, wish: TurnWish, asked_by: str) -> StoredCopy:
    """The copy's new intent, durably."""
    drained, pid = None, _pid(node, stored)
    if wish.drain is not None and stored.config.role is Role.PRIMARY:
        drained = await _drained(stored, wish)
    change = None if wish.change is None else replace(wish.change, drained=None)
    fresh = _turned(node, stored.config, replace(wish, change=change))
    try:
        written = node.put(replace(stored, config=fresh))
    except FarshoreError:
        if drained is not None:
            await _resumed(stored)
        raise
    # Only now no engine can start as a primary any more. One that was started in between may have taken
    # writes that nobody drained; the claim that there are none comes last, and a death before it leaves none.
    if drained is not None and pid is not None and _pid(node, stored) == pid and change is not None:
        change = replace(change, drained=drained)
        written = node.put(replace(written, config=replace(fresh, change=change)))
    text = f"the copy of {fresh.group_name} here is to be the {wish.role.value}"
    text += f", at the wish of {asked_by}" if asked_by else ""
    turn_id = wish.turn.hex()
    node.journal.add("copy-turning", text, group=fresh.group_name, copy=stored.key, turn=turn_id)
    return written


async def _drained(stored: StoredCopy, wish: TurnWish) -> Position:
    """Up to where all is durable at the copy that is to feed this one; writes are held then. Raises
    FarshoreError; they flow again then."""
    seconds = wish.drain or 0.0
    try:
        answer = await stored.engine.ask("drain", {"timeout": seconds}, seconds=seconds + _SLACK_SECONDS)
        return _drained_to(stored, wish, answer)
    except FarshoreError:  # whatever it was: the engine may hold writes, and nobody else would let them go
        await _resumed(stored)
        raise


def _drained_to(stored: StoredCopy, wish: TurnWish, answer: Mapping[str, Any]) -> Position:
    config = stored.config
    names = {each.spec.name for each in config.links if each.spec.id in wish.gone}
    try:
        position = position_from_json(answer["position"])
        durable = {each["name"]: each["durable"] for each in answer["links"]}
        assert position is not None
        lacking = [name for name in sorted(names) if (durable.get(name) or 0) < position.sequence]
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"the {stored.called} did not say up to where it drained: {error!r}") from error
    if not lacking:
        return position
    raise FarshoreError(
        "wrong-state",
        f"link {lacking[0]} of {config.group_name} was lost while writes were drained",
        means="nothing was changed; writes flow as before",
        next_step=f"farshore wait {config.group_name} --for replicating, then the command again",
    )


async def _resumed(stored: StoredCopy) -> None:
    """Writes flow again where they were held for a change of roles."""
    try:
        await stored.engine.ask("resume")
    except FarshoreError as error:  # its next start holds nothing
        _log.warning("the %s was not told to let writes flow again: %s", stored.called, error)


async def _is_carried_out(stored: StoredCopy, wish: TurnWish) -> bool:
    try:
        entry = (await stored.engine.ask("status"))["group"]
    except (FarshoreError, KeyError) as error:
        _log.info("the %s does not say what it is: %s", stored.called, error)
        return False
    return (entry.get("role"), entry.get("turn")) == (wish.role.value, wish.turn.hex())


async def _carry_out(node: Node, stored: StoredCopy, wish: TurnWish, before: StoredCopy | None) -> None:
    config = stored.config
    await node.supervisor.take_down(stored)
    try:
        await node.supervisor.bring_up(stored, _TURN_SECONDS if wish.rewind is None else REWIND_SECONDS)
    except FarshoreError:
        promoted = wish.role is Role.PRIMARY and wish.expects.role is Role.SECONDARY
        if promoted and _has_not_turned(stored, wish):
            await node.supervisor.take_down(stored)
            # Another start may have come in between, and have turned it.
            if _has_not_turned(stored, wish):
                stored = node.put(_unturned(stored, wish) if before is None else before)
            node.supervisor.want(stored)
        raise
    role, group = wish.role.value, config.group_name
    node.journal.add(
        "copy-turned", f"the copy of {group} here is the {role} now", group=group, copy=stored.key, role=role
    )


def _has_not_turned(stored: StoredCopy, wish: TurnWish) -> bool:
    """Whether its engine, when it could not start, saw by the copy's header that it is a secondary still."""
    found = engine_process.durably(stored.directory)
    return found is not None and found[0] == Role.SECONDARY.value and found[1] != wish.turn.hex()


def _unturned(stored: StoredCopy, wish: TurnWish) -> StoredCopy:
    """As it was before a promotion that its engine has refused, and that an earlier node wrote down."""
    made = {each.link for each in wish.links if not each.known}
    kept = tuple(each for each in stored.config.links if each.spec.id not in made)
    fresh = replace(
        stored.config, role=Role.SECONDARY, turn=None, change=None, whole=False, closed="", links=kept
    )
    return replace(stored, config=fresh)


def _pid(node: Node, stored: StoredCopy) -> int | None:
    seen = node.supervisor.seen(stored.key)
    return None if seen is None else seen.pid


# -- the new intent -----------------------------------------------------------------------------------


def _turned(node: Node, config: CopyConfig, wish: TurnWish) -> CopyConfig:
    fresh = replace(
        config,
        role=wish.role,
        turn=TurnIntent(wish.turn, wish.accepts, wish.rewind),
        whole=wish.whole,
        closed=wish.closed,
        change=wish.change,
        links=tuple(_left(each, wish) for each in config.links if each.spec.id not in wish.gone),
    )
    for number in wish.gone:
        fresh = reroutes.without(fresh, number)
    for each in wish.links:
        fresh = _with_link(node, fresh, each)
    if wish.role is Role.PRIMARY:
        return _opened(node, fresh, wish)
    follows = wish.follows
    assert follows is not None
    name = node.name
    peer = node.peers.by_id(follows.feeder)
    if peer is not None:
        name = peer.name
    upstream = UpstreamIntent(follows.link, follows.epoch, follows.feeder, name, follows.wire, follows.above)
    hops = tuple(each for each in fresh.hops if each.via != follows.feeder)  # of those we are above no more
    return replace(fresh, upstream=upstream, hops=hops)


def _left(link: LinkIntent, wish: TurnWish) -> LinkIntent:
    name = dict(wish.left).get(link.spec.id)
    return link if name is None else replace(link, spec=replace(link.spec, resting=True), left_for=name)


def _opened(node: Node, config: CopyConfig, wish: TurnWish) -> CopyConfig:
    """With the exports that applications open, and what the former primary's volumes were told."""
    socket = str(node.paths.nbd_socket(config.copy))
    writable = {each.volume for each in config.exports if each.unix is not None and not each.read_only}
    more = tuple(ExportIntent(each.id, unix=socket) for each in config.volumes if each.id not in writable)
    volumes = tuple(
        replace(each, outage="ignore" if each.id in wish.ignored else "log") for each in config.volumes
    )
    return replace(config, exports=(*config.exports, *more), on_start=wish.on_start, volumes=volumes)


def _with_link(node: Node, config: CopyConfig, wish: LinkTo) -> CopyConfig:
    peer = node.peers.by_id(wish.far)
    known = next((each for each in config.links if each.spec.id == wish.link), None)
    others = {each.spec.name for each in config.links if each is not known}
    others |= {each.name for each in config.hops if each.link != wish.link}
    name = known.spec.name if known is not None else _free(wish.name, others)
    spec = LinkSpec(wish.link, name, wish.far, wish.options, wish.epoch)
    fresh = LinkIntent(
        spec,
        peer.name if peer is not None else wish.far_name,
        peer.address if peer is not None else "",
        peer_copy=wish.far_copy,
        consent=wish.consent,
        rescue=wish.rescue,
    )
    config = replace(config, hops=tuple(each for each in config.hops if each.link != wish.link))
    return links.with_link(config, fresh)


def _free(name: str, taken: set[str]) -> str:
    numbered = (f"{name[:59]}-{number}" for number in range(2, len(taken) + 3))
    return next(each for each in (name, *numbered) if each not in taken)
