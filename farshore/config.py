"""Which node a command speaks to: what was said on the command line, then the environment, then defaults.

`--api` and `--state` come before FARSHORE_API and FARSHORE_STATE; of two said in the same place the address
decides. A state directory leads to an address through its `node.json`, which the node writes, so the rule
where sockets lie is known to the node alone. Reads that one small file and nothing else. Paths are strings
and the imports few, since the command line loads this at every start.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # as typing has it; importing typing costs as much as half a start of Python
if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_PORT = 7411
"""The TCP port for peers when none is chosen."""


class Target:
    """The node of one command; None where nothing was said. Not a dataclass: those cost 20 ms to import."""

    __slots__ = ("api", "state")

    def __init__(self, state: str | None = None, api: str | None = None) -> None:
        self.state = state
        self.api = api


def default_state(environ: Mapping[str, str], uid: int) -> str:
    """The state directory when nobody names one: the system's for root, else one below the user's own."""
    if uid == 0:
        return "/var/lib/farshore"
    base = environ.get("XDG_STATE_HOME", "")
    if not base.startswith("/"):  # the XDG rules: a relative path is to be ignored
        base = environ.get("HOME", "/") + "/.local/state"
    return base + "/farshore"


def run_base(uid: int) -> str:
    """Below it every node has its directory of sockets: short, and not one that a logout takes away."""
    return "/run/farshore" if uid == 0 else f"/tmp/farshore-{uid}"


def state_of(target: Target, environ: Mapping[str, str], uid: int) -> str:
    """The absolute path of the state directory that `target` means."""
    chosen = target.state or environ.get("FARSHORE_STATE") or default_state(environ, uid)
    return os.path.abspath(chosen)  # noqa: PTH100 - pathlib costs 11 ms


def api_of(target: Target, environ: Mapping[str, str], uid: int) -> str:
    """The address of the node's REST interface: `unix:PATH` or `HOST:PORT`.

    Raises OSError where the state directory has no readable `node.json`, ValueError where it is damaged.
    """
    if target.api:
        return target.api
    if not target.state and environ.get("FARSHORE_API"):
        return environ["FARSHORE_API"]
    import json

    with open(f"{state_of(target, environ, uid)}/node.json", encoding="utf-8") as file:
        document = json.load(file)
    address = document.get("api") if isinstance(document, dict) else None
    if not isinstance(address, str) or not address:
        raise ValueError(f"{file.name} names no API address")
    return address
