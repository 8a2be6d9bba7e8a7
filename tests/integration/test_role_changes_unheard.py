"""A fenced copy takes no writes again while the copy that was promoted is not heard, whoever is asked (D7).

Who hears whom is real here: nodes that are not paired, or that cannot read what they hold. Engines are
stand-ins.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from farshore.errors import FarshoreError
from farshore.model.options import Role
from farshore.node import failover, gathering, links, membership, split_brain
from farshore.node.links import LinkWish
from farshore.node.node import Node
from farshore.node.switchover import Wish
from tests.integration.chain_of_nodes import Nodes, several


async def _acquaint(nodes: Nodes, one: str, other: str) -> None:
    """Both know where the other one listens since it was started again."""
    for near, far in ((one, other), (other, one)):
        address = str(nodes.opened[far].node.listening)
        await membership.set_address(nodes.opened[near].node, far, address)


@asynccontextmanager
async def _promoted_beside(base: Path) -> AsyncIterator[Nodes]:
    """b was promoted in place of a, which is back and knows it; c is paired with a alone, and fed by it."""
    async with several(base, "abc", "bc") as nodes:
        for other in "bc":
            await links.create(nodes.a, "orders", LinkWish(other))
        await nodes.stop("a")
        plan = (await failover.failover(nodes.b, Wish("orders", "b")))["plan"]["id"]
        await failover.failover(nodes.b, Wish("orders", "b", plan))
        await nodes.start("a")
        for other in "bc":
            await _acquaint(nodes, "a", other)
        (stored,) = nodes.a.copies.all()
        turn = stored.config.turn
        (stored.directory / "fenced").write_text(str(None if turn is None else turn.id.hex()))
        yield nodes


async def _kept(node: Node) -> str:
    """Gives a's copy the writes again, by whatever plan there is; the code of what refuses that."""
    plan = (await split_brain.resolve(node, Wish("orders", "a")))["plan"]
    try:
        await split_brain.resolve(node, Wish("orders", "a", plan["id"]))
    except FarshoreError as error:
        return error.code.name
    return ""


async def _writing(node: Node) -> list[str]:
    return [each.node_name for each in (await gathering.scene(node, "orders")).primaries if not each.fenced]


def test_d7_a_node_that_does_not_know_the_promoted_one_unfences_nobody(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with _promoted_beside(tmp_path) as nodes:
            assert not (await gathering.scene(nodes.c, "orders")).silent
            assert await _kept(nodes.c) == "unreachable"
            assert await _writing(nodes.a) == ["b"]

    asyncio.run(scenario())


def test_d7_a_node_that_answers_without_its_copy_has_not_said_that_it_is_gone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with _promoted_beside(tmp_path) as nodes:
            (stored,) = nodes.b.copies.all()
            await nodes.stop("b")
            whole = (stored.directory / "copy.json").read_bytes()
            (stored.directory / "copy.json").write_bytes(whole[: len(whole) // 2])
            await nodes.start("b")
            await _acquaint(nodes, "a", "b")
            scene = await gathering.scene(nodes.a, "orders")
            assert [(each.name, each.code) for each in scene.silent] == [("b", "state-damaged")]
            assert [each.node_name for each in scene.copies] == ["a", "c"]
            assert await _kept(nodes.a) == "unreachable"
            assert await _writing(nodes.a) == []

    asyncio.run(scenario())


@pytest.mark.parametrize("asked", ["a", "c"])
def test_once_its_link_is_ended_a_copy_that_is_lost_for_good_is_waited_for_no_more(
    tmp_path: Path, asked: str
) -> None:
    async def scenario() -> None:
        async with _promoted_beside(tmp_path) as nodes:
            await nodes.stop("b")
            assert await _kept(nodes.opened[asked].node) == "unreachable"
            await links.delete(nodes.a, "orders", "b")
            assert await _kept(nodes.opened[asked].node) == ""
            assert nodes.copy("a").role is Role.PRIMARY
            assert await _writing(nodes.a) == ["a"]

    asyncio.run(scenario())
