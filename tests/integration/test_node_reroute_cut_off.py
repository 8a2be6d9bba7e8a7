"""A reroute that is not done: until its far copy is known to be fed, the node that was asked says so, and how
to go on; and what was refused leaves all as it was."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from farshore.errors import FarshoreError
from farshore.model.options import ResyncKind
from farshore.node import commands, hops, links, membership, reroute, status, taking, topology
from farshore.node.links import LinkWish
from tests.integration.chain_of_nodes import Nodes, busy, chain, everything, refused, several
from tests.integration.live_nodes import kinds, until

AGAIN = "farshore link reroute orders c --via b"
BACK = "farshore link reroute orders c --via a"


def run(tmp_path: Path, scenario: Callable[[Nodes], Awaitable[None]]) -> None:
    """With three nodes, of which a feeds b and c."""

    async def whole() -> None:
        async with several(tmp_path, "abc") as nodes:
            await links.create(nodes.a, "orders", LinkWish("b"))
            await links.create(nodes.a, "orders", LinkWish("c"))
            await scenario(nodes)

    asyncio.run(whole())


async def shown(nodes: Nodes, link: str = "c", name: str = "a") -> tuple[dict[str, Any], dict[str, Any]]:
    """The group, and a link, as `status` prints them."""
    (group,) = (await status.document(nodes.opened[name].node))["groups"]
    return group, next((each for each in group["links"] if each["name"] == link), {})


async def is_under_way(nodes: Nodes, via: str = "b") -> None:
    group, link = await shown(nodes)
    assert group["health"] == "unprotected"
    assert AGAIN in group["next"] if via == "b" else BACK in group["next"]
    assert f"rerouted from a to {via}" in group["why"] or via == "a"
    assert (link.get("left_for"), link["rerouting"]) == (None, via)
    assert "nobody is known to feed it" in link["why"]
    document = links.document(nodes.copy("a"), links.find(nodes.copy("a"), "c"))
    assert (document["left_for"], document["rerouting"]) == (None, via)


async def is_done(nodes: Nodes, feeder: str) -> None:
    group, link = await shown(nodes)
    assert (group["health"], group["reroutes"]) == ("protected", [])
    assert nodes.upstream("c").peer == nodes.print_of(feeder)
    assert (link.get("left_for"), link.get("rerouting")) == (None if feeder == "a" else feeder, None)
    assert nodes.copy("a").reroutes == ()
    (fed,) = [each for each in nodes.copy(feeder).links if each.spec.name == "c"]
    assert (fed.left_for, fed.spec.resting) == ("", False)
    assert fed.spec.epoch == nodes.upstream("c").epoch


async def lose_an_answer(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> FarshoreError:
    """A reroute of c to b, whose far node does not answer."""
    async with busy(nodes, "c", monkeypatch):
        return await refused("timeout", reroute.reroute(nodes.a, "orders", "c", "b"))


def test_a_reroute_without_an_answer_says_what_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(nodes: Nodes) -> None:
        error = await lose_an_answer(nodes, monkeypatch)
        assert "whether c follows b now is not known" in error.what
        assert "nobody is known to feed it" in error.means
        assert AGAIN in error.next_step
        assert BACK in error.next_step
        await is_under_way(nodes)
        assert "link-rerouting" in kinds(nodes.a)
        assert "link-left" not in kinds(nodes.a)
        assert links.find(nodes.copy("a"), "c").spec.resting  # the law: it rests before its far copy is told
        resync = commands.resync(nodes.a, "orders", "c", commands.ResyncWish(ResyncKind.UPDATE))
        assert AGAIN in (await refused("wrong-feeder", resync)).next_step

    run(tmp_path, scenario)


@pytest.mark.parametrize("via", ["a", "b"])
def test_the_same_command_ends_it_and_one_that_leads_back_does(
    tmp_path: Path, via: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(nodes: Nodes) -> None:
        await lose_an_answer(nodes, monkeypatch)
        await reroute.reroute(nodes.a, "orders", "c", via)
        await is_done(nodes, via)

    run(tmp_path, scenario)


def test_a_death_in_the_middle_is_told_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(nodes: Nodes) -> None:
        async with nodes.c.changing("orders"):
            task = asyncio.create_task(reroute.reroute(nodes.a, "orders", "c", "b"))
            await until(lambda: links.find(nodes.copy("a"), "c").spec.resting)
            task.cancel()
            await asyncio.wait([task])
            await nodes.stop("a")
        await nodes.start("a")
        for other in (nodes.b, nodes.c):
            await membership.set_address(other, "a", str(nodes.a.listening))
        await is_under_way(nodes)
        await reroute.reroute(nodes.a, "orders", "c", "b")
        await is_done(nodes, "b")

    run(tmp_path, scenario)


def test_a_feeder_that_does_not_take_the_link_leaves_it_under_way(tmp_path: Path) -> None:
    async def scenario(nodes: Nodes) -> None:
        (stored,) = nodes.b.copies.all()
        (stored.directory / "refuses").write_text("c")
        error = await refused("wrong-state", reroute.reroute(nodes.a, "orders", "c", "b"))
        assert "b was to feed c" in error.what
        assert AGAIN in error.next_step
        assert nodes.upstream("c").peer == nodes.print_of("b")
        await is_under_way(nodes)
        error = await refused("not-found", reroute.reroute(nodes.a, "orders", "c", "nowhere"))
        assert "nobody is known to feed it" in error.means
        await is_under_way(nodes)
        (stored.directory / "refuses").unlink()
        await reroute.reroute(nodes.a, "orders", "c", "b")
        await is_done(nodes, "b")

    run(tmp_path, scenario)


def test_a_node_that_was_to_take_it_and_does_not_counts_as_unprotected_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            await chain(nodes)
            (stored,) = nodes.a.copies.all()
            (stored.directory / "refuses").write_text("c")
            await refused("wrong-state", reroute.reroute(nodes.a, "orders", "c", "a"))
            group, _ = await shown(nodes)
            assert group["health"] == "unprotected"
            assert group["reroutes"] == [{"name": "c", "peer": "c", "from": "b", "via": "a"}]
            assert group["next"] == f"{BACK}; or back: {AGAIN}"
            (hop,) = await hops.documents(nodes.a, "orders", "c")
            assert hop["rerouting"] == "a"
            await reroute.reroute(nodes.a, "orders", "c", "b")
            group, _ = await shown(nodes)
            assert (group["health"], group["reroutes"]) == ("protected", [])

    asyncio.run(scenario())


def test_a_far_node_that_refuses_leaves_all_as_it_was(tmp_path: Path) -> None:
    async def scenario(nodes: Nodes) -> None:
        await membership.forget(nodes.c, "b")  # of which b knows nothing
        before = everything(nodes)
        error = await refused("wrong-state", reroute.reroute(nodes.a, "orders", "c", "b"))
        assert error.means == "nothing was changed there"
        assert everything(nodes) == before
        await is_done(nodes, "a")

    run(tmp_path, scenario)


def test_what_is_refused_after_an_answer_was_lost_ends_it_where_the_far_copy_follows_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(nodes: Nodes) -> None:
        await membership.forget(nodes.c, "b")
        await lose_an_answer(nodes, monkeypatch)
        await is_under_way(nodes)
        error = await refused("wrong-state", reroute.reroute(nodes.a, "orders", "c", "b"))
        assert error.means == "nothing was changed there"
        await is_done(nodes, "a")

    run(tmp_path, scenario)


def test_what_is_refused_while_the_far_copy_waits_for_another_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abcd") as nodes:
            await chain(nodes)
            await links.create(nodes.a, "orders", LinkWish("d"))
            (stored,) = nodes.a.copies.all()
            (stored.directory / "refuses").write_text("c")
            await refused("wrong-state", reroute.reroute(nodes.a, "orders", "c", "a"))
            await membership.forget(nodes.c, "d")
            error = await refused("wrong-state", reroute.reroute(nodes.a, "orders", "c", "d"))
            assert f"{BACK}; or back: {AGAIN}" in error.next_step
            assert nodes.upstream("c").peer == nodes.print_of("a")
            (stored.directory / "refuses").unlink()
            await reroute.reroute(nodes.a, "orders", "c", "a")
            assert nodes.copy("a").reroutes == ()

    asyncio.run(scenario())


def test_a_link_that_was_replaced_long_ago_rests_on_when_another_one_stays(tmp_path: Path) -> None:
    async def scenario(nodes: Nodes) -> None:
        config, link = nodes.copy("a"), links.find(nodes.copy("a"), "c")
        (stored,) = nodes.a.copies.all()
        old = replace(link, left_for="b", spec=replace(link.spec, resting=True))
        await links.apply(nodes.a, stored, links.with_link(config, old))
        assert not await taking.stay(nodes.a, config.group, link.spec.id, 2)
        assert links.find(nodes.copy("a"), "c") == old
        assert await taking.stay(nodes.a, config.group, link.spec.id, 1)
        assert links.find(nodes.copy("a"), "c") == link

    run(tmp_path, scenario)


def test_a_far_copy_that_may_still_follow_is_told_when_its_link_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(nodes: Nodes) -> None:
        await membership.forget(nodes.c, "b")
        await lose_an_answer(nodes, monkeypatch)
        assert await links.delete(nodes.a, "orders", "c")
        assert nodes.c.copies.all() == []
        group, _ = await shown(nodes)
        assert (group["health"], group["reroutes"]) == ("protected", [])

    run(tmp_path, scenario)


def test_the_drawing_follows_the_far_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(nodes: Nodes) -> None:
        await membership.forget(nodes.c, "b")
        await lose_an_answer(nodes, monkeypatch)
        (root,) = (await topology.document(nodes.a, "orders"))["groups"][0]["roots"]
        assert sorted(each["node"] for each in root["copies"]) == ["b", "c"]

    run(tmp_path, scenario)
