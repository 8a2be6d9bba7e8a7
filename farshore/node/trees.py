"""One group's copies as trees, from what each node says of its own. Pure.

A copy knows what feeds it and which links begin at it, and a node remembers the hops that it had made
elsewhere. These words may contradict each other: a feeder that was away while its far copy was pointed
elsewhere still names the link as its own. Then the far copy is right (rule B8); where it says nothing, the
highest epoch is. A copy that only others speak of is drawn as not seen, under the copy that is said to feed
it. Nothing is drawn twice, so a ring in what is said comes to an end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from farshore.model.options import Role

OF_COPY: Final = ("health", "sequence", "usable")
OF_LINK: Final = ("name", "mode", "wire", "state", "reason", "lag_seconds", "lag_bytes", "dirty_bytes")
Said: TypeAlias = Mapping[str, Any]


def trees(copies: Sequence[Said]) -> list[dict[str, Any]]:
    """Each branch with `via`, the link that feeds it, and `copies`, which it feeds.

    A copy that only others speak of has `seen` false, and null where nothing is known.
    """
    return _Forest(copies).roots()


class _Forest:
    def __init__(self, copies: Sequence[Said]) -> None:
        self._copies = sorted(copies, key=lambda each: (each["role"] != Role.PRIMARY.value, each["node"]))
        self._followers = {each["fed_by"]["link"]: each for each in copies if each["fed_by"] is not None}
        claims: dict[str, list[tuple[Said, Said]]] = {}
        for copy in self._copies:
            for link in copy["links"]:
                claims.setdefault(link["id"], []).append((copy, link))
        self._feeders = {
            number: chosen
            for number, made in claims.items()
            if (chosen := _right(made, self._followers.get(number))) is not None
        }
        """Link -> the copy at which it begins, and what that one says of it."""
        self._hops = {
            hop["id"]: hop
            for copy in self._copies
            for hop in copy.get("hops") or ()
            if hop["id"] not in self._feeders and self._at(hop["id"], hop["at"])
        }
        """Links of nodes that say nothing, as a node remembers them that had them made."""
        self._named = {(link["peer_id"], link["name"]) for _, link in self._feeders.values()}
        self._drawn: set[str] = set()

    def roots(self) -> list[dict[str, Any]]:
        found = [self._grown(copy, None) for copy in self._copies if copy["fed_by"] is None]
        for copy in self._copies:
            fed_by = copy["fed_by"]
            if fed_by is None or fed_by["link"] in self._drawn or fed_by["link"] in self._feeders:
                continue
            known = {"node": fed_by["node"], "node_id": fed_by.get("node_id")}
            found.append(_branch(known, None, self._below_unseen(known, None)))
        return found

    def _grown(self, copy: Said, via: Said | None) -> dict[str, Any]:
        mine = [link for link in copy["links"] if self._feeders.get(link["id"], (None, None))[0] is copy]
        return {**_branch(copy, via, self._drawn_from(mine)), "seen": True}

    def _unseen(self, via: Said) -> dict[str, Any]:
        known = {"node": via["peer"], "node_id": via.get("peer_id"), "role": Role.SECONDARY.value}
        return _branch(known, via, self._below_unseen(known, via.get("name")))

    def _drawn_from(self, links: Sequence[Said]) -> list[dict[str, Any]]:
        below = []
        for link in links:
            if link["id"] in self._drawn:
                continue
            self._drawn.add(link["id"])
            follower = self._followers.get(link["id"])
            below.append(self._unseen(link) if follower is None else self._grown(follower, link))
        return below

    def _below_unseen(self, known: Said, copy: str | None) -> list[dict[str, Any]]:
        """What a copy feeds whose node says nothing: by hops that another remembers, and by its own word."""
        number = known["node_id"]
        hops = [
            hop
            for hop in self._hops.values()
            # The link that made a copy gave it its name; one that was rerouted may be called otherwise.
            if hop["at"] == number and (copy == hop["at_copy"] or (number, hop["at_copy"]) not in self._named)
        ]
        below = self._drawn_from(hops)
        for each in self._copies:
            fed_by = each["fed_by"]
            if fed_by is None or fed_by["link"] in self._feeders or fed_by["link"] in self._hops:
                continue
            fits = number == fed_by["node_id"] if fed_by.get("node_id") else known["node"] == fed_by["node"]
            if fits and fed_by["link"] not in self._drawn:
                self._drawn.add(fed_by["link"])
                below.append(self._grown(each, {"id": fed_by["link"]}))
        return below

    def _at(self, link: str, node: str) -> bool:
        """Whether the far copy agrees, if it says anything, that the link begins at that node."""
        follower = self._followers.get(link)
        return follower is None or follower["fed_by"].get("node_id") in (None, node)


def _right(claims: Sequence[tuple[Said, Said]], follower: Said | None) -> tuple[Said, Said] | None:
    """Of several copies that name a link as theirs, the one at which it begins now."""
    feeding = follower["fed_by"].get("node_id") if follower is not None else None
    fitting = [
        (copy, link)
        for copy, link in claims
        if not link.get("left_for") and feeding in (None, copy.get("node_id"))
    ]
    return max(fitting, key=lambda each: each[1].get("epoch") or 0, default=None)


def _branch(copy: Said, via: Said | None, below: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "node": copy["node"],
        "node_id": copy.get("node_id"),
        "copy": copy.get("copy"),
        "role": copy.get("role"),
        **{key: copy.get(key) for key in OF_COPY},
        "seen": False,
        "via": None if via is None else {key: via.get(key) for key in ("id", *OF_LINK)},
        "copies": below,
    }
