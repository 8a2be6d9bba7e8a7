"""Which names nodes, groups, volumes and links may have. Pure.

Names become directory names, NBD export names and words on a command line, so they are short and
plain; `/` and `@` separate names in commands.
"""

from __future__ import annotations

import re

from farshore.errors import FarshoreError

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def check(kind: str, name: str) -> str:
    """The name itself. Raises FarshoreError `usage`."""
    if _NAME.fullmatch(name):
        return name
    raise FarshoreError(
        "usage",
        f"{name!r} cannot be the name of a {kind}",
        next_step="use up to 63 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit",
    )
