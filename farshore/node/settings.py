"""What a node is started with: what was said, else what `node.json` remembers, else the default.

Said is what a flag, the environment or the configuration file says (`farshore.settings`). `node.json` is what
the node was last started with, so that flags need not be repeated. Others read it too: the command line finds
the API's address there. It holds no secret and no state.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from farshore.config import DEFAULT_PORT
from farshore.model.device_config import DEFAULT_HOLD
from farshore.node import addresses, documents, names
from farshore.node.addresses import Address
from farshore.node.paths import Paths
from farshore.settings import sources
from farshore.settings.known import UNIX, read_api, read_hold, read_rate
from farshore.settings.sources import Chosen


@dataclass(frozen=True, slots=True)
class Said:
    """What `node start` was told; None for what was left out."""

    state: str | None = None
    api: str | None = None
    listen: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class MaxRate:
    """A bound for all that the node sends that no command changes: bytes per second, and who set it."""

    rate: int
    origin: str


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds."""

    name: str
    listen: Address
    api: str
    remembered_listen: str | None = None
    """Where it listened before, None at the first start."""
    max_rate: MaxRate | None = None
    """None leaves it to `farshore node set`."""
    hold: float = DEFAULT_HOLD
    """Seconds, for devices of which nobody says otherwise."""
    engines: str = "session"
    level: str = "info"


def settle(paths: Paths, said: Said) -> Settings:
    """Said before remembered before default.

    Raises FarshoreError `usage`, or for what is remembered `state-newer` or `state-damaged`.
    """
    before = documents.read(paths.node) or {}
    try:
        known = {key: str(before[key]) for key in ("name", "listen", "api") if key in before}
    except (TypeError, ValueError) as error:
        raise documents.damaged(paths.node, error) from error
    chosen = _chosen(paths, said)

    def of(path: str) -> str | None:
        return chosen[path].text if path in chosen else None

    rate = chosen.get("node.max-rate")
    return Settings(
        name=names.check(
            "node", of("node.name") or known.get("name") or names.from_host(socket.gethostname())
        ),
        listen=addresses.parse(of("node.listen") or known.get("listen") or f"0.0.0.0:{DEFAULT_PORT}"),
        api=read_api(of("node.api") or known.get("api") or f"{UNIX}{paths.api_socket}"),
        remembered_listen=known.get("listen"),
        max_rate=None if rate is None else MaxRate(read_rate(rate.text), rate.origin),
        hold=read_hold(of("device.hold") or f"{DEFAULT_HOLD:g}s"),
        engines=of("node.engines") or "session",
        level=of("log.level") or "info",
    )


def remember(paths: Paths, fingerprint: str, name: str, listening: Address, api: str) -> None:
    """Writes `node.json`. Raises FarshoreError."""
    documents.write(
        paths.node,
        {"id": fingerprint, "name": name, "listen": str(listening), "api": api, "run": str(paths.run)},
    )


def _chosen(paths: Paths, said: Said) -> dict[str, Chosen]:
    flags = {"node.name": said.name, "node.listen": said.listen, "node.api": said.api}
    # Which node this is, and where its API is, the command line has found out before it started us.
    environ = {name: value for name, value in os.environ.items() if name not in sources.CHOOSE_A_NODE}
    found = sources.of_node(str(paths.state), os.environ, os.geteuid())
    return sources.choose(flags, environ, found)
