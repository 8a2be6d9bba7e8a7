"""Reroutes that are under way at this node's wish, and what is said of them until they are done.

A reroute is written down, in `reroutes` of the copy's intent, before anything else is changed, and crossed
out when its far copy is known to be fed: by the new feeder, or, where the far node refused, as before. In
between it may be fed by nobody, whoever died or did not answer. So the group counts as unprotected, no
link that rests for it is said to have been replaced, and status names the command that goes on. This
module changes nothing else.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from farshore.errors import FarshoreError
from farshore.model.copy_config import CopyConfig, LinkIntent, RerouteIntent
from farshore.model.options import Health
from farshore.node.copies import StoredCopy
from farshore.node.node import Node

_BETTER = (Health.PROTECTED, Health.BEHIND, Health.CATCHING_UP)


def under_way(config: CopyConfig, link: bytes) -> RerouteIntent | None:
    """The reroute of a link that has begun and is not known to be done."""
    return next((each for each in config.reroutes if each.link == link), None)


def named(node: Node, group: str, name: str) -> tuple[StoredCopy, RerouteIntent] | None:
    """The one of a link of that name, with the copy where it is written down."""
    for stored in node.copies.all():
        for each in stored.config.reroutes:
            if stored.config.group_name == group and each.name == name:
                return stored, each
    return None


def replaced_by(config: CopyConfig, link: LinkIntent) -> str:
    """The node that is known to feed the far copy in place of that link; empty while that is not known."""
    return "" if under_way(config, link.spec.id) else link.left_for


def begin(node: Node, stored: StoredCopy, wish: RerouteIntent) -> StoredCopy:
    """Writes it down, in place of an earlier one of that link."""
    current = node.copies.get(stored.key) or stored
    others = without(current.config, wish.link)
    return node.put(replace(current, config=replace(others, reroutes=(*others.reroutes, wish))))


def end(node: Node, stored: StoredCopy, link: bytes) -> None:
    """It is done, or was never begun."""
    current = node.copies.get(stored.key)
    if current is not None and under_way(current.config, link):
        node.put(replace(current, config=without(current.config, link)))


def without(config: CopyConfig, link: bytes) -> CopyConfig:
    """The configuration without a word of it."""
    return replace(config, reroutes=tuple(each for each in config.reroutes if each.link != link))


def why(wish: RerouteIntent) -> str:
    """What stands."""
    return (
        f"the copy at {wish.peer_name} is being rerouted from {wish.feeder} to {wish.via},"
        " and nobody is known to feed it before that is done"
    )


def next_step(group: str, wish: RerouteIntent) -> str:
    """The commands that end it, forward or back."""
    command = f"farshore link reroute {group} {wish.name} --via"
    return f"{command} {wish.via}; or back: {command} {wish.feeder}"


def explained(node: Node, group: str, name: str, error: FarshoreError) -> FarshoreError:
    """The error of a command, with what stands where a reroute of that link is not done."""
    found = named(node, group, name)
    if found is None:
        return error
    _, wish = found
    means = "; ".join(each for each in (error.means, why(wish)) if each)
    return FarshoreError(error.code.name, error.what, means=means, next_step=next_step(group, wish))


def show(config: CopyConfig, found: dict[str, Any]) -> dict[str, Any]:
    """A group's entry of the status document, with the reroutes of which its engine knows nothing."""
    health = found.get("health")
    for wish in config.reroutes:
        said, following = why(wish), next_step(config.group_name, wish)
        if health in _BETTER:
            found = {**found, "health": Health.UNPROTECTED.value, "why": said, "next": following}
        elif health == Health.UNPROTECTED:
            found = {**found, "why": _joined(found.get("why"), said)}
            found["next"] = _joined(found.get("next"), following)
        health = found.get("health")
    listed = [
        {"name": each.name, "peer": each.peer_name, "from": each.feeder, "via": each.via}
        for each in config.reroutes
    ]
    return {**found, "reroutes": listed}


def _joined(first: object, second: str) -> str:
    return f"{first}; {second}" if first else second
