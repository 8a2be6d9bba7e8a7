"""What the negotiation needs to know of exports, as the engine offers them.

An `ExportInfo` is a snapshot taken when a client asks; it is checked where it is made, so that no reply can
break the protocol later. The catalogue is the engine's and may change between two calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from farshore.wire.nbd.constants import (
    MAX_PAYLOAD,
    MIN_BLOCK,
    NBD_FLAG_HAS_FLAGS,
    NBD_FLAG_READ_ONLY,
    NBD_MAX_STRING,
    PREFERRED_BLOCK,
)


@dataclass(frozen=True, slots=True)
class ExportInfo:
    """One export. `size` and block sizes in bytes; `handle` is the engine's and is passed through untouched.

    `contexts`: metadata contexts that can be selected ("base:allocation", "x-farshore:dirty-LINK").
    Raises ValueError for what the protocol cannot carry.
    """

    name: str
    size: int
    transmission_flags: int
    min_block: int = MIN_BLOCK
    preferred_block: int = PREFERRED_BLOCK
    max_block: int = MAX_PAYLOAD
    description: str = ""
    contexts: tuple[str, ...] = ()
    handle: object = None

    def __post_init__(self) -> None:
        for text in (self.name, self.description, *self.contexts):
            if len(text.encode()) > NBD_MAX_STRING or "\0" in text:
                raise ValueError(f"not a string of the protocol: {text[:64]!r}")
        if not 0 <= self.size < 1 << 63:
            raise ValueError(f"size {self.size} is not within 0 and 2^63 bytes")
        if not self.transmission_flags & NBD_FLAG_HAS_FLAGS:
            raise ValueError("the transmission flags lack HAS_FLAGS")
        if not (_power_of_two(self.min_block) and self.min_block <= 65536):
            raise ValueError(f"minimum block size {self.min_block}")
        if not (_power_of_two(self.preferred_block) and self.preferred_block >= max(self.min_block, 512)):
            raise ValueError(f"preferred block size {self.preferred_block}")
        if self.max_block % self.min_block or not self.preferred_block <= self.max_block <= MAX_PAYLOAD:
            raise ValueError(f"maximum block size {self.max_block}")

    @property
    def read_only(self) -> bool:
        return bool(self.transmission_flags & NBD_FLAG_READ_ONLY)


class ExportCatalogue(Protocol):
    """The exports that one client may see."""

    def names(self) -> Sequence[str]:
        """The names to list, in the order to list them."""

    def find(self, name: str) -> ExportInfo | None:
        """The export of that name; for '' the default one, if there is exactly one export."""


def _power_of_two(value: int) -> bool:
    return value > 0 and not value & (value - 1)
