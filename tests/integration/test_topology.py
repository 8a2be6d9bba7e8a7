"""Every node draws the same group, each from its own copy and from what its peers answer."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from farshore.errors import FarshoreError
from farshore.node import groups, links, topology
from farshore.node.intent import GroupWish, VolumeWish
from farshore.node.links import LinkWish
from farshore.node.peer_client import ask
from tests.integration.live_nodes import MIB, pair


async def _root(node: Any) -> dict[str, Any]:
    document = await topology.document(node, "orders")
    ((root,),) = [group["roots"] for group in document["groups"]]
    assert isinstance(root, dict)
    return root


def test_both_ends_of_a_link_draw_the_same_tree(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pair(tmp_path) as (a, b):
            wish = GroupWish("orders", (VolumeWish("data", str(tmp_path / "data.img"), MIB),))
            await groups.create(a, wish)
            await links.create(a, "orders", LinkWish("b", options={"mode": "sync"}))
            for node in (a, b):
                root = await _root(node)
                assert (root["node"], root["role"], root["seen"]) == ("a", "primary", True)
                (copy,) = root["copies"]
                assert (copy["node"], copy["role"], copy["seen"]) == ("b", "secondary", True)
                assert copy["via"]["name"] == "b"
                assert copy["via"]["mode"] == "sync"

    asyncio.run(scenario())


def test_a_node_that_does_not_answer_is_drawn_from_what_is_known_here(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pair(tmp_path) as (a, b):
            wish = GroupWish("orders", (VolumeWish("data", str(tmp_path / "data.img"), MIB),))
            await groups.create(a, wish)
            await links.create(a, "orders", LinkWish("b"))
            a.peers.set_address("b", "127.0.0.1:1")
            document = await topology.document(a)
            assert [each["node"] for each in document["silent"]] == ["b"]
            (copy,) = document["groups"][0]["roots"][0]["copies"]
            assert (copy["node"], copy["seen"]) == ("b", False)
            assert b.name == "b"

    asyncio.run(scenario())


def test_a_peer_is_told_of_the_groups_that_it_can_name_and_of_no_others(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pair(tmp_path) as (a, b):
            wish = GroupWish("orders", (VolumeWish("data", str(tmp_path / "data.img"), MIB),))
            stored = await groups.create(a, wish)
            peer = b.peers.named("a")
            for named, count in (([], 0), (["00" * 16], 0), ([stored.config.group.hex()], 1)):
                answer = await ask(b.identity, peer, "topology", {"groups": named}, 5.0)
                assert len(answer["copies"]) == count
            with pytest.raises(FarshoreError, match="list of groups"):
                await ask(b.identity, peer, "topology", {"groups": "all"}, 5.0)

    asyncio.run(scenario())


def test_an_unknown_group_is_not_found(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pair(tmp_path) as (a, _):
            with pytest.raises(FarshoreError) as caught:
                await topology.document(a, "orders")
            assert caught.value.code.name == "not-found"

    asyncio.run(scenario())
