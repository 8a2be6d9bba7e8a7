"""The NBD server: listeners, their clients, and the one batch that all of them fill in a turn.

Writes, zeroes, trims and flushes of every client of every volume that came within a turn go to the
core as one batch; everything else is answered by `nbd_reads`. Listeners follow the operator's intent.
A client too many is closed at once; those that are there are not disturbed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeAlias

from farshore.core.write_path import Batch
from farshore.engine.arena import Arena
from farshore.engine.listener import Listener
from farshore.engine.nbd_connection import Connection
from farshore.engine.nbd_exports import Catalogue, Exported
from farshore.engine.nbd_reads import DirtyExtents, Reads, Rescuer
from farshore.engine.nbd_tls import Certificates, Doorkeeper
from farshore.engine.nbd_tokens import Answers
from farshore.engine.pool import Pool
from farshore.engine.reactor import Reactor
from farshore.errors import FarshoreError
from farshore.wire.nbd.constants import NBD_CMD_FLUSH
from farshore.wire.nbd.transmission import REQUEST_HEADER, Request

MOST_CLIENTS: Final = 128
_BACKLOG: Final = 128
_SOCKET_BUFFER: Final = 1 << 20
_TOLD_EVERY: Final = 10.0
"""Seconds between two events about clients that were turned away: strangers must not fill the journal."""

Address: TypeAlias = tuple[str, str]
"""("unix", path), ("tcp", "HOST:PORT") or, for TLS and nothing else, ("tls", "HOST:PORT")."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a server works with."""

    reactor: Reactor
    pool: Pool
    """For reads that wait for a disk."""
    tidy: Callable[[], None]
    """Called when a client is gone."""
    note: Callable[[str, dict[str, object]], None]
    """Takes an event, its kind and its fields."""
    rescuer: Rescuer | None = None
    """For reads that a disk refuses; without one their clients get the error."""


class NbdServer:
    """`issue` takes a turn's batch and carries out what the core says to it before it returns."""

    def __init__(
        self,
        around: Surroundings,
        issue: Callable[[Batch], None],
        dirty_extents: DirtyExtents,
        link_names: Callable[[], Sequence[str]],
    ) -> None:
        self.reactor = around.reactor
        self._tidy, self._note = around.tidy, around.note
        self.answers = Answers()
        self.batch = Batch()
        self.arena = Arena(self.submit)
        self.clients: set[Connection] = set()
        self._issue = issue
        self._link_names = link_names
        self.reads = Reads(self.answers, around.pool, dirty_extents, around.rescuer)
        self._listeners: dict[Address, tuple[Listener, Catalogue]] = {}
        self._door: Doorkeeper | None = None
        self._tls_refused: FarshoreError | None = None
        self._turned_away, self._told_at = 0, float("-inf")

    # -- listeners --------------------------------------------------------------------------

    def offer(
        self, exports: Mapping[Address, Sequence[Exported]], certificates: Certificates | None = None
    ) -> FarshoreError | None:
        """Listens on exactly these addresses. Clients of exports that end are let go, and those behind TLS
        that `certificates`, which TLS needs, no longer let in.

        Certificates that cannot be used keep TLS addresses from being opened, and nothing else; the reason is
        an event, and returned. TLS addresses that are open go on with what was read before.

        Raises FarshoreError `address-in-use`, `permission` or `usage`; what was listened on before is then
        left as it was.
        """
        door, refused = self._doorkeeper(exports, certificates)
        if refused is not None:
            exports = {
                address: offered
                for address, offered in exports.items()
                if address[0] != "tls" or (door is not None and address in self._listeners)
            }
        opened: dict[Address, socket.socket] = {}
        with contextlib.ExitStack() as undo:
            for address in exports.keys() - self._listeners.keys():
                opened[address] = sock = _listen(address)
                undo.callback(sock.close)
            undo.pop_all()
        self._door = door
        self._tell_of_tls(refused)
        for address in list(self._listeners):
            if address not in exports:
                self._close_listener(address)
        for address, sock in opened.items():
            listener = Listener(self.reactor, sock, partial(self._take, address))
            self._listeners[address] = (listener, Catalogue(self._link_names))
        for address, offered in exports.items():
            self._listeners[address][1].offer(offered)
        kept = {
            _name(address): {(each.id, each.read_only) for each in offered}
            for address, offered in exports.items()
        }
        for client in list(self.clients):
            here, export = kept.get(client.name), client.export
            ended = here is None or (export is not None and (export.id, export.read_only) not in here)
            # Who has not shown a certificate yet would be looked up among those who were let in before.
            if ended or (client.door is not None and (door is None or client.client not in door.clients)):
                client.close()
        return refused

    def _doorkeeper(
        self, exports: Mapping[Address, Sequence[Exported]], certificates: Certificates | None
    ) -> tuple[Doorkeeper | None, FarshoreError | None]:
        """Who lets clients in at TLS addresses, if anybody can; and why the certificates are no use."""
        if certificates is None or not any(kind == "tls" for kind, _ in exports):
            return None, None
        try:
            return Doorkeeper(certificates.context(), certificates.clients), None
        except FarshoreError as error:
            before = self._door
            return None if before is None else Doorkeeper(before.context, certificates.clients), error

    def _tell_of_tls(self, refused: FarshoreError | None) -> None:
        before, self._tls_refused = self._tls_refused, refused
        if refused is not None and before is None:
            self._note("tls-exports-refused", {"reason": refused.what, "next": refused.next_step})
        elif refused is None and before is not None:
            self._note("tls-exports-served", {})

    def _take(self, address: Address, sock: socket.socket) -> None:
        if len(self.clients) >= MOST_CLIENTS:
            sock.close()
            return
        if address[0] != "unix":
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        else:
            # What a client of a Unix socket may queue is its own affair; our answers are ours.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
        door = self._door if address[0] == "tls" else None
        client = Connection(self, sock, self._listeners[address][1], _name(address), door)
        if not client.closed:
            self.clients.add(client)

    def _close_listener(self, address: Address) -> None:
        listener, _ = self._listeners.pop(address)
        listener.close()
        if address[0] == "unix":
            with contextlib.suppress(FileNotFoundError):
                os.unlink(address[1])

    def addresses(self) -> dict[Address, tuple[str, int]]:
        """What TCP listeners are bound to, for those that asked for any port."""
        return {
            address: listener.address
            for address, (listener, _) in self._listeners.items()
            if address[0] != "unix"
        }

    # -- a turn -----------------------------------------------------------------------------

    def request(self, connection: Connection, request: Request) -> None:
        """A request that is no write."""
        if request[0] == NBD_CMD_FLUSH:
            self.batch.flushes.append((connection, request[2], REQUEST_HEADER))
        else:
            self.reads.request(connection, request)

    def resume(self, connection: Connection) -> None:
        """The client has taken answers, and more of its reads wait."""
        self.reactor.soon(partial(self.reads.resume, connection))

    def submit(self) -> None:
        """Hands over what has gathered, if anything has."""
        batch = self.batch
        if batch.operations or batch.flushes:
            self.batch = Batch()
            self._issue(batch)

    def end_requests(self) -> None:
        """At the end of a turn: its writes, then its reads."""
        batch = self.batch
        if batch.operations or batch.flushes:
            self.batch = Batch()
            self._issue(batch)
        self.arena.used = 0
        if self.reads.begun:
            self.reads.serve()

    def grown(self, volume: int, size: int) -> None:
        """Clients that are there may use all of it as well; only new ones are told the size."""
        for client in self.clients:
            if client.export is not None and client.export.id == volume:
                client.parser.limits = replace(client.parser.limits, size=size)

    def forget(self, connection: Connection) -> None:
        """The connection has ended."""
        self.clients.discard(connection)
        self._tidy()

    def turned_away(self, connection: Connection, reason: str) -> None:
        """A client may not come in."""
        self._turned_away += 1
        if self.reactor.now - self._told_at >= _TOLD_EVERY:
            told: dict[str, object] = {"address": connection.name, "reason": reason}
            self._note("export-client-refused", {**told, "clients": self._turned_away})
            self._turned_away, self._told_at = 0, self.reactor.now

    def outstanding(self) -> int:
        """Bytes that all clients make us hold."""
        return sum(client.outstanding for client in self.clients)

    def close(self) -> None:
        """Ends all listeners and clients."""
        for address in list(self._listeners):
            self._close_listener(address)
        for client in list(self.clients):
            client.close()


def _name(address: Address) -> str:
    """As connections show where they came in."""
    return ":".join(address)


def _listen(address: Address) -> socket.socket:
    kind, where = address
    try:
        if kind == "unix":
            return _listen_unix(where)
        # Names are not looked up: that may take seconds, and this is the data path's thread.
        host, _, port = where.rpartition(":")
        found = socket.getaddrinfo(
            "127.0.0.1" if host == "localhost" else host.strip("[]") or None,
            int(port),
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE | socket.AI_NUMERICHOST,
        )
        family, _, _, _, bound = found[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return _bind(listener, bound)
    except (OSError, ValueError, OverflowError) as error:
        raise _refusal(where, error) from error


def _listen_unix(path: str) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            _refuse_live(path)
            os.unlink(path)
    return _bind(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), path)


def _refuse_live(path: str) -> None:
    """A socket that somebody listens on is not ours to replace; one that is left over is."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return
        except BlockingIOError:
            pass
    raise OSError(errno.EADDRINUSE, "another process listens there")


def _bind(listener: socket.socket, address: str | tuple[object, ...]) -> socket.socket:
    try:
        listener.setblocking(False)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _refusal(where: str, error: Exception) -> FarshoreError:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        code, means = "address-in-use", "Another process listens there; nothing is exported at that address."
    elif number in (errno.EACCES, errno.EPERM):
        code, means = "permission", "The engine may not listen there."
    else:
        code, means = "usage", "Nothing is exported at that address."
    return FarshoreError(
        code,
        f"cannot listen on {where}: {error.strerror if isinstance(error, OSError) else error}",
        means=means,
        next_step="farshore export list",
    )
