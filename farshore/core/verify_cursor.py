"""The cursor of one verify: which regions to compare next, and what the answers say (rule E7).

Every region is asked for once, in the order of volumes and offsets. One whose answer is no answer (it
was written while it was looked at) is asked for again, alone; one that differs is asked for again too,
at a later position, and counts as found only when it differs again. What is not settled lies behind
`place`, so that a pass that was interrupted goes on from there.
"""

from __future__ import annotations

from farshore.core.pieces import VOIDS_BEFORE_HOLD, Piece, Pieces
from farshore.core.scoreboard import RegionMap, Scoreboard
from farshore.model.volumes import Operation

EQUAL, DIFFERS, CHANGED = 0, 1, 2
"""What a digest reply says of a region."""


class VerifyCursor(Pieces):
    """See the module. Begins at a region of a volume, or of the first one behind it."""

    def __init__(self, board: Scoreboard, volume: int, region: int) -> None:
        super().__init__(board.geometry)
        self.board = board
        self.queries: dict[int, Piece] = {}
        """ordinal -> query that is not answered."""
        self._volumes = sorted(board.geometry.sizes)
        later = [place for place, each in enumerate(self._volumes) if each >= volume]
        index = later[0] if later else len(self._volumes)
        here = bool(later) and self._volumes[index] == volume
        self._next = (index, region if here else 0)
        self._again = RegionMap(board.geometry)
        self._differed = RegionMap(board.geometry)

    # -- choosing ---------------------------------------------------------------------------

    def next_piece(self, longest: int) -> Piece | None:
        """The next run of regions to compare, of at most so many bytes (or one region), already counted as
        under way; None when there is none now."""
        count = max(1, longest // self.geometry.region)
        piece = self._once_more(count) or self._fresh(count)
        return None if piece is None else self.take(piece)

    def _once_more(self, count: int) -> Piece | None:
        for (volume, region), voids in self.voided.items():
            # Somebody's writes may be held for it.
            if voids >= VOIDS_BEFORE_HOLD and self._again.bits[volume][region]:
                self._again.set(volume, region, region + 1, 0)
                return Piece(volume, region, region + 1, True)
        for volume, bits in self._again.bits.items():
            first = bits.find(1)
            if first < 0:
                continue
            stop = first + 1
            if (volume, first) not in self.voided:
                while stop < first + count and stop < len(bits) and bits[stop]:
                    if (volume, stop) in self.voided:
                        break
                    stop += 1
            self._again.set(volume, first, stop, 0)
            return Piece(volume, first, stop, True)
        return None

    def _fresh(self, count: int) -> Piece | None:
        index, first = self._next
        while index < len(self._volumes):
            volume = self._volumes[index]
            stop = min(first + count, self.geometry.regions(volume))
            if first < stop:
                self._next = (index, stop)
                return Piece(volume, first, stop, True)
            index, first = index + 1, 0
        self._next = (index, 0)
        return None

    # -- what became of a piece -------------------------------------------------------------

    def read_done(self, ticket: int, *, usable: bool) -> Piece | None:
        """The piece of a finished read if it may be sent; None if it is to be read again."""
        piece = self.reading.pop(ticket)
        if usable and not piece.void:
            return piece
        self.ask_again(piece)
        return None

    def ask_again(self, piece: Piece) -> None:
        """Nothing is known of a piece; region by region then."""
        for region in range(piece.first, piece.stop):
            self._void_region(piece.volume, region)
        self.put_back(piece)

    def _void_region(self, volume: int, region: int) -> None:
        self.voided[volume, region] = self.voided.get((volume, region), 0) + 1
        self._again.set(volume, region, region + 1, 1)

    def compared(self, ordinal: int, answers: bytes) -> list[tuple[int, int]] | None:
        """The peer's answer to a query: (volume, region) of what is found to differ now. None for an answer
        that does not fit."""
        piece = self.queries.get(ordinal)
        if piece is None or len(answers) != piece.stop - piece.first:
            return None
        del self.queries[ordinal]
        found: list[tuple[int, int]] = []
        if any(answers):
            for region, answer in enumerate(answers, piece.first):
                if answer == CHANGED:
                    self._void_region(piece.volume, region)
                elif answer == EQUAL:
                    self._settle(piece.volume, region, region + 1)
                elif self._differed.bits[piece.volume][region]:
                    self._settle(piece.volume, region, region + 1)
                    self.board.found.set(piece.volume, region, region + 1, 1)
                    found.append((piece.volume, region))
                else:
                    self._differed.set(piece.volume, region, region + 1, 1)
                    self._again.set(piece.volume, region, region + 1, 1)
        else:
            self._settle(piece.volume, piece.first, piece.stop)
        self.put_back(piece)
        return found

    def _settle(self, volume: int, first: int, stop: int) -> None:
        self.board.settle_found(volume, first, stop)
        if self._differed.bits[volume].find(1, first, stop) >= 0:
            self._differed.set(volume, first, stop, 0)
        for region in range(first, stop) if self.voided else ():
            self.voided.pop((volume, region), None)

    def interrupted(self) -> None:
        """The session is over: what was under way is asked for again in the next one."""
        for piece in [*self.reading.values(), *self.queries.values()]:
            self._again.set(piece.volume, piece.first, piece.stop, 1)
            self.put_back(piece)
        self.reading.clear()
        self.queries.clear()

    def live(self, operations: list[Operation]) -> None:
        """Writes are sequenced now."""
        if self.reading:
            self.void_reads(operations)

    # -- how far ----------------------------------------------------------------------------

    @property
    def exhausted(self) -> bool:
        """True when every region is settled."""
        under_way = self.reading or self.queries or self._again.any()
        return not under_way and self._next[0] >= len(self._volumes)

    @property
    def place(self) -> tuple[int, int]:
        """(volume, region): everything before it is settled."""
        index, region = self._next
        for place, volume in enumerate(self._volumes[: index + 1]):
            found = [each.bits[volume].find(1) for each in (self._again, self.busy)]
            first = min([each for each in found if each >= 0], default=-1)
            if first >= 0:
                return volume, first
            if place == index:
                return volume, region
        return self._volumes[-1] + 1, 0

    @property
    def progress(self) -> float:
        """0 to 1: the share of the bytes that are settled."""
        volume, region = self.place
        sizes = self.geometry.sizes
        done = sum(size for each, size in sizes.items() if each < volume)
        if volume in sizes:
            done += min(region * self.geometry.region, sizes[volume])
        return done / max(1, sum(sizes.values()))
