"""The node as a service: what systemd hears of it, where systemd started it.

It is ready when its API answers and every engine either serves or has said why it cannot, within a bound:
what is ordered behind the node at boot finds its volumes. The event loop itself says that it turns, so that
one that hangs is noticed.
"""

from __future__ import annotations

import asyncio
from typing import Final

from farshore.node.node import Node
from farshore.systemd.notify import Notifier

ENGINES_SECONDS: Final = 20.0
"""How long what comes behind the node waits for engines; well within the unit's TimeoutStartSec."""


def begin(notifier: Notifier, node: Node) -> None:
    """The API answers."""
    notifier.status(f"node {node.name}: waits for its engines")
    node.background.start(_ready(notifier, node), "readiness for systemd")
    if notifier.beat is not None:
        node.background.start(_beats(notifier, notifier.beat), "heartbeat for systemd")


def stopping(notifier: Notifier, node: Node) -> None:
    """The node begins to end."""
    left = "" if node.stop_engines else "; engines run on"
    notifier.stopping(f"node {node.name} stops{left}")


async def _ready(notifier: Notifier, node: Node) -> None:
    await node.supervisor.settled(ENGINES_SECONDS)
    notifier.ready(f"node {node.name} listens for peers on {node.listening}, API at {node.api}")


async def _beats(notifier: Notifier, seconds: float) -> None:
    while True:
        notifier.alive()
        await asyncio.sleep(seconds)
