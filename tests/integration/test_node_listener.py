"""The port for peers: sockets reach the right engine, and strangers cannot hold it up (R8)."""

import asyncio
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from farshore.errors import FarshoreError
from farshore.node import engines, groups, links, listener, membership, tls
from farshore.node.conversation import closing
from farshore.node.dial import dial
from farshore.node.intent import GroupWish, VolumeWish
from farshore.node.links import LinkWish
from farshore.node.node import Node
from farshore.node.peer_client import ask
from farshore.wire import preface
from farshore.wire.preface import Preface, PrefaceKind
from tests.integration.live_nodes import MIB, pair, running, size_of, until


async def connect(node: Node, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(node.listening.host, node.listening.port)
    writer.write(data)
    await writer.drain()
    return reader, writer


async def answer(node: Node, data: bytes) -> bytes:
    """All that the node sends before it closes, to a connection that begins with `data`."""
    reader, writer = await connect(node, data)
    try:
        async with asyncio.timeout(15):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def test_a_links_socket_reaches_its_engine_and_no_byte_is_lost(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pair(tmp_path) as (a, b):
            stored = await groups.create(a, GroupWish("g", (VolumeWish("v", str(tmp_path / "v.img"), MIB),)))
            link = await links.create(a, "g", LinkWish("b"))
            greeting = preface.encode(Preface(PrefaceKind.LINK, stored.config.group, link.spec.id))
            assert await answer(b, greeting) == b"adopted " + greeting
            reader, writer = await connect(b, greeting[:10])
            writer.write(greeting[10:63])
            await writer.drain()
            writer.write(greeting[63:] + b"more")
            assert await reader.readexactly(8 + 64) == b"adopted " + greeting
            writer.close()
            # the primary's own node is no follower of that link
            assert preface.decode_refusal(await answer(a, greeting)) == "not-found"
            # who takes itself for the primary hears from the primary's engine whether it may be one
            another = preface.encode(Preface(PrefaceKind.LINK, stored.config.group, b"l" * 16))
            assert await answer(a, another) == b"adopted " + another
            assert preface.decode_refusal(await answer(b, another)) == "not-found"

    asyncio.run(scenario())


def test_a_socket_whose_engine_does_not_answer_in_time_is_left_to_that_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "ASK_SECONDS", 1.0)

    async def scenario() -> None:
        async with pair(tmp_path) as (a, b):
            stored = await groups.create(
                a, GroupWish("g", (VolumeWish("late", str(tmp_path / "v.img"), MIB),))
            )
            link = await links.create(a, "g", LinkWish("b"))
            greeting = preface.encode(Preface(PrefaceKind.LINK, stored.config.group, link.spec.id))
            reader, writer = await connect(b, greeting)
            async with asyncio.timeout(15):
                assert await reader.readexactly(8) == b"adopted "
                writer.write(b"a frame")
                await writer.drain()
                assert await reader.read() == b"heard a frame", "and no refusal of the node's"
            writer.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "data",
    [
        os.urandom(64),
        bytes(64),
        b"GET / HTTP/1.1\r\nHost: farshore.example\r\nAccept: text/html\r\nConnection: close\r\n\r\n",
        preface.encode(Preface(PrefaceKind.LINK, b"g" * 16, b"l" * 16)),
        preface.encode(Preface(PrefaceKind.CONTROL)) + b"no tls at all, but a lot of words" * 20,
        preface.encode(Preface(PrefaceKind.PAIRING)) + b"\x16\x03\x01\x00\xff" + os.urandom(300),
    ],
    ids=["random", "zeroes", "http", "unknown link", "plaintext", "broken tls"],
)
def test_nonsense_is_closed_and_the_node_goes_on(tmp_path: Path, data: bytes) -> None:
    async def scenario() -> None:
        async with pair(tmp_path) as (a, b):
            said = await answer(b, data)
            assert len(said) < 64, "at most a TLS alert"
            assert await ask(a.identity, a.peers.named("b"), "ping", {}, 5) == b.about()

    asyncio.run(scenario())


def test_a_slow_drip_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "PREFACE_SECONDS", 0.3)

    async def scenario() -> None:
        async with running(tmp_path / "b", "b") as b:
            assert await answer(b.node, b"FShp") == b""
            await until(lambda: b.listener.half_open == 0)

    asyncio.run(scenario())


def test_half_open_connections_are_bounded_and_the_oldest_give_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "MOST_HALF_OPEN", 16)

    async def scenario() -> None:
        async with pair(tmp_path) as (a, b), running(tmp_path / "c", "c") as c:
            where = (c.node.listening.host, c.node.listening.port)
            idle = [socket.create_connection(where) for _ in range(40)]
            try:
                await until(lambda: c.listener.half_open == 16)
                idle[0].settimeout(10)
                gone = await asyncio.to_thread(idle[0].recv, 1)
                assert gone == b""
                where = (b.listening.host, b.listening.port)
                idle += [socket.create_connection(where) for _ in range(40)]
                assert await ask(a.identity, a.peers.named("b"), "ping", {}, 5) == b.about()
                assert c.listener.half_open == 16
            finally:
                for each in idle:
                    each.close()

    asyncio.run(scenario())


def test_an_oversized_message_of_a_stranger_is_cut_off(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "b", "b") as b:
            conversation = await dial(str(b.node.listening), PrefaceKind.PAIRING, tls.dialling_stranger())
            async with closing(conversation):
                with pytest.raises(FarshoreError) as caught:
                    await conversation.call("begin", {"padding": "x" * (1 << 20)}, 10)
                assert caught.value.code.name == "unreachable"

    asyncio.run(scenario())


def test_an_engine_that_cannot_start_is_named_to_the_peers_that_would_feed_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pair(tmp_path) as (a, b):
            stored = await groups.create(a, GroupWish("g", (VolumeWish("v", str(tmp_path / "v.img"), MIB),)))
            link = await links.create(a, "g", LinkWish("b"))
            (placed,) = b.copies.all()
            seen = b.supervisor.seen(placed.key)
            assert seen is not None
            greeting = preface.encode(Preface(PrefaceKind.LINK, stored.config.group, link.spec.id))
            # A copy whose volume is not there is none that is gone: that would be answered with another one.
            for code, told in (("size-mismatch", "size-mismatch"), ("not-found", "io-error")):
                seen.error = FarshoreError(code, "what ails the volume")
                # What a feeder sends next is on its way already, and does not push the answer out.
                assert preface.decode_refusal(await answer(b, greeting + b"\x16" * 600)) == told

    asyncio.run(scenario())


def test_a_feeder_that_was_replaced_is_told_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pair(tmp_path) as (a, b):
            stored = await groups.create(a, GroupWish("g", (VolumeWish("v", str(tmp_path / "v.img"), MIB),)))
            link = await links.create(a, "g", LinkWish("b"))
            (placed,) = b.copies.all()
            assert placed.config.upstream is not None
            upstream = replace(placed.config.upstream, epoch=5)
            b.put(replace(placed, config=replace(placed.config, upstream=upstream)))
            old = preface.encode(Preface(PrefaceKind.LINK, stored.config.group, link.spec.id, 4))
            assert preface.decode_refusal(await answer(b, old)) == "wrong-feeder"
            for epoch in (0, 5):
                now = preface.encode(Preface(PrefaceKind.LINK, stored.config.group, link.spec.id, epoch))
                assert (await answer(b, now)).startswith(b"adopted")

    asyncio.run(scenario())


def test_a_copy_that_cannot_be_read_is_not_said_to_be_gone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pair(tmp_path) as (_, b):
            greeting = preface.encode(Preface(PrefaceKind.LINK, b"g" * 16, b"l" * 16))
            assert preface.decode_refusal(await answer(b, greeting)) == "not-found"
            path = b.paths.copies / "g" / "g"
            b.copies.unreadable[path] = FarshoreError("state-damaged", f"{path}/copy.json cannot be read")
            assert preface.decode_refusal(await answer(b, greeting)) == "state-damaged"

    asyncio.run(scenario())


def test_a_copy_whose_link_is_gone_may_be_deleted_where_it_lies(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pair(tmp_path) as (a, b):
            stored = await groups.create(a, GroupWish("g", (VolumeWish("v", str(tmp_path / "v.img"), MIB),)))
            await links.create(a, "g", LinkWish("b"))
            current = a.copies.get(stored.key)
            assert current is not None
            a.put(replace(current, config=replace(current.config, links=())))  # b was not told
            path = a.paths.copies / "h" / "h"
            a.copies.unreadable[path] = FarshoreError("state-damaged", f"{path}/copy.json cannot be read")
            with pytest.raises(FarshoreError, match="is fed by a"):
                await groups.delete(b, "g")  # it may be the one that feeds it
            a.copies.unreadable.clear()
            await groups.delete(b, "g")
            assert not b.copies.all()

    asyncio.run(scenario())


def test_a_forgotten_peer_feeds_no_copy_any_more(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pair(tmp_path) as (a, b):
            stored = await groups.create(a, GroupWish("g", (VolumeWish("v", str(tmp_path / "v.img"), MIB),)))
            link = await links.create(a, "g", LinkWish("b"))
            (placed,) = b.copies.all()
            with pytest.raises(FarshoreError) as caught:
                await groups.delete(b, "g")
            assert caught.value.code.name == "wrong-role"
            await membership.forget(b, "a")
            greeting = preface.encode(Preface(PrefaceKind.LINK, stored.config.group, link.spec.id))
            assert preface.decode_refusal(await answer(b, greeting)) == "unknown-peer"
            assert size_of(placed.config.volumes[0].path) == MIB
            await groups.delete(b, "g")
            assert size_of(placed.config.volumes[0].path) == MIB

    asyncio.run(scenario())
