"""A far copy gets another feeder: who may say so, what each node remembers, and what is drawn of it."""

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from farshore.model.options import ResyncKind
from farshore.node import chains, commands, hops, links, membership, pointing, reroute, status, topology
from farshore.node.links import LinkWish
from farshore.node.peer_client import ask
from tests.integration.chain_of_nodes import chain, everything, refused, several
from tests.integration.live_nodes import asked, kinds


def test_a_far_copy_is_fed_from_here_when_the_node_between_is_dead(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            made = await chain(nodes, options={"rpo": 7.0})
            await nodes.stop("b")
            answer = await reroute.reroute(nodes.a, "orders", "c", "a")
            assert (answer["via"], answer["epoch"], answer["old_feeder_told"]) == ("a", 2, False)
            upstream = nodes.upstream("c")
            assert (upstream.peer, upstream.epoch, upstream.above) == (nodes.print_of("a"), 2, ())
            assert upstream.link.hex() == made["id"]
            (stored,) = nodes.c.copies.all()
            assert asked(stored, "reload")
            assert (stored.directory / "peers" / f"{nodes.print_of('a')}.pem").exists()
            link = links.find(nodes.copy("a"), "c")
            assert (link.spec.epoch, link.spec.options.rpo, link.spec.options.first) == (2, 7.0, "digest")
            assert nodes.copy("a").hops == ()
            (tree,) = (await topology.document(nodes.a, "orders"))["groups"][0]["roots"]
            assert {each["node"]: each["seen"] for each in tree["copies"]} == {"b": False, "c": True}

    asyncio.run(scenario())


def test_a_middle_node_that_is_back_is_refused_and_can_be_pointed_at_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            await chain(nodes)
            await nodes.stop("b")
            await reroute.reroute(nodes.a, "orders", "c", "a")
            await nodes.start("b")
            for other in (nodes.a, nodes.c):
                await membership.set_address(other, "b", str(nodes.b.listening))
            (stale,) = nodes.copy("b").links
            assert stale.spec.epoch == 1
            c = nodes.b.peers.named("c")
            args = {"group": nodes.copy("b").group.hex(), "link": stale.spec.id.hex(), "epoch": 1}
            for op in ("remove-copy", "whose-copy"):
                await refused("wrong-feeder", ask(nodes.b.identity, c, op, args, 5.0))
            await refused("wrong-feeder", reroute.reroute(nodes.b, "orders", "c", "b"))
            answer = await reroute.reroute(nodes.a, "orders", "c", "b")
            assert (answer["epoch"], answer["old_feeder_told"]) == (3, True)
            upstream = nodes.upstream("c")
            assert (upstream.peer, upstream.epoch) == (nodes.print_of("b"), 3)
            assert upstream.above == (nodes.print_of("a"),)
            (taken,) = nodes.copy("b").links
            assert (taken.spec.id, taken.spec.epoch, taken.left_for) == (stale.spec.id, 3, "")
            (left,) = [each for each in nodes.copy("a").links if each.spec.name == "c"]
            assert left.left_for == "b"
            assert [each.via_name for each in nodes.copy("a").hops] == ["b"]
            shown = [each for each in await hops.documents(nodes.a, "orders") if each["name"] == "c"]
            assert [(each["via"], each["epoch"]) for each in shown] == [("b", 3)]
            assert await hops.delete(nodes.a, "orders", "c")
            assert nodes.c.copies.all() == []
            assert [each.spec.name for each in nodes.copy("a").links] == ["b"]

    asyncio.run(scenario())


def test_a_reroute_that_was_cut_off_is_finished_by_the_same_command(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            await chain(nodes)
            upstream, c = nodes.upstream("c"), nodes.a.peers.named("c")
            wish = pointing.Pointing(nodes.copy("a").group, upstream.link, 2, nodes.print_of("a"), ())
            await ask(nodes.a.identity, c, "point-copy", wish.to_json(), 5.0)  # and then a died
            assert nodes.upstream("c").peer == nodes.print_of("a")
            assert [each.spec.name for each in nodes.copy("a").links] == ["b"]
            answer = await reroute.reroute(nodes.a, "orders", "c", "a")
            assert answer["epoch"] == nodes.upstream("c").epoch == 3
            assert links.find(nodes.copy("a"), "c").spec.epoch == 3

    asyncio.run(scenario())


def test_a_reroute_whose_end_was_not_written_down_is_written_down_by_the_same_command(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            await chain(nodes)
            await reroute.reroute(nodes.a, "orders", "c", "a")
            (before,) = nodes.a.copies.all()
            await reroute.reroute(nodes.a, "orders", "c", "b")
            nodes.a.put(before)  # a died before it wrote anything down
            answer = await reroute.reroute(nodes.a, "orders", "c", "b")
            assert answer["epoch"] == nodes.upstream("c").epoch == 3
            assert [each.via_name for each in nodes.copy("a").hops] == ["b"]
            assert [each.left_for for each in nodes.copy("a").links] == ["", "b"]
            error = await refused("wrong-state", reroute.reroute(nodes.a, "orders", "c", "b"))
            assert "feeds the copy of orders at c already" in error.what

    asyncio.run(scenario())


def test_a_feeder_that_does_not_take_the_link_is_named(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            await links.create(nodes.a, "orders", LinkWish("b"))
            await links.create(nodes.b, "orders", LinkWish("c", name="far"))
            (stored,) = nodes.a.copies.all()
            (stored.directory / "refuses").write_text("far")
            error = await refused("wrong-state", reroute.reroute(nodes.a, "orders", "far", "a"))
            assert "a was to feed c" in error.what
            assert "c waits for a" in error.means
            assert [each.spec.name for each in nodes.copy("a").links] == ["b"]
            (stored.directory / "refuses").unlink()
            assert (await reroute.reroute(nodes.a, "orders", "far", "a"))["epoch"] == 3

    asyncio.run(scenario())


def test_a_hop_is_paused_and_resynced_where_it_begins_and_not_while_it_rests(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            await chain(nodes)
            (stored,) = nodes.b.copies.all()
            await commands.pause(nodes.b, "orders", "c", 1.0)
            await commands.resync(nodes.b, "orders", None, commands.ResyncWish(ResyncKind.UPDATE))
            assert asked(stored, "pause")[-1]["link"] == "c"
            assert asked(stored, "resync")[-1]["link"] is None
            error = await refused("wrong-role", commands.pause(nodes.a, "orders", "c", None))
            assert error.next_step == "run the command on b"
            await reroute.reroute(nodes.a, "orders", "c", "a")
            resync = commands.resync(nodes.b, "orders", "c", commands.ResyncWish(ResyncKind.FULL))
            error = await refused("wrong-feeder", resync)
            assert "a feeds c" in error.what
            before = len(asked(stored, "resync"))
            answer = await commands.resync(nodes.b, "orders", None, commands.ResyncWish(ResyncKind.UPDATE))
            assert (answer["links"], len(asked(stored, "resync"))) == ([], before)

    asyncio.run(scenario())


def test_a_feeder_that_answers_is_told_to_rest(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            await chain(nodes)
            answer = await reroute.reroute(nodes.a, "orders", "c", "a")
            assert answer["old_feeder_told"]
            (left,) = nodes.copy("b").links
            assert left.left_for == "a"
            (group,) = (await status.document(nodes.b))["groups"]
            assert "a feeds c" in group["links"][0]["why"]
            assert "link-left" in kinds(nodes.b)
            roots = (await topology.document(nodes.b, "orders"))["groups"][0]["roots"]
            ((b, c),) = [sorted(each["copies"], key=lambda one: one["node"]) for each in roots]
            assert (b["node"], b["copies"], c["node"]) == ("b", [], "c")
            await refused("wrong-state", reroute.reroute(nodes.a, "orders", "c", "a"))
            assert await links.delete(nodes.b, "orders", "c")  # a's copy at c is not touched by that
            assert nodes.upstream("c").peer == nodes.print_of("a")

    asyncio.run(scenario())


def test_a_link_that_was_made_elsewhere_is_found_by_the_copy_that_it_feeds(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            await links.create(nodes.a, "orders", LinkWish("b"))
            await links.create(nodes.b, "orders", LinkWish("c"))
            await nodes.stop("b")
            answer = await reroute.reroute(nodes.a, "orders", "c", "a")
            assert answer["epoch"] == 2
            assert nodes.upstream("c").peer == nodes.print_of("a")
            await refused("not-found", reroute.reroute(nodes.a, "orders", "d", "a"))

    asyncio.run(scenario())


def test_only_who_is_above_a_copy_points_it_elsewhere(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abcd", "cd") as nodes:
            await chain(nodes)
            await links.create(nodes.a, "orders", LinkWish("d"))
            before = everything(nodes)
            link = nodes.upstream("c").link
            c = {name: nodes.opened[name].node.peers.named("c") for name in "ab"}

            def point(who: str, **other: Any) -> Awaitable[Any]:
                made = {"epoch": 2, "feeder": nodes.print_of("a"), "above": []}
                args = {"group": nodes.copy("a").group.hex(), "link": link.hex(), **made, **other}
                return ask(nodes.opened[who].node.identity, c[who], "point-copy", args, 5.0)

            await refused("wrong-feeder", point("a", epoch=1))
            error = await refused("wrong-state", point("a", feeder=nodes.print_of("d")))
            assert "not paired" in error.what
            await refused("ring", point("b", above=[nodes.print_of("c")]))
            for nonsense in ({"epoch": -1}, {"feeder": "b"}, {"above": "b"}, {"above": ["x"] * 99}):
                await refused("protocol", point("a", **nonsense))
            error = await refused("wrong-state", reroute.reroute(nodes.a, "orders", "c", "d"))
            assert "d is not paired with c" in error.what
            assert everything(nodes) == before
            await reroute.reroute(nodes.a, "orders", "c", "a")
            await refused("wrong-feeder", point("b", epoch=9))  # it is not above c any more

    asyncio.run(scenario())


def test_what_is_said_of_a_chain_is_for_those_whom_it_concerns(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            await chain(nodes)
            group, link = nodes.copy("a").group.hex(), nodes.upstream("c").link.hex()
            args = {"group": group, "link": link, "seconds": 5.0, "most": 9}
            b = {name: nodes.opened[name].node.peers.named("b") for name in "ac"}
            answer = await ask(nodes.c.identity, b["c"], "chain", args, 5.0)
            assert [each["name"] for each in answer["chain"]] == ["b", "a"]
            await refused("not-found", ask(nodes.a.identity, b["a"], "chain", args, 5.0))
            (stored,) = nodes.c.copies.all()
            assert [each.copy for each in await chains.above(nodes.c, stored)] == [
                nodes.copy("b").copy.hex(),
                nodes.copy("a").copy.hex(),
            ]
            for op in ("chain", "whose-copy", "show-hops", "make-hop", "set-hop", "take-link", "leave-link"):
                await refused("protocol", ask(nodes.a.identity, b["a"], op, {"group": 7}, 5.0))
            for op in ("set-hop", "delete-hop", "leave-link"):
                wish = {**args, "epoch": 9, "for": "c", "options": {}}
                await refused("wrong-feeder", ask(nodes.c.identity, b["c"], op, wish, 5.0))
            wish = {"group": group, "links": [link]}
            await refused("wrong-feeder", ask(nodes.c.identity, b["c"], "show-hops", wish, 5.0))

    asyncio.run(scenario())


def test_a_chain_is_drawn_though_the_node_between_says_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with several(tmp_path, "abc") as nodes:
            await chain(nodes)

            async def drawn(name: str) -> Any:
                roots = (await topology.document(nodes.opened[name].node, "orders"))["groups"][0]["roots"]
                return [_drawn(each) for each in roots]

            whole: Any = [("a", True, None, [("b", True, "b", [("c", True, "c", [])])])]
            assert await drawn("a") == await drawn("b") == await drawn("c") == whole
            await nodes.stop("b")
            assert await drawn("a") == [("a", True, None, [("b", False, "b", [("c", True, "c", [])])])]
            await nodes.stop("c")
            assert await drawn("a") == [("a", True, None, [("b", False, "b", [("c", False, "c", [])])])]
            shown = {each["name"]: each for each in await hops.documents(nodes.a, "orders")}
            assert (shown["c"]["via"], shown["c"]["state"]) == ("b", None)
            error = await refused("unreachable", hops.delete(nodes.a, "orders", "c"))
            assert "farshore link reroute orders c --via a" in error.next_step

    asyncio.run(scenario())


def _drawn(branch: dict[str, Any]) -> Any:
    via = branch["via"] and branch["via"]["name"]
    return (branch["node"], branch["seen"], via, [_drawn(each) for each in branch["copies"]])
