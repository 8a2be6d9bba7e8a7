"""The cursor of one resync: what to read, compare and send next, and what counts as done.

Bits stay set in the maps while their regions are in flight; a bit is cleared only by the durable
acknowledgement of a fill of the whole region, or by an equal digest (rule A4), and goes to the
second map then. A read is void if a write to it was in flight or sequenced between its start and
its enqueueing (rule E5); a region voided three times is read with its writes held (E4).

The cursor decides; whoever owns it carries its requests to the shell.
"""

from __future__ import annotations

from collections.abc import Iterable

from farshore.core.pieces import CHUNK, VOIDS_BEFORE_HOLD, Piece, Pieces
from farshore.core.scoreboard import RegionMap, Scoreboard
from farshore.model.header import OpenResync
from farshore.model.volumes import Operation

WINDOW = 64 << 20
"""Bytes of fills that may be read, sent or unacknowledged at once."""


class ResyncCursor(Pieces):
    """One open resync of one link. `resync` names it to both ends."""

    def __init__(self, board: Scoreboard, resync: OpenResync, longest: int = CHUNK) -> None:
        super().__init__(board.geometry, longest)
        self.board = board
        self.resync = resync
        self.fills: dict[int, Piece] = {}
        """ordinal -> fill that is not durable at the peer."""
        self.queries: dict[int, Piece] = {}
        """ordinal -> digest query that is not answered."""
        self.fill_ordinal = 0
        self.query_ordinal = 0
        self.sent_bytes = 0
        self.settled = 0
        """Marks that have fallen, of either kind."""
        self.ending = False
        """The completion cut was sent."""
        self.total = max(1, board.regions())
        self._place = {"dirty": (0, 0), "suspect": (0, 0)}

    # -- choosing ---------------------------------------------------------------------------

    def next_piece(self) -> Piece | None:
        """The next run of regions to read, already counted as under way; None when there is none now."""
        held = self._held_piece()
        if held is not None:
            return self.take(held)
        for name, region_map, digest in (
            ("dirty", self.board.dirty, False),
            ("suspect", self.board.suspect, True),
        ):
            piece = self._find(name, region_map, digest)
            if piece is not None:
                return self.take(piece)
        return None

    def _held_piece(self) -> Piece | None:
        """A region whose writes are held while it is read goes before all others: writes wait for it."""
        for (volume, region), voids in self.voided.items():
            if voids < VOIDS_BEFORE_HOLD or self.busy.bits[volume][region]:
                continue
            dirty = bool(self.board.dirty.bits[volume][region])
            if dirty or self.board.suspect.bits[volume][region]:
                return Piece(volume, region, region + 1, not dirty)
        return None

    def _find(self, name: str, region_map: RegionMap, digest: bool) -> Piece | None:
        volumes = list(region_map.bits)
        start_volume, start_region = self._place[name]
        for turn in range(len(volumes) + 1):
            place = (start_volume + turn) % len(volumes)
            volume = volumes[place]
            found = self._free_run(region_map, volume, start_region if turn == 0 else 0, digest)
            if found is None:
                continue
            first, stop = found
            self._place[name] = (place, stop)
            return Piece(volume, first, stop, digest)
        return None

    def _free_run(
        self, region_map: RegionMap, volume: int, start: int, digest: bool
    ) -> tuple[int, int] | None:
        """The first run of marked regions from `start` that is not under way (nor, for a digest, to be
        filled anyway), at most CHUNK long."""
        bits, busy, dirty = region_map.bits[volume], self.busy.bits[volume], self.board.dirty.bits[volume]
        longest = self.longest // self.board.geometry.region
        while (first := bits.find(1, start)) >= 0:
            if busy[first] or (digest and dirty[first]):
                blocker = busy if busy[first] else dirty
                start = blocker.find(0, first)
                if start < 0:
                    return None
                continue
            if (volume, first) in self.voided:
                return first, first + 1
            stop = min(first + longest, len(bits))
            limits = [(0, bits), (1, busy)]
            if digest:
                limits.append((1, dirty))
            for wanted, each in limits:
                end = each.find(wanted, first, stop)
                stop = end if end >= 0 else stop
            return first, stop
        return None

    # -- live writes ------------------------------------------------------------------------

    def live(self, operations: list[Operation], streamed: bool) -> None:
        """Writes are sequenced now: void reads, and keep what they touch counted dirty (A4).

        A streamed write reaches the peer in order behind the fill, so that its region only joins
        the second map; one that is not streamed makes its region dirty anew.
        """
        self.void_reads(operations)
        if streamed:
            self.board.second.mark_operations(operations)
            return
        shift = self.board.geometry.region_shift
        for volume, _, offset, length in operations:
            if not length:
                continue
            first, stop = offset >> shift, ((offset + length - 1) >> shift) + 1
            for piece in self.fills.values():
                if piece.touches(volume, first, stop):
                    piece.again.update(range(max(first, piece.first), min(stop, piece.stop)))

    # -- what became of a piece -------------------------------------------------------------

    def read_done(self, ticket: int) -> Piece | None:
        """The piece of a finished read if it may be sent; None if it was void and must be read again."""
        piece = self.reading.pop(ticket)
        if not piece.void:
            self.voided.pop((piece.volume, piece.first), None)
            return piece
        key = (piece.volume, piece.first)
        self.voided[key] = self.voided.get(key, 0) + 1
        self.put_back(piece)
        self._place["suspect" if piece.digest else "dirty"] = (
            list(self.board.dirty.bits).index(piece.volume),
            piece.first,
        )
        return None

    def fill_sent(self, piece: Piece, on_wire: int) -> int:
        """Count a fill that is enqueued now; returns its ordinal."""
        self.fill_ordinal += 1
        self.fills[self.fill_ordinal] = piece
        self.sent_bytes += on_wire
        return self.fill_ordinal

    def query_sent(self, piece: Piece) -> int:
        """Count a digest query that is enqueued now; returns its ordinal."""
        self.query_ordinal += 1
        self.queries[self.query_ordinal] = piece
        return self.query_ordinal

    def fills_durable(self, ordinal: int) -> None:
        """Every fill up to `ordinal` is durable at the peer: clear bits, remember them in `second`."""
        for done in [each for each in self.fills if each <= ordinal]:
            piece = self.fills.pop(done)
            for first, stop in _runs(piece.first, piece.stop, piece.again):
                for each in (self.board.dirty, self.board.suspect):
                    self.settled += each.bits[piece.volume].count(1, first, stop)
                self.board.second.set(piece.volume, first, stop, 1)
                self.board.dirty.set(piece.volume, first, stop, 0)
                self.board.suspect.set(piece.volume, first, stop, 0)
                self.board.settle_found(piece.volume, first, stop)
            self.put_back(piece)

    def compared(self, ordinal: int, differing: bytes) -> bool:
        """The peer's answer to a digest query; False when no such query is open or its size is wrong."""
        piece = self.queries.get(ordinal)
        if piece is None or len(differing) != piece.stop - piece.first:
            return False
        del self.queries[ordinal]
        for place, differs in enumerate(differing):
            region = piece.first + place
            self.board.second.set(piece.volume, region, region + 1, 1)
            self.board.suspect.set(piece.volume, region, region + 1, 0)
            if differs:
                self.board.dirty.set(piece.volume, region, region + 1, 1)
            else:
                self.settled += 1
                self.board.settle_found(piece.volume, region, region + 1)
        self.put_back(piece)
        return True

    # -- the end ----------------------------------------------------------------------------

    @property
    def exhausted(self) -> bool:
        """True when nothing is left to copy or compare and nothing is under way."""
        if self.reading or self.fills or self.queries:
            return False
        return not (self.board.dirty.any() or self.board.suspect.any())

    @property
    def left(self) -> int:
        """Marks that are left, of either kind."""
        return self.board.dirty.count() + self.board.suspect.count()

    @property
    def progress(self) -> float:
        """0 to 1: the share of the regions that were dirty at the start and are settled."""
        return max(0.0, min(1.0, 1.0 - self.left / self.total))


def _runs(first: int, stop: int, excluded: set[int]) -> Iterable[tuple[int, int]]:
    """The maximal runs of first..stop without the excluded regions."""
    if not excluded:
        return [(first, stop)]
    found: list[tuple[int, int]] = []
    start = first
    for region in sorted(excluded):
        if start < region:
            found.append((start, region))
        start = region + 1
    if start < stop:
        found.append((start, stop))
    return found
