"""Trees of copies from what each node says of its own, also where some say nothing, or nonsense."""

from typing import Any

from farshore.node.trees import trees


def _copy(node: str, fed_by: tuple[str, str] | None, *links: tuple[str, str]) -> dict[str, Any]:
    return {
        "group": "00",
        "node": node,
        "node_id": f"id of {node}",
        "copy": "x",
        "role": "primary" if fed_by is None else "secondary",
        "health": "protected",
        "links": [
            {"id": each, "name": each, "peer": peer, "peer_id": f"id of {peer}", "state": "replicating"}
            for each, peer in links
        ],
        "fed_by": None if fed_by is None else {"link": fed_by[0], "node": fed_by[1]},
    }


def _shape(branches: list[dict[str, Any]]) -> list[Any]:
    """(node, seen, link that feeds it, below) of each."""
    return [
        (each["node"], each["seen"], each["via"] and each["via"]["id"], _shape(each["copies"]))
        for each in branches
    ]


def test_a_chain_with_a_branch_whatever_the_order_of_the_answers() -> None:
    a = _copy("a", None, ("ab", "b"), ("ad", "d"))
    b, c, d = _copy("b", ("ab", "a"), ("bc", "c")), _copy("c", ("bc", "b")), _copy("d", ("ad", "a"))
    drawn: list[Any] = [
        ("a", True, None, [("b", True, "ab", [("c", True, "bc", [])]), ("d", True, "ad", [])])
    ]
    assert _shape(trees([a, b, c, d])) == drawn
    assert _shape(trees([d, c, b, a])) == drawn


def test_a_node_that_says_nothing_is_drawn_from_what_its_neighbours_say() -> None:
    a, c = _copy("a", None, ("ab", "b")), _copy("c", ("bc", "b"))
    assert _shape(trees([a, c])) == [
        ("a", True, None, [("b", False, "ab", [("c", True, "bc", [])])]),
    ]
    b = _copy("b", ("ab", "a"), ("bc", "c"))
    (root,) = trees([b])
    assert _shape([root]) == [("a", False, None, [("b", True, "ab", [("c", False, "bc", [])])])]
    assert root["role"] is None
    assert root["copies"][0]["copies"][0]["role"] == "secondary"


def test_several_copies_of_a_group_on_one_node() -> None:
    a = _copy("a", None, ("one", "b"), ("two", "b"))
    found = trees([a, _copy("b", ("two", "a")), _copy("b", ("one", "a"))])
    assert _shape(found) == [("a", True, None, [("b", True, "one", []), ("b", True, "two", [])])]


def test_two_primaries_are_two_trees() -> None:
    assert len(trees([_copy("a", None), _copy("b", None)])) == 2


def test_a_ring_comes_to_an_end() -> None:
    a, b = _copy("a", ("ba", "b"), ("ab", "b")), _copy("b", ("ab", "a"), ("ba", "a"))
    assert isinstance(trees([a, b]), list)
    root = _copy("r", None, ("ra", "a"))
    ring = [root, _copy("a", ("ra", "r"), ("aa", "a")), _copy("a", ("aa", "a"), ("aa", "a"))]
    assert _shape(trees(ring))[0][0] == "r"


def _told(copy: dict[str, Any], **said: Any) -> dict[str, Any]:
    """The copy, whose feeder is named by its id as well."""
    fed_by = copy["fed_by"]
    return {**copy, "fed_by": {**fed_by, "node_id": f"id of {fed_by['node']}"}, **said}


def _hop(link: str, at: str, at_copy: str, peer: str) -> dict[str, Any]:
    far = {"peer": peer, "peer_id": f"id of {peer}", "name": peer, "mode": "async"}
    return {"id": link, "at": f"id of {at}", "at_copy": at_copy, **far}


def test_a_feeder_that_was_away_while_its_far_copy_was_pointed_elsewhere_is_not_believed() -> None:
    a = _copy("a", None, ("ab", "b"), ("bc", "c"))
    b, c = _told(_copy("b", ("ab", "a"), ("bc", "c"))), _told(_copy("c", ("bc", "a")))
    drawn: list[Any] = [("a", True, None, [("b", True, "ab", []), ("c", True, "bc", [])])]
    for order in ([a, b, c], [c, b, a]):
        assert _shape(trees(order)) == drawn
    a["links"][1]["epoch"], b["links"][0]["epoch"] = 2, 1  # c says nothing: the higher epoch is right
    assert _shape(trees([b, a])) == [("a", True, None, [("b", True, "ab", []), ("c", False, "bc", [])])]
    a["links"][1]["left_for"] = "b"
    assert _shape(trees([a, b])) == [("a", True, None, [("b", True, "ab", [("c", False, "bc", [])])])]


def test_hops_are_remembered_where_they_were_made() -> None:
    a = {**_copy("a", None, ("ab", "b")), "hops": [_hop("bc", "b", "ab", "c")]}
    (root,) = trees([a])
    assert _shape([root]) == [("a", True, None, [("b", False, "ab", [("c", False, "bc", [])])])]
    via = root["copies"][0]["copies"][0]["via"]
    assert (via["name"], via["mode"], via["state"]) == ("c", "async", None)
    c = _told(_copy("c", ("bc", "b")))
    assert _shape(trees([a, c]))[0][3] == [("b", False, "ab", [("c", True, "bc", [])])]
    elsewhere = _told(_copy("c", ("bc", "d")))  # c knows better
    assert _shape(trees([a, elsewhere])) == [
        ("a", True, None, [("b", False, "ab", [])]),
        ("d", False, None, [("c", True, "bc", [])]),
    ]
    b = _told(_copy("b", ("ab", "a"), ("bc", "c")))
    assert _shape(trees([a, b]))[0][3] == [("b", True, "ab", [("c", False, "bc", [])])]


def test_a_remembered_hop_hangs_on_the_copy_that_it_was_made_of() -> None:
    hop = _hop("bc", "b", "two", "c")
    a = {**_copy("a", None, ("one", "b"), ("two", "b")), "hops": [hop]}
    assert _shape(trees([a]))[0][3] == [
        ("b", False, "one", []),
        ("b", False, "two", [("c", False, "bc", [])]),
    ]
    hop["at_copy"] = "other"  # named after a link that has gone
    assert _shape(trees([a]))[0][3] == [
        ("b", False, "one", [("c", False, "bc", [])]),
        ("b", False, "two", []),
    ]
