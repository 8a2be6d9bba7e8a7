"""The status document: what every engine says of its copy, and what the node knows of those that are silent.

The node keeps nothing of the data's state; it asks each time, all engines side by side. A silent engine's
group is shown all the same, with every figure null (unknown, not zero), and why; while its process lives
nobody knows what it does, so that health, writes and states are null as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from farshore.errors import FarshoreError
from farshore.model.copy_config import CopyConfig, LinkIntent
from farshore.model.options import Health, LinkState, Reason, Role, Writes
from farshore.node import device_states, reroutes, role_changes
from farshore.node.copies import StoredCopy
from farshore.node.groups import uri
from farshore.node.node import Node

STATUS_SECONDS = 2.0
_UNKNOWN_FIGURES = (
    "direction",
    "progress",
    "eta_seconds",
    "copied_bytes_per_second",
    "marked_bytes_per_second",
    "lag_seconds",
    "lag_bytes",
    "dirty_bytes",
    "sent_bytes_total",
    "resent_bytes_total",
    "peer_usable",
    "peer_usable_as_of",
    "peer_usable_why",
    "rtt_seconds",
    "lag_writes",
    "clock_difference_seconds",
    "clock_uncertainty_seconds",
    "compress_ratio",
    "peer_head",
    "diverged_from",
    "refused",
)


async def document(node: Node, group: str | None = None) -> dict[str, Any]:
    """The whole document, or one group's. Raises FarshoreError `not-found` for an unknown group."""
    copies = node.copies.all() if group is None else node.copies.of_group(group)
    attached, *entries = await asyncio.gather(
        device_states.by_volume(node, group), *(entry(node, stored) for stored in copies)
    )
    for each in entries:
        _name_devices(each, attached)
    if group is None:
        entries += [_unreadable(path, error) for path, error in node.copies.unreadable.items()]
    return {"schema": 1, "node": node.about(), "groups": entries}


async def entry(node: Node, stored: StoredCopy) -> dict[str, Any]:
    """One element of `groups`."""
    try:
        answer = await stored.engine.ask("status", seconds=STATUS_SECONDS)
    except FarshoreError as error:
        return _silent(node, stored, error)
    found = answer.get("group")
    return _completed(stored, found) if isinstance(found, dict) else _silent(node, stored, _no_group())


def _name_devices(entry: dict[str, Any], attached: Mapping[tuple[str, str], dict[str, Any]]) -> None:
    """Only the primary copy's volumes can be attached."""
    for volume in entry.get("volumes") or []:
        own = attached.get((entry["name"], volume["name"])) if entry["role"] == Role.PRIMARY.value else None
        shown = ("path", "at", "state", "why", "next")
        volume["device"] = None if own is None else {name: own[name] for name in shown}


def engines(node: Node) -> list[dict[str, Any]]:
    """The running engines, for `node show`."""
    found = []
    for stored in node.copies.all():
        seen = node.supervisor.seen(stored.key)
        if seen is not None and seen.running:
            config = stored.config
            found.append(
                {"group": config.group_name, "copy": stored.key, "pid": seen.pid, "role": config.role.value}
            )
    return found


def _completed(stored: StoredCopy, found: dict[str, Any]) -> dict[str, Any]:
    """What an engine says, and what it cannot know: hops that were made from here, a link whose peer was
    pointed elsewhere, one of which it has not heard yet."""
    config, shown = stored.config, list(found.get("links") or [])
    by_name = {each.get("name"): each for each in shown}
    for link in config.links:
        if link.spec.name not in by_name:
            shown.append(by_name.setdefault(link.spec.name, _silent_link(link, None)))
        by_name[link.spec.name] |= _rerouted(config, link)
    shown_so_far = {**found, "links": shown, "hops": _hops(config)}
    return role_changes.show(stored, reroutes.show(config, shown_so_far))


def _rerouted(config: CopyConfig, link: LinkIntent) -> dict[str, Any]:
    """What is to be said of a link whose far copy follows another feeder, or is about to."""
    under_way = reroutes.under_way(config, link.spec.id)
    if under_way is not None:
        return {
            "rerouting": under_way.via,
            "why": reroutes.why(under_way),
            "next": reroutes.next_step(config.group_name, under_way),
        }
    if link.left_for:
        return {
            "left_for": link.left_for,
            "why": f"{link.left_for} feeds {link.peer_name} since this link was rerouted",
            "next": f"back again: farshore link reroute {config.group_name} {link.spec.name} --via NODE",
        }
    return {}


def _hops(config: CopyConfig) -> list[dict[str, Any]]:
    return [
        {
            "name": hop.name,
            "via": hop.via_name,
            "peer": hop.peer_name,
            "mode": hop.options.mode.value,
        }
        for hop in config.hops
    ]


def _silent(node: Node, stored: StoredCopy, error: FarshoreError) -> dict[str, Any]:
    config = stored.config
    seen = node.supervisor.seen(stored.key)
    failed = seen.error if seen is not None else None
    alive = failed is None and seen is not None and seen.pid is not None
    log = node.supervisor.log(stored)
    if failed is not None:
        why, following = failed.what, failed.next_step or f"the engine's log: {log}"
    elif alive:
        why = f"its engine runs (process {seen.pid if seen else None}) and does not answer: {error.what}"
        following = f"the engine's log: {log}; nothing is known of writes and links until it answers"
    else:
        why, following = "its engine is being started", "farshore events"
    standing: tuple[LinkState, Reason] | None = (LinkState.LOGGING, Reason.RESTARTED)
    if alive or failed is not None:
        standing = None if alive else (LinkState.FAILED, Reason.LOCAL_ERROR)
    shown = {
        **_frame(config.group_name, config.group.hex(), config.role.value),
        **({"writes": None} if alive else {}),
        "health": None if alive else (Health.FAILED if failed is not None else Health.STOPPED).value,
        "why": why,
        "next": following,
        "code": failed.code.name if failed is not None else error.code.name,
        "copy": {"id": stored.key, "name": config.copy_name},
        "volumes": [
            {"name": each.name, "path": each.path, "size": each.size, "uri": uri(config, each.id)}
            for each in config.volumes
        ],
        "links": [_silent_link(link, standing) | _rerouted(config, link) for link in config.links],
        "hops": _hops(config),
    }
    return role_changes.show(stored, reroutes.show(config, shown))


def _silent_link(link: LinkIntent, standing: tuple[LinkState, Reason] | None) -> dict[str, Any]:
    options = link.spec.options
    return {
        "name": link.spec.name,
        "peer": link.peer_name,
        "mode": options.mode.value,
        "wire": options.wire,
        "state": None if standing is None else standing[0].value,
        "reason": None if standing is None else standing[1].value,
        "why": None,
        "next": None,
        "since": None,
        **dict.fromkeys(_UNKNOWN_FIGURES),
        "queue": {
            "memory_bytes": None,
            "memory_limit": options.queue_memory,
            "disk_bytes": None,
            "disk_limit": options.queue_disk or None,
        },
        "sequence": dict.fromkeys(("sent", "received", "applied", "durable")),
    }


def _unreadable(directory: Path, error: FarshoreError) -> dict[str, Any]:
    return {
        **_frame(directory.parent.name, None, None),
        "health": Health.FAILED.value,
        "why": error.what,
        "next": error.next_step,
        "code": error.code.name,
        "copy": {"id": None, "name": directory.name},
        "volumes": [],
        "links": [],
    }


def _frame(name: str, number: str | None, role: str | None) -> dict[str, Any]:
    return {
        "name": name,
        "id": number,
        "role": role,
        "writes": Writes.REFUSED.value,
        "since": None,
        "generation": None,
        "sequence": None,
    }


def _no_group() -> FarshoreError:
    return FarshoreError("protocol", "the engine's status has no group")
