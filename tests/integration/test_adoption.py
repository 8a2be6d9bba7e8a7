"""A node that ends in the middle of a turn: the next one finds the engine, and makes it what it should be."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from farshore.errors import ProtocolError
from farshore.model.copy_config import CopyConfig
from farshore.model.options import Role
from farshore.model.role_change import ChangeIntent, Expected
from farshore.node import groups, turns
from farshore.node.copies import StoredCopy
from farshore.node.intent import GroupWish, VolumeWish
from farshore.node.node import Node
from farshore.node.turn_wishes import Following, TurnWish
from tests.integration.live_nodes import MIB, asked, running, until


class _CutOffError(Exception):
    """The node died."""


async def _made(node: Node, base: Path) -> StoredCopy:
    return await groups.create(node, GroupWish("orders", (VolumeWish("data", str(base / "data.img"), MIB),)))


def _demotion(node: Node, stored: StoredCopy) -> TurnWish:
    return TurnWish(
        group=stored.config.group,
        copy=stored.config.copy,
        turn=b"t" * 16,
        role=Role.SECONDARY,
        expects=Expected(role=Role.PRIMARY),
        follows=Following(link=b"k" * 16, epoch=1, feeder=node.identity.fingerprint),
        drain=5.0,
    )


def _pid(node: Node, stored: StoredCopy) -> int | None:
    seen = node.supervisor.seen(stored.key)
    return seen.pid if seen is not None and seen.running else None


def _cut_off(patches: pytest.MonkeyPatch, where: Any, name: str) -> None:
    def dies(*_: object) -> None:
        raise _CutOffError

    patches.setattr(where, name, dies)


def test_d7_an_engine_that_was_not_taken_down_for_its_turn_is_not_left_as_the_primary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "a", "a", keep_engines=True) as opened:
            stored = await _made(opened.node, tmp_path)
            before = _pid(opened.node, stored)
            with monkeypatch.context() as patches, pytest.raises(_CutOffError):
                _cut_off(patches, turns, "_carry_out")
                await turns.turn(opened.node, _demotion(opened.node, stored))
        assert json.loads((stored.directory / "copy.json").read_text())["role"] == "secondary"
        async with running(tmp_path / "a", "a") as opened:
            await until(lambda: _pid(opened.node, stored) not in (None, before))
            entry = (await stored.engine.ask("status"))["group"]
            assert (entry["role"], entry["turn"]) == ("secondary", (b"t" * 16).hex())
            assert asked(stored, "resume") == [], "what it held was held until its end as a primary"

    asyncio.run(scenario())


def test_d7_writes_that_were_held_for_a_turn_which_nobody_knows_of_flow_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "a", "a", keep_engines=True) as opened:
            stored = await _made(opened.node, tmp_path)
            before = _pid(opened.node, stored)
            with monkeypatch.context() as patches, pytest.raises(_CutOffError):
                _cut_off(patches, turns, "_turned")
                await turns.turn(opened.node, _demotion(opened.node, stored))
            assert len(asked(stored, "drain")) == 1
            assert asked(stored, "resume") == []
        async with running(tmp_path / "a", "a") as opened:
            await until(lambda: len(asked(stored, "resume")) == 1)
            assert _pid(opened.node, stored) == before

    asyncio.run(scenario())


def test_d7_a_drain_whose_answer_makes_no_sense_is_ended(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "a", "a") as opened:
            stored = await _made(opened.node, tmp_path)
            (stored.directory / "stutters").touch()
            with pytest.raises(ProtocolError):
                await turns.turn(opened.node, _demotion(opened.node, stored))
            assert len(asked(stored, "resume")) == 1
            assert opened.node.copies.all()[0].config.role is Role.PRIMARY

    asyncio.run(scenario())


async def _turned(node: Node, stored: StoredCopy) -> ChangeIntent:
    """Has the copy give its role up as a part of a switchover; the change."""
    change = ChangeIntent("switchover", "", b"t" * 16, "12" * 16, "b", stored.key, "a", 0.0)
    await turns.turn(node, replace(_demotion(node, stored), change=change))
    return change


def test_d7_that_all_was_drained_is_claimed_after_the_new_role_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that dies between the two leaves no claim; what an engine may have taken since is compared."""

    async def scenario() -> None:
        async with running(tmp_path / "a", "a") as opened:
            node = opened.node
            stored = await _made(node, tmp_path)
            written: list[tuple[Role, bool]] = []
            put = node.copies.put

            def noted(config: CopyConfig, *more: Any) -> StoredCopy:
                drained = config.change is not None and config.change.drained is not None
                written.append((config.role, drained))
                return put(config, *more)

            monkeypatch.setattr(node.copies, "put", noted)
            await _turned(node, stored)
            assert written == [(Role.SECONDARY, False), (Role.SECONDARY, True)]

    asyncio.run(scenario())


def test_d7_nothing_is_claimed_where_another_engine_was_started_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "a", "a") as opened:
            node = opened.node
            stored = await _made(node, tmp_path)
            pids = iter(range(100))
            monkeypatch.setattr(turns, "_pid", lambda *_: next(pids))
            change = await _turned(node, stored)
            assert node.copies.all()[0].config.change == change

    asyncio.run(scenario())
