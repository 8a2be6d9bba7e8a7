"""TLS between nodes: version 1.3 only, both ends known by their pinned certificates.

For node-to-node messages both ends require a certificate and trust exactly those that they paired
with, each as its own anchor; host names play no part. After the handshake the fingerprint is looked up
once more, so that what is acted on is the certificate and never a chain that leads to it.

For pairing neither end can verify the other in the handshake, because neither has the other's
certificate yet: see `farshore.node.pairing` for why that is sound. The engine builds its own contexts
for links, from the same files.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable

from farshore.errors import FarshoreError
from farshore.node.identity import Identity, fingerprint

HANDSHAKE_SECONDS = 10.0


def accepting_peers(identity: Identity, pems: Iterable[str]) -> ssl.SSLContext:
    """For the accepting end: only a holder of one of these certificates gets through."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, identity)
    _pin(context, pems)
    return context


def dialling_peer(identity: Identity, pem: str) -> ssl.SSLContext:
    """For the connecting end: only the holder of this certificate is accepted."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT, identity)
    _pin(context, (pem,))
    return context


def accepting_strangers(identity: Identity) -> ssl.SSLContext:
    """For the inviting end of a pairing: proves itself, asks for no certificate."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, identity)
    context.verify_mode = ssl.CERT_NONE
    return context


def dialling_stranger() -> ssl.SSLContext:
    """For the joining end of a pairing: the caller compares the fingerprint before it sends a byte."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT, None)
    context.verify_mode = ssl.CERT_NONE
    return context


def fingerprint_at_other_end(writer: asyncio.StreamWriter) -> str:
    """Of the certificate that the other end proved to hold in the handshake.

    Raises FarshoreError `unknown-peer` where it showed none.
    """
    secured = writer.get_extra_info("ssl_object")
    der = secured.getpeercert(binary_form=True) if secured is not None else None
    if not der:
        raise FarshoreError("unknown-peer", "the other end showed no certificate")
    return fingerprint(der)


def _context(protocol: int, identity: Identity | None) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    # Renewed sessions would let a peer in whose pairing has ended meanwhile.
    context.options |= ssl.OP_NO_TICKET
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0
    if identity is not None:
        context.load_cert_chain(identity.certificate_path, identity.key_path)
    return context


def _pin(context: ssl.SSLContext, pems: Iterable[str]) -> None:
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    trusted = "".join(pems)
    if trusted:  # none at all: nobody gets through
        context.load_verify_locations(cadata=trusted)
