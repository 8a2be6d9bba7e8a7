"""A volume grows at all nodes of a chain or at none, in one order, and the same command goes on."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from farshore.model.role_change import ChangeIntent
from farshore.node import groups, peer_server, resizing
from farshore.node.copies import StoredCopy
from farshore.node.engines import EngineClient
from tests.integration.chain_of_nodes import Nodes, chain, refused, several
from tests.integration.live_nodes import MIB, asked, kinds, until

GROWN = 2 * MIB


def stored(nodes: Nodes, name: str) -> StoredCopy:
    (found,) = nodes.opened[name].node.copies.all()
    return found


def sizes(nodes: Nodes) -> dict[str, int]:
    """What each node takes the volume's size for."""
    return {name: nodes.copy(name).volumes[0].size for name in nodes.opened}


def told_to_grow(nodes: Nodes) -> list[str]:
    """The nodes whose engines were asked for room."""
    return [name for name in nodes.opened if asked(stored(nodes, name), "make-room")]


def test_room_is_made_from_the_end_of_the_chain_and_the_primary_grows_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[tuple[str, str]] = []
    ask = EngineClient.ask

    async def noting(
        self: EngineClient, op: str, args: Mapping[str, object] | None = None, seconds: float = 5.0
    ) -> dict[str, Any]:
        order.append((self.path, op))
        return await ask(self, op, args, seconds)

    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            await chain(nodes)
            monkeypatch.setattr(EngineClient, "ask", noting)
            answer = await resizing.resize(nodes.a, "orders", "data", GROWN)
            assert answer == {"name": "orders", "volume": "data", "size": GROWN, "before": MIB}
            paths = {name: nodes.copy(name).control for name in "abc"}
            steps = [(path, op) for path, op in order if op in ("make-room", "resize")]
            rooms = [(paths[name], "make-room") for name in "cba"]
            assert steps == [*rooms, (paths["a"], "resize")]
            assert sizes(nodes)["a"] == GROWN
            assert "volume-resized" in kinds(nodes.a)
            await refused("wrong-role", resizing.resize(nodes.b, "orders", "data", 3 * MIB))
            # A copy learns of it by the stream, and its node from its engine, at the latest at a start.
            for name in "bc":
                (stored(nodes, name).directory / "grown-0").write_text(str(GROWN))
                await nodes.stop(name)
                await nodes.start(name)
            await until(lambda: set(sizes(nodes).values()) == {GROWN}, what="all nodes to know")

    asyncio.run(scenario())


def test_nobody_grows_where_one_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            await chain(nodes)

            async def nothing_grows(code: str, says: str, size: int = GROWN, volume: str = "data") -> None:
                error = await refused(code, resizing.resize(nodes.a, "orders", volume, size))
                assert says in error.what
                assert error.means
                assert error.next_step
                assert told_to_grow(nodes) == []

            await nothing_grows("size-mismatch", "would be less", MIB - 512)
            await nothing_grows("wrong-state", "has 1 MiB already", MIB)
            await nothing_grows("usage", "bytes", MIB + 100)
            await nothing_grows("not-found", "no volume 'other'", volume="other")
            await nothing_grows("disk-full", "are free there", 1 << 52)
            for name in "ab":
                state = stored(nodes, name).directory / "state"
                state.write_text("resyncing")
                await nothing_grows("wrong-state", "is being resynced")
                state.unlink()
            with monkeypatch.context() as older:
                older.delitem(peer_server.OPERATIONS, "grow-copy")
                await nothing_grows("wrong-state", "b is of a version that cannot let volumes grow")
            before = stored(nodes, "a")
            change = ChangeIntent("switchover", "", b"t" * 16, "1" * 32, "b", "2" * 32, "a", 1.0)
            nodes.a.put(replace(before, config=replace(before.config, change=change)))
            await nothing_grows("wrong-state", "a change of roles of orders is not done")
            nodes.a.put(before)
            await nodes.stop("c")
            await nothing_grows("unreachable", "the copy of orders at c cannot be made larger")
            await nodes.start("c")
            await resizing.resize(nodes.a, "orders", "data", GROWN)

    asyncio.run(scenario())


@pytest.mark.parametrize("obstacle", ["older", "full"])
@pytest.mark.parametrize("where", ["a", "b", "c"])
def test_the_same_command_goes_on_where_one_was_cut_off(tmp_path: Path, where: str, obstacle: str) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            await chain(nodes)
            (stored(nodes, where).directory / obstacle).touch()
            code = {"older": "wrong-state", "full": "disk-full"}[obstacle]
            await refused(code, resizing.resize(nodes.a, "orders", "data", GROWN))
            assert set(sizes(nodes).values()) == {MIB}
            assert asked(stored(nodes, "a"), "resize") == []
            (stored(nodes, where).directory / obstacle).unlink()
            await resizing.resize(nodes.a, "orders", "data", GROWN)
            assert groups.primary(nodes.a, "orders").config.volumes[0].size == GROWN

    asyncio.run(scenario())
