"""Runs of regions under way between a link's two ends, and the reads that they begin with (rules E4, E5).

A read is void if a write to it was in flight or sequenced between its start and its enqueueing: what
was read is the content of no single position in the stream. A region whose reads were voided three
times is read with its writes held. A resync (`resync`) fills and compares with such reads, a verify
(`verifying`) compares with them; which regions come next is theirs to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from farshore.core.geometry import Geometry
from farshore.core.scoreboard import RegionMap
from farshore.model.volumes import Operation

CHUNK = 1 << 20
"""The longest run of regions that one fill or digest query covers, in bytes."""
VOIDS_BEFORE_HOLD = 3


@dataclass(slots=True)
class Piece:
    """A run of regions under way: being read, or sent and not yet settled."""

    volume: int
    first: int
    stop: int
    digest: bool
    void: bool = False
    again: set[int] = field(default_factory=set)
    """Regions that a write has marked anew since the piece was sent: their bits stay set."""

    def touches(self, volume: int, first: int, stop: int) -> bool:
        """Whether a run of regions overlaps this piece."""
        return volume == self.volume and first < self.stop and self.first < stop


class Pieces:
    """See the module. No piece has more than `longest` bytes, or one region."""

    def __init__(self, geometry: Geometry, longest: int = CHUNK) -> None:
        self.geometry = geometry
        self.longest = max(longest, geometry.region)
        self.reading: dict[int, Piece] = {}
        """ticket -> piece whose read has not been reported."""
        self.in_flight = 0
        """Bytes of all pieces under way."""
        self.voided: dict[tuple[int, int], int] = {}
        """(volume, region) -> how often it was read in vain."""
        self.busy = RegionMap(geometry)

    def length(self, piece: Piece) -> int:
        """Bytes that a piece covers."""
        return self.geometry.span(piece.volume, piece.first, piece.stop - piece.first)[1]

    def hold_needed(self, piece: Piece) -> bool:
        """Whether this piece's writes must be held while it is read (rule E4)."""
        return self.voided.get((piece.volume, piece.first), 0) >= VOIDS_BEFORE_HOLD

    def take(self, piece: Piece) -> Piece:
        """A piece is under way from now on."""
        self.busy.set(piece.volume, piece.first, piece.stop, 1)
        self.in_flight += self.length(piece)
        return piece

    def put_back(self, piece: Piece) -> None:
        """It is not any more."""
        self.busy.set(piece.volume, piece.first, piece.stop, 0)
        self.in_flight -= self.length(piece)

    def begin_read(self, ticket: int, piece: Piece, unwritten: Iterable[list[Operation]]) -> None:
        """A read starts; it is void at once if a write to it is sequenced but not yet written."""
        self.reading[ticket] = piece
        for operations in unwritten:
            self._void(piece, operations)

    def void_reads(self, operations: Iterable[Operation]) -> None:
        """Writes are sequenced now: what is being read of their regions is of no use."""
        for piece in self.reading.values():
            self._void(piece, operations)

    def _void(self, piece: Piece, operations: Iterable[Operation]) -> None:
        shift = self.geometry.region_shift
        for volume, _, offset, length in operations:
            if length and piece.touches(volume, offset >> shift, ((offset + length - 1) >> shift) + 1):
                piece.void = True
                return
