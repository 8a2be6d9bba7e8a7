"""Names of the units that our processes run as. Pure.

A template's instance is the path of the directory that its process keeps, written as systemd writes
paths in names (systemd.unit(5), "String Escaping for Inclusion in Unit Names"), so that the unit's `%f`
is that directory, wherever the state lies.
"""

from __future__ import annotations

import posixpath

_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:_.")
LONGEST = 255


def escaped(path: str) -> str:
    """An absolute path as a part of a unit's name: `/srv/a-b` is `srv-a\\x2db`. Raises ValueError."""
    if not path.startswith("/"):
        raise ValueError(f"{path!r} is not an absolute path")
    words = posixpath.normpath(path).lstrip("/")
    if not words:
        return "-"
    return "".join(
        "-" if each == ord("/") else _letter(each, first=place == 0)
        for place, each in enumerate(words.encode("utf-8", "surrogateescape"))
    )


def unit_name(program: str, directory: str) -> str:
    """The unit of the engine (say) that keeps `directory`. Raises ValueError where the name were too long."""
    name = f"farshore-{program}@{escaped(directory)}.service"
    if len(name) > LONGEST:
        raise ValueError(f"{directory} is too long a path for the name of a unit")
    return name


def _letter(byte: int, *, first: bool) -> str:
    plain = chr(byte) in _PLAIN and not (first and byte == ord("."))
    return chr(byte) if plain else f"\\x{byte:02x}"
