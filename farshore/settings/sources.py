"""Which value of a setting holds, and who said so: a flag, else the environment, else the file.

What none of them says is left to the node, which remembers some of it from earlier starts and has a default
for the rest. A value that comes from a flag or from the environment is checked like one of the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from farshore import config
from farshore.errors import FarshoreError
from farshore.settings import file
from farshore.settings.file import Found
from farshore.settings.known import SETTINGS

CHOOSE_A_NODE = ("FARSHORE_STATE", "FARSHORE_API")
"""Variables that say which node a command means: the command line looks at them itself."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A value as text; `origin` is for people: `--listen`, `FARSHORE_LISTEN`, `FILE, line 3`."""

    text: str
    origin: str


def of_node(state: str | None, environ: Mapping[str, str], uid: int) -> Found:
    """The configuration file of the node with this state directory (None: of the one that is meant)."""
    return file.read(Path(config.file_of(config.Target(state), environ, uid)))


def choose(flags: Mapping[str, str | None], environ: Mapping[str, str], found: Found) -> dict[str, Chosen]:
    """What was said, by the setting's path; `flags` likewise.

    Raises FarshoreError `usage` for a flag or a variable that cannot be, and for a file with mistakes.
    """
    found.require_sound()
    chosen: dict[str, Chosen] = {}
    for setting in SETTINGS:
        flag, said = flags.get(setting.path), environ.get(setting.variable)
        line = found.values.get(setting.path)
        if flag is not None:
            one = Chosen(flag, f"--{setting.key}")
        elif said:
            one = Chosen(said, setting.variable)
        elif line is not None:
            one = Chosen(line.text, f"{found.path}, line {line.line}")
        else:
            continue
        try:
            setting.check(one.text)
        except FarshoreError as error:
            raise FarshoreError(
                "usage", f"{one.origin}: {error.what}", means=error.means, next_step=error.next_step
            ) from error
        chosen[setting.path] = one
    return chosen
