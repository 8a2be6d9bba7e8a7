"""Snapshots of a whole group: made at one cut of the stream, kept by the primary and by each copy that the
cut passes (section H).

Asked for at any node that holds a copy, and carried out at the primary's: each node hands the wish on to the
one that feeds its copy. The primary's makes the cut; from then on each copy is asked what became of it there:
*done*, once its layer has begun, for which everything up to the cut is durable in its volumes; *missed*,
where the copy was brought past the cut by a resync, or says why it could not; else *pending*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from farshore.errors import FarshoreError, ProtocolError
from farshore.model import names
from farshore.model.layers import LayerKind
from farshore.model.options import Role
from farshore.node import placement
from farshore.node.copies import StoredCopy
from farshore.node.copy_layers import BROKEN, KeptLayer
from farshore.node.group_layers import ASK_SECONDS, CopyLayers, Question, gathered
from farshore.node.node import Node
from farshore.node.peer_client import ask

_CUT_SECONDS: Final = 10.0
_LONGEST_WAY: Final = 16
"""Nodes that a wish may pass on its way to the primary."""
_SENDING: Final = (None, "replicating", "resyncing", "queuing")


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a snapshot stands, and its name."""

    name: str
    generation: str
    sequence: int

    @classmethod
    def of(cls, layer: KeptLayer) -> Cut:
        """Whose layer it is."""
        return cls(layer.name, str(layer.generation), layer.sequence or 0)

    def missed(self, missed: Mapping[str, Any]) -> bool:
        """Whether what a copy says of one that it missed is of this cut."""
        place = (missed.get("name"), missed.get("generation"), missed.get("sequence"))
        return place == (self.name, self.generation, self.sequence)


async def create(node: Node, group: str, name: str | None) -> dict[str, Any]:
    """Makes the cut, and says what is known of each copy right then. Raises FarshoreError; nothing was made
    then."""
    if name is not None:
        names.check("snapshot", name)
    return await _carried_out(node, group, {"what": "create", "name": name})


async def look(node: Node, group: str, cut: Cut) -> dict[str, Any]:
    """What has become of a snapshot since. Raises FarshoreError."""
    place = {"name": cut.name, "generation": cut.generation, "sequence": cut.sequence}
    return await _carried_out(node, group, {"what": "look", **place})


async def listed(node: Node, group: str) -> dict[str, Any]:
    """All snapshots, oldest first, and which copies have them, or never will. Raises FarshoreError."""
    return shown(group, await gathered(node, Question(_number(node, group))))


def shown(group: str, copies: Sequence[CopyLayers]) -> dict[str, Any]:
    """What `listed` answers. That a copy has missed a snapshot follows from how far it has come, so that it
    is told after a restart of its engine too; the exact reason is known to the process that it happened in.
    Of a secondary that has followed into another generation, which each start of the primary begins, it is
    not known any more: that copy is left out."""
    found: dict[Cut, list[dict[str, Any]]] = {}
    for copy in copies:
        for each in copy.of(LayerKind.SNAPSHOT):
            entry = {
                "copy": copy.called,
                "bytes": each.bytes,
                "time": each.time,
                "broken": each.broken,
                "unreadable_bytes": each.unreadable_bytes,
            }
            found.setdefault(Cut.of(each), []).append(entry)
    snapshots = [
        {
            "name": cut.name,
            "generation": cut.generation,
            "sequence": cut.sequence,
            "time": min((each["time"] for each in kept if each["time"] is not None), default=None),
            "copies": kept,
            "missed": [
                {"copy": copy.called, "why": why}
                for copy in copies
                if copy.keeps and not any(each["copy"] == copy.called for each in kept)
                for state, why in [state_at(copy, cut)]
                if state == "missed"
            ],
        }
        for cut, kept in found.items()
    ]
    return {
        "group": group,
        "snapshots": sorted(snapshots, key=lambda each: (each["time"] or "", each["name"])),
        "stores": [copy.store for copy in copies if not copy.silent and copy.keeps],
        "silent": [{"copy": copy.called, "why": copy.silent} for copy in copies if copy.silent],
    }


async def delete(node: Node, group: str, name: str) -> dict[str, Any]:
    """Deletes a snapshot at every copy that is within reach. Raises FarshoreError: `not-found` where none has
    it, or what a copy says where none could delete it."""
    copies = await gathered(node, Question(_number(node, group), drop=names.check("snapshot", name)))
    gone = [copy.called for copy in copies if copy.dropped]
    left = [
        {"copy": copy.called, "why": copy.silent or copy.kept_why}
        for copy in copies
        if copy.silent or copy.kept_why
    ]
    if not gone:
        unknown = "; ".join(f"{each['copy']}: {each['why']}" for each in left)
        raise FarshoreError(
            "not-found",
            f"no copy has deleted a snapshot {name!r} of {group}",
            means=f"nothing was deleted; not known, or not possible, at {unknown}" if left else "none has it",
            next_step=f"farshore snapshot list {group}",
        )
    node.journal.add("snapshot-deleted", f"snapshot {name} of {group} deleted", group=group, name=name)
    return {"group": group, "name": name, "deleted": gone, "left": left}


# -- at the primary -----------------------------------------------------------------------------


async def serve(node: Node, args: Mapping[str, Any]) -> dict[str, Any]:
    """`group-snapshots`: a wish on its way to the primary, for whoever names the group's id. Raises
    FarshoreError."""
    try:
        number, way = placement.identifier(args["group"]), int(args["way"])
        wish = {name: args.get(name) for name in ("what", "name", "generation", "sequence")}
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"a malformed wish for a snapshot: {error!r}") from error
    copies = [stored for stored in node.copies.all() if stored.config.group == number]
    if not copies or way > _LONGEST_WAY:
        raise FarshoreError("not-found", f"{node.name} has no way to the primary of that group")
    return await _carried_out(node, copies[0].config.group_name, wish, way)


async def _carried_out(node: Node, group: str, wish: Mapping[str, Any], way: int = 0) -> dict[str, Any]:
    """The wish, here if the primary is here; else handed on to the node that feeds our copy."""
    copies = node.copies.of_group(group)
    primary = next((each for each in copies if each.config.role is Role.PRIMARY), None)
    if primary is not None:
        return await _at_primary(node, primary, wish)
    upstream = next((each.config.upstream for each in copies if each.config.upstream is not None), None)
    peer = None if upstream is None else node.peers.by_id(upstream.peer)
    if upstream is None or peer is None:
        raise FarshoreError(
            "unreachable",
            f"no copy here follows a primary of {group} that {node.name} knows",
            means="No snapshot was made.",
            next_step=f"farshore status {group}",
        )
    args = {"group": copies[0].config.group.hex(), "way": way + 1, **wish}
    return await ask(node.identity, peer, "group-snapshots", args, 3 * ASK_SECONDS)


async def _at_primary(node: Node, primary: StoredCopy, wish: Mapping[str, Any]) -> dict[str, Any]:
    group, question = primary.config.group_name, Question(primary.config.group)
    if wish["what"] == "look":
        cut = Cut(str(wish["name"]), str(wish["generation"]), int(wish["sequence"]))
        return _found(group, await gathered(node, question), cut)
    copies, name = await gathered(node, question), wish["name"]
    require_possible(group, copies, name)
    chosen = names.check("snapshot", str(name)) if name is not None else _from_time(copies)
    place = await primary.engine.ask("cut", {"name": chosen, "snapshot": True}, seconds=_CUT_SECONDS)
    node.journal.add("snapshot-asked", f"snapshot {chosen} of {group} asked for", group=group, name=chosen)
    return _found(group, copies, Cut(chosen, str(place["generation"]), int(place["sequence"])))


def require_possible(group: str, copies: list[CopyLayers], name: str | None) -> None:
    """Raises FarshoreError for what can be refused before anything is made. A primary whose store has no room
    misses the snapshot, and stands in nobody's way who could keep it."""
    able = any(copy.keeps and not copy.refusal for copy in copies)
    for copy in copies:
        if name is not None and copy.uses(name):
            raise FarshoreError(
                "exists",
                f"{copy.called} keeps something under the name {name!r} already",
                means="No snapshot was made.",
                next_step=f"choose another name, or farshore snapshot delete {group} {name}",
            )
        in_the_way = copy.role != Role.PRIMARY.value or not able
        if copy.refusal.get("code") == "store-full" and in_the_way:
            raise FarshoreError(
                "store-full",
                f"the preserve store of {copy.called} has no room for a snapshot",
                means="No snapshot was made, anywhere.",
                next_step=f"farshore snapshot list {group}; delete some, or give the store more room",
            )
    if not able:
        whys = [f"{copy.called}: {copy.silent or copy.refusal.get('why')}" for copy in copies if copy.keeps]
        raise FarshoreError(
            "wrong-state",
            f"{group} has no copy that could keep a snapshot now" + "".join(f"; {each}" for each in whys),
            means="No snapshot was made.",
            next_step=f"farshore status {group}",
        )


def _from_time(copies: list[CopyLayers]) -> str:
    """A name that says when, and that nobody uses."""
    stem = datetime.now(UTC).strftime("%Y-%m-%dt%H-%M-%Sz")
    tries = [stem, *[f"{stem}-{number}" for number in range(2, 100)]]
    return next(each for each in tries if not any(copy.uses(each) for copy in copies))


def _found(group: str, copies: list[CopyLayers], cut: Cut) -> dict[str, Any]:
    links = {link.id: link for copy in copies for link in copy.links}
    shown = []
    for copy in copies:
        if copy.keeps:
            state, why = state_at(copy, cut)
            link = links.get(copy.follows)
            if state == "pending" and link is not None and link.state not in _SENDING:
                state = "missed"
                why = f"link {link.name} to it is {link.state}, so that the cut is not sent there"
            shown.append({"copy": copy.called, "state": state, "why": why})
    place = {"name": cut.name, "generation": cut.generation, "sequence": cut.sequence}
    return {"group": group, **place, "copies": shown}


def state_at(copy: CopyLayers, cut: Cut) -> tuple[str, str]:
    """What became of a snapshot at one copy, as far as it says itself."""
    if copy.silent:
        return "pending", copy.silent
    kept = [each for each in copy.of(LayerKind.SNAPSHOT) if Cut.of(each) == cut]
    if kept:
        return ("missed", f"it was taken, and is broken: {BROKEN}") if kept[0].broken else ("done", "")
    missed = next((each for each in copy.missed if cut.missed(each)), None)
    if missed is not None:
        return "missed", str(missed.get("why"))
    if copy.passed(cut.generation, cut.sequence):
        return "missed", "a resync has brought it past the cut, or the snapshot was given up there"
    return "pending", "the cut has not come there yet"


def _number(node: Node, group: str) -> bytes:
    return node.copies.of_group(group)[0].config.group
