"""Stamped sectors, and what an application that wrote them knows about where they must be.

Every 512-byte sector carries (group, volume, sector, sequence, checksum), so that an image tells which
write each of its sectors comes from. The application takes a tick when it sends a write and another
when the answer has come; ticks are one sequence over all its connections. A write that was answered
before another one was sent comes before it, and only that is relied upon: of two writes that were under
way at the same time either may be the older one.

Two statements about an image follow, and both are necessary, so neither can fail without a defect:
`missing`: every write that was answered before a tick is there, or something that is not older. `disorder`:
the image is a prefix, which means that nothing is missing of what was answered before the youngest write
found was sent.
"""

import struct
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count

from xxhash import xxh3_64_intdigest

SECTOR = 512
_HEAD = struct.Struct("<8s8sIIQQ")
_MAGIC = b"fs-stamp"
_CHECKED = SECTOR - 8
_FILLER = (_CHECKED - _HEAD.size) // 8
_BLANK = bytes(SECTOR)
_MOST_TOLD = 5
_NEVER = 1 << 62

Image = Mapping[int, list[int]]
"""Volume number -> the sequence found in each sector, 0 for one that is blank."""


def stamp(group: bytes, volume: int, sector: int, sequence: int) -> bytes:
    """One sector's content. No part of it can be mistaken for that of another stamp."""
    head = _HEAD.pack(_MAGIC, group, volume, 0, sector, sequence)
    filler = (sequence * 0x9E3779B97F4A7C15 + sector & (1 << 64) - 1).to_bytes(8, "little")
    body = head + filler * _FILLER
    return body + xxh3_64_intdigest(body).to_bytes(8, "little")


def payload(group: bytes, volume: int, sector: int, sectors: int, sequence: int) -> bytes:
    """What one write of `sectors` sectors carries."""
    return b"".join([stamp(group, volume, each, sequence) for each in range(sector, sector + sectors)])


def sequences(group: bytes, volume: int, image: bytes) -> list[int]:
    """The sequence in each sector of a volume; AssertionError for a sector that no write has made so."""
    view = memoryview(image)
    found = []
    for sector in range(len(image) // SECTOR):
        data = view[sector * SECTOR : (sector + 1) * SECTOR]
        magic, of_group, of_volume, _, of_sector, sequence = _HEAD.unpack_from(data)
        if magic == _MAGIC and xxh3_64_intdigest(data[:_CHECKED]) == int.from_bytes(
            data[_CHECKED:], "little"
        ):
            belongs = (of_group, of_volume, of_sector) == (group, volume, sector)
            assert belongs, f"sector {sector} of volume {volume} holds a stamp of {of_volume}/{of_sector}"
            found.append(sequence)
        else:
            assert data == _BLANK, f"sector {sector} of volume {volume} is torn: {bytes(data[:48])!r}"
            found.append(0)
    return found


@dataclass(slots=True)
class Write:
    """One write. `ended`: the tick of its answer, or from which on it cannot take effect any more."""

    sequence: int
    """The tick at which it was sent."""
    volume: int
    sector: int
    sectors: int
    ended: int = _NEVER
    answered: bool = False


@dataclass(slots=True)
class Application:
    """What the writers of one group know. Used by several threads."""

    group: bytes
    tick: "Ticks"
    writes: dict[int, Write] = field(default_factory=dict)
    base: dict[int, list[int]] = field(default_factory=dict)
    """What an image held before any of `writes`."""

    def send(self, volume: int, sector: int, sectors: int) -> Write:
        """A write is about to be sent."""
        write = Write(self.tick(), volume, sector, sectors)
        self.writes[write.sequence] = write
        return write

    def answered(self, write: Write) -> None:
        """Its answer was received, without an error."""
        write.ended = self.tick()
        write.answered = True

    def lost(self, writes: Iterable[Write]) -> None:
        """The process that had these under way is gone for sure: they have taken effect or never will."""
        now = self.tick()
        for write in writes:
            write.ended = now

    def settle(self, image: Image) -> None:
        """Nothing is under way and `image` is what there is: earlier writes need not be remembered."""
        self.base = {volume: list(found) for volume, found in image.items()}
        self.writes.clear()

    def missing(self, image: Image, before: int) -> list[str]:
        """What an image lacks of the writes that were answered before a tick; at most five are told."""
        complaints: list[str] = []
        needed = self._newest(before)
        for volume, found in image.items():
            base, wanted = self.base.get(volume, ()), needed.get(volume, {})
            for sector, sequence in enumerate(found):
                was = base[sector] if base else 0
                if sequence and sequence != was and sequence not in self.writes:
                    complaints.append(f"volume {volume} sector {sector}: {sequence} has come back")
                newest = wanted.get(sector, 0)
                if newest and self._ended(sequence, was) < newest:
                    complaints.append(
                        f"volume {volume} sector {sector}: {sequence or 'nothing'}, not {newest}"
                    )
                if len(complaints) >= _MOST_TOLD:
                    return complaints
        return complaints

    def disorder(self, image: Image) -> list[str]:
        """What an image lacks to be a prefix: a state that the group had at some moment."""
        youngest = max((max(found, default=0) for found in image.values()), default=0)
        return self.missing(image, youngest)

    def _newest(self, before: int) -> dict[int, dict[int, int]]:
        """Volume -> sector -> when the newest write of those answered before a tick was sent."""
        newest: dict[int, dict[int, int]] = {}
        for write in list(self.writes.values()):
            if write.answered and write.ended < before:
                sectors = newest.setdefault(write.volume, {})
                for sector in range(write.sector, write.sector + write.sectors):
                    if sectors.get(sector, 0) < write.sequence:
                        sectors[sector] = write.sequence
        return newest

    def _ended(self, sequence: int, base: int) -> int:
        if sequence == base:
            return 0
        write = self.writes.get(sequence)
        return 0 if write is None else write.ended


class Ticks:
    """Whole numbers from 1 on, each given out once."""

    def __init__(self) -> None:
        self._count = count(1)
        self._lock = threading.Lock()

    def __call__(self) -> int:
        with self._lock:
            return next(self._count)
