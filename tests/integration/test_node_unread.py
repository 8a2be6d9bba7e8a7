"""A node that cannot read one of its copies says so to whoever asks how the copies of a group stand."""

import asyncio
from pathlib import Path

from farshore.errors import FarshoreError
from farshore.node import gathering, links, switchover
from farshore.node.links import LinkWish
from farshore.node.node import Node
from farshore.node.switchover import Wish
from tests.integration.chain_of_nodes import refused, several


def _damage(node: Node, group: str) -> None:
    """As a start finds it."""
    path = node.paths.copies / group / "second"
    node.copies.unreadable[path] = FarshoreError("state-damaged", f"{path}/copy.json cannot be read")


async def _silent(node: Node) -> list[tuple[str, str]]:
    return [(each.name, each.code) for each in (await gathering.scene(node, "orders")).silent]


def test_a_copy_that_cannot_be_read_is_one_that_is_not_heard_and_may_be_any(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "ab") as nodes:
            await links.create(nodes.a, "orders", LinkWish("b"))
            for node in (nodes.a, nodes.b):
                _damage(node, "another")
            assert await _silent(nodes.a) == [], "each has a copy of orders; that one is of another group"
            _damage(nodes.b, "orders")
            for node in (nodes.a, nodes.b):
                assert await _silent(node) == [("b", "state-damaged")]
                await refused("state-damaged", switchover.switchover(node, Wish("orders", "b/second")))
            assert len((await gathering.scene(nodes.a, "orders")).copies) == 2

            (stored,) = nodes.b.copies.all()
            kept = nodes.b.copies._copies.pop(stored.key)
            nodes.b.copies.unreadable.clear()
            await refused("wrong-state", switchover.switchover(nodes.a, Wish("orders", "b")))
            _damage(nodes.b, "another")
            await refused("state-damaged", switchover.switchover(nodes.a, Wish("orders", "b")))
            nodes.b.copies._copies[stored.key] = kept

    asyncio.run(scenario())
