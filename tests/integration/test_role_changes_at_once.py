"""Two commands at two nodes at once: never two copies are primaries of which nobody is fenced (D7)."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from farshore.errors import FarshoreError
from farshore.model.options import Role
from farshore.node import failover, links, role_steps, switchover
from farshore.node.links import LinkWish
from farshore.node.switchover import Wish
from tests.integration.chain_of_nodes import Nodes, refused, several


def _primaries(nodes: Nodes) -> list[str]:
    return [name for name in nodes.opened if nodes.copy(name).role is Role.PRIMARY]


class Late:
    """Holds the first promotion back until it is let go."""

    def __init__(self, patches: pytest.MonkeyPatch) -> None:
        self.held, self.go = asyncio.Event(), asyncio.Event()
        turned = role_steps.turned

        async def late(node: Any, copy: Any, wish: Any) -> Any:
            if wish.role is Role.PRIMARY and not self.held.is_set():
                self.held.set()
                await self.go.wait()
            return await turned(node, copy, wish)

        patches.setattr(role_steps, "turned", late)


def test_d7_a_late_promotion_is_refused_after_the_switchover_was_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "ab") as nodes:
            await links.create(nodes.a, "orders", LinkWish("b"))
            plan = (await switchover.switchover(nodes.b, Wish("orders", "b")))["plan"]["id"]
            late = Late(monkeypatch)
            first = asyncio.ensure_future(switchover.switchover(nodes.b, Wish("orders", "b", plan)))
            await asyncio.wait_for(late.held.wait(), 20)  # a has given its role up
            back = (await switchover.switchover(nodes.a, Wish("orders", "a")))["plan"]["id"]
            await switchover.switchover(nodes.a, Wish("orders", "a", back))
            assert _primaries(nodes) == ["a"]
            late.go.set()
            await asyncio.wait([first], timeout=20)
            assert _primaries(nodes) == ["a"], first

    asyncio.run(scenario())


def test_d7_two_failovers_at_once_make_one_primary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            for other in "bc":
                await links.create(nodes.a, "orders", LinkWish(other))
            await nodes.stop("a")
            plans = {
                each: (await failover.failover(nodes.opened[each].node, Wish("orders", each)))["plan"]["id"]
                for each in "bc"
            }
            late = Late(monkeypatch)
            first = asyncio.ensure_future(failover.failover(nodes.b, Wish("orders", "b", plans["b"])))
            await asyncio.wait_for(late.held.wait(), 20)
            node = nodes.opened["c"].node
            second = asyncio.ensure_future(failover.failover(node, Wish("orders", "c", plans["c"])))
            await asyncio.wait([second], timeout=30)
            late.go.set()
            await asyncio.wait([first], timeout=30)
            assert len(_primaries(nodes)) == 1, (first, second)

    asyncio.run(scenario())


async def _two_followers(nodes: Nodes) -> None:
    for other in "bc":
        await links.create(nodes.a, "orders", LinkWish(other))
    await nodes.stop("a")


async def _failover(nodes: Nodes, name: str) -> None:
    """As somebody does it who is told that the copies have moved: one whose promotion was refused starts
    again, and on a busy machine it may do so between the plan and its acceptance."""
    node = nodes.opened[name].node
    for tries_left in reversed(range(20)):
        plan = (await failover.failover(node, Wish("orders", name)))["plan"]["id"]
        try:
            await failover.failover(node, Wish("orders", name, plan))
            return
        except FarshoreError as error:
            if not tries_left or error.code.name != "stale-plan":
                raise


def test_after_a_failover_that_came_to_nothing_another_copy_is_promoted_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            await _two_followers(nodes)
            (stored,) = nodes.b.copies.all()
            (stored.directory / "unfit").write_text("secondary")
            await refused("not-promotable", _failover(nodes, "b"))
            assert nodes.copy("b").change is None
            await _failover(nodes, "c")
            assert _primaries(nodes) == ["c"]

    asyncio.run(scenario())


def test_a_failover_that_was_cut_off_is_given_again_at_once_and_not_to_another_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can tell yet whether the first one goes on."""

    class CutOffError(Exception):
        pass

    async def dies(*_: object) -> None:
        raise CutOffError

    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            await _two_followers(nodes)
            with monkeypatch.context() as patches, pytest.raises(CutOffError):
                patches.setattr(role_steps, "turned", dies)
                await _failover(nodes, "b")
            await refused("stale-plan", _failover(nodes, "c"))
            assert (nodes.copy("c").change, _primaries(nodes)) == (None, [])
            await _failover(nodes, "b")
            assert _primaries(nodes) == ["b"]

    asyncio.run(scenario())


def test_a_copy_is_promoted_at_once_after_the_one_that_was_promoted_before_is_lost_too(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            await _two_followers(nodes)
            await _failover(nodes, "b")
            await nodes.stop("b")
            await _failover(nodes, "c")
            assert _primaries(nodes) == ["c"]

    asyncio.run(scenario())
