"""What a variant is: one rule of the law, broken by replacing one piece of the code that ships."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Variant:
    """One broken rule: `owner.name` is replaced by what `make` makes of it."""

    rule: str
    owner: Any
    name: str
    make: Callable[[Any], Any]
    tampering: bool = False
    """It takes a peer that was rolled back to see it."""


@contextmanager
def while_broken(variant: Variant) -> Iterator[None]:
    """Breaks the rule until the end of the block."""
    original = variant.owner.__dict__[variant.name]
    setattr(variant.owner, variant.name, variant.make(original))
    try:
        yield
    finally:
        setattr(variant.owner, variant.name, original)
