"""Pairing over real TLS: who gets in, and everyone who must not."""

import asyncio
import os
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from farshore.errors import FarshoreError
from farshore.node import identity, invitations, membership, pairing, tls
from farshore.node.conversation import closing
from farshore.node.dial import dial
from farshore.node.invitations import Token
from farshore.node.node import Node
from farshore.node.peer_client import ask
from farshore.node.peers import Peer
from farshore.wire.preface import PrefaceKind
from tests.integration.live_nodes import pair, running


async def expect(code: str, joining: Node, address: str, token: str) -> None:
    with pytest.raises(FarshoreError) as caught:
        await membership.join(joining, address, token)
    assert caught.value.code.name == code, caught.value
    assert joining.peers.all() == []


def address_of(node: Node) -> str:
    return str(node.listening)


def test_both_nodes_know_each_other_afterwards_also_after_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pair(tmp_path) as (a, b):
            (of_a,), (of_b,) = a.peers.all(), b.peers.all()
            assert (of_a.name, of_a.id, of_a.address) == ("b", b.identity.fingerprint, address_of(b))
            assert (of_b.name, of_b.id, of_b.address) == ("a", a.identity.fingerprint, address_of(a))
            assert await ask(a.identity, of_a, "ping", {}, 5) == b.about()
        async with running(tmp_path / "a", "a") as opened:
            assert opened.node.peers.all() == [of_a]
            assert opened.node.identity.fingerprint == of_b.id

    asyncio.run(scenario())


def test_an_invitation_is_good_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            running(tmp_path / "a", "a") as a,
            running(tmp_path / "b", "b") as b,
            running(tmp_path / "c", "c") as c,
        ):
            token = membership.invite(b.node, 60)
            await membership.join(a.node, token.address, token.encode())
            await expect("bad-token", c.node, token.address, token.encode())
            assert [peer.name for peer in b.node.peers.all()] == ["a"]

    asyncio.run(scenario())


def test_wrong_expired_and_malformed_tokens(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "a", "a") as a, running(tmp_path / "b", "b") as b:
            good = membership.invite(b.node, 60)
            where = good.address
            await expect("bad-token", a.node, where, replace(good, secret="00" * 32).encode())
            await expect("bad-token", a.node, where, replace(good, expires=1.0).encode())
            await expect("bad-token", a.node, where, good.encode()[:-9])
            await expect("bad-token", a.node, where, "hello")
            await expect("unreachable", a.node, "127.0.0.1:1", good.encode())
            assert b.node.peers.all() == []
            # nothing of that has used the invitation up
            await membership.join(a.node, where, good.encode())
            await membership.join(a.node, where, membership.invite(b.node, 60).encode())
            assert len(b.node.peers.all()) == 1
            assert good.secret not in (tmp_path / "b" / "invitations.json").read_text()

    asyncio.run(scenario())


def test_a_token_of_another_node_sends_it_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            running(tmp_path / "a", "a") as a,
            running(tmp_path / "b", "b") as b,
            running(tmp_path / "c", "c") as c,
        ):
            token = membership.invite(b.node, 60)
            await expect("unknown-peer", a.node, address_of(c.node), token.encode())
            assert c.node.peers.all() == []
            await membership.join(a.node, address_of(b.node), token.encode())

    asyncio.run(scenario())


def test_a_certificate_without_its_key_is_not_admitted(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "b", "b") as b:
            token = membership.invite(b.node, 60)
            _, victim = identity.make_certificate("victim")
            own_key, _ = identity.make_certificate("thief")
            (tmp_path / "key.pem").write_bytes(own_key)
            thief = identity.Identity("00" * 32, victim.decode(), tmp_path / "x.pem", tmp_path / "key.pem")
            error = await introduce(token, thief)
            assert error.code.name == "bad-token"
            assert b.node.peers.all() == []
            invitations.Invitations(b.node.paths.invitations).check(token.secret, 0.0)

    asyncio.run(scenario())


async def introduce(token: Token, own: identity.Identity) -> FarshoreError:
    """What the inviting node answers to an introduction with this identity."""
    conversation = await dial(token.address, PrefaceKind.PAIRING, tls.dialling_stranger())
    async with closing(conversation):
        begun = await conversation.call("begin", {}, 5)
        victim = identity.fingerprint_of_pem(own.certificate)
        signed = own.sign(pairing.proof(token.fingerprint, victim, bytes.fromhex(begun["nonce"])))
        introduction = {
            "secret": token.secret,
            "name": "victim",
            "listen": "127.0.0.1:7411",
            "certificate": own.certificate,
            "signature": signed.hex(),
        }
        with pytest.raises(FarshoreError) as caught:
            await conversation.call("join", introduction, 5)
    return caught.value


def test_a_node_with_a_taken_name_or_the_own_name_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pair(tmp_path) as (_, b), running(tmp_path / "other", "a") as other:
            token = membership.invite(b, 60)
            await expect("exists", other.node, token.address, token.encode())
            own = membership.invite(b, 60)
            with pytest.raises(FarshoreError):
                await membership.join(b, own.address, own.encode())
            assert [peer.name for peer in b.peers.all()] == ["a"]

    asyncio.run(scenario())


def test_strangers_are_not_served(tmp_path: Path) -> None:
    """No certificate, another certificate, a forgotten peer: none gets an answer (R8)."""

    async def scenario() -> None:
        async with pair(tmp_path) as (a, b), running(tmp_path / "c", "c") as c:
            stranger = Peer("b", b.identity.fingerprint, address_of(b), b.identity.certificate)
            with pytest.raises(FarshoreError) as caught:
                await ask(c.node.identity, stranger, "ping", {}, 5)
            assert caught.value.code.name == "unknown-peer"
            conversation = await dial(address_of(b), PrefaceKind.CONTROL, tls.dialling_stranger())
            async with closing(conversation):
                with pytest.raises(FarshoreError) as caught:
                    await conversation.welcomed(address_of(b), 5)
            assert caught.value.code.name == "unknown-peer"
            impostor = replace(stranger, address=address_of(c.node))
            with pytest.raises(FarshoreError) as caught:
                await ask(a.identity, impostor, "ping", {}, 5)
            assert caught.value.code.name == "unknown-peer"
            await membership.forget(b, "a")
            with pytest.raises(FarshoreError) as caught:
                await ask(a.identity, a.peers.named("b"), "ping", {}, 5)
            assert caught.value.code.name == "unknown-peer"

    asyncio.run(scenario())


def test_a_peer_may_not_ask_for_a_copy_that_another_feeds(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pair(tmp_path) as (a, b):
            wish: dict[str, object] = {
                "group": os.urandom(16).hex(),
                "group_name": "g",
                "copy_name": "b",
                "link": os.urandom(16).hex(),
                "epoch": 1,
                "feeder": "00" * 32,
                "volumes": [{"id": 0, "name": "v", "size": 512}],
                "region": 32768,
                "extent": 4 << 20,
                "hot_extents": 8,
                "wire": "tls",
                "first": "full",
                "places": {},
            }
            own = {"feeder": a.identity.fingerprint}
            for bad in ({}, {**own, "group_name": "../up"}, {**own, "epoch": "x"}, {**own, "volumes": []}):
                with pytest.raises(FarshoreError):
                    await ask(a.identity, a.peers.named("b"), "place-copy", wish | bad, 10)
            with pytest.raises(FarshoreError) as caught:
                await ask(a.identity, a.peers.named("b"), "format-disk", {}, 10)
            assert caught.value.code.name == "usage"
            assert b.copies.all() == []

    asyncio.run(scenario())


def test_both_directions_speak_tls_1_3(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pair(tmp_path) as (a, b):
            context = tls.dialling_peer(a.identity, b.identity.certificate)
            conversation = await dial(address_of(b), PrefaceKind.CONTROL, context)
            async with closing(conversation):
                assert conversation.writer.get_extra_info("ssl_object").version() == "TLSv1.3"
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            with pytest.raises(FarshoreError):
                await dial(address_of(b), PrefaceKind.CONTROL, context)

    asyncio.run(scenario())
