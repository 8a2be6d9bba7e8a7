"""Several nodes in one event loop with a group that is to be chained through them; engines are stand-ins."""

import contextlib
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import pytest

from farshore.errors import FarshoreError
from farshore.model.copy_config import CopyConfig, UpstreamIntent
from farshore.node import daemon, groups, hops, links, membership, reroute
from farshore.node.daemon import Opened
from farshore.node.intent import GroupWish, VolumeWish
from farshore.node.links import LinkWish
from farshore.node.node import Node
from farshore.node.settings import Said
from tests.integration.live_nodes import MIB, STANDIN


class Nodes:
    """Some nodes that all know each other, but for the pairs that are `apart`; `orders` begins at a."""

    def __init__(self, base: Path, opened: dict[str, Opened]) -> None:
        self.base = base
        self.opened = opened

    def __getattr__(self, name: str) -> Node:
        """A node by its name."""
        return self.opened[name].node

    async def start(self, name: str) -> None:
        """A new node, or one that was stopped; its engine answers then."""
        said = Said(str(self.base / name), None, "127.0.0.1:0", name)
        self.opened[name] = await daemon.open_node(said, STANDIN)
        daemon.begin(self.opened[name])
        node = self.opened[name].node
        for stored in node.copies.all():
            await node.supervisor.bring_up(stored)

    async def stop(self, name: str) -> None:
        """Ends a node with its engines, as far as the others can see."""
        opened = self.opened.pop(name)
        opened.node.stop_engines = True
        await daemon.end(opened)

    def copy(self, name: str) -> CopyConfig:
        """The configuration of the only copy at a node."""
        (stored,) = self.opened[name].node.copies.all()
        return stored.config

    def upstream(self, name: str) -> UpstreamIntent:
        """Of the only copy at a node."""
        found = self.copy(name).upstream
        assert found is not None
        return found

    def print_of(self, name: str) -> str:
        """A node's fingerprint."""
        return self.opened[name].node.identity.fingerprint


@contextlib.asynccontextmanager
async def several(base: Path, names: str, *apart: str) -> AsyncIterator[Nodes]:
    """See `Nodes`."""
    nodes = Nodes(base, {})
    try:
        for name in names:
            known = list(nodes.opened)
            await nodes.start(name)
            for other in known:
                if other + name not in apart:
                    token = membership.invite(nodes.opened[other].node, 60)
                    await membership.join(nodes.opened[name].node, token.address, token.encode())
        await groups.create(nodes.a, GroupWish("orders", (VolumeWish("data", str(base / "data.img"), MIB),)))
        yield nodes
    finally:
        for name in list(nodes.opened):
            await nodes.stop(name)


async def chain(nodes: Nodes, **how: Any) -> dict[str, Any]:
    """a -> b -> c, the hop made at a."""
    await links.create(nodes.a, "orders", LinkWish("b"))
    return await hops.create(nodes.a, "orders", LinkWish("c", **how), "b")


async def refused(code: str, what: Awaitable[Any]) -> FarshoreError:
    with pytest.raises(FarshoreError) as caught:
        await what
    assert caught.value.code.name == code, caught.value
    return caught.value


def everything(nodes: Nodes) -> dict[str, Any]:
    """All intent of all nodes."""
    return {
        f"{name}/{stored.key}": stored.config
        for name, opened in nodes.opened.items()
        for stored in opened.node.copies.all()
    }


@contextlib.asynccontextmanager
async def busy(nodes: Nodes, name: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """That node changes its copy of the group all the while, and answers nobody who wants to do so too."""
    with monkeypatch.context() as shorter:
        for each in ("ASK_SECONDS", "TAKE_SECONDS"):
            shorter.setattr(reroute, each, 0.3)
        async with nodes.opened[name].node.changing("orders"):
            yield
