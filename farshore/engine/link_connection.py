"""One connection of a link on the loop: units in, units out, and an end that is reported once.

What arrives goes into one buffer of its own and is handed on unit by unit; a unit may refer to the
buffer only while it is being handled. While the handler is `holding`, nothing more is handed on or
read, so a peer that sends on is held back by TCP. What is queued is sent at `flush`; what does not
go at once goes when the socket can take more. A broken connection is reported from the loop, never
from within a call of its owner.
"""

from __future__ import annotations

from typing import Final, Protocol

from farshore.engine.channel import END, NOTHING, Channel
from farshore.engine.opening import reason
from farshore.engine.reactor import BROKEN, READABLE, WRITABLE, Reactor, Timer
from farshore.errors import FarshoreError, ProtocolError
from farshore.model.messages import Buffer, Message, Refusal
from farshore.wire import session

LINGER: Final = 2.0
"""Seconds that the last words of a connection may take."""
KEPT: Final = 1.0
"""Seconds that a buffer which a large unit needed is kept for the next one: to make one costs as much as to
copy it."""
_HEARD_EVERY: Final = 0.05
"""Seconds; a sign of life more often than this is no news."""
_ROUNDS: Final = 64
"""Reads of one turn, at most. A turn ends with the first read that completes a unit: what the peer
waits for leaves at the end of the turn."""


class Handler(Protocol):
    """Whoever owns a connection."""

    @property
    def holding(self) -> bool:
        """Hand on nothing more for now; `LinkConnection.resume` says when to go on."""

    def heard(self, connection: LinkConnection) -> None:
        """Bytes arrived."""

    def unit(self, connection: LinkConnection, kind: int, body: memoryview) -> None:
        """One unit. Raises FarshoreError to end the connection, with that as its reason."""

    def ended(self, connection: LinkConnection, why: str) -> None:
        """The connection is gone and was not ended by `close`."""


class LinkConnection:
    """See the module. `window` is the bytes read at a time and the buffer's size while units fit; one
    that does not makes it grow."""

    def __init__(self, reactor: Reactor, channel: Channel, handler: Handler, window: int) -> None:
        self.channel = channel
        self._reactor = reactor
        self._handler = handler
        self._fd = channel.fileno()
        self._window = window
        self._view = memoryview(bytearray(window))
        self._start = 0
        self._end = 0
        self._missing = 0
        self._parked = False
        self._waiting = False
        self._handed = False
        self._heard_at = 0.0
        self._large_at = 0.0
        self._events = READABLE
        self._open = True
        self._linger: Timer | None = None
        reactor.add(self._fd, self._ready)
        reactor.soon(self._receive)  # the handshake may have taken what would have woken us

    # -- out --------------------------------------------------------------------------------

    @property
    def buffered(self) -> int:
        """Bytes of the receive buffer."""
        return len(self._view)

    def send(self, message: Message) -> None:
        """Queues a message."""
        if self._open:
            for piece in session.encode(message):
                self.channel.outbound.append(piece)

    def send_frame(self, prefix: bytes, body: Buffer) -> None:
        """Queues a frame and sends what goes at once."""
        if not self._open:
            return
        try:
            gone = self.channel.send_frame(prefix, body)
        except OSError as error:
            self._break(reason(error))
            return
        if not gone:
            self._wait_for_the_right_events()

    def flush(self) -> None:
        """Sends what goes at once."""
        if self._fd < 0:
            return
        try:
            self.channel.flush()
        except OSError as error:
            self._break(reason(error))
            return
        if self._events != READABLE or not self._open or self.channel.waits_to_send:
            self._wait_for_the_right_events()

    # -- in ---------------------------------------------------------------------------------

    def resume(self) -> None:
        """The handler may no longer hold: goes on if that is so."""
        if not self._waiting or self._handler.holding:
            return
        if self._parked:
            self._parked = False
            self._events = READABLE
            self._reactor.add(self._fd, self._ready)
        if self._open:
            self._reactor.soon(self._receive)

    def _ready(self, events: int) -> None:
        if events == READABLE:
            self._receive()
            return
        if events & WRITABLE:
            self.flush()
        if self._fd < 0:
            return
        if events & BROKEN and self._open and self._handler.holding:
            # It would be reported in every turn until what is held may be read.
            self._reactor.remove(self._fd)
            self._parked = self._waiting = True
        elif events & (READABLE | BROKEN):
            self._receive()

    def _receive(self) -> None:
        if not self._open:
            self._discard()
            return
        self._handed = False
        try:
            if self._waiting or self._handler.holding:
                self._hand_on()
            if not self._waiting:
                for _ in range(_ROUNDS):
                    if not self._fill() or self._handed:
                        break
        except FarshoreError as error:
            self._refuse(error)
        except OSError as error:
            self._break(reason(error))
        else:
            if self._waiting or self._events != READABLE:
                self._wait_for_the_right_events()

    def _fill(self) -> bool:
        """Reads once, and hands on; False when nothing more is here, or may be handed on."""
        if self._start == self._end:
            self._start = self._end = 0
            room = self._view if len(self._view) == self._window else self._rightly_sized()
        else:
            room = self._room()
        size = self.channel.recv_into(room)
        if size == NOTHING:
            return False
        if size == END:
            self._break("the peer closed the connection")
            return False
        self._end += size
        if self._reactor.now - self._heard_at > _HEARD_EVERY:
            self._heard_at = self._reactor.now
            self._handler.heard(self)
        more = self._hand_on()
        if size < len(room):
            return False
        if self._handed and more:
            self._reactor.soon(self._receive)  # TLS may hold what no event will tell of
        return more

    def _hand_on(self) -> bool:
        """Every whole unit; False when the rest has to wait, or the connection has ended."""
        batch = session.split(self._view, self._start, self._end)
        self._missing = batch.missing
        for kind, body in batch.units:
            if self._handler.holding:
                self._waiting = True
                return False
            self._handed = True
            self._start += session.PREFIX_BYTES + len(body)
            self._handler.unit(self, kind, body)
            if not self._open:
                return False
        self._waiting = self._handler.holding
        return not self._waiting

    def _rightly_sized(self) -> memoryview:
        """Where to receive when there is nothing yet: no further than usual, so that a unit which needs the
        large buffer lies at its beginning."""
        if self._reactor.now - self._large_at > KEPT:
            self._view = memoryview(bytearray(self._window))
        return self._view[: self._window]

    def _room(self) -> memoryview:
        """Where to receive: behind what is incomplete, all of which must fit, and not much beyond it."""
        have = self._end - self._start
        room = max(self._missing, self._window - have)
        view = self._view
        if have + room > self._window:
            self._large_at = self._reactor.now
        if have + room > len(view):
            view = memoryview(bytearray(have + room))
        if self._start or view is not self._view:
            view[:have] = self._view[self._start : self._end]
        self._view, self._start, self._end = view, 0, have
        return view[have : have + room]

    def _discard(self) -> None:
        """After `close`: what still comes is of no use, but its end tells that our last words arrived."""
        try:
            size = self.channel.recv_into(memoryview(bytearray(self._window)))
        except OSError:
            size = END
        if size == END:
            self._drop()

    # -- the end ----------------------------------------------------------------------------

    def close(self) -> None:
        """Ends the connection after what messages are queued, without frames, and without a report."""
        if not self._open:
            return
        self._open = False
        self.channel.outbound.drop_frames()
        self._linger = self._reactor.after(LINGER, self._drop)
        self.flush()

    def abort(self) -> None:
        """Ends the connection at once, without a report."""
        self._open = False
        self._drop()

    def _refuse(self, error: FarshoreError) -> None:
        if not isinstance(error, ProtocolError):
            self.send(Refusal(error.code.name, error.what))
        else:
            self.send(Refusal("protocol", error.what))
        self.close()
        self._report(error.what)

    def _break(self, why: str) -> None:
        was_open, self._open = self._open, False
        self._drop()
        if was_open:
            self._report(why)

    def _report(self, why: str) -> None:
        self._reactor.soon(lambda: self._handler.ended(self, why))

    def _drop(self) -> None:
        if self._fd >= 0:
            if not self._parked:
                self._reactor.remove(self._fd)
            self._parked = False
            self._fd = -1
            self.channel.close()
        if self._linger is not None:
            self._linger.cancel()

    def _wait_for_the_right_events(self) -> None:
        if self._fd < 0 or self._parked:
            return
        waits = self.channel.waits_to_send
        if not self._open and not waits:
            self.channel.end()
        held = self._open and self._handler.holding
        self._waiting = self._waiting or held
        reads = 0 if held else READABLE
        events = reads | (WRITABLE if waits else 0)
        if events != self._events:
            self._events = events
            self._reactor.change(self._fd, events)
