"""The resync cursor against bytes: no region that may differ at the peer ever loses its mark (A4, E4, E5)."""

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from farshore.core.geometry import Geometry
from farshore.core.pieces import VOIDS_BEFORE_HOLD, Piece
from farshore.core.resync import ResyncCursor
from farshore.core.scoreboard import BoardImage, Scoreboard
from farshore.model.header import OpenResync
from farshore.model.options import ResyncKind
from farshore.model.positions import Position
from farshore.model.volumes import WRITE, Operation

REGION = 4096
SIZES = {1: 12 * REGION, 2: 5 * REGION + 1}
GEOMETRY = Geometry(SIZES, REGION, 4 * REGION)
Marks = set[tuple[int, int]]
Regions = dict[tuple[int, int], int]
"""What a copy holds: a number stands for a region's content."""


def resync(kind: ResyncKind = ResyncKind.UPDATE) -> OpenResync:
    return OpenResync(b"r" * 16, kind, Position(b"g" * 16, 0))


def board_with(dirty: Marks, suspect: Marks) -> Scoreboard:
    board = Scoreboard(GEOMETRY, BoardImage(Position(b"g" * 16, 0), b"p" * 16, {}))
    for region_map, marks in ((board.dirty, dirty), (board.suspect, suspect)):
        for volume, region in marks:
            region_map.set(volume, region, region + 1, 1)
    board.open = True
    return board


PLACES = [(volume, region) for volume in SIZES for region in range(GEOMETRY.regions(volume))]
MARKS = st.sets(st.sampled_from(PLACES))


class CursorLife(RuleBasedStateMachine):
    """One resync beside a live application. The line keeps order; only what is durable at the peer counts,
    because the peer may lose the rest at any moment."""

    @initialize(dirty=MARKS, suspect=MARKS, really=MARKS)
    def begin(self, dirty: Marks, suspect: Marks, really: Marks) -> None:
        self.mine: Regions = dict.fromkeys(PLACES, 0)
        self.theirs: Regions = {place: int(place in really & (dirty | suspect)) for place in PLACES}
        self.board = board_with(dirty, suspect)
        self.cursor = ResyncCursor(self.board, resync())
        self.content = 10
        self.ticket = 0
        self.streaming = True
        self.reads: dict[int, tuple[Piece, Regions]] = {}
        self.unwritten: deque[tuple[list[Operation], Marks, int]] = deque()
        self.line: deque[tuple[str, int, Regions]] = deque()
        """("fill" or "frame", ordinal, what it writes), in order, not durable at the peer."""
        self.frames: Marks = set()

    def _operation(self, place: tuple[int, int], run: int) -> tuple[Operation, Marks]:
        volume, first = place
        stop = min(first + run, GEOMETRY.regions(volume))
        offset = first * REGION
        length = min(stop * REGION, SIZES[volume]) - offset
        return (volume, WRITE, offset, length), {(volume, region) for region in range(first, stop)}

    @rule(place=st.sampled_from(PLACES), run=st.integers(1, 3), slow=st.booleans())
    def the_application_writes(self, place: tuple[int, int], run: int, slow: bool) -> None:
        operation, touched = self._operation(place, run)
        self.content += 1
        if not self.streaming:
            self.board.dirty.mark_operations([operation])
        self.cursor.live([operation], self.streaming)
        if self.streaming:
            self.line.append(("frame", 0, dict.fromkeys(touched, self.content)))
        self.unwritten.append(([operation], touched, self.content))
        if not slow:
            self.local_writes_end()

    @rule()
    def local_writes_end(self) -> None:
        while self.unwritten:
            _, touched, content = self.unwritten.popleft()
            self.mine |= dict.fromkeys(touched, content)

    @rule()
    def a_read_begins(self) -> None:
        piece = self.cursor.next_piece()
        if piece is None:
            return
        self.ticket += 1
        self.cursor.begin_read(self.ticket, piece, (each[0] for each in self.unwritten))
        if self.cursor.hold_needed(piece):
            self.local_writes_end()
        places = [(piece.volume, region) for region in range(piece.first, piece.stop)]
        self.reads[self.ticket] = (piece, {place: self.mine[place] for place in places})

    @rule(oldest=st.booleans())
    def a_read_ends(self, oldest: bool) -> None:
        if not self.reads:
            return
        ticket = min(self.reads) if oldest else max(self.reads)
        piece, read = self.reads.pop(ticket)
        sent = self.cursor.read_done(ticket)
        if sent is None:
            return
        assert sent is piece
        if piece.digest:
            self.line.append(("query", self.cursor.query_sent(piece), read))
        else:
            self.line.append(("fill", self.cursor.fill_sent(piece, 1), read))

    @rule(count=st.integers(1, 4))
    def the_peer_makes_units_durable(self, count: int) -> None:
        fills = 0
        for _ in range(min(count, len(self.line))):
            kind, ordinal, content = self.line.popleft()
            if kind == "query":
                differing = bytes(self.theirs[place] != seen for place, seen in content.items())
                assert self.cursor.compared(ordinal, differing)
                continue
            self.theirs |= content
            fills = ordinal if kind == "fill" else fills
        if fills:
            self.cursor.fills_durable(fills)

    @rule()
    def the_queue_overflows(self) -> None:
        """Rule E4: from here on writes only mark; what was sent and is not durable is marked anew."""
        if not self.streaming:
            return
        for place in {place for kind, _, content in self.line if kind == "frame" for place in content}:
            operation, _ = self._operation(place, 1)
            self.board.dirty.mark_operations([operation])
            self.cursor.live([operation], False)
        self.streaming = False

    @rule()
    def ordered_sending_resumes(self) -> None:
        self.streaming = True

    @invariant()
    def a_region_that_may_differ_is_marked(self) -> None:
        if not hasattr(self, "board"):
            return
        following = {place for kind, _, content in self.line if kind == "frame" for place in content}
        unwritten = {place for _, touched, _ in self.unwritten for place in touched}
        for place in PLACES:
            volume, region = place
            marked = self.board.dirty.bits[volume][region] or self.board.suspect.bits[volume][region]
            differs = self.mine[place] != self.theirs[place] and place not in unwritten
            assert marked or not differs or (self.streaming and place in following), place

    @invariant()
    def what_it_cleared_or_passed_on_is_remembered(self) -> None:
        """Rule A4: until the cut is durable, nothing that was dirty stops counting as dirty."""
        if not hasattr(self, "board"):
            return
        for place in PLACES:
            volume, region = place
            if self.board.second.bits[volume][region]:
                continue
            marked = self.board.dirty.bits[volume][region] or self.board.suspect.bits[volume][region]
            assert marked or self.mine[place] == self.theirs[place] == 0

    def teardown(self) -> None:
        """When the application rests, the rest is copied in a bounded number of steps."""
        if not hasattr(self, "board"):
            return
        self.local_writes_end()
        for _ in range(4 * len(PLACES) + 10):
            self.a_read_begins()
            self.a_read_ends(True)
            self.the_peer_makes_units_durable(4)
            if self.cursor.exhausted and not self.line:
                break
        assert self.cursor.exhausted
        assert self.cursor.in_flight == 0
        assert self.cursor.progress == 1.0
        assert self.theirs == self.mine


CursorLife.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestCursorLife = CursorLife.TestCase


@given(MARKS, MARKS)
@settings(max_examples=60, deadline=None)
def test_pieces_cover_what_is_marked_once_and_nothing_else(dirty: Marks, suspect: Marks) -> None:
    cursor = ResyncCursor(board_with(dirty, suspect), resync())
    covered: dict[bool, list[tuple[int, int]]] = {False: [], True: []}
    for _ in range(2 * len(PLACES)):
        piece = cursor.next_piece()
        if piece is None:
            break
        covered[piece.digest] += [(piece.volume, region) for region in range(piece.first, piece.stop)]
    assert sorted(covered[False]) == sorted(dirty)
    assert sorted(covered[True]) == sorted(suspect - dirty)
    assert cursor.in_flight == sum(GEOMETRY.span(volume, region, 1)[1] for volume, region in dirty | suspect)


def read_once(cursor: ResyncCursor, ticket: int, *during: Operation) -> tuple[Piece, bool, bool]:
    """One read with writes during it: (piece, whether it may be sent, whether its writes were held)."""
    piece = cursor.next_piece()
    assert piece is not None
    held = cursor.hold_needed(piece)
    cursor.begin_read(ticket, piece, [])
    if during and not held:
        cursor.live(list(during), True)
    return piece, cursor.read_done(ticket) is not None, held


def test_e4_a_region_that_is_written_all_the_time_is_read_with_its_writes_held() -> None:
    cursor = ResyncCursor(board_with({(1, 2), (1, 3)}, set()), resync())
    write: Operation = (1, WRITE, 2 * REGION, 512)
    rounds = [read_once(cursor, ticket, write) for ticket in range(VOIDS_BEFORE_HOLD + 1)]
    assert [sent for _, sent, _ in rounds] == [False] * VOIDS_BEFORE_HOLD + [True]
    assert [held for _, _, held in rounds] == [False] * VOIDS_BEFORE_HOLD + [True]
    assert (rounds[-1][0].first, rounds[-1][0].stop) == (2, 3)


def test_e4_a_region_whose_writes_are_held_is_read_before_all_others() -> None:
    """A digest waits behind everything that is to be filled anyway, but not while writes wait for it."""
    board = board_with(set(), {(1, 2)})
    cursor = ResyncCursor(board, resync())
    write: Operation = (1, WRITE, 2 * REGION, 512)
    for ticket in range(VOIDS_BEFORE_HOLD):
        read_once(cursor, ticket, write)
    board.dirty.set(1, 0, 2, 1)
    piece, sent, held = read_once(cursor, VOIDS_BEFORE_HOLD, write)
    assert (piece.first, piece.stop, piece.digest, sent, held) == (2, 3, True, True, True)


@pytest.mark.parametrize("kind", ["sequenced before, not written", "sequenced while it is read"])
def test_e5_a_read_beside_a_write_to_its_region_is_void(kind: str) -> None:
    cursor = ResyncCursor(board_with({(1, 0)}, set()), resync())
    write: Operation = (1, WRITE, REGION - 1, 1)
    piece = cursor.next_piece()
    assert piece is not None
    before = kind.startswith("sequenced before")
    cursor.begin_read(1, piece, [[write]] if before else [])
    if not before:
        cursor.live([write], True)
    assert cursor.read_done(1) is None
    assert not cursor.exhausted


def test_e5_a_write_beside_the_region_does_not_void_its_read() -> None:
    cursor = ResyncCursor(board_with({(1, 1)}, set()), resync())
    beside: list[Operation] = [(1, WRITE, 0, REGION), (1, WRITE, 2 * REGION, REGION), (2, WRITE, REGION, 1)]
    _, sent, _ = read_once(cursor, 1, *beside)
    assert sent


def test_a4_only_a_durable_fill_of_the_whole_region_clears_it() -> None:
    board = board_with({(1, 0), (1, 1)}, set())
    cursor = ResyncCursor(board, resync())
    _, sent, _ = read_once(cursor, 1)
    assert sent
    assert cursor.fill_sent(Piece(1, 0, 2, False), 1) == 1
    assert board.dirty.count() == 2
    cursor.fills_durable(0)
    assert board.dirty.count() == 2
    cursor.fills_durable(1)
    assert (board.dirty.count(), board.second.count()) == (0, 2)


def test_an_answer_to_another_query_changes_nothing() -> None:
    board = board_with(set(), {(1, 0), (1, 1)})
    cursor = ResyncCursor(board, resync(ResyncKind.DIGEST))
    piece, _, _ = read_once(cursor, 1)
    ordinal = cursor.query_sent(piece)
    assert not cursor.compared(ordinal + 1, b"\0\0")
    assert not cursor.compared(ordinal, b"\0")
    assert board.suspect.count() == 2
    assert cursor.compared(ordinal, b"\0\1")
    assert (board.suspect.count(), board.dirty.count(), board.second.count()) == (0, 1, 2)
