"""What a secondary's image must be: a prefix of the sequence, told from the truth alone (rule B3).

A `Prefix` follows one secondary: it applies to its own image what the primary issued, up to the
position that the secondary claims, and compares. After a loss of power the weaker form holds: the
durable position exactly, with any of the later operations that had been sent there in part. While
the secondary says that it is being resynced it makes no claim.
"""

from __future__ import annotations

from collections.abc import Mapping

from farshore.model.positions import Position
from farshore.model.volumes import Operation
from sim import stamps
from sim.disk import SECTOR
from sim.truth import Place, Truth, sectors
from sim.world import BrokenRule


class Prefix:
    """See the module."""

    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        self.position: Position | None = None
        """What the image reaches to; None while nothing is claimed."""
        self.images: dict[int, bytearray] = {}
        self.maybe: dict[Place, set[bytes]] = {}
        """What else a sector may hold, after operations were applied in part."""
        self._loose: dict[Place, bytes] = {}
        """What a resync brought to places whose write had failed at the primary."""
        self.doubt = 0
        """Once the position has passed this sequence, `maybe` is over."""
        self._next = 0

    def lost(self) -> None:
        """The secondary says that it is inconsistent: no claim until `claimed`."""
        self.position = None

    def claimed(self, position: Position, images: dict[int, bytearray]) -> None:
        """The secondary says that it is consistent at `position`, and these are its images."""
        expected, loose = self._images_at(position)
        self._loose = {}
        for place in loose:
            volume, sector = place
            span = slice(sector * SECTOR, (sector + 1) * SECTOR)
            expected[volume][span] = images[volume][span]
            self._loose[place] = bytes(images[volume][span])
        self.images, self.position = expected, position
        self.maybe, self.doubt = {}, 0
        self._next = self._index(position)
        self.check(images, doubtful=False)

    def restarted(self, position: Position, highest: int, images: dict[int, bytearray] | None) -> None:
        """The secondary came back at `position`; operations up to `highest` may be there in part.

        After the death of a process only, `images` are what it came back with: still a prefix, with
        at most the next operation torn.
        """
        if self.position is None:
            return
        before, highest = self.images, max(highest, self.position.sequence)
        self.images, loose = self._images_at(position)
        for volume, sector in sorted(loose):
            span = slice(sector * SECTOR, (sector + 1) * SECTOR)
            if (volume, sector) in self._loose:
                self.images[volume][span] = self._loose[volume, sector]
            else:
                self.maybe.setdefault((volume, sector), set()).add(bytes(before[volume][span]))
        self.position = position
        self._next = self._index(position)
        if highest > position.sequence:
            if images is not None and not self.maybe:
                self._check_torn(position, highest, images)
            self._allow(position, highest)

    def in_part(self, highest: int) -> None:
        """Operations up to `highest` were tried and may be there in part."""
        if self.position is not None:
            self._allow(self.position, highest)

    def _check_torn(self, position: Position, highest: int, images: dict[int, bytearray]) -> None:
        """The images are those at `position` and after some of the next operations, the last one torn."""
        expected = {volume: bytearray(image) for volume, image in self.images.items()}
        following = self.truth.stretches[position.generation].operations[self._next :]
        for sequence, operation, data in following:
            if sequence > highest:
                break
            torn = {
                place: content
                for place, content in _contents(operation, data)
                if _sector(images, place) == content
            }
            trial = {volume: bytearray(image) for volume, image in expected.items()}
            for (volume, sector), content in torn.items():
                trial[volume][sector * SECTOR : (sector + 1) * SECTOR] = content
            if trial == images:
                return
            _change(expected, operation, data)
        if expected != images:
            raise BrokenRule("B3", f"after the death of its process the image after {position} is no prefix")

    def _allow(self, position: Position, highest: int) -> None:
        self.doubt = max(self.doubt, highest)
        for generation, stretch in self.truth.stretches.items():
            for sequence, operation, data in stretch.operations:
                if position.sequence < sequence <= highest:
                    for place, content in _contents(operation, data):
                        self.maybe.setdefault(place, set()).add(content)
            if generation == position.generation and highest <= position.sequence:
                return

    def applied(self, position: Position) -> None:
        """The secondary has applied frames up to `position`."""
        if self.position is None:
            return
        if position.generation != self.position.generation:
            self._enter(position.generation)
        operations = self.truth.stretches[position.generation].operations
        while self._next < len(operations) and operations[self._next][0] <= position.sequence:
            _, operation, data = operations[self._next]
            _change(self.images, operation, data)
            self._next += 1
        self.position = position
        if self.doubt and position.sequence >= self.doubt:
            self.maybe, self.doubt = {}, 0

    def _enter(self, generation: bytes) -> None:
        """The stream goes on in another generation, which is right only if nothing was lost between."""
        for volume, image in self.truth.stretches[generation].images.items():
            if self.images[volume] != image:
                raise BrokenRule(
                    "D2", f"the stream went on into generation {generation.hex()[:8]} over another image"
                )
        self._next = 0

    def check(self, images: dict[int, bytearray], *, doubtful: bool) -> None:
        """The images are what the position claims; with `doubtful` the secondary says that it may be less."""
        if self.position is None:
            return
        for volume, expected in self.images.items():
            if images[volume] != expected:
                self._check_sectors(volume, images[volume], doubtful)

    def shows(self, position: Position, images: Mapping[int, bytes]) -> None:
        """A snapshot of this position is taken, with these images."""
        if self.position is None:
            raise BrokenRule("H", f"a copy that is no prefix takes a snapshot at {position.sequence}")
        expected, loose = self._images_at(position)
        for volume, sector in loose:
            span = slice(sector * SECTOR, (sector + 1) * SECTOR)
            expected[volume][span] = images[volume][span]
        if expected != images:
            raise BrokenRule("H", f"a snapshot at {position.sequence} shows another state")

    def _check_sectors(self, volume: int, image: bytearray, doubtful: bool) -> None:
        expected = self.images[volume]
        for sector in range(len(expected) // SECTOR):
            span = slice(sector * SECTOR, (sector + 1) * SECTOR)
            if image[span] == expected[span]:
                continue
            if bytes(image[span]) not in self.maybe.get((volume, sector), ()):
                raise BrokenRule(
                    "B3",
                    f"sector {sector} of volume {volume} holds write {_name(volume, sector, image[span])}"
                    f" where sequence {self.position and self.position.sequence} has"
                    f" {_name(volume, sector, expected[span])}",
                )
            if not doubtful:
                raise BrokenRule("B3", f"the image is no prefix at sector {sector}, and does not say so")

    def _index(self, position: Position) -> int:
        operations = self.truth.stretches[position.generation].operations
        return sum(1 for operation in operations if operation[0] <= position.sequence)

    def _images_at(self, position: Position) -> tuple[dict[int, bytearray], set[Place]]:
        """The images at a position, and the places that a failed local write left open there."""
        stretch = self.truth.stretches[position.generation]
        images = {volume: bytearray(image) for volume, image in stretch.images.items()}
        loose: set[Place] = set()
        for sequence, operation, data in stretch.operations:
            if sequence > position.sequence:
                break
            _change(images, operation, data)
            if sequence in stretch.failed:
                loose.update(sectors(operation))
            elif loose:
                loose.difference_update(sectors(operation))
        return images, loose


def _change(images: dict[int, bytearray], operation: Operation, data: object) -> None:
    volume, _, offset, length = operation
    if length:
        images[volume][offset : offset + length] = data if isinstance(data, bytes) else bytes(length)


def _contents(operation: Operation, data: object) -> list[tuple[Place, bytes]]:
    offset = operation[2]
    found = []
    for place in sectors(operation):
        at = place[1] * SECTOR - offset
        found.append((place, data[at : at + SECTOR] if isinstance(data, bytes) else stamps.ZEROES))
    return found


def _sector(images: dict[int, bytearray], place: Place) -> bytearray:
    return images[place[0]][place[1] * SECTOR : (place[1] + 1) * SECTOR]


def _name(volume: int, sector: int, content: bytearray) -> str:
    try:
        return str(stamps.writer(volume, sector, content))
    except ValueError:
        return "(torn)"
