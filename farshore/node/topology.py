"""Which copies a group has, at which nodes, and what feeds what: one tree per copy that nobody seen feeds.

This node asks every node that it is paired with, all side by side and for a short time only, what they hold
of the groups that it has itself. Whoever names a group's id, 128 random bits, has a copy of it. What a
node says of its links also tells of nodes behind it that we are not paired with. A node that does not answer
is drawn from what its neighbours say of it, and from what is remembered here of hops that it was asked for.
How trees are made of all that is the business of `trees`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

from farshore.errors import FarshoreError
from farshore.model.copy_config import HopIntent
from farshore.model.options import LinkOptions, Mode
from farshore.node import intent, placement, reroutes, status
from farshore.node.copies import StoredCopy
from farshore.node.node import Node
from farshore.node.peer_client import ask
from farshore.node.peers import Peer
from farshore.node.trees import OF_COPY, OF_LINK, trees

ASK_SECONDS: Final = 5.0


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
                **{key: seen.get(key) for key in OF_LINK},
                "name": link.spec.name,
                "mode": link.spec.options.mode.value,
                "wire": link.spec.options.wire,
                "epoch": link.spec.epoch,
                "left_for": reroutes.replaced_by(config, link) or None,
            }
        )
    upstream = stored.upstream
    return {
        "group": config.group.hex(),
        "node": node.name,
        "node_id": node.identity.fingerprint,
        "copy": config.copy_name,
        "role": config.role.value,
        **{key: entry.get(key) for key in OF_COPY},
        "links": links,
        "hops": [_hop(hop) for hop in config.hops],
        "fed_by": upstream
        and {"link": upstream.link.hex(), "node": upstream.peer_name, "node_id": upstream.peer},
    }


def _hop(hop: HopIntent) -> dict[str, Any]:
    """A hop that was made from here, as its own node would show it but for its state."""
    return {
        "id": hop.link.hex(),
        "name": hop.name,
        "peer": hop.peer_name,
        "peer_id": hop.peer,
        "mode": hop.options.mode.value,
        "wire": hop.options.wire,
        "at": hop.via,
        "at_copy": hop.via_copy,
    }


async def copies_named(node: Node, stored: StoredCopy, name: str) -> list[tuple[bytes, Peer, LinkOptions]]:
    """Copies of a group at peers that are called so: the link that each follows, its node, and what is known
    of the link's options. For a link that was made at another node, of which nothing is remembered here."""
    answers = await asyncio.gather(
        *(_heard(node, peer, [stored.config.group.hex()]) for peer in node.peers.all())
    )
    copies = [copy for answer in answers if isinstance(answer, list) for copy in answer]
    links = {link["id"]: link for copy in copies for link in copy["links"]}
    found = []
    for copy in copies:
        peer, fed_by = node.peers.by_id(copy["node_id"]), copy["fed_by"]
        if copy["copy"] != name or fed_by is None or peer is None:
            continue
        mode = links.get(fed_by["link"], {}).get("mode")
        options = intent.link_options({"mode": mode} if mode in list(Mode) else {})
        found.append((placement.identifier(fed_by["link"]), peer, options))
    return found


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
        if not isinstance(link.get("epoch") or 0, int) or not isinstance(link.get("left_for") or "", str):
            raise TypeError("links")
    for hop in copy.get("hops") or ():
        if not all(isinstance(hop[key], str) for key in ("id", "peer", "peer_id", "name", "at", "at_copy")):
            raise TypeError("hops")
    fed_by = copy["fed_by"]
    if fed_by is not None and not all(isinstance(fed_by[key], str) for key in ("link", "node")):
        raise TypeError("fed_by")
    return dict(copy)
