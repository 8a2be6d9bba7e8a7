"""S6: an asynchronous link on a long, narrow line under bursts: what the application notices of it.

The load is 85 % of the line's rate on average and comes in the first third of each second, so that each burst
overruns the line and the queue has until the next one to empty. The same load on a group without links says
what the application would see anyway. One group has a memory queue that a fraction of a burst fills, so
every burst goes through the disk queue and back. The near side with the application, and the far side with
the line, have processors of their own where there are two.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.bounded.ground import Distant, Ground
from bench.bounded.outcome import Outcome, Row
from bench.bounded.plan import Sample, used_while_queued, written_at
from bench.bounded.processors import held_to
from bench.bounded.replicated import Replicated
from bench.bounded.turns import Turns, play
from bench.bounded.writer import BLOCK
from bench.contenders.base import Unfair
from bench.contenders.sites import NEAR, Group
from bench.rounds import Effort

ROUND_TRIP, RATE, LOAD = 0.050, 100e6 / 8, 0.85
PER_SECOND = round(LOAD * RATE / BLOCK)
UNDER_WAY = RATE * 0.075
"""Bytes that the line may hold itself: those on their way for half a round trip, and 50 ms of what comes."""
MOST_P99, LEAST_USE, MOST_STALL_MS = 1.2, 0.9, ROUND_TRIP * 1000
TITLE = (
    f"async, round trip {ROUND_TRIP * 1000:.0f} ms, {RATE * 8 / 1e6:.0f} Mbit/s, 4 KiB writes at "
    f"{LOAD:.0%} of the line in three-fold bursts"
)
ALONE, PLAIN, TLS, TIERS = "no link", "async, plain", "async, TLS", "async, plain, disk queue"
_LINKS = {
    ALONE: None,
    PLAIN: ("--mode", "async", "--wire", "plain"),
    TLS: ("--mode", "async", "--wire", "tls"),
    TIERS: ("--mode", "async", "--wire", "plain", "--queue-memory", "1MiB", "--queue-disk", "256MiB"),
}
USE = "line used while there is a queue"
_CHECKOUT = Path(__file__).parents[2]
_SAMPLE_S, _STATUS_EVERY = 0.02, 10
_SPARE = 90.0


@dataclass(frozen=True, slots=True)
class Burst:
    """One round. Latencies in microseconds; `use` is None without a link."""

    p50_us: float
    p99_us: float
    max_us: float
    use: float | None
    queued: int
    """The most bytes that were seen in the memory queue, and on disk."""
    on_disk: int


class _Load:
    """One group under the load."""

    def __init__(self, ground: Ground, name: str) -> None:
        self._ground, self._name = ground, name
        self._group: Replicated | None = None
        self._distant: Distant | None = None

    def start(self) -> None:
        self._distant = self._ground.distant(apart=True)
        self._distant.shape(0.0)
        named = f"s6-{list(_LINKS).index(self._name)}"
        self._group = Replicated(self._distant.sites, Group(named, _LINKS[self._name]))
        self._group.start()
        self._distant.shape(ROUND_TRIP, RATE)

    def run(self, seconds: float) -> Burst:
        assert self._group is not None
        assert self._distant is not None
        whole = max(1, round(seconds))
        with _Watch(self._distant, self._group.wanted.name) as watch:
            with held_to(self._distant.near):
                said = _written(self._group.uri, whole)
            self._group.settle()
        found = _found(said, watch)
        if self._group.wanted.link is not None and found.use is None:
            raise Unfair("no queue formed: nothing can be said of the line")
        return found


class _Watch:
    """Looks at the line, and now and then at the queue, in a thread of its own."""

    def __init__(self, distant: Distant, group: str) -> None:
        self._distant, self._group = distant, group
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch")
        self.arrived: list[tuple[float, int]] = []
        """(monotonic time, bytes that have come through the line)."""
        self.queued = self.on_disk = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        node, turn = self._distant.sites.node(NEAR), 0
        while not self._over.wait(_SAMPLE_S):
            self.arrived.append((time.monotonic(), self._distant.line.transferred()[0]))
            turn += 1
            if turn % _STATUS_EVERY == 0:
                for link in node.status(self._group).groups[0].links:
                    self.queued = max(self.queued, link.queue.memory_bytes or 0)
                    self.on_disk = max(self.on_disk, link.queue.disk_bytes or 0)


def _written(uri: str, seconds: int) -> dict[str, Any]:
    """What the writer found. Raises Unfair."""
    command = [sys.executable, "-m", "bench.bounded.writer", uri]
    command += ["--per-second", str(PER_SECOND), "--seconds", str(seconds)]
    try:
        done = subprocess.run(
            command, cwd=_CHECKOUT, capture_output=True, text=True, check=False, timeout=seconds + _SPARE
        )
    except subprocess.TimeoutExpired as late:
        raise Unfair(f"the writer did not end within {seconds + _SPARE:.0f} s") from late
    if done.returncode:
        raise Unfair(f"the writer ended with code {done.returncode}: {done.stderr.strip()[-300:]}")
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def _found(said: dict[str, Any], watch: _Watch) -> Burst:
    latencies, timeline = sorted(said["latencies_us"]), said["timeline"]
    first = watch.arrived[0][1] if watch.arrived else 0
    samples = [
        Sample(moment, written_at(timeline, moment), arrived - first) for moment, arrived in watch.arrived
    ]
    return Burst(
        p50_us=latencies[len(latencies) // 2],
        p99_us=latencies[len(latencies) * 99 // 100],
        max_us=latencies[-1],
        use=used_while_queued(samples, RATE, UNDER_WAY),
        queued=watch.queued,
        on_disk=watch.on_disk,
    )


def run(ground: Ground, effort: Effort, say: Callable[[str], None]) -> Outcome:
    """Measure all four groups in turn."""
    turns = play({name: _Load(ground, name) for name in _LINKS}, effort, say)
    rows: list[Row] = []
    for who in turns.rounds:
        rows += _latencies(turns, who)
        if who != ALONE:
            rows += [replace(row, least=LEAST_USE) for row in turns.row(who, USE, lambda each: each.use)]
            rows += turns.row(who, "largest queue in memory, MB", lambda each: each.queued / 1e6)
        if who == TIERS:
            rows += turns.row(who, "largest queue on disk, MB", lambda each: each.on_disk / 1e6)
    return Outcome("S6", TITLE, tuple(rows), turns.gaps)


def _latencies(turns: Turns[Burst], who: str) -> list[Row]:
    rows = turns.row(who, "p50 µs", lambda each: each.p50_us)
    rows += turns.row(who, "p99 µs", lambda each: each.p99_us)
    ratios = tuple(one.p99_us / alone.p99_us for one, alone in turns.together(who, ALONE))
    if who != ALONE and ratios:
        rows.append(Row(who, "p99 / p99 without a link", ratios, most=MOST_P99))
    longest = turns.row(who, "longest write, ms", lambda each: each.max_us / 1000)
    return rows + [replace(row, most=MOST_STALL_MS if who == TIERS else None) for row in longest]
