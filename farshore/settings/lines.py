"""A configuration file, line by line: every statement with the number of its line. Pure.

The file is TOML, of which it needs little: `[TABLE]` and `KEY = VALUE`, each on a line of its own. So
a line can be read without the others, and a mistake in one does not hide the next. What TOML allows beyond
that (dotted and quoted keys, tables inside a line, values over several lines) is refused, with what
to write instead; what is left is read by the standard library's own parser.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_HEADER: Final = re.compile(r"\[\s*([A-Za-z0-9_-]+)\s*\]\s*(?:#.*)?")
_PLACE: Final = re.compile(r" \(at (?:line 1, column (\d+)|end of document)\)$")


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong, in which line (None: with the file), and what to write instead."""

    line: int | None
    what: str
    instead: str


@dataclass(frozen=True, slots=True)
class Header:
    """`[TABLE]`: what follows belongs there."""

    line: int
    table: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """`KEY = VALUE`, the value as TOML has it."""

    line: int
    key: str
    value: object


def read(text: str) -> Iterator[Header | Assignment | Mistake]:
    """Statements and mistakes in the order of their lines."""
    for number, line in enumerate(text.split("\n"), 1):
        words = line.strip()
        if not words or words.startswith("#"):
            if words:
                yield from _comment(number, line)
            continue
        yield _header(number, words) if words.startswith("[") else _assignment(number, words)


def _comment(number: int, line: str) -> Iterator[Mistake]:
    """Even a comment may not hold everything."""
    try:
        tomllib.loads(line.rstrip("\r"))
    except tomllib.TOMLDecodeError as error:
        yield Mistake(number, _said(error), "take the strange character out")


def _header(number: int, words: str) -> Header | Mistake:
    match = _HEADER.fullmatch(words)
    if match is None:
        return Mistake(number, f"{words!r} is no table", "write [node], say, on a line of its own")
    try:
        tomllib.loads(words)
    except tomllib.TOMLDecodeError as error:
        return Mistake(number, _said(error), f"write [{match[1]}]")
    return Header(number, match[1])


def _assignment(number: int, words: str) -> Assignment | Mistake:
    key, sign, value = words.partition("=")
    key = key.strip()
    if not sign:
        return Mistake(number, f"{words!r} sets nothing", 'write KEY = "VALUE"')
    if not _BARE.fullmatch(key):
        what = f"{key!r} is not a plain key"
        return Mistake(
            number, what, 'write KEY = "VALUE" below its [TABLE], the key of letters, digits and -'
        )
    try:
        found = tomllib.loads(words)[key]
    except tomllib.TOMLDecodeError as error:
        return Mistake(number, _said(error), _quoted(key, value))
    return Assignment(number, key, found)


def _quoted(key: str, value: str) -> str:
    plain = value.partition("#")[0].strip().strip("\"'")
    return f'write {key} = "{plain}"' if plain and '"' not in plain else f'write {key} = "VALUE"'


def _said(error: tomllib.TOMLDecodeError) -> str:
    """The parser's own words, without the line, which it did not know."""
    text = str(error)
    place = _PLACE.search(text)
    if place is None:
        return text
    where = f" in column {place[1]}" if place[1] else ", the line ends too soon"
    return text[: place.start()] + where
