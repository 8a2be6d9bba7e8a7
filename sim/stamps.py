"""Stamps: what the application writes, one per 512-byte sector, so that every sector names its writer.

A stamp repeats (volume, sector, write id) over the whole sector; write id 0 does not exist and
stands for a sector of zeroes. A sector that is neither zeroes nor a whole stamp of its own place
was torn below a sector, moved or made up, which nothing in the simulated world can do by itself.
"""

from __future__ import annotations

import struct
from typing import Final

from farshore.model.messages import Buffer
from sim.disk import SECTOR

_STAMP: Final = struct.Struct("<HHIQ")
_MAGIC: Final = 0xFA25
_TIMES: Final = SECTOR // _STAMP.size
ZEROES: Final = bytes(SECTOR)


def stamp(volume: int, sector: int, write: int) -> bytes:
    """The 512 bytes of one sector."""
    return _STAMP.pack(_MAGIC, volume, sector, write) * _TIMES


def payload(volume: int, offset: int, length: int, write: int) -> bytes:
    """The bytes of one write; offset and length are whole sectors."""
    first = offset // SECTOR
    return b"".join([stamp(volume, sector, write) for sector in range(first, first + length // SECTOR)])


def writer(volume: int, sector: int, content: Buffer) -> int:
    """The write id that a sector's content names, 0 for zeroes.

    Raises ValueError for anything that no write of this sector ever contained.
    """
    if content == ZEROES:
        return 0
    magic, of_volume, of_sector, write = _STAMP.unpack_from(content)
    if (magic, of_volume, of_sector) != (_MAGIC, volume, sector) or content != stamp(volume, sector, write):
        raise ValueError(f"sector {sector} of volume {volume} holds what was never written to it")
    return int(write)


def write_of(data: Buffer) -> int:
    """The write id in a payload."""
    return int(_STAMP.unpack_from(data)[3])
