"""Scoreboards: the maps against plain sets, and what of them stands on disk (rules A1, A3, A4, A5)."""

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from farshore.core.geometry import PAGE_BITS, PAGE_BYTES, Geometry
from farshore.core.scoreboard import DIRTY, SECOND, SUSPECT, BoardImage, Page, RegionMap, Scoreboard
from farshore.model.options import ResyncKind
from farshore.model.positions import Position
from farshore.model.volumes import WRITE, Operation

REGION = 4096
GEOMETRY = Geometry({1: 40 * REGION + 100, 2: 3 * REGION}, REGION, 4 * REGION)
EVERYWHERE = {(volume, region) for volume in (1, 2) for region in range(GEOMETRY.regions(volume))}
BASE = Position(b"g" * 16, 7)
Marks = set[tuple[int, int]]


@st.composite
def operations(draw: st.DrawFn) -> Operation:
    volume = draw(st.sampled_from((1, 2)))
    offset = draw(st.integers(0, GEOMETRY.sizes[volume] - 1))
    return (volume, WRITE, offset, draw(st.integers(1, GEOMETRY.sizes[volume] - offset)))


def touched(*written: Operation) -> Marks:
    return {(volume, region) for volume, _, at, size in written for region in GEOMETRY.regions_of(at, size)}


def marks(region_map: RegionMap) -> Marks:
    return {(volume, region) for volume, bits in region_map.bits.items() for region in bits.search(1)}


class DiskOfPages:
    """A scoreboard file: pages by name, over what was there before."""

    def __init__(self) -> None:
        self.pages: dict[tuple[str, int, int], bytes] = {}

    def take(self, pages: Iterable[Page]) -> None:
        for name, volume, number, data in pages:
            assert len(data) == PAGE_BYTES
            self.pages[name, volume, number] = data

    def read(self) -> Scoreboard:
        maps: dict[tuple[str, int], bytes] = {}
        for (name, volume, _), data in sorted(self.pages.items()):
            maps[name, volume] = maps.get((name, volume), b"") + data
        return Scoreboard(GEOMETRY, BoardImage(BASE, b"p" * 16, maps))


class BoardLife(RuleBasedStateMachine):
    """A scoreboard lives beside plain sets; its pages are written now and then."""

    @initialize()
    def begin(self) -> None:
        self.board = Scoreboard(GEOMETRY, BoardImage(BASE, None, {}))
        self.board.every_page()
        self.dirty: Marks = set()
        self.suspect: Marks = set()
        self.second: Marks = set()
        self.queued: dict[tuple[int, int], int] = {}
        self.sequence = 0
        self.disk = DiskOfPages()
        self.disk.take(self.board.pages())
        self.stood: Marks = set()

    @rule(written=operations())
    def a_write_marks_its_regions(self, written: Operation) -> None:
        self.board.dirty.mark_operations([written])
        self.dirty |= touched(written)

    @rule(written=operations())
    def a_live_frame_in_a_resync_is_remembered(self, written: Operation) -> None:
        if self.board.open:
            self.board.second.mark_operations([written])
            self.second |= touched(written)

    @rule(cleared=operations())
    def a_durable_fill_clears_and_is_remembered(self, cleared: Operation) -> None:
        if not self.board.open:
            return
        volume, _, offset, length = cleared
        covered = GEOMETRY.regions_of(offset, length)
        self.board.second.set(volume, covered.start, covered.stop, 1)
        for region_map in (self.board.dirty, self.board.suspect):
            region_map.set(volume, covered.start, covered.stop, 0)
        self.second |= touched(cleared)
        self.dirty -= touched(cleared)
        self.suspect -= touched(cleared)

    @rule(extents=st.sets(st.tuples(st.sampled_from((1, 2)), st.integers(0, 12)), max_size=4))
    def hot_extents_become_suspect(self, extents: set[tuple[int, int]]) -> None:
        self.board.suspect_extents(extents)
        self.suspect |= {place for place in EVERYWHERE if (place[0], place[1] // 4) in extents}

    @rule(written=operations())
    def a_queued_frame_marks_until_it_is_acknowledged(self, written: Operation) -> None:
        self.sequence += 1
        self.board.mark_queued([written], self.sequence)
        self.queued |= dict.fromkeys(touched(written), self.sequence)

    @rule(behind=st.integers(0, 3))
    def an_acknowledgement_lets_queued_marks_fall(self, behind: int) -> None:
        durable = self.sequence - behind
        self.board.acknowledge_queued(durable)
        self.queued = {place: last for place, last in self.queued.items() if last > durable}

    @rule()
    def the_queue_is_dropped(self) -> None:
        self.board.keep_queued()
        self.dirty |= set(self.queued)
        self.queued = {}

    @rule(kind=st.sampled_from(ResyncKind))
    def a_resync_opens(self, kind: ResyncKind) -> None:
        self.board.or_back()
        self.board.prepare(kind)
        self.board.open = True
        self.dirty |= self.second
        self.second = set()
        if kind is ResyncKind.FULL:
            self.dirty = set(EVERYWHERE)
        elif kind is ResyncKind.DIGEST:
            self.second, self.dirty, self.suspect = self.dirty, set(), set(EVERYWHERE)

    @rule()
    def a_resync_completes(self) -> None:
        if self.board.open:
            self.board.forget_second()
            self.second = set()

    @rule()
    def pages_are_written(self) -> None:
        self.disk.take(self.board.pages())
        self.stood = self.everything

    @rule()
    def the_copy_stops_cleanly_and_starts_again(self) -> None:
        self.disk.take(self.board.pages())
        self.disk.take(self.board.pages(exact=True))
        self.stood = self.everything
        back = self.disk.read()
        back.open = self.board.open
        back.every_page()
        self.board = back
        self.dirty |= set(self.queued)
        self.queued = {}

    @property
    def everything(self) -> Marks:
        return self.dirty | self.suspect | self.second | set(self.queued)

    @invariant()
    def the_maps_are_the_sets(self) -> None:
        assert marks(self.board.dirty) == self.dirty
        assert marks(self.board.suspect) == self.suspect
        assert marks(self.board.second) == self.second
        assert self.board.queued == self.queued
        assert self.board.regions() == len(self.dirty | self.suspect | self.second)
        assert self.board.clean == (not self.dirty | self.suspect | self.second)

    @invariant()
    def what_was_written_reads_back_and_forgets_no_mark(self) -> None:
        back = self.disk.read()
        assert marks(back.dirty) | marks(back.suspect) | marks(back.second) >= self.stood

    @rule()
    def a_crash_reads_no_less_than_was_marked(self) -> None:
        """Rule A4: whatever the pages say of `second`, dirty and suspect alone hold it after OR-ing back."""
        self.disk.take(self.board.pages())
        self.stood = self.everything
        back = self.disk.read()
        assert (back.base, back.peer_copy) == (BASE, b"p" * 16)
        if self.board.open:
            assert marks(back.dirty) >= self.dirty | self.second
            assert marks(back.dirty) | marks(back.suspect) >= self.everything


BoardLife.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestBoardLife = BoardLife.TestCase


@given(st.lists(operations(), max_size=6))
def test_maps_round_trip_through_their_pages(written: list[Operation]) -> None:
    board = Scoreboard(GEOMETRY, BoardImage(BASE, None, {}))
    board.every_page()
    board.dirty.mark_operations(written[::2])
    board.suspect.mark_operations(written[1::2])
    disk = DiskOfPages()
    disk.take(board.pages())
    back = disk.read()
    assert [marks(each) for each in (back.dirty, back.suspect, back.second)] == [
        touched(*written[::2]),
        touched(*written[1::2]),
        set(),
    ]


def test_pages_are_written_once_and_only_where_something_changed() -> None:
    geometry = Geometry({1: 3 * PAGE_BITS * REGION}, REGION, 4 * REGION)
    board = Scoreboard(geometry, BoardImage(BASE, None, {}))
    board.dirty.mark(1, 2 * PAGE_BITS * REGION - 1, 2)
    assert [(name, number) for name, _, number, _ in board.pages()] == [(DIRTY, 1), (DIRTY, 2)]
    assert board.pages() == []


def test_a_damaged_or_missing_scoreboard_is_dirty_everywhere_and_has_no_base() -> None:
    """Rule A1: false dirty is allowed, false clean never."""
    damaged = Scoreboard(GEOMETRY, BoardImage(BASE, b"p" * 16, {}, damaged=True))
    for board in (Scoreboard(GEOMETRY, None), damaged):
        assert marks(board.dirty) == EVERYWHERE
        assert board.base is None


def test_the_bytes_of_a_last_short_region_are_not_counted_in_full() -> None:
    board = Scoreboard(GEOMETRY, BoardImage(BASE, None, {}))
    board.dirty.mark(1, 40 * REGION, 100)
    assert board.dirty_bytes() == 100
    assert Scoreboard(GEOMETRY, None).dirty_bytes() == 43 * REGION + 100


def test_a4_a_queued_mark_carries_the_highest_sequence_of_its_region() -> None:
    board = Scoreboard(GEOMETRY, BoardImage(BASE, None, {}))
    for sequence in (20, 10):  # the ledger is read from its newest frame on
        board.mark_queued([(1, WRITE, 0, 512)], sequence)
    board.acknowledge_queued(10)
    assert board.queued == {(1, 0): 20}
    board.acknowledge_queued(20)
    assert board.queued == {}


def test_a4_what_a_completed_resync_left_on_disk_is_cleared_there() -> None:
    board = Scoreboard(GEOMETRY, BoardImage(BASE, None, {}))
    board.open = True
    board.dirty.set(1, 0, 8, 1)
    board.second.set(1, 0, 8, 1)
    board.dirty.set(1, 0, 8, 0)
    disk = DiskOfPages()
    disk.take(board.pages())
    assert marks(disk.read().dirty) == {(1, region) for region in range(8)}
    board.forget_second()
    disk.take(board.pages())
    back = disk.read()
    assert back.clean


def test_a_page_torn_between_the_maps_loses_no_mark_when_a_digest_begins() -> None:
    """Pages of one write reach the disk in any order: a mark must not move from one map to another."""
    board = Scoreboard(GEOMETRY, BoardImage(BASE, None, {}))
    board.dirty.set(1, 3, 5, 1)
    board.every_page()
    before = DiskOfPages()
    before.take(board.pages())
    board.prepare(ResyncKind.DIGEST)
    board.open = True
    pages = board.pages()
    for kept in (DIRTY, SUSPECT, SECOND):
        torn = DiskOfPages()
        torn.pages = dict(before.pages)
        torn.take(page for page in pages if page[0] == kept)
        back = torn.read()
        assert marks(back.dirty) | marks(back.suspect) | marks(back.second) >= {(1, 3), (1, 4)}, kept


@given(st.lists(operations(), max_size=5), operations())
def test_block_status_tells_the_marks_of_a_range_and_no_more(
    written: list[Operation], asked: Operation
) -> None:
    board = Scoreboard(GEOMETRY, BoardImage(BASE, None, {}))
    for each, target in zip(written, (board.dirty, board.suspect, board.second), strict=False):
        target.mark_operations([each])
    board.mark_queued(written[3:4], 9)
    volume, _, offset, length = asked
    at, found = offset, set()
    for size, dirty in board.dirty_extents((volume, offset, length), written[4:]):
        assert size > 0
        if dirty:
            found |= {(volume, region) for region in GEOMETRY.regions_of(at, size)}
        at += size
    assert at == offset + length
    assert found == touched(*written) & touched(asked)


def test_a_resync_that_is_complete_rewrites_only_the_pages_that_it_touched() -> None:
    size = 5 * PAGE_BITS * REGION
    board = Scoreboard(Geometry({1: size}, REGION, 4 * REGION), BoardImage(BASE, None, {}))
    board.open = True
    board.dirty.mark(1, 2 * PAGE_BITS * REGION, REGION)
    board.second.mark(1, 3 * PAGE_BITS * REGION, REGION)
    assert len(board.pages()) == 3
    assert board.pages() == []
    board.second.set(1, 2 * PAGE_BITS, 2 * PAGE_BITS + 1, 1)
    board.dirty.set(1, 2 * PAGE_BITS, 2 * PAGE_BITS + 1, 0)
    board.forget_second()
    written = board.pages()
    assert {number for _, _, number, _ in written} == {2, 3}
    assert {name for name, *_ in written} == {DIRTY, SUSPECT, SECOND}
    assert not any(any(data) for *_, data in written)
