"""`farshore status [GROUP] [--json] [--state DIR] [--api ADDRESS]` with as few imports as can be.

Either the whole answer is printed and True returned, or nothing is printed and False returned; then click
does the command, errors included. Whatever is unusual is therefore no business of this module.
"""

from __future__ import annotations

import os
import sys

from farshore.client import transport
from farshore.config import Target, api_of

TYPE_CHECKING = False  # as typing has it; importing typing costs as much as half a start of Python
if TYPE_CHECKING:
    from collections.abc import Sequence

_TIMEOUT = 10.0


class _Asked:
    """What was understood of the arguments."""

    __slots__ = ("group", "json", "target")

    def __init__(self) -> None:
        self.group: str | None = None
        self.json = False
        self.target = Target()


def run(arguments: Sequence[str]) -> bool:
    """True when the command was carried out and its output is written."""
    asked = _understood(arguments)
    if asked is None:
        return False
    try:
        address = api_of(asked.target, os.environ, os.geteuid())
        path = transport.target("/v1/status", {"group": asked.group})
        status, answer = transport.request(address, "GET", path, timeout=_TIMEOUT)
    except (OSError, ValueError):
        return False  # said again, and explained, by the whole command line
    if status != 200:
        return False
    import json

    try:
        document = json.loads(answer)
    except ValueError:
        return False
    return _print(document, asked)


def _print(document: dict[str, object], asked: _Asked) -> bool:
    from farshore.cli import status_text

    try:
        if asked.json:
            text = status_text.as_json(document)
        else:
            text = status_text.render(document, colour=status_text.wants_colour(sys.stdout, os.environ))
    except (KeyError, TypeError, AttributeError):
        return False  # not the document that this command knows
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has seen enough
    return True


def _understood(arguments: Sequence[str]) -> _Asked | None:
    asked = _Asked()
    words: list[str] = []
    rest = iter(arguments)
    for word in rest:
        if word == "--json" and words:
            asked.json = True
        elif word in ("--state", "--api"):
            value = next(rest, "")
            if not value or value.startswith("-"):
                return None
            setattr(asked.target, word[2:], value)
        elif word.startswith("-") or not word:
            return None
        else:
            words.append(word)
    if not 1 <= len(words) <= 2 or words[0] != "status":
        return None
    asked.group = words[1] if len(words) == 2 else None
    return asked
