"""Links that begin at a secondary, made there or from above it, and what is refused of them."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from farshore.model.options import Mode
from farshore.node import hops, links, reroute, status
from farshore.node.links import LinkWish
from tests.integration.chain_of_nodes import chain, everything, refused, several
from tests.integration.live_nodes import asked, until


def test_a_hop_is_made_at_the_node_that_holds_the_secondary(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            await links.create(nodes.a, "orders", LinkWish("b"))
            link = await links.create(nodes.b, "orders", LinkWish("c", options={"mode": "sync"}))
            assert link.spec.options.mode is Mode.SYNC
            assert nodes.upstream("c").peer == nodes.print_of("b")
            assert nodes.upstream("c").above == (nodes.print_of("a"),)
            (stored,) = nodes.b.copies.all()
            assert asked(stored, "reload")
            (group,) = (await status.document(nodes.b))["groups"]
            assert group["role"] == "secondary"
            assert [each["name"] for each in group["links"]] == ["c"]

    asyncio.run(scenario())


def test_a_hop_is_made_from_above_and_shown_with_its_state(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc", "ac") as nodes:  # a need not know c
            made = await chain(nodes, options={"mode": "async", "max_rate": 4096})
            assert (made["name"], made["via"], made["peer"]) == ("c", "b", "c")
            (hop,) = nodes.copy("b").links
            assert hop.asked_by == nodes.print_of("a")
            assert hop.spec.options.max_rate == 4096
            shown = {each["name"]: each for each in await hops.documents(nodes.a, "orders")}
            assert shown.keys() == {"b", "c"}
            assert shown["b"]["via"] is None
            assert (shown["c"]["via"], shown["c"]["state"]) == ("b", "replicating")
            (group,) = (await status.document(nodes.a))["groups"]
            assert [each["name"] for each in group["links"]] == ["b"]
            assert group["hops"] == [{"name": "c", "via": "b", "peer": "c", "mode": "async"}]

    asyncio.run(scenario())


def test_a_hop_is_set_and_deleted_from_where_it_was_made(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            await chain(nodes)
            changed = await hops.change(nodes.a, "orders", "c", {"rpo": 7.0})
            assert changed["options"]["rpo"] == 7.0
            assert nodes.copy("b").links[0].spec.options.rpo == 7.0
            before = everything(nodes)
            await refused("usage", hops.change(nodes.a, "orders", "c", {"on_full": "block"}))
            assert everything(nodes) == before
            assert await hops.delete(nodes.a, "orders", "c")
            assert nodes.c.copies.all() == []
            assert nodes.copy("b").links == nodes.copy("a").hops == ()

    asyncio.run(scenario())


def test_a_wish_whose_answer_was_lost_finds_the_hop_that_it_made(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            first = await chain(nodes)
            (stored,) = nodes.a.copies.all()
            nodes.a.put(replace(stored, config=replace(stored.config, hops=())))  # a died before it wrote it
            again = await hops.create(nodes.a, "orders", LinkWish("c", options={"rpo": 9.0}), "b")
            assert again["id"] == first["id"]
            assert len(nodes.copy("b").links) == 1
            assert nodes.copy("b").links[0].spec.options.rpo == 9.0
            another = await hops.create(nodes.a, "orders", LinkWish("c"), "b")  # a second copy at c
            assert (another["name"], len(nodes.c.copies.all())) == ("c-2", 2)

    asyncio.run(scenario())


def test_the_copy_that_feeds_is_chosen_where_a_node_holds_several(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            for name in ("m1", "m2"):
                await links.create(nodes.a, "orders", LinkWish("b", name=name))
            await refused("usage", hops.create(nodes.a, "orders", LinkWish("c"), "b"))
            await refused("usage", links.create(nodes.b, "orders", LinkWish("c")))
            await refused("not-found", hops.create(nodes.a, "orders", LinkWish("c"), "b/m3"))
            made = await hops.create(nodes.a, "orders", LinkWish("c"), "b/m2")
            assert made["via_copy"] == "m2"
            here = await hops.create(nodes.b, "orders", LinkWish("c", name="far"), "b/m1")
            feeding = {each.config.copy_name: each.config.links for each in nodes.b.copies.all()}
            assert [each.spec.name for each in feeding["m2"]] == ["c"]
            assert [each.spec.name for each in feeding["m1"]] == [here["name"]] == ["far"]

    asyncio.run(scenario())


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"on_outage": "freeze", "mode": "sync"}, {"on_full": "block"}])
def test_a_hop_holds_no_application(tmp_path: Path, options: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            await links.create(nodes.a, "orders", LinkWish("b"))
            before = everything(nodes)
            for wish in (
                links.create(nodes.b, "orders", LinkWish("c", options=options)),
                hops.create(nodes.a, "orders", LinkWish("c", options=options), "b"),
            ):
                error = await refused("usage", wish)
                assert "no application" in error.what
            assert everything(nodes) == before

    asyncio.run(scenario())


def test_a_ring_is_refused_wherever_it_would_be_closed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            await chain(nodes)
            before = everything(nodes)
            for wish in (
                links.create(nodes.b, "orders", LinkWish("a")),
                links.create(nodes.c, "orders", LinkWish("a", name="back")),
                links.create(nodes.c, "orders", LinkWish("b", name="back")),
                hops.create(nodes.a, "orders", LinkWish("a"), "b"),
                reroute.reroute(nodes.a, "orders", "b", "c"),
            ):
                error = await refused("ring", wish)
                assert "ring" in error.what, error.what
            assert everything(nodes) == before

    asyncio.run(scenario())


def test_a_ring_is_found_where_who_feeds_whom_has_changed_since(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abcd") as nodes:
            await links.create(nodes.a, "orders", LinkWish("b"))
            await links.create(nodes.a, "orders", LinkWish("c"))
            await links.create(nodes.c, "orders", LinkWish("d"))
            await reroute.reroute(nodes.a, "orders", "c", "b")  # a -> b -> c -> d
            error = await refused("ring", reroute.reroute(nodes.a, "orders", "b", "d"))
            assert "ring" in error.what
            nodes.c.peers.set_address("b", "127.0.0.1:1")  # what c was told stands in
            nodes.d.peers.set_address("c", "127.0.0.1:1")
            above = (nodes.print_of("c"), nodes.print_of("b"), nodes.print_of("a"))
            await until(
                lambda: (nodes.upstream("d").peer, *nodes.upstream("d").above) == above, what="d to hear"
            )
            await refused("ring", reroute.reroute(nodes.a, "orders", "b", "d"))

    asyncio.run(scenario())


def test_a_hop_that_cannot_be_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abcd", "bd") as nodes:
            await links.create(nodes.a, "orders", LinkWish("b"))
            await links.create(nodes.a, "orders", LinkWish("c"))
            before = everything(nodes)
            create = hops.create
            error = await refused("not-found", create(nodes.a, "orders", LinkWish("d"), "b"))
            assert error.what == "b is not paired with d"
            await refused("not-found", create(nodes.a, "orders", LinkWish("c"), "nobody"))
            await refused("usage", create(nodes.a, "orders", LinkWish("c"), "b/C/x"))
            await refused("usage", create(nodes.a, "orders", LinkWish("b"), "b"))
            await refused("not-found", create(nodes.a, "orders", LinkWish("b"), "d"))  # d has no copy
            await refused("exists", create(nodes.a, "orders", LinkWish("c", name="b"), "b"))
            error = await refused("wrong-feeder", create(nodes.c, "orders", LinkWish("a", name="x"), "b"))
            assert "run the command on b" in error.next_step  # c does not feed b
            assert everything(nodes) == before
            # The copy at c has its feeder, and a copy of that name is not given a second one.
            error = await refused("wrong-feeder", links.create(nodes.b, "orders", LinkWish("c")))
            assert "--name" in error.next_step
            assert everything(nodes) == before

    asyncio.run(scenario())


def test_a_link_is_not_deleted_while_its_copy_feeds_others(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            await chain(nodes)
            before = everything(nodes)
            error = await refused("wrong-state", hops.delete(nodes.a, "orders", "b"))
            assert "feeds others itself: c" in error.what
            assert everything(nodes) == before

    asyncio.run(scenario())
