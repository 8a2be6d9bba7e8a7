"""`node.json`: what the node was last started with, remembered so that it need not be said again.

Others read it too: the command line finds the API's address there. It holds no secret and no state.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass

from farshore.config import DEFAULT_PORT
from farshore.errors import FarshoreError
from farshore.node import addresses, documents, names
from farshore.node.addresses import Address
from farshore.node.paths import Paths

UNIX = "unix:"
_LONGEST_SOCKET_PATH = 107


@dataclass(frozen=True, slots=True)
class Said:
    """What `node start` was told; None for what was left out."""

    state: str | None = None
    api: str | None = None
    listen: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds: said now, else remembered, else the default."""

    name: str
    listen: Address
    api: str
    remembered_listen: str | None = None
    """Where it listened before, None at the first start."""


def settle(paths: Paths, said: Said) -> Settings:
    """Said before remembered before default.

    Raises FarshoreError `usage`, or for what is remembered `state-newer` or `state-damaged`.
    """
    before = documents.read(paths.node) or {}
    try:
        known = {key: str(before[key]) for key in ("name", "listen", "api") if key in before}
    except (TypeError, ValueError) as error:
        raise documents.damaged(paths.node, error) from error
    name = said.name or known.get("name") or names.from_host(socket.gethostname())
    api = said.api or known.get("api") or f"{UNIX}{paths.api_socket}"
    listen = said.listen or known.get("listen") or f"0.0.0.0:{DEFAULT_PORT}"
    _check_api(api)
    return Settings(names.check("node", name), addresses.parse(listen), api, known.get("listen"))


def remember(paths: Paths, fingerprint: str, name: str, listening: Address, api: str) -> None:
    """Writes `node.json`. Raises FarshoreError."""
    documents.write(
        paths.node,
        {"id": fingerprint, "name": name, "listen": str(listening), "api": api, "run": str(paths.run)},
    )


def _check_api(api: str) -> None:
    if api.startswith(UNIX):
        path = api.removeprefix(UNIX)
        if not path.startswith("/") or len(path.encode()) > _LONGEST_SOCKET_PATH:
            raise FarshoreError(
                "usage",
                f"{path} cannot be the path of a socket",
                next_step=f"use an absolute path of at most {_LONGEST_SOCKET_PATH} bytes",
            )
    elif not addresses.parse(api).loopback:
        raise FarshoreError(
            "usage",
            f"the API does not listen on {api}: whoever reaches it controls the node",
            means="nothing was started",
            next_step="use 127.0.0.1:PORT or a Unix socket, and reach it from elsewhere through ssh -L",
        )
