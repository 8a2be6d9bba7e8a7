"""The volumes of one copy, in memory: what they show, and what of that would survive a loss of power."""

from collections.abc import Callable, Sequence
from hashlib import blake2b

from farshore.core.geometry import Geometry
from farshore.model import messages as m
from farshore.model.volumes import TRIM, WRITE, ZERO, Operation

Payloads = Sequence[m.Buffer | None]


class Disk:
    """The volumes of one copy."""

    def __init__(self, geometry: Geometry) -> None:
        self.seen = {volume: bytearray(size) for volume, size in geometry.sizes.items()}
        self.safe = {volume: bytes(size) for volume, size in geometry.sizes.items()}

    def write(self, operations: Sequence[Operation], payloads: Payloads) -> None:
        """In order."""
        for (volume, code, offset, length), data in zip(operations, payloads, strict=True):
            assert code not in (WRITE, ZERO, TRIM) or offset + length <= len(self.seen[volume])
            if code == WRITE:
                assert data is not None
                self.seen[volume][offset : offset + length] = data
            elif code in (ZERO, TRIM):
                self.seen[volume][offset : offset + length] = bytes(length)

    def sync(self) -> Callable[[int], None]:
        """Begin to make what is written by now safe; the result is called when that has ended. What was
        written meanwhile is not safe, and after a failure nothing new is."""
        began = {volume: bytes(data) for volume, data in self.seen.items()}

        def ended(_: int) -> None:
            lengths = {volume: len(data) for volume, data in self.safe.items()}
            self.safe = {volume: data.ljust(lengths[volume], b"\0") for volume, data in began.items()}

        return ended

    def make_room(self, volume: int, start: int, size: int) -> None:
        """As the action says; a device that was enlarged holds anything there at first."""
        seen, safe = self.seen[volume], self.safe[volume]
        seen.extend(b"\xee" * (size - len(seen)))
        rest = bytes(max(0, len(seen) - start))
        seen[start:] = rest
        self.safe[volume] = safe[:start] + bytes(seen[len(safe[:start]) :])

    def lose_cache(self) -> None:
        """The machine stopped."""
        self.seen = {volume: bytearray(data) for volume, data in self.safe.items()}

    def digests(self, volume: int, offset: int, length: int, region: int) -> bytes:
        """One for each region."""
        data = self.seen[volume][offset : offset + length]
        parts = [bytes(data[at : at + region]) for at in range(0, length, region)]
        return b"".join(blake2b(part, digest_size=16).digest() for part in parts)
