"""An application that writes in bursts and never waits for an answer before it writes on.

    python -m bench.bounded.writer URI --per-second 2594 --seconds 3

A process of its own, so that nothing else delays it. A latency runs from the moment at which the write was
handed over (also if the socket is full then) to its answer, so a stall counts for every write that falls into
it. It prints one JSON object: latencies in microseconds, and a timeline of (monotonic time, bytes written).
Exit code 1 with a reason if the server refuses a write or breaks off.
"""

import argparse
import gc
import json
import os
import select
import socket
import struct
import sys
import time
from collections import deque
from urllib.parse import parse_qs, urlsplit

from bench.bounded.plan import Bursts

BLOCK = 4096
_REQUEST = struct.Struct(">IHHQQI")
_REPLY = struct.Struct(">IIQ")
_REQUEST_MAGIC, _REPLY_MAGIC, _WRITE, _DISCONNECT = 0x25609513, 0x67446698, 1, 2
_PIECES = 64
_TIMELINE_S = 0.01
_ANSWER_LIMIT = 30.0
"""Seconds without any answer after which the run is given up."""


class Broken(Exception):
    """The server did not do its part."""


def connected(uri: str) -> tuple[socket.socket, int]:
    """A connection in the transmission phase, with simple replies, and the size of the export."""
    parts = urlsplit(uri)
    export = parts.path.removeprefix("/").encode()
    conn = socket.socket(socket.AF_UNIX)
    conn.settimeout(_ANSWER_LIMIT)
    conn.connect(parse_qs(parts.query)["socket"][0])
    greeting = _exactly(conn, 18)
    no_zeroes = greeting[17] & 2
    conn.sendall(
        struct.pack(">IQII", 1 | no_zeroes, int.from_bytes(b"IHAVEOPT", "big"), 1, len(export)) + export
    )
    size, _ = struct.unpack(">QH", _exactly(conn, 10))
    if not no_zeroes:
        _exactly(conn, 124)
    conn.setblocking(False)
    return conn, size


def _exactly(conn: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = conn.recv(count - len(data))
        if not piece:
            raise Broken("the server closed the connection")
        data += piece
    return bytes(data)


class Writer:
    """One run of `total` writes by plan."""

    def __init__(self, conn: socket.socket, size: int, plan: Bursts, total: int) -> None:
        self._conn, self._plan, self._total = conn, plan, total
        self._blocks = [os.urandom(BLOCK) for _ in range(64)]
        spread = range(size // BLOCK)
        self._places = [
            spread[int.from_bytes(os.urandom(8), "big") % len(spread)] * BLOCK for _ in range(total)
        ]
        self._unsent: deque[memoryview] = deque()
        self._held = bytearray()
        self._issued: list[float] = []
        self.latencies: list[float] = []
        self.timeline: list[tuple[float, int]] = []

    def run(self) -> None:
        """Until the last answer. Raises Broken, OSError."""
        began = heard = time.monotonic()
        while len(self.latencies) < self._total:
            now = time.monotonic()
            self._issue(now, began)
            self._send()
            wait = _ANSWER_LIMIT
            if len(self._issued) < self._total:
                wait = max(0.0, began + self._plan.at(len(self._issued)) - time.monotonic())
            if select.select([self._conn], [self._conn] if self._unsent else [], [], wait)[0]:
                self._receive()
                heard = time.monotonic()
            elif len(self._issued) > len(self.latencies) and now - heard > _ANSWER_LIMIT:
                raise Broken(f"no answer for {_ANSWER_LIMIT:.0f} s")
        self.timeline.append((time.monotonic(), self._total * BLOCK))

    def _issue(self, now: float, began: float) -> None:
        issued, blocks = self._issued, self._blocks
        for number in range(len(issued), min(self._plan.due(now - began), self._total)):
            head = _REQUEST.pack(_REQUEST_MAGIC, 0, _WRITE, number, self._places[number], BLOCK)
            self._unsent.append(memoryview(head))
            self._unsent.append(memoryview(blocks[number % len(blocks)]))
            issued.append(now)
        if not self.timeline or now - self.timeline[-1][0] >= _TIMELINE_S:
            self.timeline.append((now, len(issued) * BLOCK))

    def _send(self) -> None:
        unsent = self._unsent
        while unsent:
            pieces = [unsent[at] for at in range(min(_PIECES, len(unsent)))]
            try:
                sent = self._conn.sendmsg(pieces)
            except BlockingIOError:
                return
            while sent and sent >= len(unsent[0]):
                sent -= len(unsent.popleft())
            if sent:
                unsent[0] = unsent[0][sent:]

    def _receive(self) -> None:
        data = self._conn.recv(1 << 16)
        if not data:
            raise Broken("the server closed the connection")
        now = time.monotonic()
        self._held += data
        whole = len(self._held) // _REPLY.size * _REPLY.size
        for magic, error, number in _REPLY.iter_unpack(self._held[:whole]):
            if magic != _REPLY_MAGIC or error:
                raise Broken(f"write {number} was answered with error {error}")
            self.latencies.append((now - self._issued[number]) * 1e6)
        del self._held[:whole]


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.bounded.writer")
    parser.add_argument("uri")
    parser.add_argument("--per-second", type=int, required=True)
    parser.add_argument("--seconds", type=int, required=True, help="each with one burst")
    given = parser.parse_args()
    gc.disable()
    try:
        conn, size = connected(given.uri)
        writer = Writer(conn, size, Bursts(given.per_second), given.per_second * given.seconds)
        writer.run()
        conn.sendall(_REQUEST.pack(_REQUEST_MAGIC, 0, _DISCONNECT, 0, 0, 0))
    except (Broken, OSError) as broken:
        print(broken, file=sys.stderr)
        return 1
    print(json.dumps({"latencies_us": writer.latencies, "timeline": writer.timeline}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
