"""Two nodes agree on a link: the copy is placed, refused or taken back, and nothing is left half done."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from farshore.errors import FarshoreError
from farshore.model.options import Mode, Role
from farshore.node import groups, links, membership, status
from farshore.node.copies import StoredCopy
from farshore.node.intent import GroupWish, VolumeWish
from farshore.node.links import LinkWish
from farshore.node.node import Node
from tests.integration.live_nodes import MIB, asked, kinds, pair, size_of, until


async def make_group(node: Node, path: Path, name: str = "orders", size: int = MIB) -> StoredCopy:
    return await groups.create(node, GroupWish(name, (VolumeWish("data", str(path), size),)))


async def refused(code: str, node: Node, wish: LinkWish) -> FarshoreError:
    """That a link is refused with this code and leaves no trace at either node."""
    with pytest.raises(FarshoreError) as caught:
        await links.create(node, "orders", wish)
    assert caught.value.code.name == code, caught.value
    assert node.copies.of_group("orders")[0].config.links == ()
    return caught.value


def test_a_link_places_a_copy_at_the_peer(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pair(tmp_path) as (a, b):
            stored = await make_group(a, tmp_path / "data.img")
            link = await links.create(a, "orders", LinkWish("b", options={"mode": "sync"}))
            assert (link.spec.name, link.spec.options.mode, link.peer_name) == ("b", Mode.SYNC, "b")
            (placed,) = b.copies.all()
            assert placed.config.role is Role.SECONDARY
            assert placed.config.group == stored.config.group
            upstream = placed.config.upstream
            assert upstream is not None
            assert (upstream.link, upstream.epoch, upstream.peer) == (
                link.spec.id,
                link.spec.epoch,
                a.identity.fingerprint,
            )
            volume = Path(placed.config.volumes[0].path)
            assert volume == (tmp_path / "b/volumes/orders/data.img").resolve()
            assert size_of(volume) == MIB
            seen = b.supervisor.seen(placed.key)
            assert seen is not None
            assert seen.running
            pin = stored.directory / "peers" / f"{b.identity.fingerprint}.pem"
            assert pin.read_text() == b.identity.certificate
            assert (placed.directory / "peers" / f"{a.identity.fingerprint}.pem").exists()
            on_disk = json.loads((stored.directory / "copy.json").read_text())
            assert on_disk["links"][0]["spec"]["id"] == link.spec.id.hex()
            assert placed.config.placed_blank
            assert json.loads((placed.directory / "copy.json").read_text())["placed_blank"] is True
            assert asked(stored, "reload")

    asyncio.run(scenario())


def test_deleting_a_link_ends_the_copy_and_keeps_its_data(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pair(tmp_path) as (a, b):
            await make_group(a, tmp_path / "data.img")
            await links.create(a, "orders", LinkWish("b"))
            (placed,) = b.copies.all()
            with pytest.raises(FarshoreError) as caught:
                await groups.delete(a, "orders")
            assert caught.value.code.name == "wrong-state"
            with pytest.raises(FarshoreError) as caught:
                await membership.forget(a, "b")
            assert caught.value.code.name == "wrong-state"
            assert await links.delete(a, "orders", "b")
            assert b.copies.all() == []
            assert not placed.directory.exists()
            assert size_of(placed.config.volumes[0].path) == MIB
            await groups.delete(a, "orders")
            assert a.copies.all() == []
            assert (tmp_path / "data.img").exists()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        (LinkWish("nobody"), "not-found"),
        (LinkWish("b", copy="c"), "not-found"),
        (LinkWish("b", name="Not A Name"), "usage"),
        (LinkWish("b", options={"mode": "sometimes"}), "usage"),
        (LinkWish("b", options={"colour": "red"}), "usage"),
        (LinkWish("b", places={"data": "relative"}), "usage"),
        (LinkWish("b", places={"other": "/x"}), "not-found"),
    ],
)
def test_a_link_that_cannot_be_is_refused(tmp_path: Path, wish: LinkWish, code: str) -> None:
    async def scenario() -> None:
        async with pair(tmp_path) as (a, b):
            await make_group(a, tmp_path / "data.img")
            await refused(code, a, wish)
            assert b.copies.all() == []

    asyncio.run(scenario())


def test_a_place_needs_a_grant_and_a_symbolic_link_does_not_help(tmp_path: Path) -> None:
    async def scenario() -> None:
        granted, secret = tmp_path / "granted", tmp_path / "secret"
        granted.mkdir()
        secret.mkdir()
        (granted / "way-out").symlink_to(secret)
        async with pair(tmp_path) as (a, b):
            await make_group(a, tmp_path / "data.img")
            error = await refused("outside-grant", a, LinkWish("b", places={"data": str(granted / "x.img")}))
            assert "node allow a --path" in error.next_step
            b.peers.allow("a", f"{granted}/**")
            out = {"data": str(granted / "way-out" / "x.img")}
            await refused("outside-grant", a, LinkWish("b", places=out))
            up = {"data": str(granted / ".." / "secret" / "x.img")}
            await refused("outside-grant", a, LinkWish("b", places=up))
            assert list(secret.iterdir()) == []
            await links.create(a, "orders", LinkWish("b", places={"data": str(granted / "x.img")}))
            assert (granted / "x.img").stat().st_size == MIB

    asyncio.run(scenario())


def test_of_an_engine_that_does_not_answer_no_state_is_made_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "STATUS_SECONDS", 0.5)

    async def scenario() -> None:
        async with pair(tmp_path) as (a, _):
            stored = await make_group(a, tmp_path / "data.img")
            await links.create(a, "orders", LinkWish("b"))
            seen = a.supervisor.seen(stored.key)
            assert seen is not None
            assert seen.pid is not None
            os.kill(seen.pid, signal.SIGSTOP)
            try:
                (group,) = (await status.document(a))["groups"]
            finally:
                os.kill(seen.pid, signal.SIGCONT)
            assert "does not answer" in group["why"]
            (link,) = group["links"]
            told = (group["health"], group["writes"], link["state"], link["reason"], link["dirty_bytes"])
            assert told == (None,) * 5

    asyncio.run(scenario())


def test_what_lies_at_a_place_is_not_overwritten(tmp_path: Path) -> None:
    async def scenario() -> None:
        place = tmp_path / "copies" / "x.img"
        place.parent.mkdir()
        async with pair(tmp_path) as (a, b):
            b.peers.allow("a", str(place))
            await make_group(a, tmp_path / "data.img")
            wish = LinkWish("b", places={"data": str(place)})
            place.write_bytes(bytes(MIB + 512))
            await refused("size-mismatch", a, wish)
            content = bytes(MIB - 512) + b"\1" * 512
            place.write_bytes(content)
            await refused("not-empty", a, wish)
            assert place.read_bytes() == content
            digest: dict[str, Any] = {"first": "digest"}
            await links.create(a, "orders", LinkWish("b", places=wish.places, options=digest))
            assert place.read_bytes() == content
            assert not b.copies.of_group("orders")[0].config.placed_blank, "nobody looked"
            await make_group(a, tmp_path / "other.img", "other")
            with pytest.raises(FarshoreError) as caught:
                await links.create(a, "other", LinkWish("b", places=wish.places, options=digest))
            assert caught.value.code.name == "in-use"

    asyncio.run(scenario())


def test_a_copy_whose_engine_does_not_start_is_taken_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pair(tmp_path) as (a, b):
            wish = GroupWish("orders", (VolumeWish("broken", str(tmp_path / "data.img"), MIB),))
            with pytest.raises(FarshoreError) as caught:
                await groups.create(a, wish)
            assert (caught.value.code.name, caught.value.next_step) == ("faulted", "mend it")
            assert a.copies.all() == []
            assert not (tmp_path / "data.img").exists()
            assert list(a.paths.copies.iterdir()) == []
            assert b.copies.all() == []

    asyncio.run(scenario())


def test_a_link_that_the_engine_refuses_is_taken_back_on_both_sides(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pair(tmp_path) as (a, b):
            await make_group(a, tmp_path / "data.img")
            await refused("wrong-state", a, LinkWish("b", name="refused"))
            assert b.copies.all() == []
            stored = a.copies.of_group("orders")[0]
            assert json.loads((stored.directory / "copy.json").read_text())["links"] == []

    asyncio.run(scenario())


def test_a_retry_adopts_what_an_interrupted_request_left_at_the_peer(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pair(tmp_path) as (a, b):
            stored = await make_group(a, tmp_path / "data.img")
            await links.create(a, "orders", LinkWish("b"))
            (first,) = b.copies.all()
            a.put(stored)  # as if the node had died before it wrote the link down
            again = await links.create(a, "orders", LinkWish("b"))
            (second,) = b.copies.all()
            assert second.key == first.key
            upstream = second.config.upstream
            assert upstream is not None
            assert (upstream.link, upstream.epoch) == (again.spec.id, 2)
            assert again.spec.epoch == 2

    asyncio.run(scenario())


def test_a_peer_whose_disk_is_full_keeps_the_copy_that_it_was_to_adopt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with pair(tmp_path) as (a, b):
            stored = await make_group(a, tmp_path / "data.img")
            await links.create(a, "orders", LinkWish("b"))
            (copy,) = b.copies.all()
            a.put(stored)  # as if the node had died before it wrote the link down

            def full(*_: object) -> StoredCopy:
                raise FarshoreError("disk-full", "no space for copy.json")

            with monkeypatch.context() as filled:
                filled.setattr(b.copies, "put", full)
                await refused("disk-full", a, LinkWish("b"))

            def runs() -> bool:
                seen = b.supervisor.seen(copy.key)
                return seen is not None and seen.running

            await until(runs, what="its engine runs again")

    asyncio.run(scenario())


def test_options_are_changed_and_nonsense_changes_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pair(tmp_path) as (a, _):
            stored = await make_group(a, tmp_path / "data.img")
            await links.create(a, "orders", LinkWish("b"))
            changed = await links.change(a, "orders", "b", {"mode": "sync", "max_rate": 1000})
            assert changed.spec.options.mode is Mode.SYNC
            for nonsense in ({"mode": "x"}, {"queue_memory": 1}, {"rpo": 0}, {"max_rate": -1}):
                with pytest.raises(FarshoreError) as caught:
                    await links.change(a, "orders", "b", nonsense)
                assert caught.value.code.name == "usage"
            assert a.copies.of_group("orders")[0].config.links == (changed,)
            assert len(asked(stored, "reload")) == 2

    asyncio.run(scenario())


def test_a_peer_that_is_back_has_its_links_tried_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pair(tmp_path) as (a, b):
            stored = await make_group(a, tmp_path / "data.img")
            await links.create(a, "orders", LinkWish("b"))
            before = len(asked(stored, "peer-back"))
            (placed,) = b.copies.all()
            seen = b.supervisor.seen(placed.key)
            assert seen is not None
            assert seen.watch is not None
            seen.watch.send(signal.SIGKILL)
            await until(lambda: "engine-ended" in kinds(b), what="b's engine has ended")
            await until(
                lambda: len(asked(stored, "peer-back")) > before, what="b's engine is back and says so"
            )
            assert asked(stored, "peer-back")[-1]["peer"] == b.identity.fingerprint

    asyncio.run(scenario())


def test_a_new_address_of_a_peer_reaches_the_engines(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pair(tmp_path) as (a, _):
            stored = await make_group(a, tmp_path / "data.img")
            await links.create(a, "orders", LinkWish("b"))
            await membership.set_address(a, "b", "127.0.0.1:1")
            assert a.copies.of_group("orders")[0].config.links[0].address == "127.0.0.1:1"
            assert len(asked(stored, "reload")) == 2

    asyncio.run(scenario())
