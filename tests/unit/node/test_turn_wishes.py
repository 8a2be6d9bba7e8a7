"""What crosses between nodes for a change of roles comes back as it was, and nothing else is taken."""

import json
from dataclasses import replace
from typing import Any

import pytest

from farshore.errors import FarshoreError, ProtocolError
from farshore.model.options import LinkOptions, Role
from farshore.model.positions import Position
from farshore.model.role_change import ChangeIntent, Expected, RewindIntent, change_from_json
from farshore.node import standings, turns
from farshore.node.turn_wishes import (
    FeedWish,
    Following,
    LinkTo,
    TurnWish,
    feed_from_json,
    turn_from_json,
)
from tests.unit.node.standing import change, link, node_of, primary, secondary

POSITION = Position(b"g" * 16, 1234)
CHANGE: ChangeIntent = change("switchover", "b", "a", drained=POSITION, unprotected=True)
TO = LinkTo(
    link=b"l" * 16,
    epoch=3,
    name="a",
    far="a" * 64,
    far_name="a",
    far_copy="cd" * 16,
    options=LinkOptions(),
    consent=POSITION,
    rescue="split-brain-20261123-120501",
    known=True,
)
TURN = TurnWish(
    group=b"g" * 16,
    copy=b"c" * 16,
    turn=b"t" * 16,
    role=Role.SECONDARY,
    expects=Expected(role=Role.PRIMARY, turn=b"w" * 16, epoch=3),
    accepts=("doubtful",),
    follows=Following(link=b"m" * 16, epoch=7, feeder="b" * 64, wire="plain", above=("c" * 64,)),
    links=(TO, replace(TO, far_copy="", consent=None, rescue="")),
    gone=(b"n" * 16,),
    left=((b"o" * 16, "b"),),
    drain=3.5,
    on_start="alone",
    ignored=(2,),
    whole=True,
    closed="it is lent",
    change=CHANGE,
)
REWIND = RewindIntent(b"r" * 16, POSITION, "rewind-1", 5.5)


def test_a_wish_comes_back_as_it_was() -> None:
    assert turn_from_json(json.loads(json.dumps(TURN.to_json()))) == TURN
    back = replace(TURN, rewind=REWIND, change=replace(CHANGE, rewind=REWIND))
    assert turn_from_json(json.loads(json.dumps(back.to_json()))) == back
    plain = replace(TURN, follows=None, drain=None, change=None, links=(), gone=(), left=())
    assert turn_from_json(json.loads(json.dumps(plain.to_json()))) == plain
    feed = FeedWish(group=b"g" * 16, copy=b"c" * 16, link=TO, turn=b"w" * 16, change=CHANGE)
    assert feed_from_json(json.loads(json.dumps(feed.to_json()))) == feed
    assert change_from_json(json.loads(json.dumps(turns.changed(CHANGE)))) == CHANGE


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("group", "12"),
        ("role", "master"),
        ("expects", "primary"),
        ("accepts", ["anything"]),
        ("drain", -1),
        ("drain", 1e9),
        ("on_start", "maybe"),
        ("follows", {}),
        ("follows", {**TURN.to_json()["follows"], "epoch": 0}),
        ("follows", {**TURN.to_json()["follows"], "feeder": "nobody"}),
        ("links", [{}]),
        ("gone", ["zz"]),
        ("left", [["aa"]]),
        ("change", {"kind": "switchover"}),
    ],
)
def test_a_malformed_wish_is_refused(key: str, value: Any) -> None:
    with pytest.raises(ProtocolError):
        turn_from_json({**TURN.to_json(), key: value})


def test_names_of_links_are_checked_where_they_arrive() -> None:
    wish = replace(TURN, links=(replace(TO, name="../x"),))
    with pytest.raises(FarshoreError):
        turn_from_json(wish.to_json())


def test_a_standing_comes_back_as_its_own_node_says_and_under_our_name_for_it() -> None:
    for copy in (primary(change=CHANGE), secondary(attached=("data",), ignored=(3,))):
        heard = standings.from_json(json.loads(json.dumps(copy.to_json())), copy.node, copy.node_name)
        assert heard == copy
    renamed = standings.from_json(primary().to_json(), "f" * 64, "ours")
    assert (renamed.node, renamed.node_name) == ("f" * 64, "ours")


@pytest.mark.parametrize(
    ("key", "value"),
    [("role", "boss"), ("copy", "1"), ("volumes", []), ("links", [{}]), ("fed_by", {}), ("sequence", "x")],
)
def test_a_malformed_standing_is_refused(key: str, value: Any) -> None:
    with pytest.raises(FarshoreError):
        standings.from_json({**secondary().to_json(), key: value}, "a" * 64, "a")


def test_a_link_is_found_by_the_copy_that_it_feeds() -> None:
    b = secondary()
    assert primary().link_to(b) == link("b")
    assert primary(links=(link("b", peer_copy="e" * 32),)).link_to(b) is None
    assert primary(links=(link("b", peer_copy=None),)).link_to(b) is None
    rests, other = link("b", id="8" * 32, left_for="c"), link("b", id="7" * 32)
    assert primary(links=(rests, other)).link_to(replace(b, fed_by=None)) == other
    assert primary(links=(rests, other, link("b"))).link_to(b) == link("b")
    assert primary(links=(rests,)).link_to(b) == rests


class TestFarCopies:
    """A link whose far copy is not known yet gets it from what all nodes say, where that leaves one."""

    back = link("a", id="8" * 32, peer_copy=None)

    def test_the_copy_that_follows_it_does(self) -> None:
        mirror = secondary("c", node=node_of("b"), node_name="b")
        a = primary(links=(link("b", peer_copy=None), link("c", peer=node_of("b"))))
        found = standings.acquainted((a, secondary(), mirror))[0]
        assert [each.peer_copy for each in found.links] == [secondary().copy, mirror.copy]

    def test_a_promoted_copys_link_back_leads_to_the_one_that_fed_it(self) -> None:
        promoted = replace(secondary(), role="primary", acts="primary", links=(self.back,))
        mirror = secondary("d", "b", node=node_of("a"), node_name="a")
        old = primary()
        found = standings.acquainted((promoted, mirror, old))[0]
        assert found.link_to(old) == replace(self.back, peer_copy=old.copy)
        assert found.link_to(mirror) is None

    def test_at_a_node_with_one_copy_it_is_that_one(self) -> None:
        promoted = replace(secondary(), role="primary", acts="primary", links=(self.back,))
        old = primary(links=())
        assert standings.acquainted((promoted, old))[0].links[0].peer_copy == old.copy

    def test_where_two_are_possible_it_is_none(self) -> None:
        promoted = replace(secondary(), role="primary", acts="primary", links=(self.back,))
        old, mirror = primary(links=()), secondary("d", "e", node=node_of("a"), node_name="a")
        for copies in ((promoted, old, mirror), (promoted,)):
            assert standings.acquainted(copies)[0].links[0].peer_copy is None
        two = replace(promoted, links=(self.back, replace(self.back, id="7" * 32)))
        assert [each.peer_copy for each in standings.acquainted((two, old))[0].links] == [None, None]

    def test_one_that_is_known_stays_what_it_is(self) -> None:
        a = primary(links=(link("b", peer_copy="e" * 32),))
        assert standings.acquainted((a, secondary()))[0] == a
