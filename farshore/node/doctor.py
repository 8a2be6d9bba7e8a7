"""What only a running node can find out about itself: its peers, its engines, its records.

Every finding that is not ok names a next step where there is one. Nothing is changed.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping
from typing import Any

from farshore.errors import FarshoreError
from farshore.model.options import Role
from farshore.node import device_states, exports, status
from farshore.node.node import Node
from farshore.node.peer_client import ask
from farshore.node.peers import Peer

PING_SECONDS = 3.0
SKEW_SECONDS = 2.0
"""Between two clocks, beyond what the line may account for. No decision hangs on clocks; people compare the
times that both nodes report, and an invitation ends by the clock of the node that made it."""
_GRACE_SECONDS = 1.0


async def checks(node: Node) -> list[dict[str, Any]]:
    """Findings: `name`, `result` (ok, warn or fail), `text`, `next`."""
    peers = node.peers.all()
    found = [_finding("peer port", "ok", f"listens on {node.listening}")]
    if not peers:
        found.append(_finding("peers", "warn", "paired with no other node", "farshore node invite"))
    for each in await asyncio.gather(*(_peer(node, peer) for peer in peers)):
        found += each
    found += [_engine(node, stored.key, stored.config.group_name) for stored in node.copies.all()]
    for stored in node.copies.all():
        if stored.config.role is Role.PRIMARY and stored.config.exports:
            found += not_served(stored.config.group_name, await status.entry(node, stored))
    for device in await device_states.documents(node):
        found += _device(device)
    for name, unreadable in (("copy", node.copies.unreadable), ("device", node.devices.unreadable)):
        for path, error in unreadable.items():
            found.append(_finding(name, "fail", f"{path}: {error.what}", error.next_step))
    found.append(_name())
    return found


async def connected(node: Node, seconds: float = 1.0) -> dict[str, bool]:
    """By fingerprint: whether each peer answers right now."""
    peers = node.peers.all()
    answers = await asyncio.gather(*(_answers(node, peer, seconds) for peer in peers))
    return {peer.id: answer is None for peer, answer in zip(peers, answers, strict=True)}


async def _answers(node: Node, peer: Peer, seconds: float) -> FarshoreError | None:
    """Why a peer does not answer, None when it does."""
    try:
        await _asked(node, peer, "ping", seconds)
    except FarshoreError as error:
        return error
    return None


async def _asked(node: Node, peer: Peer, op: str, seconds: float) -> dict[str, Any]:
    try:
        async with asyncio.timeout(seconds):
            return await ask(node.identity, peer, op, {}, seconds)
    except TimeoutError as error:
        raise FarshoreError(
            "timeout",
            f"{peer.address} did not answer within {seconds:g} s",
            next_step="see whether the line is up",
        ) from error


async def _peer(node: Node, peer: Peer) -> list[dict[str, Any]]:
    began, wall = time.monotonic(), time.time()
    name = f"peer {peer.name}"
    try:
        about = await _asked(node, peer, "describe", PING_SECONDS)
    except FarshoreError as error:
        return [_finding(name, "fail", error.what, error.next_step)]
    took = time.monotonic() - began
    slow = took > _GRACE_SECONDS
    text = f"answers at {peer.address} within {took * 1000:.0f} ms"
    following = "farshore status shows the lag" if slow else ""
    return [_finding(name, "warn" if slow else "ok", text, following), clock(peer.name, about, wall, took)]


def clock(peer: str, about: Mapping[str, Any], asked: float, took: float) -> dict[str, Any]:
    """How far a peer's clock is from ours; it was asked at `asked` by ours, and `took` so many seconds."""
    name, told = f"clock of {peer}", about.get("time")
    if not isinstance(told, int | float):
        return _finding(name, "ok", "not told: the node there is of an earlier version")
    off = told - (asked + took / 2)
    text = f"{abs(off):.1f} s {'ahead of' if off > 0 else 'behind'} ours, give or take {took / 2:.1f} s"
    if abs(off) - took / 2 <= SKEW_SECONDS:
        return _finding(name, "ok", text)
    return _finding(name, "warn", text, "let both hosts keep the time by NTP: timedatectl set-ntp true")


def _engine(node: Node, key: str, group: str) -> dict[str, Any]:
    seen = node.supervisor.seen(key)
    name = f"engine of {group}"
    if seen is not None and seen.running:
        return _finding(name, "ok", f"runs (pid {seen.pid})")
    if seen is not None and seen.error is not None:
        return _finding(name, "fail", seen.error.what, seen.error.next_step)
    return _finding(name, "warn", "does not answer yet", "farshore events")


def not_served(group: str, entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Addresses at which a primary's volumes should be served and are not."""
    return [
        _finding(
            f"export of {group}",
            "warn",
            f"{address} is not served: {why}; it is tried again every two seconds",
            f"give this host that address, or farshore export delete {group} --tcp {address}",
        )
        for address, why in exports.not_served(entry).items()
    ]


def _device(device: Mapping[str, Any]) -> list[dict[str, Any]]:
    """How a device stands, and what its process was not permitted."""
    name = f"device of {device['group']}/{device['volume']}"
    state, where = device["state"], device["at"] or device["path"]
    if state == "attached":
        found = [_finding(name, "ok", f"attached as {where}")]
    else:
        text = f"{state or 'silent'}: {device['why']}"
        found = [_finding(name, "warn" if state == "starting" else "fail", text, device["next"] or "")]
    for what, figure, wanted in (
        ("memory is not locked", "locked", "CAP_IPC_LOCK, or a higher limit (ulimit -l)"),
        ("no I/O flusher", "flusher", "CAP_SYS_RESOURCE"),
    ):
        said = device[figure]
        if said is not None and said is not True:
            text = f"{what} ({said}): writing back through it could wait for itself when memory is short"
            following = f"give the node {wanted}, then restart it and attach the volume anew"
            found.append(_finding(f"{name}, {figure}", "warn", text, following))
    return found


def _name() -> dict[str, Any]:
    host = socket.gethostname()
    try:
        socket.getaddrinfo(host, None)
    except OSError as error:
        return _finding("host name", "warn", f"{host} cannot be resolved: {error}", "add it to /etc/hosts")
    return _finding("host name", "ok", host)


def _finding(name: str, result: str, text: str, following: str = "") -> dict[str, Any]:
    return {"name": name, "result": result, "text": text, "next": following}
