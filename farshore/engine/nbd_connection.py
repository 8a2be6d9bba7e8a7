"""One NBD client: receives, parses, puts writes into the turn's batch, sends answers.

What a client may have outstanding is bounded: while the bytes of its unanswered requests and unsent
answers exceed `OUTSTANDING`, nothing more is received from it, so one that does not read its answers
costs that much and stalls nobody else. Whatever goes wrong with a connection ends that connection.
A request that fails is answered with its error and ends nothing.
"""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from functools import partial
from typing import Final

from farshore.core.write_path import Batch
from farshore.engine import lingering
from farshore.engine.arena import LARGEST_WINDOW, WINDOW
from farshore.engine.frame_buffer import FrameBuffer
from farshore.engine.nbd_exports import Exported
from farshore.engine.nbd_service import Service
from farshore.engine.nbd_tls import Doorkeeper, SecureSocket
from farshore.engine.nbd_tokens import Split
from farshore.engine.outbound import Outbound
from farshore.engine.reactor import BROKEN, READABLE, WRITABLE, Reactor
from farshore.model.volumes import MAX_REQUEST, TRIM, WRITE, ZERO
from farshore.wire import frame
from farshore.wire.nbd import constants as nbd
from farshore.wire.nbd.errnos import nbd_error
from farshore.wire.nbd.export import ExportCatalogue
from farshore.wire.nbd.negotiation import Negotiation
from farshore.wire.nbd.outcome import Closed, Ready, Securing
from farshore.wire.nbd.replies import error_reply, simple_replies, simple_reply
from farshore.wire.nbd.transmission import REQUEST_HEADER, Partial, Request, RequestParser

OUTSTANDING: Final = nbd.MAX_DRAINED_PAYLOAD + (2 << 20)
"""Bytes; see the module. One request more may begin before the bound is noticed. More than a refused
payload that is being passed over, which counts as well."""
LARGE: Final = 256 << 10
"""Payloads from here on are received into the buffer of their own frame."""
NEGOTIATION_LIMIT: Final = 30.0
"""Seconds until an export must have been chosen."""
_PART_COST: Final = 128
_NEGOTIATED: Final = 16 << 10
_ROUNDS: Final = 64
"""Calls of the system that one turn spends on the payload of one large write."""


class Connection:
    """See the module."""

    __slots__ = (
        "_events",
        "_fd",
        "_filled",
        "_large",
        "_leaving",
        "_loop",
        "_negotiation",
        "_partial",
        "_service",
        "_sock",
        "_tail",
        "_timer",
        "_typical",
        "_usual",
        "_window",
        "client",
        "contexts",
        "done",
        "door",
        "export",
        "name",
        "outbound",
        "parser",
        "pending",
        "reading",
        "reads",
        "structured",
    )

    def __init__(
        self,
        service: Service,
        sock: socket.socket,
        exports: ExportCatalogue,
        name: str,
        door: Doorkeeper | None = None,
    ) -> None:
        self._service = service
        self._sock: socket.socket | SecureSocket = sock
        self._loop: Reactor | SecureSocket = service.reactor
        self.door = door  # who may come in, at an address that speaks TLS and nothing else
        self.client = ""  # the fingerprint that it proved to have, behind TLS
        self._fd = sock.fileno()
        self.name = name
        self.outbound = Outbound()
        self.done: list[int] = []
        self.pending = 0
        self.reads: deque[Request] = deque()
        """Reads that wait because earlier answers have not been sent."""
        self.reading = 0
        """Bytes of reads that wait for a disk."""
        self.export: Exported | None = None
        self.contexts: tuple[tuple[int, str], ...] = ()
        self.structured = False
        self._negotiation: Negotiation | None = Negotiation(exports, tls=door is not None)
        self.parser: RequestParser
        self._tail = b""
        self._window = WINDOW
        self._large: FrameBuffer | None = None
        self._partial: Partial
        self._filled = 0
        self._typical = 0  # bytes that come at once, in the mean of late
        self._leaving = False
        self._usual = False  # nothing but requests to wait for, as far as is known
        self._events = READABLE
        service.reactor.add(self._fd, self._ready)
        self._timer = service.reactor.after(NEGOTIATION_LIMIT, self.close)
        self.send(Negotiation.greeting)
        self.settle()

    # -- facts ------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Answers go nowhere any more."""
        return self._fd < 0

    @property
    def outstanding(self) -> int:
        """Bytes that this client makes us hold."""
        return self.pending + self.reading + self.outbound.size

    # -- events -----------------------------------------------------------------------------

    def _ready(self, events: int) -> None:
        if events & WRITABLE:
            self._service.answers.touch(self)
        if events & (READABLE | BROKEN) and self._fd >= 0:
            if self._large is not None:
                self._receive_large(self._large)
            elif self._negotiation is not None:
                self._negotiate(self._negotiation)
            else:
                self._requests_ready(READABLE)

    def _requests_ready(self, events: int) -> None:
        """Takes the place of `_ready` after the negotiation; the usual case without a detour."""
        if events != READABLE or self._large is not None:
            self._ready(events)
            return
        arena, tail = self._service.arena, self._tail
        start = arena.reserve(len(tail) + self._window)
        at = start + len(tail)
        try:
            size = self._sock.recv_into(arena.view[at : at + self._window])
        except BlockingIOError:
            return
        except OSError:
            size = 0  # a broken connection has ended as well
        if not size:
            self.close()
            return
        if size < self._typical >> 1:
            size += lingering.rest(self._sock, arena.view[at + size : at + self._window])
        self._typical += (size - self._typical) >> 3
        if tail:
            arena.view[start:at] = tail
        self._parse(start, at + size)

    def _receive(self, view: memoryview) -> int:
        """How many bytes came; 0 when none are here now, or ever again: then the connection is closed."""
        try:
            size = self._sock.recv_into(view)
        except BlockingIOError:
            return 0
        except OSError:
            size = 0  # a broken connection has ended as well
        if size == 0:
            self.close()
        return size

    def _negotiate(self, negotiation: Negotiation) -> None:
        data = memoryview(bytearray(_NEGOTIATED))
        size = self._receive(data)
        if not size:
            return
        self.send(negotiation.feed(data[:size]))
        outcome = negotiation.outcome
        if isinstance(outcome, Ready):
            self._timer.cancel()
            self._negotiation = None
            self._loop.on_event(self._fd, self._requests_ready)
            assert isinstance(outcome.export.handle, Exported)
            self.export = outcome.export.handle
            self.contexts, self.structured = outcome.contexts, outcome.structured
            self.parser = RequestParser(outcome.limits())
            arena = self._service.arena
            start = arena.reserve(len(outcome.leftover))
            end = start + len(outcome.leftover)
            arena.view[start:end] = outcome.leftover
            self._parse(start, end)
        elif isinstance(outcome, Closed):
            self._leaving, self._usual = True, False
        elif isinstance(outcome, Securing):
            self._secure(negotiation)
            return
        self._service.answers.touch(self)

    def _secure(self, negotiation: Negotiation) -> None:
        """Sends what was said in the clear; from then on there is TLS."""
        assert self.door is not None
        assert isinstance(self._sock, socket.socket)
        with contextlib.suppress(OSError):
            self.outbound.send_to(self._sock)
        if self.outbound:  # a few bytes that nobody takes
            self.close()
            return
        self._sock = self._loop = secure = SecureSocket(self._service.reactor, self._sock, self.door)
        secure.begin(partial(self._secured, negotiation), self._turn_away)

    def _secured(self, negotiation: Negotiation, fingerprint: str) -> None:
        self.client = fingerprint
        negotiation.secured()
        self._loop.on_event(self._fd, self._ready)
        self._ready(READABLE)  # what came with the end of the handshake

    def _turn_away(self, reason: str) -> None:
        self._service.turned_away(self, reason)
        self.close()

    def _parse(self, start: int, end: int) -> None:
        arena = self._service.arena
        consumed, requests, need, fatal, partial = self.parser.parse(arena.view, end, start)
        arena.used = consumed
        self.pending += consumed - start
        if requests:
            self._take(requests)
            if self.pending > OUTSTANDING:
                self._service.answers.touch(self)
        if partial is not None and partial.length >= LARGE:
            self._begin_large(partial, arena.view[partial.payload_at : end])
        elif consumed < end:
            self._tail = bytes(arena.view[consumed:end])
            # A request that does not fit makes the window grow, so that the next ones come whole.
            self._window = min(max(WINDOW, 4 * need), LARGEST_WINDOW)
        else:
            self._tail, self._window = b"", WINDOW
        if fatal:
            self.close()
        elif self.parser.disconnected:
            self._leaving, self._usual = True, False
            self._service.answers.touch(self)

    # -- requests ---------------------------------------------------------------------------

    def _take(self, requests: list[Request]) -> None:
        assert self.export is not None
        batch, volume = self._service.batch, self.export.id
        operations, payloads, tokens = batch.operations, batch.payloads, batch.tokens
        for request in requests:
            command, flags, cookie, offset, length, payload, error = request
            if error:
                self.pending -= REQUEST_HEADER + (length if command == nbd.NBD_CMD_WRITE else 0)
                self.send(error_reply(command, cookie, error, structured=self.structured))
                self._service.answers.touch(self)
            elif command == nbd.NBD_CMD_WRITE:
                if flags:
                    batch.durable.append(len(operations))
                operations.append((volume, WRITE, offset, length))
                payloads.append(payload)
                tokens.append((self, cookie, REQUEST_HEADER + length))
            elif command == nbd.NBD_CMD_TRIM or command == nbd.NBD_CMD_WRITE_ZEROES:
                self._take_zeroes(batch, request)
            elif command == nbd.NBD_CMD_DISC:
                self.pending -= REQUEST_HEADER
            else:
                self._service.request(self, request)

    def _take_zeroes(self, batch: Batch, request: Request) -> None:
        """A trim or zeroes of any length, in operations that are not longer than a write may be."""
        assert self.export is not None
        command, flags, cookie, offset, length, _, _ = request
        keeps_blocks = command == nbd.NBD_CMD_WRITE_ZEROES and flags & nbd.NBD_CMD_FLAG_NO_HOLE
        if flags & nbd.NBD_CMD_FLAG_FAST_ZERO and (keeps_blocks or not self.export.volume.fast_zero):
            self.pending -= REQUEST_HEADER
            self.send(simple_reply(cookie, nbd.NBD_ENOTSUP))
            self._service.answers.touch(self)
            return
        parts = -(-length // MAX_REQUEST)
        cost = REQUEST_HEADER + _PART_COST * parts
        self.pending += cost - REQUEST_HEADER
        answered_by = Split(self._service.answers, (self, cookie, cost), parts) if parts > 1 else None
        for part in range(parts):
            start = part * MAX_REQUEST
            if flags & nbd.NBD_CMD_FLAG_FUA:
                batch.durable.append(len(batch.operations))
            operation = ZERO if keeps_blocks else TRIM
            batch.operations.append(
                (self.export.id, operation, offset + start, min(MAX_REQUEST, length - start))
            )
            batch.payloads.append(None)
            batch.tokens.append((self, cookie, cost) if answered_by is None else (answered_by, cookie, 0))

    def _begin_large(self, partial: Partial, arrived: memoryview) -> None:
        start = frame.payload_offset(1)
        self._large = buffer = FrameBuffer(start + partial.length)
        self._partial = partial
        self._filled = start + len(arrived)
        buffer[start : self._filled] = arrived
        self._tail = b""
        self._receive_large(buffer)

    def _receive_large(self, buffer: FrameBuffer) -> None:
        view = memoryview(buffer)
        for _ in range(_ROUNDS):
            size = self._receive(view[self._filled :])
            if not size:
                return
            self._filled += size
            if self._filled == len(buffer):
                self._end_large(view)
                return

    def _end_large(self, view: memoryview) -> None:
        """A batch of its own, so that its buffer can become its frame."""
        partial, self._large = self._partial, None
        service = self._service
        service.submit()
        self.pending += REQUEST_HEADER + partial.length
        head = partial.command, partial.flags, partial.cookie, partial.offset, partial.length
        self._take([(*head, view[frame.payload_offset(1) :], nbd.NBD_SUCCESS)])
        service.submit()
        if self.pending > OUTSTANDING:
            service.answers.touch(self)

    # -- answers ----------------------------------------------------------------------------

    def send(self, buffer: bytes | bytearray | memoryview) -> None:
        """Queues bytes of an answer; `settle` sends them."""
        if buffer and not self.closed:
            self.outbound.append(buffer)

    def busy_reading(self) -> None:
        """Reads are under way: what to wait for has to be looked at when answers are sent."""
        self._usual = False

    def fail(self, cookie: int, errno: int) -> None:
        """Answers a write, zeroes, trim or flush that failed."""
        self.send(simple_reply(cookie, nbd_error(errno)))

    def settle(self) -> None:
        """Sends what goes, and decides whether to receive on."""
        done, outbound = self.done, self.outbound
        if self._fd < 0:
            done.clear()
            return
        if done:
            outbound.append(simple_replies(done))
            done.clear()
        if outbound.size:
            try:
                outbound.send_to(self._sock)
            except OSError:
                self.close()  # there is nobody to answer
                return
        if self._usual and not outbound.size and self.pending <= OUTSTANDING:
            return
        if self._leaving and not (self.outbound or self.pending or self.reading or self.reads):
            if not (isinstance(self._sock, SecureSocket) and self._sock.unsent):
                self.close()
            return
        if self.reads and not self.outbound:
            self._service.resume(self)
        self._wait_for_the_right_events()

    def _wait_for_the_right_events(self) -> None:
        full = self._leaving or bool(self.reads) or self.outstanding > OUTSTANDING
        events = (0 if full else READABLE) | (WRITABLE if self.outbound else 0)
        self._usual = events == READABLE and not self.reading
        if events != self._events:
            self._events = events
            self._loop.change(self._fd, events)

    def close(self) -> None:
        """Ends the connection; what it has written so far is carried out all the same."""
        if self.closed:
            return
        self._timer.cancel()
        self._loop.remove(self._fd)
        self._fd = -1
        self._sock.close()
        self.outbound.clear()
        self.reads.clear()
        self._large = None
        self._service.forget(self)
