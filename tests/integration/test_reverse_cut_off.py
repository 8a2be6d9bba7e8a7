"""A reverse resync that is cut off before or after each of its steps, and asked for again.

Whatever was cut off: never two copies can be written, and the same command ends it. Engines are stand-ins;
what becomes of the content is tried in `tests/roles`.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from farshore.errors import FarshoreError
from farshore.model.options import ResyncKind, Role
from farshore.node import failover, links, reverse, split_brain, status, switchover
from farshore.node.links import LinkWish
from farshore.node.reverse import ReverseWish
from farshore.node.switchover import Wish
from tests.integration.chain_of_nodes import Nodes, refused, several
from tests.integration.test_role_changes_cut_off import Cutting, _CutOffError, _fed_by
from tests.long_form import LONG

_MOST_STEPS = 20


async def _asked(nodes: Nodes, accept: str | None = None, **more: Any) -> dict[str, Any]:
    return await reverse.reverse(nodes.a, ReverseWish(group="orders", accept=accept, **more))


async def _plan(nodes: Nodes, **more: Any) -> str:
    shown = await _asked(nodes, **more)
    assert shown["plan"]["refusals"] == [], shown
    return str(shown["plan"]["id"])


async def _until_done(nodes: Nodes, plan: str) -> None:
    for _ in range(10):
        if (await _asked(nodes, plan))["done"]:
            return
    raise AssertionError("it is never done")


def _writable(nodes: Nodes) -> list[str]:
    """Primaries whose exports can be written."""
    configs = {name: nodes.copy(name) for name in nodes.opened}
    return [name for name, each in configs.items() if each.role is Role.PRIMARY and not each.closed]


def test_a_reverse_resync_that_is_cut_off_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            for other in "bc":
                await links.create(nodes.a, "orders", LinkWish(other))
            for number in range(0, _MOST_STEPS, 1 if LONG else 3):
                link = next(each.spec.name for each in nodes.copy("a").links if each.peer_name == "b")
                plan = await _plan(nodes, link=link)
                exports = nodes.copy("a").exports
                cut = False
                with monkeypatch.context() as patches:
                    Cutting(patches, number // 2, after=number % 2 == 1)
                    try:
                        for _ in range(20):
                            if (await _asked(nodes, plan, link=link))["done"]:
                                break
                            assert _writable(nodes) == []
                            (entry,) = (await status.document(nodes.a, "orders"))["groups"]
                            assert f"farshore resync orders --reverse --accept {plan}" in entry["next"]
                    except _CutOffError:
                        cut = True
                        assert len(_writable(nodes)) <= 1
                await _until_done(nodes, plan) if cut and _under_way(nodes) else None
                assert _writable(nodes) == ["a"]
                assert nodes.copy("a").exports == exports
                assert all(nodes.copy(name).change is None for name in "ab"), number
                await _fed_by(nodes, "a")
                if not cut:
                    return
            raise AssertionError("there are more steps than were tried")

    asyncio.run(scenario())


def _asked_for(nodes: Nodes, name: str) -> list[str]:
    """The kinds of resync that the engine of a copy was asked for."""
    (stored,) = nodes.opened[name].node.copies.all()
    path = stored.directory / "resyncs"
    return path.read_text().split() if path.exists() else []


@pytest.mark.parametrize("at", ["a", "b"])
def test_a_thorough_one_stays_thorough_whenever_it_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """The stand-in's link replicates all the time, as after an update that it has begun by itself."""

    async def scenario() -> None:
        async with several(tmp_path, "ab") as nodes:
            await links.create(nodes.a, "orders", LinkWish("b"))
            plan = await _plan(nodes, kind=ResyncKind.DIGEST)
            (stored,) = nodes.b.copies.all()
            (stored.directory / "busy").touch()
            await refused("wrong-state", _asked(nodes, plan, kind=ResyncKind.DIGEST))
            await refused("wrong-state", _asked(nodes, plan))
            (stored.directory / "busy").unlink()
            await refused("usage", _asked(nodes, plan, kind=ResyncKind.FULL))
            assert _asked_for(nodes, "b") == []
            goes_on = ReverseWish(group="orders", accept=plan)
            with monkeypatch.context() as patches, pytest.raises(_CutOffError):
                Cutting(patches, 0, after=False)  # it was asked, and nobody has noted that
                await reverse.reverse(nodes.opened[at].node, goes_on)
            told = await reverse.reverse(nodes.opened[at].node, goes_on)
            assert not told["done"], "that the link replicates is of before it was asked"
            assert told["plan"]["steps"][0].startswith("everything is compared")
            assert _asked_for(nodes, "b") == ["digest"] * 2
            await _until_done(nodes, plan)
            assert _asked_for(nodes, "b") == ["digest"] * 2
            assert _writable(nodes) == ["a"]

    asyncio.run(scenario())


async def _cut_off(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> str:
    """A reverse resync between two nodes that has ended behind its first step; its plan."""
    await links.create(nodes.a, "orders", LinkWish("b"))
    plan = await _plan(nodes)
    with monkeypatch.context() as patches, pytest.raises(_CutOffError):
        Cutting(patches, 1, after=True)
        await _asked(nodes, plan)
    return plan


def _under_way(nodes: Nodes) -> bool:
    return any(nodes.copy(name).change is not None for name in nodes.opened)


def test_while_it_is_under_way_nobody_can_write_and_the_far_copy_is_taken_for_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "ab") as nodes:
            plan = await _cut_off(nodes, monkeypatch)
            a, b = nodes.copy("a"), nodes.copy("b")
            assert (a.role, b.role, bool(b.closed)) == (Role.SECONDARY, Role.PRIMARY, True)
            (link,) = b.links
            assert link.consent is not None
            assert link.rescue.startswith("reverse-2")
            (entry,) = (await status.document(nodes.b, "orders"))["groups"]
            assert entry["writes"] == "refused"
            await refused("stale-plan", _asked(nodes, "0" * 12))
            goes_on = await _asked(nodes)
            assert goes_on["plan"]["id"] == plan
            await _until_done(nodes, plan)
            assert _writable(nodes) == ["a"]

    asyncio.run(scenario())


def test_if_the_peer_is_lost_a_failover_takes_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "ab") as nodes:
            plan = await _cut_off(nodes, monkeypatch)
            await nodes.stop("b")
            error = await refused("unreachable", _asked(nodes, plan))
            assert "farshore failover orders" in error.next_step
            shown = await failover.failover(nodes.a, Wish("orders", "a"))
            await failover.failover(nodes.a, Wish("orders", "a", shown["plan"]["id"]))
            assert nodes.copy("a").role is Role.PRIMARY

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("link", "code"), [("nowhere", "not-found"), (None, "usage")], ids=["unknown", "ambiguous"]
)
def test_which_copy_is_the_good_one_has_to_be_said(tmp_path: Path, link: str | None, code: str) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            for other in "bc":
                await links.create(nodes.a, "orders", LinkWish(other))
            await refused(code, _asked(nodes, link=link))
            with pytest.raises(FarshoreError):
                await reverse.reverse(nodes.b, ReverseWish(group="orders"))

    asyncio.run(scenario())


def test_nothing_is_previewed_where_nothing_contradicts(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "ab") as nodes:
            await links.create(nodes.a, "orders", LinkWish("b"))
            for end in (False, True):
                await refused("wrong-state", split_brain.preview(nodes.a, "orders", end=end))
            assert _writable(nodes) == ["a"]
            plan = (await switchover.switchover(nodes.a, Wish("orders", "b")))["plan"]["id"]
            await switchover.switchover(nodes.a, Wish("orders", "b", plan))
            assert _writable(nodes) == ["b"]

    asyncio.run(scenario())
