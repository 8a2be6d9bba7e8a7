"""What crosses between nodes for a change of roles comes back as it was, and nothing else is taken."""

import json
from dataclasses import replace
from typing import Any

import pytest

from farshore.errors import FarshoreError, ProtocolError
from farshore.model.options import LinkOptions, Role
from farshore.model.positions import Position
from farshore.model.role_change import ChangeIntent, RewindIntent, change_from_json
from farshore.node import standings, turns
from farshore.node.turn_wishes import (
    Expected,
    FeedWish,
    Following,
    LinkTo,
    TurnWish,
    feed_from_json,
    turn_from_json,
)
from tests.unit.node.standing import change, link, primary, secondary

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


def test_a_link_is_found_by_what_it_feeds() -> None:
    b = secondary()
    assert primary().link_to(b) == link("b")
    unmet = link("b", id="8" * 32, peer_copy=None)
    assert primary(links=(unmet,)).link_to(replace(b, fed_by=None)) == unmet
    assert primary(links=(unmet, replace(unmet, id="7" * 32))).link_to(replace(b, fed_by=None)) is None
