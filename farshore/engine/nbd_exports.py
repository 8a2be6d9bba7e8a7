"""Which volumes a listener offers, and as what.

A catalogue belongs to one address. It is asked anew by each client that negotiates, so exports and
links may come and go; a client that is already connected keeps what it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from farshore.store.volume import Volume
from farshore.wire.nbd.constants import (
    BASE_ALLOCATION,
    FARSHORE_NAMESPACE,
    NBD_FLAG_SEND_FAST_ZERO,
    transmission_flags,
)
from farshore.wire.nbd.export import ExportInfo

_DIRTY = FARSHORE_NAMESPACE + "dirty-"


@dataclass(frozen=True, slots=True)
class Exported:
    """One volume behind an export."""

    id: int
    name: str
    volume: Volume
    read_only: bool
    identity: str = ""
    """What clients are told that this is; one that comes back after a restart compares."""


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
        if export is None:
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
