"""Every setting of a node: its place in the configuration file, its variable, what may be written there.

A value is text, in quotes in the file, as it is in the environment and behind a flag: one form for the same
thing everywhere. `check` raises FarshoreError `usage`, whose next step says what to write instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from farshore.errors import FarshoreError
from farshore.model import addresses, names, units

UNIX: Final = "unix:"
LONGEST_SOCKET_PATH: Final = 107
LEAST_RATE: Final = 16 << 10
"""Bytes per second for all links together, below which heartbeats would not get through any more."""
LONGEST_HOLD: Final = 30 * 86400.0
"""Seconds."""
LEVELS: Final = ("debug", "info", "warning", "error")
ENGINES: Final = ("session", "units")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting; `table` and `key` are its place in the file."""

    table: str
    key: str
    variable: str
    example: str
    check: Callable[[str], object]
    about: str
    default: str
    """What holds where nobody says anything, in words where it depends on the host."""

    @property
    def path(self) -> str:
        return f"{self.table}.{self.key}"


def _state(text: str) -> str:
    if not text.startswith("/"):
        raise _instead(f"{text!r} is not an absolute path", "begin it with /")
    return text


def _name(text: str) -> str:
    return names.check("node", text)


def read_api(text: str) -> str:
    """An address for the API: `unix:PATH`, or `HOST:PORT` on loopback. Raises FarshoreError `usage`."""
    if text.startswith(UNIX):
        path = text.removeprefix(UNIX)
        if not path.startswith("/") or len(path.encode()) > LONGEST_SOCKET_PATH:
            raise _instead(
                f"{path} cannot be the path of a socket",
                f"use an absolute path of at most {LONGEST_SOCKET_PATH} bytes",
            )
    elif not addresses.parse(text).loopback:
        raise _instead(
            f"the API does not listen on {text}: whoever reaches it controls the node",
            "use 127.0.0.1:PORT or a Unix socket, and reach it from elsewhere through ssh -L",
        )
    return text


def read_rate(text: str) -> int:
    """Bytes per second, 0 for no bound. Raises FarshoreError `usage`."""
    if text in ("0", "none"):
        return 0
    try:
        rate = units.parse_rate(text)
    except ValueError as error:
        raise _instead(str(error), "write it as 10MiB/s or 100Mbit/s, or 0 for no bound") from error
    if rate < LEAST_RATE:
        raise _instead(
            f"{text} is too little for links to stay alive",
            f"use at least {LEAST_RATE >> 10}KiB/s, or 0 for no bound",
        )
    return rate


def read_hold(text: str) -> float:
    """Seconds, as `farshore device attach --hold` takes them. Raises FarshoreError `usage`."""
    try:
        seconds = units.parse_duration(text)
    except ValueError as error:
        raise _instead(str(error), "write it as 30s, 10m or 2h") from error
    if not 0 < seconds <= LONGEST_HOLD:
        raise _instead(f"requests cannot be held for {text}", "use 10m, and at most 30d")
    return seconds


def _one_of(*words: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in words:
            raise _instead(f"{text!r} is none of {', '.join(words)}", f"write one of {', '.join(words)}")
        return text

    return check


def _instead(what: str, instead: str) -> FarshoreError:
    return FarshoreError("usage", what, means="nothing was started", next_step=instead)


SETTINGS: Final = (
    Setting(
        "node",
        "state",
        "FARSHORE_STATE",
        "/var/lib/farshore",
        _state,
        "directory of everything that the node has to remember",
        "/var/lib/farshore for root, else below the home directory",
    ),
    Setting(
        "node",
        "name",
        "FARSHORE_NAME",
        "site-a",
        _name,
        "what this node is called by the others",
        "the host's name",
    ),
    Setting(
        "node",
        "listen",
        "FARSHORE_LISTEN",
        "0.0.0.0:7411",
        addresses.parse,
        "address and port at which peers reach this node",
        "0.0.0.0:7411",
    ),
    Setting(
        "node",
        "api",
        "FARSHORE_API",
        "unix:/run/farshore/api.sock",
        read_api,
        "where commands reach the node: a Unix socket, or a port on loopback",
        "a Unix socket of this node's own",
    ),
    Setting(
        "node",
        "max-rate",
        "FARSHORE_MAX_RATE",
        "100Mbit/s",
        read_rate,
        "most that all links together send; 0 is no bound",
        "what farshore node set says, else 0",
    ),
    Setting(
        "node",
        "engines",
        "FARSHORE_ENGINES",
        "session",
        _one_of(*ENGINES),
        "how engines are started: each in a session of its own, or as systemd units",
        "session",
    ),
    Setting(
        "device",
        "hold",
        "FARSHORE_DEVICE_HOLD",
        "10m",
        read_hold,
        "how long requests to a device wait for an engine that is away, where attach is not told",
        "10m",
    ),
    Setting(
        "log",
        "level",
        "FARSHORE_LOG_LEVEL",
        "info",
        _one_of(*LEVELS),
        "what the logs of the node, its engines and its devices tell",
        "info",
    ),
)
BY_PATH: Final = {each.path: each for each in SETTINGS}
TABLES: Final = tuple(dict.fromkeys(each.table for each in SETTINGS))
