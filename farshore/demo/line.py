"""The line between the two sites: a TCP relay in this process that takes its time and can be cut.

Everything that one site sends to the other passes here, so its counters are what travelled, whatever the
product itself says. A cut is silence, as on a real line: bytes are kept back, nobody is told, and new
connections get no answer. When it is healed, connections from before are reset and new ones are served.
One thread, non-blocking sockets; at most 4 MiB wait in each direction of a connection.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
import time
from collections import deque

_PIECE = 256 << 10
_MOST_WAITING = 4 << 20
_IDLE_S = 0.2


class Line:
    """Relays to `goal` (host, port) with `delay` seconds one way. Listens at `address` from the start."""

    def __init__(self, goal: tuple[str, int], delay: float = 0.0) -> None:
        self._goal = goal
        self._delay = delay
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        host, port = self._listener.getsockname()
        self.address = f"{host}:{port}"
        self._selector = selectors.DefaultSelector()
        self._calls: deque[str] = deque()
        self._wake, self._woken = socket.socketpair()
        for each in (self._wake, self._woken):
            each.setblocking(False)
        self._ways: list[_Way] = []
        self._cut = False
        self._gone = 0
        self._done = threading.Event()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="line", daemon=True)
        self._thread.start()

    @property
    def carried(self) -> int:
        """Bytes handed on so far, both directions together."""
        return self._gone + sum(way.carried for way in list(self._ways))

    def cut(self) -> None:
        """Nothing passes from now on."""
        self._call("cut")

    def heal(self) -> None:
        """What was connected before is reset; whoever connects now, or is waiting to, is served."""
        self._call("heal")

    def close(self) -> None:
        """Ends the relay and all its connections."""
        self._call("close")
        self._thread.join(5.0)

    def _call(self, word: str) -> None:
        self._done.clear()
        self._calls.append(word)
        with contextlib.suppress(BlockingIOError, OSError):  # full or closed: it wakes, or has ended, anyway
            self._wake.send(b"!")
        self._done.wait(2.0)

    def _run(self) -> None:
        open_ = True
        while open_:
            for key, events in self._selector.select(self._patience()):
                if key.fileobj is self._woken:
                    self._woken.recv(64)
                elif key.fileobj is self._listener:
                    self._accept()
                elif events & selectors.EVENT_READ and isinstance(key.data, _Way):
                    self._read(key.data)
            while self._calls:
                open_ = self._carry_out(self._calls.popleft())
                self._done.set()
            if not self._cut:
                self._deliver()
        for each in (self._listener, self._wake, self._woken):
            each.close()
        self._selector.close()

    def _carry_out(self, word: str) -> bool:
        if word == "cut":
            self._cut = True
            self._selector.unregister(self._listener)
        elif word == "heal" and self._cut:
            for way in list(self._ways):
                self._end(way, reset=True)
            self._cut = False
            self._selector.register(self._listener, selectors.EVENT_READ)
        elif word == "close":
            for way in list(self._ways):
                self._end(way, reset=True)
            return False
        for way in self._ways:
            self._watch(way)
        return True

    def _patience(self) -> float:
        due = [way.waiting[0][0] for way in self._ways if way.waiting]
        if self._cut or not due:
            return _IDLE_S
        return min(max(min(due) - time.monotonic(), 0.0005), _IDLE_S)

    def _accept(self) -> None:
        try:
            near, _ = self._listener.accept()
        except BlockingIOError:
            return
        try:
            far = socket.create_connection(self._goal, 2.0)
        except OSError:
            _reset(near)  # the other site is down: whoever called learns it as from any line
            return
        for each in (near, far):
            each.setblocking(False)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        there, back = _Way(near, far), _Way(far, near)
        for way in (there, back):
            self._ways.append(way)
            self._selector.register(way.source, selectors.EVENT_READ, way)

    def _read(self, way: _Way) -> None:
        try:
            piece = way.source.recv(_PIECE)
        except BlockingIOError:
            return
        except OSError:
            self._end(way, reset=True)
            return
        way.waiting.append((time.monotonic() + self._delay, memoryview(piece)))
        way.held += len(piece)
        way.ended = not piece
        self._watch(way)

    def _deliver(self) -> None:
        now = time.monotonic()
        for way in list(self._ways):
            while way in self._ways and way.waiting and way.waiting[0][0] <= now:
                due, piece = way.waiting.popleft()
                if not piece:
                    self._end(way, reset=False)
                    break
                try:
                    sent = way.sink.send(piece)
                except BlockingIOError:
                    sent = 0
                except OSError:
                    self._end(way, reset=True)
                    break
                way.carried += sent
                way.held -= sent
                if sent < len(piece):
                    way.waiting.appendleft((max(due, now + 0.001), piece[sent:]))
                    break
            if way in self._ways:
                self._watch(way)

    def _watch(self, way: _Way) -> None:
        """Reads from a way's source only while the line is up and not too much waits: back pressure."""
        wanted = not self._cut and not way.ended and way.held < _MOST_WAITING
        if wanted and not way.watched:
            self._selector.register(way.source, selectors.EVENT_READ, way)
        elif not wanted and way.watched:
            self._selector.unregister(way.source)
        way.watched = wanted

    def _end(self, way: _Way, *, reset: bool) -> None:
        """Closes both ends of the connection that `way` is one direction of."""
        pair = [each for each in self._ways if each.source in (way.source, way.sink)]
        for each in pair:
            self._gone += each.carried
            self._ways.remove(each)
            if each.watched:
                self._selector.unregister(each.source)
        for end in (way.source, way.sink):
            if reset:
                _reset(end)
            else:
                end.close()


class _Way:
    """One direction of a connection; `waiting` holds (when it is due, bytes)."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source = source
        self.sink = sink
        self.waiting: deque[tuple[float, memoryview]] = deque()
        self.held = 0
        self.carried = 0
        self.watched = True
        self.ended = False


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it may be gone already
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()
