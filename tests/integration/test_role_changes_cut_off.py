"""A node that changes roles is cut off before or after each of its steps, and is asked again.

Whatever was cut off: never two copies are to be primaries of which nobody is fenced, and the same command, at
whichever node, ends it. Engines are stand-ins; what they do with their intents is tried elsewhere.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from farshore.errors import FarshoreError
from farshore.model.options import Role
from farshore.model.positions import Position
from farshore.node import (
    failover,
    gathering,
    hops,
    links,
    membership,
    role_steps,
    split_brain,
    status,
    switchover,
    turns,
)
from farshore.node.links import LinkWish
from farshore.node.switchover import Wish
from tests.integration.chain_of_nodes import Nodes, everything, refused, several
from tests.long_form import LONG

STEPS = ("turned", "fed", "noted", "pointed")
_MOST_STEPS = 14
"""Every step, and both sides of it; else every step, and one side."""
Command = Callable[[Any, Wish], Awaitable[dict[str, Any]]]


class _CutOffError(Exception):
    """The node died."""


class Cutting:
    """Cuts a change off at its step of that number, counted from 0: before it, or right after it."""

    def __init__(self, patches: pytest.MonkeyPatch, at: int, *, after: bool) -> None:
        self.steps = 0
        for name in STEPS:
            patches.setattr(role_steps, name, self._cut(getattr(role_steps, name), at, after=after))

    def _cut(self, step: Any, at: int, *, after: bool) -> Any:
        async def cut(*arguments: Any, **more: Any) -> Any:
            number, self.steps = self.steps, self.steps + 1
            if number == at and not after:
                raise _CutOffError
            answer = await step(*arguments, **more)
            if number == at:
                raise _CutOffError
            return answer

        return cut


def _primaries(nodes: Nodes) -> list[str]:
    return [name for name in nodes.opened if nodes.copy(name).role is Role.PRIMARY]


async def _group(nodes: Nodes) -> None:
    """b and c are fed by a."""
    for other in "bc":
        await links.create(nodes.a, "orders", LinkWish(other))


async def _plan(nodes: Nodes, at: str, command: Command, goal: str) -> str:
    shown = await command(nodes.opened[at].node, Wish("orders", goal))
    assert shown["plan"]["refusals"] == [], shown
    return str(shown["plan"]["id"])


async def _again(nodes: Nodes, at: str, command: Command, wish: Wish) -> None:
    """The command as it was typed, or with the plan that it shows now."""
    node = nodes.opened[at].node
    for _ in range(4):
        try:
            if (await command(node, wish))["done"]:
                return
        except FarshoreError as error:
            if error.code.name == "wrong-state":
                return  # there is nothing left to do: what stands is looked at
            if error.code.name != "stale-plan":
                raise
            wish = Wish("orders", wish.node, await _plan(nodes, at, command, str(wish.node)))


async def _fed_by(nodes: Nodes, primary: str) -> None:
    """All others follow that node, by links that it has under the epochs that they expect."""
    feeding = {each.spec.id: each for each in nodes.copy(primary).links if not each.spec.resting}
    for name in nodes.opened:
        if name == primary:
            continue
        follows = nodes.upstream(name)
        assert follows.peer == nodes.print_of(primary), name
        assert feeding[follows.link].spec.epoch == follows.epoch, name


@pytest.mark.parametrize("asked", ["a", "b"] if LONG else ["b"])
def test_a_switchover_that_is_cut_off_goes_on(
    tmp_path: Path, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            await _group(nodes)
            here, there, steps = "a", "b", _MOST_STEPS
            for number in range(_MOST_STEPS):
                if number >= steps:
                    return
                for after in (False, True) if LONG else (number % 2 == 0,):
                    at = asked if number % 3 else here
                    plan = await _plan(nodes, at, switchover.switchover, there)
                    with monkeypatch.context() as patches:
                        cutting = Cutting(patches, number, after=after)
                        try:
                            await switchover.switchover(nodes.opened[at].node, Wish("orders", there, plan))
                            steps = cutting.steps
                        except _CutOffError:
                            assert len(_primaries(nodes)) <= 1
                            entry = await status.document(nodes.opened[at].node, "orders")
                            assert entry["groups"][0]["role"]
                    await _again(nodes, at, switchover.switchover, Wish("orders", there, plan))
                    assert _primaries(nodes) == [there]
                    await _fed_by(nodes, there)
                    here, there = there, here
            raise AssertionError("a switchover has more steps than were tried")

    asyncio.run(scenario())


def test_a_switchover_that_is_cut_off_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            await _group(nodes)
            plan = await _plan(nodes, "a", switchover.switchover, "b")
            with monkeypatch.context() as patches, pytest.raises(_CutOffError):
                Cutting(patches, 1, after=True)  # a has given up its role, and b has not got it
                await switchover.switchover(nodes.a, Wish("orders", "b", plan))
            assert _primaries(nodes) == []
            (entry,) = (await status.document(nodes.a, "orders"))["groups"]
            assert entry["health"] == "unprotected"
            assert "no copy takes writes" in entry["why"]
            assert f"farshore switchover orders b --accept {plan}" in entry["next"]
            assert "or back: farshore switchover orders a" in entry["next"]
            await refused("stale-plan", switchover.switchover(nodes.a, Wish("orders", "a", plan)))
            back = await _plan(nodes, "a", switchover.switchover, "a")
            await switchover.switchover(nodes.a, Wish("orders", "a", back))
            assert _primaries(nodes) == ["a"]
            await _fed_by(nodes, "a")

    asyncio.run(scenario())


def test_a_promotion_that_the_engine_refuses_leaves_the_copy_as_it_was(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            await links.create(nodes.a, "orders", LinkWish("b"))
            await hops.create(nodes.a, "orders", LinkWish("c"), "b")
            before = nodes.copy("b")
            (stored,) = nodes.b.copies.all()
            (stored.directory / "unfit").write_text("secondary")
            plan = await _plan(nodes, "a", switchover.switchover, "b")
            error = await refused("not-promotable", switchover.switchover(nodes.a, Wish("orders", "b", plan)))
            assert f"farshore switchover orders b --accept {plan}" in error.next_step
            now = nodes.copy("b")
            assert (now.role, now.links, now.exports) == (Role.SECONDARY, before.links, before.exports)
            assert _primaries(nodes) == []
            back = await _plan(nodes, "b", switchover.switchover, "a")
            await _again(nodes, "b", switchover.switchover, Wish("orders", "a", back))  # engines are starting
            assert _primaries(nodes) == ["a"]
            follows = nodes.upstream("b")
            assert follows.peer == nodes.print_of("a")

    asyncio.run(scenario())


def test_a_promotion_that_fails_after_it_was_carried_out_is_not_taken_back(tmp_path: Path) -> None:
    """Its header says primary by then: were its intent a secondary's, it could start in neither role."""

    async def scenario() -> None:
        async with several(tmp_path, "ab") as nodes:
            await links.create(nodes.a, "orders", LinkWish("b"))
            (stored,) = nodes.b.copies.all()
            (stored.directory / "unfit").write_text("primary")
            plan = await _plan(nodes, "a", switchover.switchover, "b")
            await refused("not-promotable", switchover.switchover(nodes.a, Wish("orders", "b", plan)))
            assert _primaries(nodes) == ["b"]
            (stored.directory / "unfit").unlink()
            await nodes.b.supervisor.take_down(stored)
            await nodes.b.supervisor.bring_up(nodes.b.copies.all()[0])
            await switchover.switchover(nodes.a, Wish("orders", "b", plan))
            assert _primaries(nodes) == ["b"]
            assert nodes.upstream("a").peer == nodes.print_of("b")

    asyncio.run(scenario())


def test_a_drain_that_fails_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def late(_stored: object, _wish: object) -> Position:
        raise FarshoreError("timeout", "the peers were not brought to one position")

    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            await _group(nodes)
            before = everything(nodes)
            plan = await _plan(nodes, "a", switchover.switchover, "b")
            with monkeypatch.context() as patches:
                patches.setattr(turns, "_drained", late)
                await refused("timeout", switchover.switchover(nodes.a, Wish("orders", "b", plan)))
            assert everything(nodes) == before

    asyncio.run(scenario())


async def _lost(nodes: Nodes, name: str) -> None:
    await nodes.stop(name)


async def _returned(nodes: Nodes, name: str) -> None:
    """The node is back, and its engine has heard that another copy was promoted."""
    await nodes.start(name)
    for other in nodes.opened:
        if other != name:
            address = str(nodes.opened[name].node.listening)
            await membership.set_address(nodes.opened[other].node, name, address)
            address = str(nodes.opened[other].node.listening)
            await membership.set_address(nodes.opened[name].node, other, address)
    (stored,) = nodes.opened[name].node.copies.all()
    turn = stored.config.turn
    (stored.directory / "fenced").write_text(str(None if turn is None else turn.id.hex()))


@pytest.mark.parametrize("end", ["failback", "revert", "keep a", "keep b"])
def test_a_failover_and_its_end_that_are_cut_off_go_on(
    tmp_path: Path, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: dict[str, tuple[Command, str | None, str]] = {
        "failback": (split_brain.failback, "a", "a"),
        "revert": (failover.revert, None, "a"),
        "keep a": (split_brain.resolve, "a", "a"),
        "keep b": (split_brain.resolve, "b", "b"),
    }
    command, goal, primary = commands[end]

    async def cut(nodes: Nodes, what: Command, wish: Wish, number: int) -> bool:
        """Whether it was cut off."""
        with monkeypatch.context() as patches:
            Cutting(patches, number // 2, after=number % 2 == 1)
            try:
                await what(nodes.b, wish)
            except _CutOffError:
                return True
        return False

    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            await _group(nodes)
            for number in range(0 if LONG else 1, _MOST_STEPS * 2, 1 if LONG else 3):
                await _lost(nodes, "a")
                plan = await _plan(nodes, "b", failover.failover, "b")
                first = await cut(nodes, failover.failover, Wish("orders", "b", plan), number)
                await _again(nodes, "b", failover.failover, Wish("orders", "b", plan))
                assert _primaries(nodes) == ["b"]
                await _fed_by_some(nodes, "b", "c")
                await _returned(nodes, "a")
                plan = await _plan(nodes, "b", command, goal)  # type: ignore[arg-type]
                second = await cut(nodes, command, Wish("orders", goal, plan), number)
                scene = await gathering.scene(nodes.b, "orders")
                assert len([each for each in scene.primaries if not each.fenced]) <= 1
                await _again(nodes, "b", command, Wish("orders", goal, plan))
                assert _primaries(nodes) == [primary]
                await _fed_by(nodes, primary)
                if not first and not second:
                    return
                if primary == "b":
                    await _again(nodes, "b", switchover.switchover, Wish("orders", "a", "-"))
            raise AssertionError("there are more steps than were tried")

    asyncio.run(scenario())


async def _fed_by_some(nodes: Nodes, primary: str, name: str) -> None:
    follows = nodes.upstream(name)
    feeding = {each.spec.id: each for each in nodes.copy(primary).links if not each.spec.resting}
    assert follows.peer == nodes.print_of(primary)
    assert feeding[follows.link].spec.epoch == follows.epoch
