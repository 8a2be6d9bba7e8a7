"""A configuration file as a whole: the settings in it with their lines, and all of its mistakes at once.

A file that is not there sets nothing. One with mistakes is refused as a whole: a node that obeyed the
half of it that it understood would do what nobody has asked for.
"""

from __future__ import annotations

import difflib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from farshore.errors import FarshoreError
from farshore.settings import lines
from farshore.settings.known import BY_PATH, SETTINGS, TABLES, Setting
from farshore.settings.lines import Assignment, Header, Mistake

MOST_BYTES: Final = 1 << 20
_TOLD: Final = 3
"""Mistakes that an error names; `config check` names all."""


@dataclass(frozen=True, slots=True)
class Line:
    """What a file says of one setting."""

    text: str
    line: int


@dataclass(slots=True)
class Found:
    """What a file holds. `there` is False where there is no file."""

    path: Path
    there: bool = True
    values: dict[str, Line] = field(default_factory=dict)
    """By the setting's path."""
    mistakes: list[Mistake] = field(default_factory=list)

    def require_sound(self) -> None:
        """Raises FarshoreError `usage` where there are mistakes."""
        if not self.mistakes:
            return
        told = "; ".join(
            each.what if each.line is None else f"line {each.line}: {each.what}"
            for each in self.mistakes[:_TOLD]
        )
        more = len(self.mistakes) - _TOLD
        raise FarshoreError(
            "usage",
            f"{self.path}: {told}" + (f"; and {more} more" if more > 0 else ""),
            means="nothing was started; engines that ran before run on",
            next_step=f"farshore config check {self.path}",
        )


def read(path: Path) -> Found:
    """What the file holds; whatever is wrong with it is among its mistakes."""
    found = Found(path)
    try:
        # A pipe must not keep us waiting for somebody to write into it.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                found.mistakes.append(Mistake(None, "it is not a file", "give the path of a file"))
                return found
            if about.st_mode & (0o022 if os.geteuid() == 0 else 0o002):
                found.mistakes.append(Mistake(None, "others can write to it", f"chmod 644 {path}"))
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        found.there = False
        return found
    except OSError as error:
        found.mistakes.append(
            Mistake(None, f"it cannot be read: {error.strerror}", f"see ls -l {path}; run this as its owner")
        )
        return found
    text = _decoded(data, found)
    if text is not None:
        _collect(text, found)
    return found


def _decoded(data: bytes, found: Found) -> str | None:
    if len(data) > MOST_BYTES:
        found.mistakes.append(Mistake(None, f"it is larger than {MOST_BYTES >> 20} MiB", "see what it is"))
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        found.mistakes.append(Mistake(line, "it is not text in UTF-8", "save the file as UTF-8"))
        return None


def _collect(text: str, found: Found) -> None:
    table: str | None = ""  # None: below a header that nobody knows, so that its keys are not judged too
    headers: dict[str, int] = {}
    for each in lines.read(text):
        if isinstance(each, Mistake):
            found.mistakes.append(each)
        elif isinstance(each, Header):
            table = _table(each, headers, found)
        elif table is not None:
            _assign(each, table, found)


def _table(header: Header, headers: dict[str, int], found: Found) -> str | None:
    first = headers.setdefault(header.table, header.line)
    if first != header.line:
        what = f"[{header.table}] stands in line {first} already"
        found.mistakes.append(Mistake(header.line, what, "put its settings there"))
    if header.table in TABLES:
        return header.table
    near = difflib.get_close_matches(header.table, TABLES, 1)
    instead = f"write [{near[0]}]" if near else f"write one of {', '.join(f'[{each}]' for each in TABLES)}"
    found.mistakes.append(Mistake(header.line, f"there is no table [{header.table}]", instead))
    return near[0] if near else None


def _assign(said: Assignment, table: str, found: Found) -> None:
    setting = BY_PATH.get(f"{table}.{said.key}")
    if setting is None:
        where = f" in [{table}]" if table else ""
        what = f"there is no setting {said.key!r}{where}"
        found.mistakes.append(Mistake(said.line, what, _suggestion(said.key, table)))
        return
    first = found.values.get(setting.path)
    if first is not None:
        what = f"{said.key} was set in line {first.line} already"
        found.mistakes.append(Mistake(said.line, what, "keep one of the two"))
        return
    text = _text(said, setting, found)
    if text is None:
        return
    found.values[setting.path] = Line(text, said.line)
    try:
        setting.check(text)
    except FarshoreError as error:
        found.mistakes.append(Mistake(said.line, f"{said.key}: {error.what}", error.next_step))


def _text(said: Assignment, setting: Setting, found: Found) -> str | None:
    if isinstance(said.value, str):
        return said.value
    instead = str(said.value)
    try:
        setting.check(instead)
    except FarshoreError:
        instead = setting.example
    found.mistakes.append(
        Mistake(said.line, f"{said.key} is not in quotes", f'write {said.key} = "{instead}"')
    )
    return None


def _suggestion(key: str, table: str) -> str:
    plain = key.replace("_", "-").lower()
    elsewhere = [each for each in SETTINGS if each.key == plain and each.table != table]
    here = [each.key for each in SETTINGS if each.table == table]
    if plain in here:
        return f"write {plain}"
    if elsewhere:
        return f"put {plain} below [{elsewhere[0].table}]"
    near = difflib.get_close_matches(plain, here or [each.key for each in SETTINGS], 1)
    if near:
        return f"write {near[0]}"
    tables = " or ".join(f"[{each}]" for each in TABLES)
    return f"settings of [{table}] are {', '.join(here)}" if here else f"put it below {tables}"
