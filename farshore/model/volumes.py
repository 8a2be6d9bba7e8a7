"""Volumes and the operations on them, as every room names them.

An operation is a plain tuple `(volume, code, offset, length)`; volume is the volume's id within
its group (never reused), offset and length are bytes. It is a tuple and not a class because one
exists for each write of the data path.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

WRITE: Final = 1
"""Bytes with a payload of `length`."""
ZERO: Final = 2
"""The range reads as zeroes afterwards and stays allocated."""
TRIM: Final = 3
"""The range reads as zeroes afterwards and may be deallocated."""
FLUSH: Final = 4
"""A barrier; ends its frame; volume, offset and length are 0 (rules C1, B3)."""
CUT: Final = 5
"""A position at which all volumes are consistent; ends its frame. Volume and length are 0, the offset is a
number that whoever asked for it chose. Its payload, if it has one, names a snapshot to be taken there."""
RESIZE: Final = 6
"""The volume has `offset` bytes from here on; the length is 0. It is alone in its frame, so that everything
behind it may count on the new size."""

Operation: TypeAlias = tuple[int, int, int, int]
"""(volume id, code, offset in bytes, length in bytes)"""

MAX_REQUEST: Final = 32 << 20
"""The longest single write, in bytes."""


@dataclass(frozen=True, slots=True)
class VolumeSpec:
    """One volume of a group at one copy. `size` is bytes; `outage` is `log` or `ignore` (rule A6)."""

    id: int
    name: str
    path: str
    size: int
    outage: str = "log"
