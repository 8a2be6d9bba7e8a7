"""TLS for NBD clients: what an address needs for it, and a client's socket behind it.

Version 1.3 only, and both ends prove themselves: the client holds a certificate that the group's own
authority signed *and* that the operator has not taken back, which the fingerprint decides. A client that
fails any of it gets no answer and sees no export. `SecureSocket` stands in for both things that a connection
works with, its socket and the reactor, so that a connection reads, writes and waits as it does without TLS.
At most 320 KiB of ciphertext wait to be sent to a client.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from farshore.engine.reactor import BROKEN, READABLE, WRITABLE, OnEvent, Reactor
from farshore.errors import FarshoreError
from farshore.model.messages import Buffer

_CIPHER_BYTES: Final = 256 << 10
_PIECE: Final = 64 << 10
_NOTHING: Final = -1
_PULLS: Final = 8
"""Calls of the system in one call of `recv_into`: records may be empty, and others want a turn too."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """Paths of the PEM files behind a group's TLS exports, and whom they let in."""

    authority: str
    certificate: str
    key: str
    clients: frozenset[str]
    """Fingerprints: SHA-256 of a certificate's DER form, lowercase hex."""

    def context(self) -> ssl.SSLContext:
        """Raises FarshoreError `state-damaged` where the files cannot be used."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = ssl.TLSVersion.TLSv1_3
        made.verify_mode = ssl.CERT_REQUIRED
        made.options |= ssl.OP_NO_TICKET
        made.num_tickets = 0  # a session that is resumed would outlive the client's permission
        try:
            made.load_cert_chain(self.certificate, self.key)
            made.load_verify_locations(cafile=self.authority)
        except OSError as error:  # TLS's own errors are such
            raise FarshoreError(
                "state-damaged",
                f"the certificates of the TLS exports cannot be used: {error}",
                means="No further address with TLS is opened; replication and other exports go on.",
                next_step=f"restore {self.authority}, {self.certificate} and {self.key}, then make the export"
                " again: farshore export GROUP --tcp HOST:PORT --tls",
            ) from error
        return made


@dataclass(frozen=True, slots=True)
class Doorkeeper:
    """Who may come in at the TLS addresses of a copy."""

    context: ssl.SSLContext
    clients: frozenset[str]
    arriving: bytearray = field(default_factory=partial(bytearray, _CIPHER_BYTES), repr=False)
    """What is received into, by all clients in turn: each hands it on before the next one is served."""


class SecureSocket:
    """See the module. `begin` comes first, then `on_event`."""

    def __init__(self, reactor: Reactor, sock: socket.socket, door: Doorkeeper) -> None:
        self._reactor = reactor
        self._sock = sock
        self._fd = sock.fileno()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._clients = door.clients
        self._tls = door.context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._arriving = door.arriving
        self._cipher_out = memoryview(b"")
        self._wanted = READABLE
        self._waiting = READABLE
        self._more = False  # there may be something to receive that the socket no longer knows of
        self._told = False  # a turn that looks for it is coming
        self._closed = False
        self._callback: OnEvent = self._shake
        self._on_secure: Callable[[str], None]
        self._on_failure: Callable[[str], None]
        reactor.on_event(self._fd, self._ready)

    def begin(self, on_secure: Callable[[str], None], on_failure: Callable[[str], None]) -> None:
        """Shakes hands, as far as that goes now. In the end it calls one of the two, once, and none after
        `close`: `on_secure` with the client's fingerprint, or `on_failure` with the reason."""
        self._on_secure, self._on_failure = on_secure, on_failure
        self._shake(READABLE)

    # -- the reactor, for this one descriptor ---------------------------------------------------

    def on_event(self, _fd: int, callback: OnEvent) -> None:
        """Calls another callback from now on."""
        self._callback = callback

    def change(self, _fd: int, events: int) -> None:
        """What the connection waits for."""
        self._wanted = events
        self._wait()
        if self._more and events & READABLE:
            self._look_again()

    def remove(self, fd: int) -> None:
        """No event comes any more."""
        self._closed = True
        self._reactor.remove(fd)

    # -- the socket -----------------------------------------------------------------------------

    def recv_into(self, view: memoryview) -> int:
        """As a socket does; 0 at the end. Raises BlockingIOError, or OSError for a broken connection."""
        # Into a buffer it returns a number, whatever its declaration says.
        read: Callable[[int, memoryview], int] = self._tls.read  # type: ignore[assignment]
        filled, pulls, self._more = 0, 0, False
        while filled < len(view):
            try:
                size = read(len(view) - filled, view[filled:])
            except ssl.SSLWantReadError:
                if self._outgoing.pending:  # an answer of TLS itself, to a change of keys
                    self._push()
                if pulls == _PULLS:
                    self._more = True
                    break
                pulled, pulls = self._pull(), pulls + 1
                if pulled > 0:
                    continue
                if filled:
                    self._more = pulled == 0  # the end comes again
                    break
                if pulled == _NOTHING:
                    raise BlockingIOError from None
                return 0
            if size == 0:
                self._more = filled > 0
                break
            filled += size
        else:
            self._more = True
        if self._more:
            self._look_again()
            if not filled:
                raise BlockingIOError  # much has come, and nothing of it is data
        return filled

    def send(self, data: Buffer) -> int:
        """How many bytes were taken. Raises BlockingIOError while earlier ones have not left."""
        return self.sendmsg((data,))

    def sendmsg(self, buffers: Sequence[Buffer]) -> int:
        """As `send`, from several buffers."""
        if self._cipher_out and not self._push():
            raise BlockingIOError
        taken = 0
        for buffer in buffers:
            view = memoryview(buffer)
            while view and self._outgoing.pending < _CIPHER_BYTES:
                # Memory always takes it whole, so no write has to be repeated with the same bytes.
                size = self._tls.write(view[:_PIECE])
                view, taken = view[size:], taken + size
            if view:
                break
        self._push()
        return taken

    @property
    def unsent(self) -> bool:
        """Something that was taken has not left."""
        return bool(self._cipher_out) or self._outgoing.pending > 0

    def close(self) -> None:
        """Ends the connection at once."""
        self._closed = True
        self._cipher_out = memoryview(b"")
        self._sock.close()

    # -- within ---------------------------------------------------------------------------------

    def _ready(self, events: int) -> None:
        if events & WRITABLE and self.unsent:
            try:
                gone = self._push()
            except OSError:
                events, gone = events | BROKEN, True  # receiving finds it too, and says so
            if not gone:
                events &= ~WRITABLE
        # Whoever waits for all to have left is told as well.
        if events:
            self._callback(events)

    def _wait(self) -> None:
        events = self._wanted | (WRITABLE if self.unsent else 0)
        if events != self._waiting and not self._closed:
            self._waiting = events
            self._reactor.change(self._fd, events)

    def _look_again(self) -> None:
        if not self._told:
            self._told = True
            self._reactor.soon(self._again)

    def _again(self) -> None:
        self._told = False
        if self._more and not self._closed and self._wanted & READABLE:
            self._callback(READABLE)

    def _pull(self) -> int:
        """Takes ciphertext from the socket: how many bytes, 0 at the end, `_NOTHING` if none is there."""
        try:
            size = self._sock.recv_into(self._arriving)
        except BlockingIOError:
            return _NOTHING
        if size:
            self._incoming.write(memoryview(self._arriving)[:size])
        return size

    def _push(self) -> bool:
        """Sends ciphertext; True if none is left."""
        while True:
            if not self._cipher_out:
                if not self._outgoing.pending:
                    break
                self._cipher_out = memoryview(self._outgoing.read())
            try:
                sent = self._sock.send(self._cipher_out)
            except BlockingIOError:
                break
            self._cipher_out = self._cipher_out[sent:]
        self._wait()
        return not self.unsent

    def _shake(self, _events: int) -> None:
        try:
            while True:
                try:
                    self._tls.do_handshake()
                except ssl.SSLWantReadError:
                    self._push()
                    pulled = self._pull()
                    if pulled == _NOTHING:
                        return
                    if pulled == 0:
                        raise ConnectionResetError("the client went away within the handshake") from None
                else:
                    self._push()
                    break
        except OSError as error:
            self._fail(error)
            return
        der = self._tls.getpeercert(binary_form=True) or b""
        fingerprint = hashlib.sha256(der).hexdigest()
        if fingerprint in self._clients:
            self._on_secure(fingerprint)
        else:
            self._on_failure("its certificate is not, or no longer, allowed")

    def _fail(self, error: OSError) -> None:
        alert = self._outgoing.read()
        if alert:
            with contextlib.suppress(OSError):  # it would only have told the client why
                self._sock.send(alert)
        self._on_failure(_reason(error))


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate was not signed for this group ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    return error.strerror or str(error)
