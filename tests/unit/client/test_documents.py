"""Documents become typed values: unknown keys are left alone, missing and wrong ones are named."""

from typing import Any

import pytest

from farshore.client.answers import Group, Link, NodeInfo, Status
from farshore.client.documents import read
from farshore.errors import FarshoreError
from tests import replay


def test_a_status_document_is_read_whole() -> None:
    document = replay.status(replay.group(links=[replay.link(progress=0.5, state="resyncing")]))
    status = read(Status, document)
    assert status.node.name == "site-a"
    assert status.document == document
    (group,) = status.groups
    assert (group.health, group.volumes[0].size) == ("protected", 1 << 30)
    found = group.link("b")
    assert found is not None
    assert (found.progress, found.queue.memory_limit, found.sequence.durable) == (0.5, 64 << 20, 7)
    assert group.link("c") is None


def test_what_a_newer_node_adds_is_left_alone() -> None:
    document = replay.group(fault=None, news={"a": 1}, links=[replay.link(weather="fine")])
    assert read(Group, document).links[0].state == "replicating"


def test_unknown_figures_stay_unknown() -> None:
    link = read(Link, replay.link(dirty_bytes=None, lag_seconds=None, peer_usable=None))
    assert (link.dirty_bytes, link.lag_seconds, link.peer_usable) == (None, None, None)


def test_an_integer_will_do_for_a_duration() -> None:
    assert read(Link, replay.link(lag_seconds=3)).lag_seconds == 3.0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"health": 3}, "answer.health"),
        ({"volumes": {}}, "answer.volumes"),
        ({"links": [replay.link(dirty_bytes="many")]}, "answer.links[0].dirty_bytes"),
        ({"links": [replay.link(dirty_bytes=True)]}, "answer.links[0].dirty_bytes"),
        ({"links": ["b"]}, "answer.links[0]"),
        ({"name": 7}, "answer.name"),
    ],
)
def test_a_malformed_key_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(FarshoreError) as caught:
        read(Group, replay.group(**change))
    assert caught.value.code.name == "protocol"
    assert f"{named} " in caught.value.what


def test_a_missing_key_is_named() -> None:
    with pytest.raises(FarshoreError, match=r"answer\.pid "):
        read(NodeInfo, {"node": {"name": "a", "id": "b"}, "listen": "", "api": ""})
