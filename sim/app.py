"""The application: a few connections that write, flush, trim and zero, often over each other.

It keeps to what NBD allows and no more: several requests in flight on every connection, no order
between them except that a flush covers what was answered before it was sent. It records what it was
told and when; what that promises is `sim.truth`'s business.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from farshore.model.volumes import FLUSH, TRIM, WRITE, ZERO, Operation
from sim import stamps
from sim.disk import SECTOR
from sim.world import Life, World

_LONGEST: Final = 24
"""Sectors in the longest ordinary write."""


@dataclass(slots=True, eq=False)
class Request:
    """One request and what became of it. `id` is also the write id in its stamps."""

    id: int
    connection: int
    operation: Operation
    payload: bytes | None
    fua: bool
    sent: float
    covers: int = 0
    """FLUSH and FUA: how many changes had been answered with success when it was sent."""
    sequence: int = 0
    """The sequence that the primary gave it, 0 until then."""
    errno: int | None = None
    """The answer, None until then."""


class Server(Protocol):
    """Whoever takes requests: the primary's process, while it lives."""

    def request(self, request: Request) -> None:
        """Answers later through `Application.answered`."""


@dataclass(frozen=True, slots=True)
class Habits:
    """How an application behaves: sizes of volumes, connections, requests in flight on each."""

    sizes: dict[int, int]
    connections: int
    depth: int
    pause: float
    """The longest time between requests, in seconds."""
    hot: float
    """Share of requests that go to a few places again and again."""


class Application:
    """See the module."""

    def __init__(
        self,
        world: World,
        habits: Habits,
        sent: Callable[[Request], None],
        answered: Callable[[Request], None],
    ) -> None:
        self.world = world
        self.habits = habits
        self.life = Life("app")
        self.server: Server | None = None
        self.writes = 0
        """Requests that change bytes, sent so far."""
        self.answers = 0
        """Requests that change bytes and were answered with success."""
        self.stopped = False
        self.in_flight: list[dict[int, Request]] = [{} for _ in range(habits.connections)]
        self._sent = sent
        self._answered = answered
        self._next = 0
        random = world.random
        self._favourites = [
            (volume, random.randrange(size // SECTOR))
            for volume, size in habits.sizes.items()
            for _ in range(3)
        ]
        for connection in range(habits.connections):
            self._later(connection)

    def connect(self, server: Server | None) -> None:
        """The server is there again, or gone (None): what was in flight gets no answer."""
        for requests in self.in_flight:
            requests.clear()
        self.server = server

    def stop(self) -> None:
        """No further requests."""
        self.stopped = True

    @property
    def idle(self) -> bool:
        """True when nothing is in flight."""
        return not any(self.in_flight)

    def answered(self, request: Request, errno: int) -> None:
        """The server's answer."""
        del self.in_flight[request.connection][request.id]
        request.errno = errno
        if not errno and request.operation[3]:
            self.answers += 1
        self._answered(request)

    def _later(self, connection: int) -> None:
        random, habits = self.world.random, self.habits
        pause = 0.0 if random.random() < 0.4 else self.world.between(0.0001, habits.pause)
        self.world.after(pause, self.life, self._send_some, connection)

    def _send_some(self, connection: int) -> None:
        if self.stopped:
            return
        random = self.world.random
        if self.server is not None:
            for _ in range(random.choice((1, 1, 1, 2, 4))):
                if len(self.in_flight[connection]) >= self.habits.depth:
                    break
                self._send(self.server, connection)
        else:
            self.world.after(0.05, self.life, self._later, connection)
            return
        self._later(connection)

    def write(self, volume: int, offset: int, length: int) -> Request:
        """One write of the caller's choosing, on the first connection; the server must be there."""
        assert self.server is not None
        self._next += 1
        self.writes += 1
        data = stamps.payload(volume, offset, length, self._next)
        operation = (volume, WRITE, offset, length)
        request = Request(self._next, 0, operation, data, False, self.world.now, self.answers)
        self._hand_over(self.server, request)
        return request

    def flush(self) -> Request:
        """A flush now, on the first connection; the server must be there."""
        assert self.server is not None
        self._next += 1
        request = Request(self._next, 0, (0, FLUSH, 0, 0), None, False, self.world.now, self.answers)
        self._hand_over(self.server, request)
        return request

    def _send(self, server: Server, connection: int) -> None:
        self._next += 1
        self._hand_over(server, self._make(self._next, connection))

    def _hand_over(self, server: Server, request: Request) -> None:
        self.in_flight[request.connection][request.id] = request
        self._sent(request)
        server.request(request)

    def _make(self, number: int, connection: int) -> Request:
        random, world = self.world.random, self.world
        draw = random.random()
        if draw < 0.12:
            return Request(number, connection, (0, FLUSH, 0, 0), None, False, world.now, self.answers)
        volume, offset, length = self._place()
        self.writes += 1
        if draw < 0.78:
            data = stamps.payload(volume, offset, length, number)
            fua = random.random() < 0.08
            return Request(
                number, connection, (volume, WRITE, offset, length), data, fua, world.now, self.answers
            )
        code = ZERO if draw < 0.9 else TRIM
        return Request(number, connection, (volume, code, offset, length), None, False, world.now)

    def _place(self) -> tuple[int, int, int]:
        """Volume, offset and length: near a favourite place, or anywhere; whole sectors."""
        random, habits = self.world.random, self.habits
        if random.random() < habits.hot:
            volume, sector = random.choice(self._favourites)
            sector += random.randrange(8)
        else:
            volume = random.choice(list(habits.sizes))
            sector = random.randrange(habits.sizes[volume] // SECTOR)
        count = random.choice((1, 1, 2, 4, 8, 8, 8, random.randint(1, _LONGEST)))
        if random.random() < 0.5:
            sector &= ~7
        last = habits.sizes[volume] // SECTOR
        sector = min(sector, last - 1)
        return volume, sector * SECTOR, min(count, last - sector) * SECTOR
