"""Which copies a group has, at which nodes, and what feeds what: one tree per copy that nobody seen feeds.

This node asks every node that it is paired with, all side by side and for a short time only, what they hold
of the groups that it has itself. Whoever names a group's id, 128 random bits, has a copy of it. What a
node says of its links also tells of nodes behind it that we are not paired with. Nothing is remembered: a
node that does not answer is drawn from what its neighbours say of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from farshore.errors import FarshoreError
from farshore.model.options import Role
from farshore.node import status
from farshore.node.copies import StoredCopy
from farshore.node.node import Node
from farshore.node.peer_client import ask
from farshore.node.peers import Peer

ASK_SECONDS: Final = 5.0
_OF_COPY: Final = ("health", "sequence", "usable")
_OF_LINK: Final = ("name", "mode", "wire", "state", "reason", "lag_seconds", "lag_bytes", "dirty_bytes")


async def document(node: Node, group: str | None = None) -> dict[str, Any]:
    """What `farshore topology --json` prints. Raises FarshoreError `not-found` for an unknown group."""
    own = node.copies.all() if group is None else node.copies.of_group(group)
    names = {stored.config.group.hex(): stored.config.group_name for stored in own}
    held, *heard = await asyncio.gather(
        _held(node, own), *(_heard(node, peer, list(names)) for peer in node.peers.all())
    )
    copies, silent = list(held), []
    for answer in heard:
        if isinstance(answer, dict):
            silent.append(answer)
        else:
            copies += answer
    return {
        "schema": 1,
        "node": node.about(),
        "groups": [
            {"name": name, "id": number, "roots": trees([each for each in copies if each["group"] == number])}
            for number, name in names.items()
        ],
        "silent": silent,
    }


async def tell(node: Node, args: Mapping[str, Any]) -> dict[str, Any]:
    """What this node holds of the groups whose ids a peer names. Raises FarshoreError `usage`."""
    wanted = args.get("groups")
    if not isinstance(wanted, list):
        raise FarshoreError("usage", "topology needs a list of groups")
    return {"copies": await _held(node, [s for s in node.copies.all() if s.config.group.hex() in wanted])}


async def _held(node: Node, copies: Iterable[StoredCopy]) -> list[dict[str, Any]]:
    return list(await asyncio.gather(*(_copy(node, stored) for stored in copies)))


async def _copy(node: Node, stored: StoredCopy) -> dict[str, Any]:
    entry, config = await status.entry(node, stored), stored.config
    shown = {each["name"]: each for each in entry["links"]}
    links = []
    for link in config.links:
        seen = shown.get(link.spec.name, {})
        links.append(
            {
                "id": link.spec.id.hex(),
                "peer": link.peer_name,
                "peer_id": link.spec.peer,
                **{key: seen.get(key) for key in _OF_LINK},
                "name": link.spec.name,
                "mode": link.spec.options.mode.value,
                "wire": link.spec.options.wire,
            }
        )
    upstream = config.upstream
    return {
        "group": config.group.hex(),
        "node": node.name,
        "node_id": node.identity.fingerprint,
        "copy": config.copy_name,
        "role": config.role.value,
        **{key: entry.get(key) for key in _OF_COPY},
        "links": links,
        "fed_by": upstream and {"link": upstream.link.hex(), "node": upstream.peer_name},
    }


async def _heard(node: Node, peer: Peer, groups: list[str]) -> list[dict[str, Any]] | dict[str, Any]:
    """A peer's copies, or why it said nothing."""
    try:
        async with asyncio.timeout(ASK_SECONDS):
            answer = await ask(node.identity, peer, "topology", {"groups": groups}, ASK_SECONDS)
        copies = [_checked(each) for each in answer["copies"]]
    except TimeoutError:
        return {"node": peer.name, "why": f"no answer within {ASK_SECONDS:g} s"}
    except FarshoreError as error:
        return {"node": peer.name, "why": error.what}
    except (KeyError, TypeError) as error:
        return {"node": peer.name, "why": f"its answer is malformed: {error!r}"}
    # A peer is called here what we call it, and speaks for itself only.
    return [{**each, "node": peer.name, "node_id": peer.id} for each in copies]


def _checked(copy: Any) -> dict[str, Any]:
    """Raises TypeError or KeyError."""
    kinds = {"group": str, "copy": str, "role": str, "links": list}
    for key, kind in kinds.items():
        if not isinstance(copy[key], kind):
            raise TypeError(key)
    for link in copy["links"]:
        if not all(isinstance(link[key], str) for key in ("id", "peer", "peer_id", "name")):
            raise TypeError("links")
    fed_by = copy["fed_by"]
    if fed_by is not None and not all(isinstance(fed_by[key], str) for key in ("link", "node")):
        raise TypeError("fed_by")
    return dict(copy)


def trees(copies: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One group's copies as trees: each with `via`, the link that feeds it, and `copies`, which it feeds.

    A copy that only others speak of has `seen` false, and null where nothing is known.
    """
    fed = {copy["fed_by"]["link"]: copy for copy in copies if copy["fed_by"] is not None}
    links = {link["id"] for copy in copies for link in copy["links"]}
    drawn: set[str] = set()

    def grow(copy: Mapping[str, Any], via: Mapping[str, Any] | None) -> dict[str, Any]:
        below = []
        for link in copy["links"]:
            follower = fed.get(link["id"])
            if link["id"] in drawn:
                continue  # a ring: nothing that was drawn is drawn again
            drawn.add(link["id"])
            below.append(grow(follower, link) if follower is not None else _unseen(link["peer"], link))
        return _branch(copy, via, below)

    roots = []
    for copy in sorted(copies, key=lambda each: (each["role"] != Role.PRIMARY.value, each["node"])):
        fed_by = copy["fed_by"]
        if fed_by is None:
            roots.append(grow(copy, None))
        elif fed_by["link"] not in links and fed_by["link"] not in drawn:
            drawn.add(fed_by["link"])
            above = _unseen(fed_by["node"], None)
            above["copies"] = [grow(copy, {"id": fed_by["link"]})]
            roots.append(above)
    return roots


def _branch(
    copy: Mapping[str, Any], via: Mapping[str, Any] | None, below: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "node": copy["node"],
        "node_id": copy.get("node_id"),
        "copy": copy.get("copy"),
        "role": copy.get("role"),
        **{key: copy.get(key) for key in _OF_COPY},
        "seen": True,
        "via": _via(via),
        "copies": below,
    }


def _unseen(name: str, via: Mapping[str, Any] | None) -> dict[str, Any]:
    known = {"node": name, "node_id": via.get("peer_id") if via is not None else None}
    return {**_branch(known, via, []), "role": None if via is None else Role.SECONDARY.value, "seen": False}


def _via(link: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if link is None else {key: link.get(key) for key in ("id", *_OF_LINK)}
