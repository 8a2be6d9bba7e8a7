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
