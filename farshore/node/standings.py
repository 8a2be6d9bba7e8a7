"""How every copy of a group stands, as its own node says: what plans of roles rest on, and their steps.
Pure.

A node speaks for its own copies only, and is heard or silent as a whole. What comes from a peer is checked
for its shape here; what it means is for `role_plans`. Of a copy whose engine does not answer the intent
alone is known. Unknown figures are None, never 0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from typing import Any, Final

from farshore.errors import ProtocolError
from farshore.model.options import Role
from farshore.model.positions import MAX_STRETCHES, History, Position, Stretch
from farshore.model.role_change import ChangeIntent, Expected, change_from_json
from farshore.node import placement
from farshore.node.placement import VolumeShape
from farshore.node.turn_wishes import hexed

_MOST: Final = 1024
"""Copies or links in one answer."""
_WORD_BYTES: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStanding:
    """One outgoing link of a copy. `id` in hex; `peer` is a fingerprint."""

    id: str
    name: str
    peer: str
    peer_name: str
    epoch: int
    state: str | None = None
    reason: str | None = None
    mode: str = "async"
    ack: str = "applied"
    left_for: str = ""
    options: Mapping[str, Any]
    peer_copy: str | None = None
    """Id of the far copy in hex, None where nobody has said it yet."""
    alone_since: Mapping[str, Any] | None = None
    """Rule C4: after it, writes were acknowledged that this sync link's peer may lack."""
    dirty_bytes: int | None = None
    found_bytes: int | None = None
    """What a verify has found to differ at the peer, and nobody has repaired."""
    own_bytes: int | None = None
    """What this copy wrote since the histories parted."""
    fork: Mapping[str, Any] | None = None
    """Where they parted."""
    peer_head: Mapping[str, Any] | None = None
    """The head of the far copy's history, where the two conflict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fed:
    """Whom a copy follows, or followed before it was promoted."""

    link: str
    epoch: int
    peer: str
    peer_name: str
    wire: str = "tls"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One copy. Ids are hex, nodes fingerprints."""

    node: str
    node_name: str
    copy: str
    copy_name: str
    role: str
    """What its intent says."""
    acts: str | None = None
    """What its engine does; None while that does not answer."""
    turn: str | None = None
    """The last turn that was carried out."""
    due: str | None = None
    """The last turn that was decided, by its intent."""
    generation: str | None = None
    sequence: int | None = None
    stretches: tuple[tuple[str, int], ...] = ()
    """Its history: generations in hex with the last sequence of each; empty where it does not say."""
    residue: bool = False
    """Of a secondary: it was the primary, and its history ends where it did then."""
    durable: int | None = None
    writes: str | None = None
    fault: str | None = None
    fenced: str | None = None
    promotable: bool | None = None
    promotable_why: str | None = None
    promotable_risk: str | None = None
    """What a plan may accept to promote it all the same."""
    usable_as_of: str | None = None
    newest_write_at: str | None = None
    resync_open: bool | None = None
    connected: bool | None = None
    """Of a secondary: whether its feeder speaks to it."""
    whole: bool = False
    """Of a primary that was promoted: see `CopyConfig.whole`."""
    fed_by: Fed | None = None
    links: tuple[LinkStanding, ...] = ()
    volumes: tuple[VolumeShape, ...] = ()
    on_start: str = "wait"
    ignored: tuple[int, ...] = ()
    """Volumes whose changes are not logged in an outage."""
    attached: tuple[str, ...] = ()
    """Volumes that are attached as devices there."""
    paired: tuple[str, ...] = ()
    """Fingerprints of the nodes that its node is paired with."""
    change: ChangeIntent | None = None
    """A change of roles that its node knows of and that is not done."""
    closed: str = ""
    """See `CopyConfig.closed`."""

    @property
    def primary(self) -> bool:
        """By intent."""
        return self.role == Role.PRIMARY.value

    @property
    def stands(self) -> Expected:
        """By intent, as a plan that is made now rests on it."""
        epoch = 0 if self.fed_by is None else self.fed_by.epoch
        return Expected(role=Role(self.role), turn=bytes.fromhex(self.due or ""), epoch=epoch)

    @property
    def alive(self) -> bool:
        """Its engine answers, and is what it should be."""
        return self.acts == self.role

    def link_to(self, copy: Standing) -> LinkStanding | None:
        """The link by which it feeds, or fed, that copy: the one with its id. Of several, the one that the
        copy follows, or one that does not rest."""
        known = [each for each in self.links if each.peer_copy == copy.copy]
        followed = [each for each in known if _is_fed(copy, self, each)]
        return next(iter((*followed, *[each for each in known if not each.left_for], *known)), None)

    @property
    def history(self) -> History:
        """As far as it says; blank where nothing is known."""
        if self.stretches:
            return History(tuple(Stretch(bytes.fromhex(each), last) for each, last in self.stretches))
        head = self.head
        return History() if head is None else History((Stretch(head.generation, head.sequence),))

    @property
    def head(self) -> Position | None:
        """Where its history ends; None where that is not known."""
        if self.generation is None or self.sequence is None:
            return None
        return Position(bytes.fromhex(self.generation), self.sequence)

    def to_json(self) -> dict[str, Any]:
        """For `copies-stand`."""
        return hexed(asdict(self))  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Silent:
    """A node that may hold a copy and did not say how that stands. Its `code` is of the catalogue:
    `state-damaged` where it answers, and cannot read a copy that may be one of this group."""

    node: str
    name: str
    why: str
    code: str = "unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """All that is known of a group. `here`: fingerprint of the node that asked."""

    group: str
    number: str
    here: str
    copies: tuple[Standing, ...]
    silent: tuple[Silent, ...] = ()

    @property
    def primaries(self) -> tuple[Standing, ...]:
        """Those that are primary by intent; one, unless a failover left a second one behind."""
        return tuple(each for each in self.copies if each.primary)

    @property
    def primary(self) -> Standing | None:
        """The one that takes writes: of several, one that nobody has fenced."""
        standing = [each for each in self.primaries if not each.fenced]
        chosen = standing if len(standing) == 1 else list(self.primaries)
        return chosen[0] if len(chosen) == 1 else None

    def link(self, number: str) -> LinkStanding | None:
        """The link with that id, as the copy that feeds by it knows it, or one that fed by it before."""
        found = [each for copy in self.copies for each in copy.links if each.id == number]
        return next((each for each in found if not each.left_for), next(iter(found), None))

    def at(self, node: str, copy: str | None = None) -> list[Standing]:
        """The copies of a node by its name, all or the one of that name."""
        return [each for each in self.copies if each.node_name == node and copy in (None, each.copy_name)]

    def called(self, copy: Standing) -> str:
        """NODE, or NODE/COPY where its node holds several copies of the group."""
        several = len([each for each in self.copies if each.node == copy.node]) > 1
        return f"{copy.node_name}/{copy.copy_name}" if several else copy.node_name

    def copy(self, number: str) -> Standing | None:
        """The copy with that id."""
        return next((each for each in self.copies if each.copy == number), None)

    def feeder_of(self, copy: Standing) -> Standing | None:
        """The copy that has the link that it follows."""
        fed = copy.fed_by
        if fed is None or copy.primary:
            return None
        for each in self.copies:
            if each.node == fed.peer and any(link.id == fed.link for link in each.links):
                return each
        return None

    def followers(self, goal: Standing, other: Standing | None) -> list[tuple[Standing, Fed]]:
        """The secondaries that `goal` can feed in place of `other`, or of the copy that fed both; and whom
        they follow now."""
        feeders = {goal.node, "" if goal.fed_by is None else goal.fed_by.peer}
        feeders |= set() if other is None else {other.node}
        own = {goal.copy, "" if other is None else other.copy}
        return [
            (each, each.fed_by)
            for each in self.copies
            if each.fed_by is not None
            and each.fed_by.peer in feeders
            and not each.primary
            and each.copy not in own
            and each.node in (goal.node, *goal.paired)
        ]

    def brought_along(self, keep: Standing, losers: Collection[Standing]) -> list[Standing]:
        """The copies that are to follow `keep` with the losers that fed them, and do not yet."""
        fed = {each.copy for loser in losers for each, _ in self.followers(keep, loser)}
        own = {loser.copy for loser in losers}
        return [each for each in self.copies if each.copy in fed - own and not _follows(each.fed_by, keep)]

    def silent_node(self, number: str) -> Silent | None:
        """The silent node with that fingerprint."""
        return next((each for each in self.silent if each.node == number), None)


def acquainted(copies: Collection[Standing]) -> tuple[Standing, ...]:
    """With the far copy of each link that did not know it, where what all nodes say leaves one. A link that a
    failover makes to a silent site knows only where it leads, until that site is heard."""
    return tuple(
        replace(owner, links=tuple(_acquainted(copies, owner, link) for link in owner.links))
        for owner in copies
    )


def _acquainted(copies: Collection[Standing], owner: Standing, link: LinkStanding) -> LinkStanding:
    if link.peer_copy is not None:
        return link
    met = {each.peer_copy for each in owner.links}
    there = [
        each for each in copies if each.node == link.peer and each.copy != owner.copy and each.copy not in met
    ]
    following = [each for each in there if _is_fed(each, owner, link)]
    fed = owner.fed_by
    # Of a promoted copy it is the one that fed it; and at a node with one copy there is no other.
    feeding = [each for each in there if fed is not None and any(own.id == fed.link for own in each.links)]
    strangers = [each for each in owner.links if each.peer == link.peer and each.peer_copy is None]
    alone = there if len(strangers) == 1 else []
    found = next((each for each in (following, feeding, alone) if each), [])
    return replace(link, peer_copy=found[0].copy) if len(found) == 1 else link


def _is_fed(copy: Standing, feeder: Standing, link: LinkStanding) -> bool:
    fed = copy.fed_by
    return fed is not None and fed.link == link.id and fed.peer == feeder.node


def _follows(fed: Fed | None, keep: Standing) -> bool:
    links = {(each.id, each.epoch) for each in keep.links if not each.left_for}
    return fed is not None and fed.peer == keep.node and (fed.link, fed.epoch) in links


def from_json(value: Mapping[str, Any], node: str, name: str) -> Standing:
    """A copy of the node `node`, which we call `name`. Raises ProtocolError."""
    try:
        known = {each.name for each in fields(Standing)}
        given = {key: each for key, each in dict(value).items() if key in known}
        fed, links = given.get("fed_by"), list(given.get("links") or ())
        if len(links) > _MOST or given["role"] not in list(Role):
            raise ValueError("links or role")
        given |= {
            "node": node,
            "node_name": name,
            "copy": placement.identifier(given["copy"]).hex(),
            "fed_by": None if fed is None else _fed(fed),
            "change": change_from_json(given.get("change")),
            "due": None if given.get("due") is None else placement.identifier(given["due"]).hex(),
            "links": tuple(_link(each) for each in links),
            "volumes": placement.shapes(given["volumes"]),
            "attached": tuple(str(each)[:64] for each in list(given.get("attached") or ())[:_MOST]),
            "whole": given.get("whole") is True,
            "closed": str(given.get("closed") or "")[:_WORD_BYTES],
            "residue": given.get("residue") is True,
            "stretches": stretches(given.get("stretches") or ()),
            "ignored": tuple(int(each) for each in list(given.get("ignored") or ())[:_MOST]),
            "paired": tuple(str(each)[:64] for each in list(given.get("paired") or ())[:_MOST]),
        }
        for key in _WORDS & given.keys():
            given[key] = None if given[key] is None else str(given[key])[:_WORD_BYTES]
        for key in _NUMBERS & given.keys():
            given[key] = None if given[key] is None else int(given[key])
        return Standing(**given)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"{name} did not say how its copy stands: {error!r}") from error


_WORDS: Final = {
    "copy_name",
    "acts",
    "turn",
    "generation",
    "writes",
    "fault",
    "fenced",
    "promotable_why",
    "promotable_risk",
    "usable_as_of",
    "newest_write_at",
    "on_start",
}
_NUMBERS: Final = {"sequence", "durable"}


def stretches(value: Iterable[Any]) -> tuple[tuple[str, int], ...]:
    """A history as it crosses to other nodes. Raises TypeError or ValueError."""
    found = [(placement.identifier(each).hex(), int(last)) for each, last in list(value)[:MAX_STRETCHES]]
    if any(last < before for (_, before), (_, last) in pairwise([("", 0), *found])):
        raise ValueError("a history that does not grow")
    return tuple(found)


def _fed(value: Mapping[str, Any]) -> Fed:
    (peer,) = placement.fingerprints([value["peer"]])
    wire = str(value.get("wire", "tls"))
    return Fed(
        link=placement.identifier(value["link"]).hex(),
        epoch=int(value["epoch"]),
        peer=peer,
        peer_name=str(value["peer_name"])[:64],
        wire=wire if wire in ("tls", "plain") else "tls",
    )


def _link(value: Mapping[str, Any]) -> LinkStanding:
    known = {each.name for each in fields(LinkStanding)}
    given = {key: each for key, each in dict(value).items() if key in known}
    (peer,) = placement.fingerprints([given["peer"]])
    given |= {"id": placement.identifier(given["id"]).hex(), "peer": peer, "epoch": int(given["epoch"])}
    return LinkStanding(**{**given, "options": dict(given["options"])})
