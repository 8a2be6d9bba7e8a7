"""What a variant is: one rule of the law, broken by replacing one piece of the code that ships."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Variant:
    """One broken rule: `owner.name` is replaced by what `make` makes of it."""

    rule: str
    owner: Any
    name: str
    make: Callable[[Any], Any]
