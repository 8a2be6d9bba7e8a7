"""Which node a command speaks to: what was said on the command line, then the environment, then the
configuration file, then defaults.

`--api` and `--state` come before FARSHORE_API and FARSHORE_STATE; of two said in the same place the address
decides. A state directory leads to an address through its `node.json`, which the node writes, so the rule
where sockets lie is known to the node alone. Reads these two small files and nothing else. Paths are strings
and the imports few, since the command line loads this at every start.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # as typing has it; importing typing costs as much as half a start of Python
if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_PORT = 7411
"""The TCP port for peers when none is chosen."""
_MOST_READ = 1 << 20


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


def default_file(environ: Mapping[str, str], uid: int) -> str:
    """The configuration file when nobody names one: the system's for root, else one of the user's own."""
    if uid == 0:
        return "/etc/farshore/farshore.toml"
    base = environ.get("XDG_CONFIG_HOME", "")
    if not base.startswith("/"):
        base = environ.get("HOME", "/") + "/.config"
    return base + "/farshore/farshore.toml"


def file_of(target: Target, environ: Mapping[str, str], uid: int) -> str:
    """The configuration file of the node that `target` means: FARSHORE_CONFIG, else the default one.

    That one belongs to the state directory to which it leads. A node with another state directory has its
    own, `farshore.toml` in there, so that settings of one node never hold for another.
    """
    if environ.get("FARSHORE_CONFIG"):
        return os.path.abspath(environ["FARSHORE_CONFIG"])  # noqa: PTH100 - pathlib costs 11 ms
    usual = default_file(environ, uid)
    chosen = target.state or environ.get("FARSHORE_STATE")
    if chosen:
        state = os.path.abspath(chosen)  # noqa: PTH100
        if state != (_state_in(usual) or default_state(environ, uid)):
            return state + "/farshore.toml"
    return usual


def run_base(uid: int) -> str:
    """Below it every node has its directory of sockets: short, and not one that a logout takes away."""
    return "/run/farshore" if uid == 0 else f"/tmp/farshore-{uid}"


def state_of(target: Target, environ: Mapping[str, str], uid: int) -> str:
    """The absolute path of the state directory that `target` means."""
    chosen = target.state or environ.get("FARSHORE_STATE") or _state_in(file_of(target, environ, uid))
    chosen = chosen or default_state(environ, uid)
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


def _state_in(path: str) -> str | None:
    """What a configuration file says of the state directory; None where it says nothing that can be read.

    What is wrong with a file is said by whoever starts a node with it, and by `farshore config check`. By
    the rules of `farshore.settings.lines`, which costs more to import than most commands take.
    """
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read(_MOST_READ).split("\n")
    except (OSError, ValueError):
        return None
    table = ""
    for line in lines:
        words = line.strip()
        if words.startswith("["):
            table = words.partition("#")[0].replace(" ", "").replace("\t", "")
        elif table == "[node]" and words.partition("=")[0].strip() == "state":
            import tomllib

            try:
                value = tomllib.loads(words)["state"]
            except (ValueError, KeyError):
                return None
            return value if isinstance(value, str) and value.startswith("/") else None
    return None
