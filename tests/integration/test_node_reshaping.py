"""A group gains or loses a volume: whatever step a node dies at, both nodes agree again by themselves.

Every moment at which something became durable at either node is kept as a copy of both state directories.
Afterwards the nodes start on each of these, as they would after both had died there.
"""

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from farshore.errors import FarshoreError
from farshore.node import commands, daemon, documents, groups, links, reshaping
from farshore.node.intent import GroupWish, VolumeWish
from farshore.node.links import LinkWish
from farshore.node.node import Node
from farshore.node.reshaping import Growth
from farshore.node.settings import Said
from tests.integration.live_nodes import MIB, STANDIN, asked, kinds, pair, size_of, until

Change = Callable[[Node, Path], Awaitable[object]]


async def add(node: Node, base: Path) -> object:
    return await reshaping.add(node, "orders", Growth((VolumeWish("logs", str(base / "logs.img"), MIB),)))


async def remove(node: Node, base: Path) -> object:
    return await reshaping.remove(node, "orders", "spare")


async def ready(a: Node, base: Path) -> None:
    """A group of two volumes at a, with a paused link to b."""
    volumes = tuple(VolumeWish(name, str(base / f"{name}.img"), MIB) for name in ("data", "spare"))
    await groups.create(a, GroupWish("orders", volumes))
    await links.create(a, "orders", LinkWish("b"))
    await commands.pause(a, "orders", None, 1.0)


def volumes(node: Node) -> dict[str, int]:
    """Names and ids of the group's volumes, as the node would have them."""
    (stored,) = node.copies.all()
    return {each.name: each.id for each in stored.config.volumes}


def exported(node: Node) -> set[int]:
    return {each.volume for each in groups.primary(node, "orders").config.exports}


async def moments(
    base: Path, monkeypatch: pytest.MonkeyPatch, change: Change
) -> tuple[list[Path], tuple[str, str]]:
    """Carries a change out; the kept moments, and where the nodes listened."""
    kept: list[Path] = []
    write = documents.write

    def keep() -> None:
        kept.append(base.parent / f"moment-{len(kept)}")
        ignored = shutil.ignore_patterns("*.sock", "*.nbd", "control", "api")
        shutil.copytree(base, kept[-1], ignore=ignored, symlinks=True)

    def keeping(path: Path, document: Mapping[str, Any]) -> None:
        keep()
        write(path, document)
        keep()

    async with pair(base) as (a, b):
        await ready(a, base)
        with monkeypatch.context() as patched:
            patched.setattr(documents, "write", keeping)
            await change(a, base)
        keep()
        return kept, (str(a.listening), str(b.listening))


@contextlib.asynccontextmanager
async def revived(base: Path, moment: Path, listened: tuple[str, str]) -> AsyncIterator[tuple[Node, Node]]:
    """Both nodes as they start after they died at that moment."""
    shutil.rmtree(base)
    shutil.copytree(moment, base, symlinks=True)
    async with contextlib.AsyncExitStack() as stack:
        nodes = []
        for name, address in zip("ab", listened, strict=True):
            opened = await daemon.open_node(Said(str(base / name), None, address, name), STANDIN)
            daemon.begin(opened)
            opened.node.stop_engines = True
            stack.push_async_callback(daemon.end, opened)
            nodes.append(opened.node)
        yield nodes[0], nodes[1]


def agreed(a: Node, b: Node) -> bool:
    """Nobody has anything left to tell, and the engines run with what both have."""
    (here,), (there,) = a.copies.all(), b.copies.all()
    for node, stored in ((a, here), (b, there)):
        seen = node.supervisor.seen(stored.key)
        if seen is None or not seen.running:
            return False
    return not here.config.unsettled and volumes(a) == volumes(b)


@pytest.mark.parametrize("change", [add, remove])
def test_death_at_any_step_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    async def scenario() -> None:
        base = tmp_path / "nodes"
        base.mkdir()
        before, after = {"data", "spare"}, {"data", "spare", "logs"} if change is add else {"data"}
        kept, listened = await moments(base, monkeypatch, change)
        assert len(kept) > 5
        seen = []
        for moment in kept:
            async with revived(base, moment, listened) as (a, b):
                await until(lambda: agreed(a, b), what=f"both nodes to agree after {moment.name}")
                seen.append(set(volumes(a)))
                assert seen[-1] in (before, after)
                if seen[-1] == before:
                    await change(a, base)
                assert set(volumes(a)) == set(volumes(b)) == after
                assert exported(a) == set(volumes(a).values())
                assert volumes(a).get("logs", 2) >= 2
        assert seen[0] == before
        assert seen[-1] == after

    asyncio.run(scenario())


def test_an_id_is_never_used_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pair(tmp_path) as (a, b):
            await ready(a, tmp_path)
            await add(a, tmp_path)
            await reshaping.remove(a, "orders", "logs")
            await reshaping.remove(a, "orders", "spare")
            (tmp_path / "b/volumes/orders/logs.img").unlink()
            await add(a, tmp_path)
            assert volumes(a) == volumes(b) == {"data": 0, "logs": 3}
            stored = groups.primary(a, "orders")
            assert json.loads((stored.directory / "copy.json").read_text())["next_volume"] == 4

    asyncio.run(scenario())


def test_an_engine_that_cannot_run_with_it_runs_on_without_it(tmp_path: Path) -> None:
    """The stand-in does not start with a volume named broken, neither at the peer nor here."""

    async def scenario() -> None:
        async with pair(tmp_path) as (a, b):
            await ready(a, tmp_path)
            path = tmp_path / "broken.img"
            with pytest.raises(FarshoreError) as caught:
                await reshaping.add(a, "orders", Growth((VolumeWish("broken", str(path), MIB),)))
            assert caught.value.code.name == "faulted"
            await until(lambda: agreed(a, b))
            assert volumes(a).keys() == {"data", "spare"}
            assert size_of(path) is None
            assert size_of(tmp_path / "b/volumes/orders/broken.img") is None
            # Without a peer it is this node's own engine that refuses.
            await links.delete(a, "orders", "b")
            with pytest.raises(FarshoreError):
                await reshaping.add(a, "orders", Growth((VolumeWish("broken", str(path), MIB),)))
            assert volumes(a).keys() == {"data", "spare"}
            assert size_of(path) is None
            await until(lambda: asked(groups.primary(a, "orders"), "hello"))

    asyncio.run(scenario())


def test_links_that_run_refuse_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pair(tmp_path) as (a, b):
            await ready(a, tmp_path)
            (groups.primary(a, "orders").directory / "paused").unlink()
            for change in (add, remove):
                with pytest.raises(FarshoreError) as caught:
                    await change(a, tmp_path)
                assert caught.value.code.name == "wrong-state"
                assert caught.value.next_step == "farshore pause orders"
            assert volumes(a) == volumes(b) == {"data": 0, "spare": 1}
            assert not asked(b.copies.all()[0], "stop")
            assert "volumes-added" not in kinds(a)

    asyncio.run(scenario())
