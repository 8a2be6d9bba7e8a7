"""A rewind that is cut off before or after each of its steps goes on with the same plan, and ends once.

Engines are stand-ins; what they do with their intents is tried elsewhere.
"""

import asyncio
from pathlib import Path

import pytest

from farshore.errors import FarshoreError
from farshore.model.positions import Position
from farshore.node import gathering, links, rewind, role_steps, status
from farshore.node.links import LinkWish
from farshore.node.rewind import Wish
from tests.integration.chain_of_nodes import Nodes, refused, several
from tests.integration.test_role_changes_cut_off import (
    Cutting,
    _CutOffError,
    _fed_by,
    _fed_by_some,
    _group,
    _lost,
    _primaries,
    _returned,
)
from tests.long_form import LONG

_MOST_STEPS = 14


async def _plan(nodes: Nodes, at: str, goal: str) -> str:
    shown = await rewind.rewind(nodes.opened[at].node, Wish("orders", goal, name="noon"))
    assert shown["plan"]["refusals"] == [], shown
    assert not shown["done"]
    return str(shown["plan"]["id"])


async def _again(nodes: Nodes, at: str, goal: str, plan: str) -> None:
    """The same plan, or the same command where it never began."""
    node = nodes.opened[at].node
    noted = [nodes.copy(name).change for name in nodes.opened]
    if any(each is not None and each.plan == plan for each in noted):
        assert (await rewind.rewind(node, Wish("orders", accept=plan)))["done"]
        return
    await refused("usage", rewind.rewind(node, Wish("orders", accept=plan)))
    if _primaries(nodes) != [goal]:
        plan = await _plan(nodes, at, goal)
        await rewind.rewind(node, Wish("orders", goal, name="noon", accept=plan))


def test_a_rewind_that_is_cut_off_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            await _group(nodes)
            here, there, steps = "a", "b", _MOST_STEPS
            for number in range(0, _MOST_STEPS, 1 if LONG else 2):
                if number >= steps:
                    return
                for after in (False, True) if LONG else (number % 4 == 0,):
                    at = there if number % 3 else here
                    plan = await _plan(nodes, at, there)
                    wish = Wish("orders", there, name="noon", accept=plan)
                    with monkeypatch.context() as patches:
                        cutting = Cutting(patches, number, after=after)
                        try:
                            await rewind.rewind(nodes.opened[at].node, wish)
                            steps = cutting.steps
                        except _CutOffError:
                            assert len(_primaries(nodes)) <= 1
                            (entry,) = (await status.document(nodes.opened[there].node, "orders"))["groups"]
                            change = entry["change"]
                            if change is not None:
                                assert change["next"].startswith(f"farshore rewind orders --accept {plan}")
                    await _again(nodes, at, there, plan)
                    assert _primaries(nodes) == [there]
                    await _fed_by(nodes, there)
                    turn = nodes.copy(there).turn
                    assert turn is not None
                    assert turn.rewind is not None
                    assert turn.rewind.position == Position(bytes(16), 5)
                    consents = {each.consent for each in nodes.copy(there).links if not each.spec.resting}
                    assert consents == {Position(bytes(16), 7)}, "to exactly the heads that they had"
                    here, there = there, here
            raise AssertionError("a rewind has more steps than were tried")

    asyncio.run(scenario())


def test_a_rewind_that_its_engine_refuses_leaves_the_copy_as_it_was(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "ab") as nodes:
            await _group_of_two(nodes)
            before = nodes.copy("b")
            (stored,) = nodes.b.copies.all()
            (stored.directory / "unfit").write_text("secondary")
            plan = await _plan(nodes, "a", "b")
            error = await refused(
                "not-promotable", rewind.rewind(nodes.a, Wish("orders", "b", name="noon", accept=plan))
            )
            assert f"farshore rewind orders --accept {plan}" in error.next_step
            assert (nodes.copy("b").role, nodes.copy("b").turn) == (before.role, before.turn)
            assert _primaries(nodes) == []
            (entry,) = (await status.document(nodes.b, "orders"))["groups"]
            assert "no copy takes writes" in entry["why"]
            (stored.directory / "unfit").unlink()
            assert (await rewind.rewind(nodes.b, Wish("orders", accept=plan)))["done"]
            assert _primaries(nodes) == ["b"]

    asyncio.run(scenario())


async def _group_of_two(nodes: Nodes) -> None:
    await links.create(nodes.a, "orders", LinkWish("b"))


def test_a_drain_that_fails_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def late(*_: object) -> None:
        raise FarshoreError("timeout", "the peers were not brought to one position")

    async def scenario() -> None:
        async with several(tmp_path, "ab") as nodes:
            await _group_of_two(nodes)
            plan = await _plan(nodes, "a", "b")
            with monkeypatch.context() as patches:
                patches.setattr(role_steps, "turned", late)
                await refused(
                    "timeout", rewind.rewind(nodes.a, Wish("orders", "b", name="noon", accept=plan))
                )
            assert _primaries(nodes) == ["a"]
            assert [nodes.copy(name).change for name in "ab"] == [None, None]

    asyncio.run(scenario())


def test_without_the_primary_the_others_follow_and_it_is_fenced_when_it_is_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            await _group(nodes)
            await _lost(nodes, "a")
            plan = await _plan(nodes, "b", "b")
            await rewind.rewind(nodes.b, Wish("orders", "b", name="noon", accept=plan))
            assert _primaries(nodes) == ["b"]
            await _fed_by_some(nodes, "b", "c")
            await _returned(nodes, "a")
            scene = await gathering.scene(nodes.b, "orders")
            assert len([each for each in scene.primaries if not each.fenced]) == 1
            assert not nodes.copy("b").whole, "nobody rejoins by itself"

    asyncio.run(scenario())


def test_what_is_not_understood_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            await _group(nodes)
            await refused("usage", rewind.rewind(nodes.a, Wish("orders", "b")))
            error = await refused("usage", rewind.rewind(nodes.a, Wish("orders", name="noon")))
            assert "b, c" in error.what
            await refused("wrong-state", rewind.rewind(nodes.a, Wish("orders", "a", name="noon")))
            await refused("stale-plan", rewind.rewind(nodes.a, Wish("orders", "b", name="noon", accept="-")))
            (shown,) = [await rewind.rewind(nodes.b, Wish("orders", name="noon"))]
            assert shown["plan"]["goal"] == "b"
            args = {"group": "00", "copy": "11", "time": None, "name": "noon"}
            with pytest.raises(FarshoreError):
                await rewind.serve_look(nodes.b, nodes.b.peers.all()[0], args)

    asyncio.run(scenario())
