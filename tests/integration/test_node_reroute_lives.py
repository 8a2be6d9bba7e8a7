"""Reroutes drawn from seeds, among nodes that do not answer, do not take the link, or die in the middle.

Whatever happened: a group that calls itself protected has a far copy that somebody feeds under the epoch that
it follows, a link that is said to have been replaced has been, and the command that status names ends it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from farshore.errors import FarshoreError
from farshore.model.copy_config import LinkIntent
from farshore.node import links, membership, reroute, status
from farshore.node.links import LinkWish
from tests.integration.chain_of_nodes import Nodes, busy, several
from tests.long_form import LONG

LIVES = 40 if LONG else 2
_STEPS = 10
_FEEDERS = "abd"


class Life:
    """Of the copy at c, which a, b and d may feed; a is where reroutes are asked for."""

    def __init__(self, nodes: Nodes, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.nodes = nodes
        self.random = Random(f"a reroute's life {seed}")
        self.patches = monkeypatch
        self.told: list[str] = []
        """What happened, for whoever reads of a failure."""

    async def step(self) -> None:
        """A reroute, and what comes in between."""
        followed = self.nodes.upstream("c").peer
        others = [each for each in _FEEDERS if self.nodes.print_of(each) != followed]
        via = self.random.choice([*others, *others, *_FEEDERS])
        kinds: dict[str, Callable[[str], Awaitable[None]]] = {
            "done": self._asked,
            "c busy": self._far_node_busy,
            "refused": self._not_taken,
            "death": self._death,
        }
        kind = self.random.choice(list(kinds))
        self.told.append(f"{kind} via {via}")
        await kinds[kind](via)
        await self.check()

    async def end(self) -> None:
        """All nodes answer, and the operator does what status says."""
        via = self.random.choice(_FEEDERS)
        group = await self._group()
        if group["reroutes"]:
            via = group["reroutes"][0]["via"]
        await self._asked(via)
        await self.check()
        group = await self._group()
        assert (group["health"], group["reroutes"]) == ("protected", [])
        assert self.nodes.upstream("c").peer == self.nodes.print_of(via)

    # -- what happens -----------------------------------------------------------------------

    async def _asked(self, via: str) -> None:
        try:
            await reroute.reroute(self.nodes.a, "orders", "c", via)
        except FarshoreError as error:
            refusal = error
        else:
            return
        self.told.append(f"{refusal.code.name}: {refusal.what}")
        waits = bool((await self._group())["reroutes"])
        assert not waits or "farshore link reroute orders c --via" in refusal.next_step, self.told

    async def _far_node_busy(self, via: str) -> None:
        async with busy(self.nodes, "c", self.patches):
            await self._asked(via)

    async def _not_taken(self, via: str) -> None:
        (stored,) = self.nodes.opened[via].node.copies.all()
        refuses = stored.directory / "refuses"
        refuses.write_text("c")
        await self._asked(via)
        refuses.unlink()

    async def _death(self, via: str) -> None:
        nodes = self.nodes
        task = asyncio.create_task(self._asked(via))
        await asyncio.wait([task], timeout=self.random.choice((0.0, 0.005, 0.02, 0.05, 0.1)))
        task.cancel()
        await asyncio.wait([task])
        await nodes.stop("a")
        await nodes.start("a")
        for other in "bcd":
            await membership.set_address(nodes.opened[other].node, "a", str(nodes.a.listening))

    # -- what has to be true ----------------------------------------------------------------

    async def check(self) -> None:
        """See the module."""
        group = await self._group()
        shown: dict[str, Any] = next((each for each in group["links"] if each["name"] == "c"), {})
        if group["health"] == "protected":
            assert self._fed(), f"nobody feeds c: {self.told}"
            left = shown.get("left_for")
            follows = [
                each for each in _FEEDERS if self.nodes.print_of(each) == self.nodes.upstream("c").peer
            ]
            assert left in (None, *follows), self.told
        else:
            assert "farshore link reroute orders c --via" in group["next"], self.told
            assert shown.get("left_for") is None, self.told

    def _fed(self) -> bool:
        follows = self.nodes.upstream("c")
        for name in _FEEDERS:
            if self.nodes.print_of(name) == follows.peer:
                found = [each for each in self._links(name) if each.spec.id == follows.link]
                return any(each.spec.epoch == follows.epoch and not each.spec.resting for each in found)
        return False

    def _links(self, name: str) -> tuple[LinkIntent, ...]:
        return self.nodes.copy(name).links

    async def _group(self) -> dict[str, Any]:
        (group,) = (await status.document(self.nodes.a))["groups"]
        return dict(group)


@pytest.mark.parametrize("seed", range(1, LIVES + 1))
def test_a_reroute_that_is_not_done_is_never_called_protected(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abcd") as nodes:
            for other in "bdc":
                await links.create(nodes.a, "orders", LinkWish(other))
            life = Life(nodes, seed, monkeypatch)
            for _ in range(_STEPS):
                await life.step()
            await life.end()
            print(life.told)

    asyncio.run(scenario())
