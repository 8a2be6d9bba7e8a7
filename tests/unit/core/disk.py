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
            self.safe = began

        return ended

    def lose_cache(self) -> None:
        """The machine stopped."""
        self.seen = {volume: bytearray(data) for volume, data in self.safe.items()}

    def digests(self, volume: int, offset: int, length: int, region: int) -> bytes:
        """One for each region."""
        data = self.seen[volume][offset : offset + length]
        parts = [bytes(data[at : at + region]) for at in range(0, length, region)]
        return b"".join(blake2b(part, digest_size=16).digest() for part in parts)
