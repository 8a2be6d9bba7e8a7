"""From an address or an adopted socket to a `Channel`: connect, preface, TLS, proof, and perhaps plain.

Both ends always speak TLS 1.3 first, with certificates that are pinned by fingerprint in both directions.
Inside it each end says once which wire it was configured for, with a fresh token; ends that disagree
part, so nobody on the line can talk them out of TLS. For `plain` both then close TLS down to its last
record and go on in the clear, each beginning with the token that it was told. What that does and does
not protect from stands in `docs/decisions/0003-plain-wire.md`. In the same greeting they agree on whether
the feeder sends compressed blocks: if it wishes to and the follower can unpack them; so neither is told
by anybody else. And the follower learns the traffic class that its own packets are to carry.

Where the peer's node has no use for a link it answers in place of TLS, with a refusal; that tells people
why and proves nothing, so it ends the attempt as a lost connection does.

The steps are generators: they yield the socket and the events that they wait for, and return the
channel. They raise OSError (TLS's errors are such) or FarshoreError. Whoever drives them (`opening`)
owns every socket from its first yield on, and closes those that do not become the channel.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import socket
import ssl
import struct
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from farshore.engine.channel import Channel, PlainChannel, TlsChannel, mark, prepare
from farshore.engine.packing import UnpackingChannel
from farshore.engine.reactor import READABLE, WRITABLE
from farshore.errors import CODES, FarshoreError, ProtocolError
from farshore.wire import preface as prefaces
from farshore.wire.compression import Codecs, available

Steps: TypeAlias = Generator[tuple[socket.socket, int], None, Channel]
Address: TypeAlias = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[object, ...]]
"""As `socket.getaddrinfo` gives them."""

_GREETING: Final = struct.Struct("<4sBBBB32s")
_MAGIC: Final = b"FShw"
_VERSION: Final = 1
_WIRES: Final = {"tls": 0, "plain": 1}
TOKEN_BYTES: Final = 32
_READ: Final = 16 << 10
_WISHES: Final = 4
"""The upper half of the greeting's byte of codecs is what the end wishes to pack with."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How the feeder would like to send."""

    compress: str = "none"
    dscp: int = 0
    """The traffic class of what either end sends, 0 to 63; 0 leaves the system's own."""


PLAINLY: Final = Manner()
_HIGHEST_DSCP: Final = 63


@dataclass(frozen=True, slots=True)
class Identity:
    """What an end of a link needs to prove who it is, and to know the other. Paths of PEM files."""

    certificate: str
    key: str
    peer_certificate: str
    peer: str
    """The peer node's fingerprint: SHA-256 of its certificate's DER form, lowercase hex."""
    wire: str


def context(identity: Identity, *, server: bool) -> ssl.SSLContext:
    """TLS 1.3 with our certificate and exactly one trusted one, the peer's.

    Raises FarshoreError `unknown-peer` where the peer's certificate is not on file.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.check_hostname = False
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    made.options |= ssl.OP_NO_TICKET
    if server:
        made.num_tickets = 0  # a resumed session would outlive the end of a pairing
    made.load_cert_chain(identity.certificate, identity.key)
    try:
        made.load_verify_locations(cafile=identity.peer_certificate)
    except FileNotFoundError as error:
        raise FarshoreError(
            "unknown-peer",
            f"no certificate of the peer {identity.peer[:16]} is on file here",
            means="The link cannot be opened; nothing was sent.",
            next_step="farshore node list; farshore node join",
        ) from error
    return made


def connect(
    addresses: Sequence[Address], preface: bytes, identity: Identity, manner: Manner = PLAINLY
) -> Steps:
    """The feeder's end: tries the addresses in turn, then introduces itself. The channel `packs` where both
    ends agreed on that; to do it is the caller's business."""
    tls = context(identity, server=False)
    code = errno.EADDRNOTAVAIL
    for address in addresses:
        sock = socket.socket(address[0], socket.SOCK_STREAM | socket.SOCK_CLOEXEC, address[2])
        prepare(sock)
        mark(sock, manner.dscp)
        code = sock.connect_ex(address[4])
        yield sock, WRITABLE
        if code in (0, errno.EINPROGRESS):
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not code:
            yield from _send(sock, preface)
            channel, _ = yield from _secure(sock, tls, identity, manner)
            return channel
    raise OSError(code, os.strerror(code))


def accept(sock: socket.socket, identity: Identity) -> Steps:
    """The follower's end, on a socket whose preface was read by the node. The channel unpacks."""
    prepare(sock)
    yield sock, WRITABLE
    channel, unpacks = yield from _secure(sock, context(identity, server=True), identity, None)
    return UnpackingChannel(channel) if unpacks else channel


def _secure(
    sock: socket.socket, tls: ssl.SSLContext, identity: Identity, manner: Manner | None
) -> Generator[tuple[socket.socket, int], None, tuple[PlainChannel | TlsChannel, bool]]:
    """The channel, and whether what it receives is packed. Only the feeder has a manner."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    secured = tls.wrap_bio(incoming, outgoing, server_side=manner is None)
    bios = _Bios(sock, secured, incoming, outgoing)
    yield from bios.shake_hands()
    der = secured.getpeercert(binary_form=True) or b""
    if hashlib.sha256(der).hexdigest() != identity.peer:
        raise ProtocolError("the peer's certificate is not the one that was pinned")
    token = secrets.token_bytes(TOKEN_BYTES)
    said = manner or PLAINLY
    mine = available()
    wishes = mine if said.compress == "zstd" else Codecs.NONE
    codecs = mine | wishes << _WISHES
    yield from bios.write(_GREETING.pack(_MAGIC, _VERSION, _WIRES[identity.wire], codecs, said.dscp, token))
    greeting = yield from bios.read(_GREETING.size)
    magic, version, wire, codecs, dscp, theirs = _GREETING.unpack(greeting)
    if magic != _MAGIC or version != _VERSION:
        raise ProtocolError("the peer does not greet as a link does")
    if wire != _WIRES[identity.wire]:
        raise ProtocolError(f"this end of the link is set to {identity.wire} on the wire, the peer is not")
    if manner is None:
        mark(sock, dscp & _HIGHEST_DSCP)
    packs, unpacks = bool(wishes & codecs), bool(mine & codecs >> _WISHES)
    if identity.wire == "tls":
        secret = TlsChannel(sock, secured, incoming, outgoing)
        secret.packs = packs
        return secret, unpacks
    arrived = yield from bios.end()
    yield from _send(sock, theirs)
    while len(arrived) < TOKEN_BYTES:
        yield sock, READABLE
        more = _receive(sock)
        if more is not None:
            arrived += more
    if not secrets.compare_digest(arrived[:TOKEN_BYTES], token):
        raise ProtocolError("whoever goes on in the clear is not the peer that proved its key")
    plain = PlainChannel(sock, arrived[TOKEN_BYTES:])
    plain.packs = packs
    return plain, unpacks


class _Bios:
    """TLS in memory, and the socket that it is moved over."""

    def __init__(
        self, sock: socket.socket, tls: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO
    ) -> None:
        self._sock = sock
        self._tls = tls
        self._incoming = incoming
        self._outgoing = outgoing
        self._first = not tls.server_side
        """Nothing has come yet, so what comes may be the node's refusal in place of TLS."""

    def shake_hands(self) -> Generator[tuple[socket.socket, int], None, None]:
        """Until this end is satisfied; the other may still refuse us."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                yield from self._flush()
                yield from self._fill()
            except ssl.SSLError:
                self._try_to_tell()
                raise
            else:
                yield from self._flush()
                return

    def write(self, data: bytes) -> Generator[tuple[socket.socket, int], None, None]:
        """Sends these few bytes through TLS."""
        self._tls.write(data)
        yield from self._flush()

    def read(self, size: int) -> Generator[tuple[socket.socket, int], None, bytes]:
        """Exactly that many bytes from TLS."""
        data = b""
        while len(data) < size:
            try:
                piece = self._tls.read(size - len(data))
            except ssl.SSLWantReadError:
                yield from self._fill()
                continue
            if not piece:
                raise ConnectionResetError("the peer closed the connection within the handshake")
            data += piece
        return data

    def end(self) -> Generator[tuple[socket.socket, int], None, bytes]:
        """Both ends' last TLS records; returns what came in the clear behind the peer's."""
        while True:
            try:
                self._tls.unwrap()
            except ssl.SSLWantReadError:
                yield from self._flush()
                yield from self._fill()
            else:
                yield from self._flush()
                return self._incoming.read()

    def _flush(self) -> Generator[tuple[socket.socket, int], None, None]:
        if self._outgoing.pending:
            yield from _send(self._sock, self._outgoing.read())

    def _fill(self) -> Generator[tuple[socket.socket, int], None, None]:
        while True:
            yield self._sock, READABLE
            data = _receive(self._sock)
            if data is not None:
                if self._first and data[:1] == prefaces.REFUSAL_MAGIC[:1]:
                    yield from self._refused(data)
                self._first = False
                self._incoming.write(data)
                return

    def _refused(self, data: bytes) -> Generator[tuple[socket.socket, int], None, None]:
        while len(data) < prefaces.REFUSAL_BYTES:
            yield self._sock, READABLE
            data += _receive(self._sock) or b""
        raise refusal(prefaces.decode_refusal(data[: prefaces.REFUSAL_BYTES]))

    def _try_to_tell(self) -> None:
        """Sends the alert that says why, if it goes at once."""
        alert = self._outgoing.read()
        if alert:
            self._sock.send(alert)


class NodeRefusal(FarshoreError):
    """The peer's node would not hand the link on, as it says, unproved."""


def refusal(code: str) -> NodeRefusal:
    """What a peer's node means by refusing a link, with what to do about it."""
    known = CODES.get(code, CODES["internal"])
    if code == "not-found":
        return NodeRefusal(
            code,
            "the peer's node says, unproved, that it holds no copy that follows this link",
            next_step="farshore status at the peer; only if its copy is gone for good,"
            " farshore link delete and farshore link create make it anew",
        )
    if code == "state-damaged":
        return NodeRefusal(
            code,
            "the peer's node says, unproved, that it cannot read what it keeps of a copy (state-damaged)",
            next_step="farshore status at the peer says which file; restore it there, delete nothing here",
        )
    if code == "unknown-peer":
        return NodeRefusal(
            code,
            "the peer's node has ended the pairing with this one",
            next_step="farshore node invite at the peer, farshore node join here",
        )
    if code == "wrong-feeder":
        return NodeRefusal(
            code,
            "the peer's node says, unproved, that its copy was pointed at another feeder",
            next_step="farshore topology shows which; farshore link reroute, at a node above both, points it"
            " back",
        )
    if code == "wrong-role":
        return NodeRefusal(
            code,
            "the peer's node says, unproved, that its copy is a primary, and has not heard of this one yet",
            next_step="farshore split-brain show, if this lasts",
        )
    if code in ("unreachable", "timeout"):
        return NodeRefusal(
            code,
            "the engine of the peer's copy does not answer",
            next_step="farshore status at the peer, if this lasts",
        )
    return NodeRefusal(
        known.name,
        f"the engine of the peer's copy cannot be used ({code}: {known.title[0].lower()}{known.title[1:]})",
        next_step="farshore status and farshore events at the peer say what keeps it",
    )


def _receive(sock: socket.socket) -> bytes | None:
    """What is there; None if that is nothing. Raises ConnectionResetError at the end."""
    try:
        data = sock.recv(_READ)
    except BlockingIOError:
        return None
    if not data:
        raise ConnectionResetError("the peer closed the connection within the handshake")
    return data


def _send(sock: socket.socket, data: bytes) -> Generator[tuple[socket.socket, int], None, None]:
    while data:
        try:
            sent = sock.send(data)
        except BlockingIOError:
            yield sock, WRITABLE
            continue
        data = data[sent:]
