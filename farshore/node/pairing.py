"""How two nodes learn each other's certificate, from a token that an operator carries across.

Why it is sound. The token holds the inviting node's fingerprint and a secret. In TLS 1.3 the accepting
end proves that it holds the key of the certificate it shows; the joiner compares that certificate's
fingerprint with the token's before it sends anything, so from there on it speaks to the inviter and
nobody between can read or change a byte: the secret reaches the inviter alone. The inviter admits whoever
brings the secret, and needs to know that the certificate to pin is really that node's: the joiner signs,
with that certificate's key, both fingerprints and a nonce that the inviter drew for this connection.
A signature made for another inviter or another connection does not fit, so a certificate cannot be
introduced by someone who does not hold its key. The secret is spent, durably, before the peer is recorded.

A lost answer leaves the inviter knowing a peer that does not know it; pairing again renews the entry.
"""

from __future__ import annotations

import secrets
import ssl
import time
from dataclasses import dataclass

from farshore.errors import FarshoreError, ProtocolError
from farshore.node import addresses, identity, tls
from farshore.node.conversation import Conversation, closing
from farshore.node.dial import dial
from farshore.node.identity import Identity
from farshore.node.invitations import Invitations, Token
from farshore.node.peers import Peer, PeerBook
from farshore.wire.control import Reply, Request
from farshore.wire.preface import PrefaceKind

PAIRING_SECONDS = 10.0
_PURPOSE = b"farshore pairing 1"


@dataclass(frozen=True, slots=True)
class Household:
    """What pairing needs of the node that it runs in."""

    identity: Identity
    name: str
    listening: addresses.Address
    peers: PeerBook
    invitations: Invitations


def proof(inviter: str, joiner: str, nonce: bytes) -> bytes:
    """What the joiner signs; every part has a fixed length."""
    return _PURPOSE + bytes.fromhex(inviter) + bytes.fromhex(joiner) + nonce


async def join(home: Household, address: str, token: Token) -> Peer:
    """Pairs with the node that made the token, found at `address`.

    Raises FarshoreError `bad-token`, `unknown-peer`, `exists`, `unreachable`, `timeout` or `protocol`;
    nothing was recorded here then.
    """
    if time.time() >= token.expires:
        raise FarshoreError(
            "bad-token",
            "the invitation has expired",
            means="nothing was changed on either node",
            next_step="make a new one at the inviting node with: farshore node invite",
        )
    conversation = await dial(address, PrefaceKind.PAIRING, tls.dialling_stranger())
    async with closing(conversation):
        if tls.fingerprint_at_other_end(conversation.writer) != token.fingerprint:
            raise FarshoreError(
                "unknown-peer",
                f"the node at {address} is not the one that made the token",
                means="nothing was sent to it",
                next_step="check the address; if it is right, somebody stands between the two nodes",
            )
        secured = conversation.writer.get_extra_info("ssl_object")
        certificate = ssl.DER_cert_to_PEM_cert(secured.getpeercert(binary_form=True))
        begun = await conversation.call("begin", {}, PAIRING_SECONDS)
        name = str(begun.get("name"))
        home.peers.check_addable(name, certificate)
        result = await conversation.call("join", _introduction(home, token, begun), PAIRING_SECONDS)
    if result.get("id") != token.fingerprint:
        raise ProtocolError("the inviting node answered with another id than its own")
    return home.peers.add(name, certificate, address)


def _introduction(home: Household, token: Token, begun: dict[str, object]) -> dict[str, object]:
    try:
        nonce = bytes.fromhex(str(begun.get("nonce")))
    except ValueError as error:
        raise ProtocolError("the inviting node's nonce is not hexadecimal") from error
    own = home.identity
    return {
        "secret": token.secret,
        "name": home.name,
        "listen": str(home.listening),
        "certificate": own.certificate,
        "signature": own.sign(proof(token.fingerprint, own.fingerprint, nonce)).hex(),
    }


async def admit(home: Household, conversation: Conversation, source: str) -> Peer | None:
    """The inviting end of one pairing; `source` is the host that the connection came from.

    Answers errors to the joiner as well as raising them. None when the joiner went away by itself.
    """
    nonce = secrets.token_bytes(32)
    first = await conversation.request(PAIRING_SECONDS)
    if first is None:
        return None
    if first.op != "begin":
        raise ProtocolError(f"a pairing does not begin with {first.op!r}")
    await conversation.answer(Reply(first.id, {"name": home.name, "nonce": nonce.hex()}))
    second = await conversation.request(PAIRING_SECONDS)
    if second is None:
        return None
    try:
        peer = _admit(home, second, nonce, source)
    except FarshoreError as error:
        await conversation.answer(Reply(second.id, error=error))
        raise
    await conversation.answer(Reply(second.id, {"name": home.name, "id": home.identity.fingerprint}))
    return peer


def _admit(home: Household, request: Request, nonce: bytes, source: str) -> Peer:
    given = request.args
    names = ("secret", "name", "listen", "certificate", "signature")
    values = {name: given[name] for name in names if isinstance(given.get(name), str)}
    if request.op != "join" or len(values) != len(names):
        raise ProtocolError("a joining node must send its secret, name, address, certificate and signature")
    text = {name: str(value) for name, value in values.items()}
    home.invitations.check(text["secret"], time.time())
    joiner = home.peers.check_addable(text["name"], text["certificate"])
    try:
        signature = bytes.fromhex(text["signature"])
    except ValueError as error:
        raise ProtocolError("the signature is not hexadecimal") from error
    identity.verify(text["certificate"], signature, proof(home.identity.fingerprint, joiner, nonce))
    address = addresses.seen_from(addresses.parse(text["listen"]), source)
    home.invitations.spend(text["secret"], time.time())
    return home.peers.add(text["name"], text["certificate"], str(address))
