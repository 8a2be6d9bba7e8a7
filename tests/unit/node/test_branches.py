"""Copies are compared by their histories, never by numbers of different generations (rules D2, D7)."""

from dataclasses import replace

import pytest

from farshore.core import turning
from farshore.core.turning import Demotion
from farshore.errors import ProtocolError
from farshore.model.header import Header
from farshore.model.options import Role
from farshore.model.positions import History, Stretch
from farshore.node import branches, role_plans, standings
from farshore.node.branches import Order
from farshore.node.standings import Standing
from tests.unit.node.standing import copy_of, node_of, scene, secondary

FIRST, SECOND, OWN = (each * 32 for each in "12f")
CEILING = (1 << 20) + 100


def _at(name: str, *stretches: tuple[str, int], **more: object) -> Standing:
    generation, sequence = stretches[-1]
    return secondary(name, "d", stretches=stretches, generation=generation, sequence=sequence, **more)


def _put_down() -> Standing:
    """Died at sequence 100 of the first generation, with much more reserved, and made a secondary."""
    history = History((Stretch(bytes.fromhex(FIRST), CEILING),))
    died = Header(b"g" * 16, b"a" * 16, Role.PRIMARY, history, CEILING, False, "1")
    how = Demotion(b"t" * 16, None, frozenset(), frozenset(), True, bytes.fromhex(OWN))
    ends = [(each.generation.hex(), each.last) for each in turning.demoted(died, how).history.stretches]
    assert ends == [(FIRST, CEILING), (OWN, CEILING)]
    return _at("a", *ends, residue=True)


def test_d7_a_former_primary_that_died_is_not_the_most_advanced_copy() -> None:
    """b was promoted at 100, fed c, and is gone as well."""
    a, c = _put_down(), _at("c", (FIRST, 100), (SECOND, 5000))
    seen = scene(a, c, silent="b", here="a")
    assert branches.most_advanced(seen) == c
    lost = role_plans.failover(seen, a).lost
    assert any("4900 writes that c holds and a lacks" in each for each in lost), lost
    assert any("farshore failover orders c would keep them" in each for each in lost), lost
    told = role_plans.failover(seen, c).lost
    assert any("that a holds and c lacks" in each and "would keep" not in each for each in told), told


def test_d7_it_is_not_even_where_nothing_tells_that_it_was_a_primary() -> None:
    a, c = replace(_put_down(), residue=False), _at("c", (FIRST, 100), (SECOND, 5000))
    assert branches.off_the_line(a, c)
    assert not branches.off_the_line(c, a)


def test_d7_it_is_not_where_the_copies_on_the_line_cannot_be_promoted() -> None:
    a, c = _put_down(), _at("c", (FIRST, 100), (SECOND, 5000), promotable=False)
    assert branches.most_advanced(scene(a, c, silent="b", here="a")) is None


def test_d7_it_is_where_nobody_was_promoted_since() -> None:
    """It holds whatever it acknowledged, and the others are behind on its own history."""
    a, c = _put_down(), _at("c", (FIRST, 95))
    assert branches.most_advanced(scene(a, c, silent="d")) == a
    assert branches.more(c, a) == CEILING - 95


def test_d7_a_promotion_that_was_taken_back_is_off_the_line() -> None:
    """b was promoted at 100 and made a secondary again; c follows the primary that took the role back."""
    b, c = _at("b", (FIRST, 100), (SECOND, 300), residue=True), _at("c", (FIRST, 480))
    assert branches.most_advanced(scene(b, c, silent="a")) == c
    assert branches.more(b, c) == 380


def test_d7_what_a_promotion_did_not_know_is_off_the_line_and_named() -> None:
    """c had 10 writes that the promoted copy lacked, and did not follow it."""
    c, d = _at("c", (FIRST, 110)), _at("b", (FIRST, 100), (SECOND, 101))
    seen = scene(c, d, silent="a")
    assert branches.most_advanced(seen) == d
    assert any("10 writes that c holds and b lacks" in each for each in role_plans.failover(seen, d).lost)


def test_of_two_promotions_at_one_point_none_is_preferred() -> None:
    b, c = _at("b", (FIRST, 100), (SECOND, 300)), _at("c", (FIRST, 100), (OWN, 200))
    assert branches.order(b, c) is Order.APART
    assert branches.most_advanced(scene(b, c, silent="a")) is None
    strange = _at("c", (OWN, 200))
    assert branches.more(b, strange) is None
    assert any("the writes that c holds" in each for each in role_plans.failover(scene(b, strange), b).lost)


def test_along_one_history_the_newest_is_the_most_advanced_and_of_equals_the_one_here() -> None:
    b, c = _at("b", (FIRST, 100), (SECOND, 300)), _at("c", (FIRST, 90))
    assert branches.most_advanced(scene(b, c, silent="a", here="c")) == b
    assert (branches.order(b, c), branches.order(c, b)) == (Order.AHEAD, Order.BEHIND)
    equal = replace(b, node=node_of("c"), node_name="c", copy=copy_of("c"))
    assert branches.most_advanced(scene(b, equal, silent="a", here="c")) == equal


def test_a_copy_that_does_not_say_where_it_stands_is_warned_of() -> None:
    b = _at("b", (FIRST, 100))
    c = secondary("c", acts=None, generation=None, sequence=None, promotable=None)
    assert branches.order(b, c) is Order.UNKNOWN
    seen = scene(b, c, silent="a")
    assert branches.most_advanced(seen) == b
    assert any("engine of c does not answer" in each for each in role_plans.failover(seen, b).warnings)


def test_a_history_that_shrinks_is_none() -> None:
    document = _at("b", (FIRST, 100), (SECOND, 300)).to_json()
    assert standings.from_json(document, node_of("b"), "b").stretches == ((FIRST, 100), (SECOND, 300))
    for wrong in ([[FIRST, 100], [SECOND, 99]], [[FIRST, -1]], [["12", 1]], [[FIRST]], 5):
        with pytest.raises(ProtocolError):
            standings.from_json(document | {"stretches": wrong}, node_of("b"), "b")
