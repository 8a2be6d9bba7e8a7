"""How a stretch of an NBD handshake can end: with an export, with the connection, or with TLS first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from farshore.wire.nbd.export import ExportInfo
from farshore.wire.nbd.transmission import Limits


@dataclass(frozen=True, slots=True)
class Ready:
    """An export was chosen: the transmission phase begins with `leftover`.

    `contexts`: the (id, name) pairs that each BLOCK_STATUS is answered for. A name that has left the export
    since it was selected still needs its answer.
    """

    export: ExportInfo
    structured: bool
    contexts: tuple[tuple[int, str], ...]
    leftover: bytes

    def limits(self) -> Limits:
        """What the requests of this connection are measured against."""
        return Limits(
            size=self.export.size,
            read_only=self.export.read_only,
            structured=self.structured,
            block_status=bool(self.contexts),
            min_block=self.export.min_block,
            max_payload=self.export.max_block,
        )


@dataclass(frozen=True, slots=True)
class Closed:
    """Send what `feed` returned, then close. `reason` is for the log."""

    reason: str


@dataclass(frozen=True, slots=True)
class Securing:
    """Send what `feed` returned, shake hands for TLS, then call `secured` and go on through it."""


Outcome: TypeAlias = Ready | Closed | Securing
