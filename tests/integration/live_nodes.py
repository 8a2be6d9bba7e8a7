"""Nodes that run inside a test's own event loop; only their engines are stand-ins."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

from farshore.node import daemon, membership
from farshore.node.copies import StoredCopy
from farshore.node.daemon import Opened
from farshore.node.node import Node
from farshore.node.settings import Said

T = TypeVar("T")
STANDIN = (sys.executable, str(Path(__file__).with_name("standin_engine.py")))
STANDIN_DEVICE = (sys.executable, "-m", "tests.integration.standin_device")
MIB = 1 << 20


@contextlib.asynccontextmanager
async def running(state: Path, name: str, *, keep_engines: bool = False) -> AsyncIterator[Opened]:
    """A node from start to stop. Its engines and devices stop with it unless `keep_engines`."""
    opened = await daemon.open_node(Said(str(state), None, "127.0.0.1:0", name), STANDIN, STANDIN_DEVICE)
    daemon.begin(opened)
    try:
        yield opened
    finally:
        if not keep_engines:
            await opened.node.device_supervisor.stop_all()
        opened.node.stop_engines = not keep_engines
        await daemon.end(opened)


@contextlib.asynccontextmanager
async def pair(base: Path) -> AsyncIterator[tuple[Node, Node]]:
    """Two paired nodes, a and b."""
    async with running(base / "a", "a") as a, running(base / "b", "b") as b:
        token = membership.invite(b.node, 60)
        await membership.join(a.node, token.address, token.encode())
        yield a.node, b.node


async def until(predicate: Callable[[], T], seconds: float = 15.0, what: str = "") -> T:
    """As `tests.waiting.wait_until`, leaving the event loop to others meanwhile."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    never = loop.create_future()
    while True:
        late = loop.time() > deadline
        answer = predicate()
        if answer:
            return answer
        assert not late, f"not within {seconds} s: {what or predicate}; last answer {answer!r}"
        await asyncio.wait([never], timeout=0.02)


def size_of(path: Path | str) -> int | None:
    """Of a file; None where there is none."""
    return Path(path).stat().st_size if Path(path).exists() else None


def names_in(directory: Path) -> list[str]:
    """What a directory holds."""
    return sorted(each.name for each in directory.iterdir())


def asked(stored: StoredCopy, op: str) -> list[dict[str, Any]]:
    """What a copy's stand-in engine was asked so far, of one operation."""
    path = stored.directory / "asked"
    lines = path.read_text().splitlines() if path.exists() else []
    return [each for each in map(json.loads, lines) if each["op"] == op]


def kinds(node: Node) -> list[str]:
    """The kinds of events in the node's journal."""
    return [event["kind"] for event in node.journal.after(0)]
