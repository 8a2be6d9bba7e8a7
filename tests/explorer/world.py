"""All copies of a group at rest, and what is true of them: the state that the explorer walks.

What is true is kept beside the code that is tried: which write has which place in which generation, what
each generation began with, which writes were promised to be at which peer, who was told what.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import Enum
from typing import Any

from farshore.model.options import Role
from farshore.model.positions import History, Position
from tests.explorer.copies import Image, Kept

Place = tuple[bytes, int]
"""(generation, sequence) of a write."""


@dataclass(frozen=True)
class Truth:
    """See the module. Nothing of it is known to the code that is tried."""

    writes: Mapping[Place, tuple[int, int]] = field(default_factory=dict)
    """(region, number) of each."""
    writer: Mapping[bytes, int] = field(default_factory=dict)
    """Which copy wrote in a generation."""
    began: Mapping[bytes, Image] = field(default_factory=dict)
    """What that copy held when it began."""
    promised: Mapping[int, frozenset[Place]] = field(default_factory=dict)
    """Writes that were acknowledged because a copy had them."""
    told: frozenset[int] = frozenset()
    """Primaries that have heard of a newer one since a plan last said what they are."""

    def place_of(self, number: int) -> Place | None:
        """Where a write stands."""
        return next((place for place, write in self.writes.items() if write[1] == number), None)

    def image_at(self, history: History) -> Image | None:
        """What a copy holds that is exactly at the end of this history; None where nobody knows."""
        head = history.head
        while head is not None and head.generation not in self.began:
            history = history.parent
            if history.head is not None and history.head.sequence != head.sequence:
                return None
            head = history.head
        if head is None:
            return None
        found = list(self.began[head.generation])
        for (generation, sequence), (region, number) in sorted(
            self.writes.items(), key=lambda item: item[0][1]
        ):
            if generation == head.generation and sequence <= head.sequence:
                found[region] = number
        return tuple(found)


@dataclass(frozen=True)
class World:
    """See the module."""

    copies: tuple[Kept, ...]
    truth: Truth = field(default_factory=Truth)
    written: int = 0
    """How many writes there were."""

    def of(self, number: int) -> Kept:
        """A copy."""
        return self.copies[number]

    def others(self, number: int) -> tuple[Kept, ...]:
        """All but one."""
        return tuple(each for each in self.copies if each.number != number)

    def with_copy(self, copy: Kept) -> World:
        """With this one in the place of what it was."""
        return replace(
            self, copies=tuple(copy if each.number == copy.number else each for each in self.copies)
        )

    @property
    def primaries(self) -> tuple[int, ...]:
        """Who is one."""
        return tuple(each.number for each in self.copies if each.role is Role.PRIMARY)

    def key(self) -> object:
        """Equal for worlds that differ in nothing but in the names of things."""
        return _Renamer().of((self.copies, self.truth, self.written))


class _Renamer:
    """Names by the order in which they are met."""

    def __init__(self) -> None:
        self._names: dict[bytes, int] = {}

    def of(self, value: Any) -> Any:
        """The value with every name replaced."""
        if isinstance(value, bytes):
            if len(value) != 16:
                return value
            return self._names.setdefault(value, len(self._names))
        if isinstance(value, Position):
            return (self.of(value.generation), value.sequence)
        if isinstance(value, Enum) or value is None or isinstance(value, (int, str, float)):
            return value
        if isinstance(value, Mapping):
            return tuple(sorted((self.of(key), self.of(each)) for key, each in value.items()))
        if isinstance(value, (frozenset, set)):
            return tuple(sorted(self.of(each) for each in value))
        if isinstance(value, (tuple, list)):
            return tuple([self.of(each) for each in value])
        if isinstance(value, Kept):
            return self._kept(value)
        if is_dataclass(value):
            return tuple([self.of(getattr(value, each.name)) for each in fields(value)])
        raise TypeError(f"{value!r} has no name that could be replaced")

    def _kept(self, copy: Kept) -> Any:
        """Which boot it is matters only as far as two of them are compared."""
        header = replace(copy.header, boot="same" if copy.header.boot == copy.boot_id else "other", turn=b"")
        applied = copy.applied
        if applied is not None:
            applied = ("same" if applied[0] == copy.boot_id else "other", applied[1])
        links = tuple([replace(each, stopped_at=None, stopped_time=None) for each in header.links])
        header = replace(header, links=links)
        plain = replace(copy, header=header, applied=applied, boot=0, turn=b"")
        return tuple([self.of(getattr(plain, each.name)) for each in fields(plain)])
