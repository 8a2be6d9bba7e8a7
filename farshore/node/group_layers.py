"""What the copies of a group keep in their preserve stores, asked from node to node along their links.

A node knows whom its own copies feed and follow, and no more: so each answers for its own copies and asks
those on (`group-layers`), within a time that shrinks on the way. Who is asked already is named, so nobody is
asked twice. Whoever names a group's id, 128 random bits, has a copy of it (see `gathering`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from farshore.errors import FarshoreError, ProtocolError
from farshore.model.layers import LayerKind
from farshore.model.options import Role
from farshore.node import copy_layers, placement, status
from farshore.node.copies import StoredCopy
from farshore.node.copy_layers import KeptLayer
from farshore.node.node import Node
from farshore.node.peer_client import ask

ASK_SECONDS: Final = 8.0
DROP_SECONDS: Final = 120.0
_SHRINKS: Final = 0.8
_MOST: Final = 256
"""Copies of a group."""


@dataclass(frozen=True, slots=True)
class FedLink:
    """A link by which a copy feeds another one."""

    id: str
    name: str
    peer: str
    peer_name: str
    state: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyLayers:
    """One copy. `silent`: why nothing is known of it; `said`: what its engine answers."""

    node: str
    node_name: str
    copy: str = ""
    copy_name: str = ""
    several: bool = False
    """Its node holds more than one copy of the group."""
    role: str = ""
    follows: str = ""
    """The link that feeds it."""
    links: tuple[FedLink, ...] = ()
    silent: str = ""
    said: Mapping[str, Any] = field(default_factory=dict)
    dropped: int = 0
    """Layers that were given up there, as was wished."""
    kept_why: str = ""
    """Why what should have been given up was not."""

    @property
    def called(self) -> str:
        """NODE or NODE/COPY."""
        return f"{self.node_name}/{self.copy_name}" if self.several else self.node_name

    @property
    def keeps(self) -> bool:
        """Whether snapshots are kept there: primaries with engines of before keep none."""
        return self.role != Role.PRIMARY.value or bool(self.silent or self.said.get("passed"))

    @property
    def refusal(self) -> Mapping[str, Any]:
        """Why it would take no snapshot now; empty where it would."""
        return self.said.get("refused") or {}

    @property
    def missed(self) -> list[Mapping[str, Any]]:
        """Snapshots of which it knows that it has not taken them."""
        return list(self.said.get("missed") or ())

    @property
    def store(self) -> dict[str, Any]:
        """What its store takes, in bytes."""
        sizes = {name: self.said.get(name) for name in ("used_bytes", "limit_bytes")}
        return {"copy": self.called, **sizes, "unusable": copy_layers.unusable(self.said) or None}

    def of(self, kind: LayerKind) -> list[KeptLayer]:
        """Its layers of a kind, oldest first."""
        return [each for each in copy_layers.read(self.said) if each.kind is kind]

    def uses(self, name: str) -> bool:
        """Whether it keeps anything under this name."""
        return any(each.name == name for each in copy_layers.read(self.said))

    def passed(self, generation: str, sequence: int) -> bool:
        """Whether it knows by now what became of a snapshot that was asked for at a position. A primary
        writes on in another generation only when what it had begun before has gone."""
        place = self.said.get("passed") or {}
        if place.get("generation") == generation:
            return int(place.get("sequence") or 0) >= sequence
        return self.role == Role.PRIMARY.value and bool(place.get("generation"))


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked on. `drop`: the name of a snapshot that is to be given up wherever it is."""

    number: bytes
    seen: frozenset[str] = frozenset()
    seconds: float = ASK_SECONDS
    drop: str = ""


async def gathered(node: Node, question: Question) -> list[CopyLayers]:
    """Of all copies that are reached from here; links whose far end was not reached stand for a copy that is
    silent."""
    here = [stored for stored in node.copies.all() if stored.config.group == question.number]
    near = {each.spec.peer for stored in here for each in stored.config.links if not each.left_for}
    near |= {stored.config.upstream.peer for stored in here if stored.config.upstream is not None}
    me = node.identity.fingerprint
    on = sorted(near - question.seen - {me})
    seen = question.seen | near | {me}
    further = Question(question.number, seen, question.seconds * _SHRINKS, question.drop)
    own, heard = await asyncio.gather(
        asyncio.gather(*(_of(node, stored, len(here) > 1, question) for stored in here)),
        asyncio.gather(*(_of_peer(node, peer, further) for peer in on)),
    )
    found = {each.copy: each for each in own}
    why: dict[str, str] = {}
    for peer, answer in zip(on, heard, strict=True):
        if isinstance(answer, str):
            why[peer] = answer
        else:
            found |= {each.copy: each for each in answer if each.copy}
    if not question.seen:
        return [*found.values(), *_unheard(list(found.values()), why)]
    return list(found.values())


def _unheard(found: list[CopyLayers], why: Mapping[str, str]) -> list[CopyLayers]:
    """Copies that others feed, and that have not answered."""
    known = {each.follows for each in found}
    return [
        CopyLayers(
            node=link.peer,
            node_name=link.peer_name,
            follows=link.id,
            silent=why.get(link.peer, "its node was not reached"),
        )
        for each in found
        for link in each.links
        if link.id not in known
    ]


async def _of(node: Node, stored: StoredCopy, several: bool, question: Question) -> CopyLayers:
    config = stored.config
    entry = await status.entry(node, stored)
    states = {each.get("name"): each.get("state") for each in entry.get("links") or ()}
    said: Mapping[str, Any] = {}
    silent, dropped, kept_why = "", 0, ""
    try:
        said = await stored.engine.ask("layers", seconds=question.seconds)
        if question.drop:
            dropped = await _drop(stored, said, question.drop)
    except FarshoreError as error:
        silent, kept_why = ("", error.what) if said else (error.what, "")
    return CopyLayers(
        node=node.identity.fingerprint,
        node_name=node.name,
        copy=stored.key,
        copy_name=config.copy_name,
        several=several,
        role=config.role.value,
        follows="" if config.upstream is None else config.upstream.link.hex(),
        links=tuple(
            FedLink(
                each.spec.id.hex(),
                each.spec.name,
                each.spec.peer,
                each.peer_name,
                states.get(each.spec.name),
            )
            for each in config.links
            if not each.left_for
        ),
        silent=silent,
        said=said,
        dropped=dropped,
        kept_why=kept_why,
    )


async def _drop(stored: StoredCopy, said: Mapping[str, Any], name: str) -> int:
    layers = copy_layers.read(said)
    found = [each for each in layers if each.kind is LayerKind.SNAPSHOT and each.name == name]
    for each in found:
        await stored.engine.ask("layer-drop", {"id": each.id}, seconds=DROP_SECONDS)
    return len(found)


async def _of_peer(node: Node, number: str, question: Question) -> list[CopyLayers] | str:
    peer = node.peers.by_id(number)
    if peer is None:
        return f"{node.name} is not paired with it any more"
    args = {
        "group": question.number.hex(),
        "seen": sorted(question.seen),
        "seconds": question.seconds,
        "drop": question.drop,
    }
    limit = DROP_SECONDS if question.drop else question.seconds
    try:
        answer = await ask(node.identity, peer, "group-layers", args, limit)
        return [_from_json(each) for each in list(answer["copies"])[:_MOST]]
    except FarshoreError as error:
        return error.what
    except (KeyError, TypeError, AttributeError) as error:
        return f"its answer is malformed: {error!r}"


def _from_json(value: Mapping[str, Any]) -> CopyLayers:
    links, said = tuple(FedLink(**each) for each in value["links"]), dict(value["said"])
    copy_layers.read(said)  # so that what is malformed is an answer of that node, and of no other
    return CopyLayers(**{**value, "links": links, "said": said})


async def serve(node: Node, args: Mapping[str, Any]) -> dict[str, Any]:
    """`group-layers`, for whoever names a group's id. Raises FarshoreError."""
    try:
        question = Question(
            placement.identifier(args["group"]),
            frozenset(str(each) for each in args["seen"]) or frozenset({""}),
            min(max(float(args["seconds"]), 0.5), ASK_SECONDS),
            str(args["drop"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"a malformed question for layers: {error!r}") from error
    return {"copies": [asdict(each) for each in await gathered(node, question)]}
