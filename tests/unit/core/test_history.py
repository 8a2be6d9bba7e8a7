"""Rule D2: what two histories mean to each other, for every pair of small histories that can exist."""

from itertools import product

import pytest

from farshore.core.history import Relation, at_or_after, compare
from farshore.model.positions import History, Position, Stretch

OPPOSITE = {
    Relation.EQUAL: Relation.EQUAL,
    Relation.ANCESTOR: Relation.DESCENDANT,
    Relation.DESCENDANT: Relation.ANCESTOR,
    Relation.BLANK: Relation.DESCENDANT,
    Relation.DIVERGED: Relation.DIVERGED,
}


def universe(depth: int, width: int = 2, longest: int = 2) -> list[History]:
    """Every history of a family: each generation is minted once, at one point of one other's life, and
    its content is known up to any point. Sequences only grow along each."""
    found: dict[History, None] = {History(): None}

    def live(base: tuple[Stretch, ...], name: str, left: int) -> None:
        start = base[-1].last if base else 0
        for last in range(start, start + longest + 1):
            history = (*base, Stretch(name.encode(), last))
            found[History(history)] = None
            if left:
                for child in range(width):
                    live(history, f"{name}.{last}.{child}", left - 1)

    for first in range(width):
        live((), str(first), depth)
    return list(found)


SMALL = universe(1)
DEEP = universe(2, width=1)


@pytest.mark.parametrize("histories", [SMALL, DEEP], ids=["wide", "deep"])
def test_every_pair_has_one_relation_and_the_other_side_sees_its_opposite(histories: list[History]) -> None:
    for mine, theirs in product(histories, repeat=2):
        there, back = compare(mine, theirs), compare(theirs, mine)
        if mine.blank and theirs.blank:
            assert there is back is Relation.BLANK
        elif there is Relation.DESCENDANT and mine.blank:
            assert back is Relation.BLANK
        else:
            assert back is OPPOSITE[there], (mine, theirs)


def is_prefix(shorter: History, longer: History) -> bool:
    """Whether one life leads through the other's head: by definition, not by `holds`."""
    head = shorter.stretches[-1]
    kept = longer.stretches[: len(shorter.stretches)]
    return (
        len(kept) == len(shorter.stretches)
        and kept[:-1] == shorter.stretches[:-1]
        and kept[-1].generation == head.generation
        and kept[-1].last >= head.last
    )


@pytest.mark.parametrize("histories", [SMALL, DEEP], ids=["wide", "deep"])
def test_an_ancestor_is_exactly_a_point_that_we_have_passed(histories: list[History]) -> None:
    for mine, theirs in product(histories, repeat=2):
        if mine.blank or theirs.blank:
            continue
        relation = compare(mine, theirs)
        assert (relation is Relation.EQUAL) == (mine == theirs)
        assert (relation is Relation.ANCESTOR) == (is_prefix(theirs, mine) and mine != theirs)


def test_ancestry_is_transitive() -> None:
    below = {each: {other for other in DEEP if compare(each, other) is Relation.ANCESTOR} for each in DEEP}
    for oldest_of in below.values():
        for between in oldest_of:
            assert below[between] <= oldest_of


def test_two_copies_that_were_written_apart_diverge() -> None:
    common = Stretch(b"a", 5)
    mine, theirs = History((common, Stretch(b"b", 6))), History((common, Stretch(b"c", 6)))
    assert compare(mine, theirs) is Relation.DIVERGED


def test_a_peer_within_our_generation_is_behind_however_we_got_there() -> None:
    mine = History((Stretch(b"a", 5), Stretch(b"b", 9)))
    for theirs in (History((Stretch(b"a", 3),)), History((Stretch(b"a", 5), Stretch(b"b", 5)))):
        assert compare(mine, theirs) is Relation.ANCESTOR


class TestAtOrAfter:
    """Rule A5: `update` only from a position on our history at or after the base."""

    history = History((Stretch(b"a", 5), Stretch(b"b", 9)))

    @pytest.mark.parametrize(
        ("position", "base", "holds"),
        [
            (Position(b"a", 4), Position(b"a", 4), True),
            (Position(b"a", 5), Position(b"a", 4), True),
            (Position(b"b", 7), Position(b"a", 5), True),
            (Position(b"a", 3), Position(b"a", 4), False),
            (Position(b"a", 5), Position(b"b", 5), False),
            (Position(b"a", 6), Position(b"a", 5), False),
            (Position(b"c", 7), Position(b"a", 5), False),
            (Position(b"b", 7), Position(b"c", 5), False),
            (Position(b"b", 10), Position(b"a", 5), False),
        ],
    )
    def test_both_must_lie_on_it_in_this_order(self, position: Position, base: Position, holds: bool) -> None:
        assert at_or_after(self.history, position, base) is holds
