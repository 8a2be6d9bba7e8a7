"""S7: what a sync link makes of a distant peer: of depth / round trip, all that there is to be had."""

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from bench.bounded.ground import Ground
from bench.bounded.outcome import Outcome, Row
from bench.bounded.replicated import Replicated
from bench.bounded.turns import play
from bench.contenders.sites import Group
from bench.fio import Job, Measure, Run, measure
from bench.rounds import Effort
from tests.network.line import Line

ROUND_TRIP, DEPTH = 0.020, 32
LEAST = 0.95
TITLE = f"sync over a round trip of {ROUND_TRIP * 1000:.0f} ms, 4 KiB random writes, depth {DEPTH}"
_BLOCK, _PINGS = 4096, 50


class _Far:
    """A synchronous group over the line."""

    def __init__(self, ground: Ground, wire: str) -> None:
        self._ground, self._wire = ground, wire
        self._group: Replicated | None = None

    def start(self) -> None:
        distant = self._ground.distant(apart=False)
        distant.shape(0.0)
        options = ("--mode", "sync", "--wire", self._wire)
        self._group = Replicated(distant.sites, Group(f"s7-{self._wire}", options))
        self._group.start()
        distant.shape(ROUND_TRIP)

    def run(self, seconds: float) -> Measure:
        assert self._group is not None
        found = measure(Job(_BLOCK, DEPTH), Run(self._group.uri, self._ground.volume_bytes, seconds))
        self._group.settle()
        return found


def run(ground: Ground, effort: Effort, say: Callable[[str], None]) -> Outcome:
    """Measure it, plain and with TLS, and the line by itself beside it."""
    turns = play({f"sync, {wire}": _Far(ground, wire) for wire in ("plain", "tls")}, effort, say)
    rows: list[Row] = []
    for who in turns.rounds:
        ratios = turns.row(who, "IOPS / (depth / round trip)", lambda each: each.iops * ROUND_TRIP / DEPTH)
        rows += [replace(row, least=LEAST) for row in ratios]
        rows += turns.row(who, "IOPS", lambda each: each.iops)
        rows += turns.row(who, "mean latency, ms", lambda each: each.mean_us / 1000)
    rows.append(Row("the line alone", "round trip of 4 KiB, ms", _echoed()))
    return Outcome("S7", TITLE, tuple(rows), turns.gaps)


def _echoed() -> tuple[float, ...]:
    """What the line itself takes: 4 KiB there and back, in ms, through another one of the same length."""
    listener = socket.create_server(("127.0.0.1", 0))
    echo = threading.Thread(target=_echo, args=(listener,), daemon=True)
    echo.start()
    host, port = listener.getsockname()
    found = []
    with listener, Line(f"{host}:{port}") as line:
        line.delay(ROUND_TRIP * 500)
        with socket.create_connection((line.host, line.port), timeout=10) as conn:
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for _ in range(_PINGS):
                began = time.monotonic()
                conn.sendall(bytes(_BLOCK))
                left = _BLOCK
                while left and (data := conn.recv(left)):
                    left -= len(data)
                found.append((time.monotonic() - began) * 1000)
    echo.join(10)
    return tuple(found)


def _echo(listener: socket.socket) -> None:
    """Serve one connection."""
    conn, _ = listener.accept()
    with conn:
        while data := conn.recv(_BLOCK):
            conn.sendall(data)
