"""Which volumes a listener offers, and as what.

A catalogue belongs to one address. It is asked anew by each client that negotiates, so exports and
links may come and go; a client that is already connected keeps what it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from farshore.model.messages import Buffer
from farshore.wire.nbd.constants import (
    BASE_ALLOCATION,
    FARSHORE_NAMESPACE,
    NBD_FLAG_SEND_FAST_ZERO,
    transmission_flags,
)
from farshore.wire.nbd.export import ExportInfo

_DIRTY = FARSHORE_NAMESPACE + "dirty-"


def _always() -> bool:
    return True


class Source(Protocol):
    """What is read through an export: a volume, or what stands for one. Bytes within `size`."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def fast_zero(self) -> bool:
        """Whether zeroing is known to be faster than writing."""

    @property
    def lane(self) -> Hashable:
        """The pool's lane of `extents`."""

    def read_nowait(self, offset: int, length: int) -> Buffer | None:
        """The range if that takes no waiting, else None. Raises OSError."""

    def read(self, offset: int, length: int) -> Buffer:
        """The range; may block. Raises OSError."""

    def prefetch(self, offset: int, length: int) -> None:
        """The range will be read soon; may block. Raises OSError."""

    def extents(self, offset: int, length: int) -> Iterator[tuple[int, bool]]:
        """The range as runs of (length, hole); may block. Raises OSError."""


@dataclass(frozen=True, slots=True)
class Exported:
    """One volume behind an export."""

    id: int
    name: str
    volume: Source
    read_only: bool
    identity: str = ""
    """What clients are told that this is; one that comes back after a restart compares."""
    shown: Callable[[], bool] = _always
    """Whether there is anything to open just now."""


class Catalogue:
    """The exports of one listener."""

    def __init__(self, link_names: Callable[[], Sequence[str]]) -> None:
        self._link_names = link_names
        self._exports: dict[str, Exported] = {}

    def offer(self, exports: Sequence[Exported]) -> None:
        """Replaces what is offered from now on."""
        self._exports = {each.name: each for each in exports}

    def names(self) -> Sequence[str]:
        return list(self._exports)

    def find(self, name: str) -> ExportInfo | None:
        if not name and len(self._exports) == 1:
            (name,) = self._exports
        export = self._exports.get(name)
        if export is None or not export.shown():
            return None
        flags = transmission_flags(read_only=export.read_only)
        if not export.volume.fast_zero:
            flags &= ~NBD_FLAG_SEND_FAST_ZERO
        return ExportInfo(
            name=name,
            size=export.volume.size,
            transmission_flags=flags,
            description=export.identity,
            contexts=(BASE_ALLOCATION, *[_DIRTY + link for link in self._link_names()]),
            handle=export,
        )


def link_of_context(context: str) -> str | None:
    """The link that a context of ours is about; None for `base:allocation`."""
    return context.removeprefix(_DIRTY) if context.startswith(_DIRTY) else None
