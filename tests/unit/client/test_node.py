"""The client's methods are the REST interface's requests, and its errors those of the catalogue."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.client import Node
from farshore.errors import FarshoreError
from tests import replay
from tests.replay import Replay


@pytest.fixture
def api(socket_directory: Path) -> Iterator[Replay]:
    with Replay(socket_directory / "api.sock") as node:
        yield node


def test_status_of_one_group_is_asked_by_name(api: Replay) -> None:
    api.on("GET", "/v1/status", replay.status())
    assert Node(api=api.address).status("orders").groups[0].name == "orders"
    assert api.asked[0].target == "/v1/status?group=orders"


def test_a_groups_name_cannot_leave_its_place_in_the_path(api: Replay) -> None:
    api.on("DELETE", "/v1/groups/a%2F..%2Fb", {})
    Node(api=api.address).delete_group("a/../b")
    assert api.asked[0].target == "/v1/groups/a%2F..%2Fb"


def test_bodies_are_those_of_the_contract(api: Replay) -> None:
    node = Node(api=api.address)
    api.on(
        "POST",
        "/v1/groups/orders/pause",
        {"links": [{"name": "b", "position": None, "time": None, "drained": True}]},
    )
    api.on("POST", "/v1/groups/orders/resync", {"links": ["b"]})
    api.on("POST", "/v1/groups/orders/links", {"name": "b"})
    api.on("POST", "/v1/exports", {"exports": []})
    assert node.pause("orders", drain=False, timeout=2.0).links[0].drained is True
    assert node.resync("orders", kind="digest", once=True).links == ("b",)
    node.create_link("orders", "site-b", places={"data": "/x"}, options={"mode": "sync"})
    node.create_export("orders", "data", read_only=True)
    assert [each.body for each in api.asked] == [
        {"link": None, "drain": False, "timeout": 2.0},
        {"link": None, "kind": "digest", "once": True},
        {"peer": "site-b", "places": {"data": "/x"}, "options": {"mode": "sync"}},
        {"group": "orders", "volume": "data", "tcp": None, "read_only": True},
    ]


def test_a_problem_document_becomes_the_error_it_came_from(api: Replay) -> None:
    api.refuse(
        "GET", "/v1/status", 409, code="in-use", detail="data is mounted", means="nothing", next="umount"
    )
    with pytest.raises(FarshoreError) as caught:
        Node(api=api.address).status()
    error = caught.value
    assert (error.code.name, error.what, error.means, error.next_step) == (
        "in-use",
        "data is mounted",
        "nothing",
        "umount",
    )
    assert error.code.exit_code == 4


@pytest.mark.parametrize(("status", "code"), [(404, "not-found"), (422, "usage"), (500, "internal")])
def test_an_error_without_a_code_of_ours_still_has_one(api: Replay, status: int, code: str) -> None:
    api.refuse("GET", "/v1/node", status, code="of-a-newer-node")
    with pytest.raises(FarshoreError) as caught:
        Node(api=api.address).show()
    assert caught.value.code.name == code


@pytest.mark.parametrize("answer", [b"<html>", b"[]"])
def test_an_answer_that_is_no_document_is_a_protocol_error(api: Replay, answer: bytes) -> None:
    api.on("GET", "/v1/node", answer)
    with pytest.raises(FarshoreError) as caught:
        Node(api=api.address).show()
    assert caught.value.code.name == "protocol"


def test_no_node_is_unreachable_and_says_how_to_start_one(tmp_path: Path) -> None:
    for node in (Node(state=str(tmp_path)), Node(api=f"unix:{tmp_path}/none.sock")):
        with pytest.raises(FarshoreError) as caught:
            node.status()
        assert caught.value.code.name == "unreachable"
        assert "farshore node start" in caught.value.next_step


def test_a_damaged_record_of_the_node_is_not_taken_for_a_missing_node(tmp_path: Path) -> None:
    (tmp_path / "node.json").write_text("{")
    with pytest.raises(FarshoreError) as caught:
        Node(state=str(tmp_path)).status()
    assert caught.value.code.name == "state-damaged"


def test_a_node_that_does_not_answer_in_time_is_unreachable(socket_directory: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(socket_directory / "silent.sock"))
        silent.listen(1)
        with pytest.raises(FarshoreError) as caught:
            Node(api=f"unix:{socket_directory}/silent.sock", timeout=0.05).status()
    assert caught.value.code.name == "unreachable"
