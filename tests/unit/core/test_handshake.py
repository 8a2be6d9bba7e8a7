"""What a peer is given, by what it holds: rules A4, A5, D2, D3, D6."""

from dataclasses import replace

import pytest

from farshore.core.geometry import Geometry
from farshore.core.handshake import Course, Terms, decide, kind_for
from farshore.core.scoreboard import BoardImage, Scoreboard
from farshore.model.header import RENEWED, LinkRecord, OpenResync
from farshore.model.messages import Residue, Welcome
from farshore.model.options import ResyncKind
from farshore.model.positions import History, Position, Stretch

GEOMETRY = Geometry({1: 1 << 20}, 4096, 16384)
PEER, STRANGER = b"p" * 16, b"s" * 16
OLD, NEW, OTHER = b"o" * 16, b"n" * 16, b"x" * 16
MINE = History((Stretch(OLD, 100), Stretch(NEW, 150)))
OPEN = OpenResync(b"r" * 16, ResyncKind.UPDATE, Position(NEW, 140))
ANOTHER = OpenResync(b"q" * 16, ResyncKind.UPDATE, Position(NEW, 140))
REPLACED = OpenResync(RENEWED, ResyncKind.FULL, Position(RENEWED, 0))
BLANK = History()


def at(generation: bytes, sequence: int) -> History:
    return MINE.cut_at(Position(generation, sequence))


def welcome(
    history: History, *, copy: bytes = PEER, resync: OpenResync | None = None, doubtful: bool = False
) -> Welcome:
    return Welcome(1, copy, b"i" * 16, history, resync, doubtful, True)


def board(base: Position | None, *dirty: int) -> Scoreboard:
    made = Scoreboard(GEOMETRY, BoardImage(base, PEER, {}))
    for region in dirty:
        made.dirty.set(1, region, region + 1, 1)
    return made


KNOWN = LinkRecord(b"l" * 16, 1, peer_copy=PEER)
UNMET = replace(KNOWN, unmet=True)
UNKNOWN = LinkRecord(b"l" * 16, 1)
BUSY = LinkRecord(b"l" * 16, 1, peer_copy=PEER, open_resync=OPEN)
BASE = Position(NEW, 120)

CASES = {
    "a blank peer at the first meeting": (UNKNOWN, board(None), welcome(BLANK), Course.FIRST),
    "a blank peer whose first copy never got anywhere": (KNOWN, board(None), welcome(BLANK), Course.FIRST),
    "a first copy that was interrupted": (BUSY, board(None), welcome(BLANK, resync=OPEN), Course.CONTINUE),
    "a first copy that was another one": (BUSY, board(None), welcome(BLANK, resync=ANOTHER), Course.FIRST),
    "A5: known, but nothing was ever marked for it": (KNOWN, board(None), welcome(MINE), Course.DIGEST),
    "A5: known, in a first copy that is open": (
        BUSY,
        board(None),
        welcome(at(NEW, 130), resync=OPEN),
        Course.CONTINUE,
    ),
    "A5: known, out of a first copy that is open": (BUSY, board(None), welcome(MINE), Course.UPDATE),
    "D3: a known peer that comes back blank": (KNOWN, board(BASE), welcome(BLANK), Course.CHANGED),
    "D3: a known peer whose volume was replaced, by a plan": (
        KNOWN,
        board(BASE),
        welcome(BLANK, resync=REPLACED),
        Course.FIRST,
    ),
    "D3: in the copy that such a peer gets": (
        BUSY,
        board(BASE),
        welcome(BLANK, resync=OPEN),
        Course.CONTINUE,
    ),
    "D3: a known peer that comes back in a first copy": (
        KNOWN,
        board(BASE),
        welcome(BLANK, resync=ANOTHER),
        Course.CHANGED,
    ),
    "D3: another copy whose volume was replaced": (
        KNOWN,
        board(BASE),
        welcome(BLANK, copy=STRANGER, resync=REPLACED),
        Course.CHANGED,
    ),
    "D3: another copy": (KNOWN, board(BASE), welcome(MINE, copy=STRANGER), Course.CHANGED),
    "D3: another copy, blank": (KNOWN, board(None), welcome(BLANK, copy=STRANGER), Course.CHANGED),
    "D3: a peer below the link's base": (KNOWN, board(BASE), welcome(at(NEW, 119)), Course.CHANGED),
    "D3: a peer of the generation before": (KNOWN, board(BASE), welcome(at(OLD, 100)), Course.CHANGED),
    "A5: at the base": (KNOWN, board(BASE, 1), welcome(at(NEW, 120)), Course.UPDATE),
    "A5: after the base": (KNOWN, board(BASE, 1), welcome(at(NEW, 130)), Course.UPDATE),
    "A5: no scoreboard covers an ancestor": (UNKNOWN, board(None), welcome(at(NEW, 130)), Course.DIGEST),
    "D2: equal and clean": (KNOWN, board(BASE), welcome(MINE), Course.RESUME),
    "D2: equal, but marked": (KNOWN, board(BASE, 3), welcome(MINE), Course.UPDATE),
    "D2: equal, but suspect": (KNOWN, board(BASE), welcome(MINE), Course.RESUME),
    "D2: behind, nothing marked": (KNOWN, board(BASE), welcome(at(NEW, 130)), Course.UPDATE),
    "B3: equal, but doubtful": (KNOWN, board(BASE), welcome(MINE, doubtful=True), Course.UPDATE),
    "A4: in our open resync": (BUSY, board(BASE), welcome(at(NEW, 130), resync=OPEN), Course.CONTINUE),
    "A4: in another resync": (BUSY, board(BASE), welcome(at(NEW, 130), resync=ANOTHER), Course.UPDATE),
    "A4: out of our open resync": (BUSY, board(BASE), welcome(MINE), Course.UPDATE),
    "E1: in a resync that we forgot": (KNOWN, board(BASE), welcome(MINE, resync=OPEN), Course.UPDATE),
    "D6: it continues our history": (
        KNOWN,
        board(BASE),
        welcome(History((*MINE.stretches, Stretch(OTHER, 160)))),
        Course.NEWER,
    ),
    "D6: it is further in our generation": (KNOWN, board(BASE), welcome(MINE.extended_to(151)), Course.NEWER),
    "D2: it was written apart": (
        KNOWN,
        board(BASE),
        welcome(History((Stretch(OLD, 100), Stretch(NEW, 130), Stretch(OTHER, 131)))),
        Course.CONFLICT,
    ),
    "A5: of a link made at our promotion, a peer that stands where we were": (
        UNMET,
        board(BASE),
        welcome(at(NEW, 120)),
        Course.UPDATE,
    ),
    "A5: of a link made at our promotion, a peer that was behind": (
        UNMET,
        board(BASE),
        welcome(at(NEW, 119)),
        Course.DIGEST,
    ),
    "D2: it never was ours": (UNKNOWN, board(None), welcome(History((Stretch(OTHER, 5),))), Course.CONFLICT),
}


@pytest.mark.parametrize("case", CASES)
def test_the_course_for(case: str) -> None:
    record, marks, peer, course = CASES[case]
    decision = decide(record, marks, MINE, peer, Terms(ResyncKind.FULL))
    assert decision.course is course
    assert decision.why


FORK = Position(NEW, 130)
APART = History((Stretch(OLD, 100), Stretch(NEW, 140), Stretch(OTHER, 145)))
OURS = History((*MINE.cut_at(FORK).stretches, Stretch(b"m" * 16, 160)))
CONSENT = Terms(consent=APART.head)


def rejoining(residue: Residue | None, **facts: object) -> Welcome:
    return replace(welcome(APART), residue=residue, **facts)  # type: ignore[arg-type]


REJOINS = {
    "both sides know what they wrote since": (BASE, Residue(FORK, ()), Course.REJOIN),
    "ours begins at the fork": (FORK, Residue(BASE, ()), Course.REJOIN),
    "ours begins after it": (Position(b"m" * 16, 131), Residue(BASE, ()), Course.DIGEST),
    "theirs begins after it": (BASE, Residue(Position(NEW, 131), ()), Course.DIGEST),
    "theirs begins on no history of theirs": (BASE, Residue(Position(b"z" * 16, 1), ()), Course.DIGEST),
    "they know nothing": (BASE, None, Course.DIGEST),
    "we know nothing": (None, Residue(BASE, ()), Course.DIGEST),
}


@pytest.mark.parametrize("case", REJOINS)
def test_a5_with_consent_a_peer_that_was_written_apart(case: str) -> None:
    base, residue, course = REJOINS[case]
    assert decide(KNOWN, board(base), OURS, rejoining(residue), CONSENT).course is course


@pytest.mark.parametrize(
    ("residue", "course"),
    [
        (None, Course.RESUME),
        (Residue(BASE, ()), Course.RESUME),
        (Residue(BASE, ((1, 0, 4096),)), Course.UPDATE),
    ],
)
def test_e7_a_peer_that_stands_where_we_do_and_knows_of_differences_is_compared_there(
    residue: Residue | None, course: Course
) -> None:
    peer = replace(welcome(MINE), residue=residue)
    assert decide(KNOWN, board(BASE), MINE, peer, Terms()).course is course


@pytest.mark.parametrize("consent", [None, FORK, Position(OTHER, 144), Position(NEW, 140)])
def test_d7_without_consent_to_exactly_its_head_nothing_is_overwritten(consent: Position | None) -> None:
    peer = rejoining(Residue(BASE, ()))
    assert decide(KNOWN, board(BASE), OURS, peer, Terms(consent=consent)).course is Course.CONFLICT


def test_d7_a_peer_that_continues_ours_needs_consent_as_well() -> None:
    newer = History((*OURS.stretches, Stretch(OTHER, 170)))
    peer = replace(welcome(newer), residue=Residue(BASE, ()))
    assert decide(KNOWN, board(BASE), OURS, peer, Terms()).course is Course.NEWER
    assert decide(KNOWN, board(BASE), OURS, peer, Terms(consent=newer.head)).course is Course.REJOIN


def test_a4_an_overwriting_that_is_proved_to_be_open_goes_on() -> None:
    peer = rejoining(Residue(BASE, ()), resync=OPEN)
    assert decide(BUSY, board(BASE, 1), OURS, peer, Terms()).course is Course.CONTINUE


@pytest.mark.parametrize("record", [UNKNOWN, KNOWN])
def test_d3_a_first_copy_overwrites_no_data_that_it_did_not_bring(record: LinkRecord) -> None:
    found = replace(welcome(BLANK), empty=False)
    ours = replace(welcome(BLANK, resync=ANOTHER), empty=False)
    assert decide(record, board(None), MINE, found, Terms(ResyncKind.FULL)).course is Course.CHANGED
    assert decide(record, board(None), MINE, found, Terms(ResyncKind.DIGEST)).course is Course.FIRST
    assert decide(record, board(None), MINE, ours, Terms(ResyncKind.FULL)).course is Course.FIRST


def test_d2_a_suspect_or_passed_on_region_is_no_reason_to_resume() -> None:
    for name in ("suspect", "second"):
        marks = board(BASE)
        getattr(marks, name).set(1, 5, 6, 1)
        assert decide(KNOWN, marks, MINE, welcome(MINE), Terms(ResyncKind.FULL)).course is Course.UPDATE


def test_d2_a_generation_without_a_write_separates_nobody() -> None:
    """After a clean stop and start the peer stands where the new generation begins."""
    mine = MINE.forked(OTHER)
    assert decide(KNOWN, board(BASE), mine, welcome(MINE), Terms(ResyncKind.FULL)).course is Course.RESUME
    assert (
        decide(KNOWN, board(BASE), mine, welcome(at(NEW, 149)), Terms(ResyncKind.FULL)).course
        is Course.UPDATE
    )


@pytest.mark.parametrize(
    "theirs",
    [
        History((*MINE.stretches, Stretch(STRANGER, 160))),
        MINE.extended_to(151),
    ],
    ids=["promoted", "our state directory is an old one"],
)
def test_d6_a_start_alone_does_not_hide_that_the_peer_is_newer(theirs: History) -> None:
    """Every start mints a generation before it meets the peer; that alone makes no conflict."""
    assert (
        decide(KNOWN, board(BASE), MINE.forked(OTHER), welcome(theirs), Terms(ResyncKind.FULL)).course
        is Course.NEWER
    )


def test_d2_once_both_have_written_it_is_a_conflict() -> None:
    mine = MINE.forked(OTHER).extended_to(151)
    theirs = History((*MINE.stretches, Stretch(STRANGER, 160)))
    assert decide(KNOWN, board(BASE), mine, welcome(theirs), Terms(ResyncKind.FULL)).course is Course.CONFLICT


@pytest.mark.parametrize("wanted", [None, *ResyncKind])
@pytest.mark.parametrize("course", [Course.UPDATE, Course.FIRST, Course.DIGEST, Course.CONTINUE])
def test_the_operator_may_ask_for_more_than_the_course_needs_and_never_for_less(
    course: Course, wanted: ResyncKind | None
) -> None:
    for first in (ResyncKind.FULL, ResyncKind.DIGEST):
        needed = {Course.FIRST: first, Course.DIGEST: ResyncKind.DIGEST}.get(course, ResyncKind.UPDATE)
        kind = kind_for(course, wanted, first)
        assert kind is (wanted if wanted in (ResyncKind.FULL, ResyncKind.DIGEST) else needed)
