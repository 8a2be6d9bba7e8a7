"""Writers that go on whatever happens: several connections per volume, reopened when they break.

What they write is stamped, what was answered is noted in an `Application`. They never give up by
themselves; `stop` lets what is under way be answered first.
"""

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from farshore.demo.nbd_client import NbdError
from farshore.wire.nbd import constants as nbd
from tests.fault.connection import Connection
from tests.stamps import SECTOR, Application, Write, payload
from tests.waiting import wait_until

_PATIENCE_S = 90.0
_PAUSE_S = 0.01
_HOT = 64
_LARGE = 513
"""Sectors of the largest writes: above 256 KiB an engine receives them in another way."""


@dataclass(frozen=True, slots=True)
class Habits:
    """How one load writes."""

    seed: int
    connections: int = 2
    """For each volume."""
    depth: int = 8
    """Requests that a connection has under way."""
    rest: float = 0.0
    """Seconds, at most, between an answer and the next request, unless the load is in a hurry."""


class Load:
    """See the module. `volumes`: number -> (address, sectors)."""

    def __init__(
        self, application: Application, volumes: Mapping[int, tuple[str, int]], habits: Habits
    ) -> None:
        self.application = application
        self.hurry = threading.Event()
        """While set nobody rests. Elsewhen rests leave processor time to what has to recover."""
        self._writers = [
            _Writer(self, (volume, *place), habits, f"{volume}.{number}")
            for volume, place in volumes.items()
            for number in range(habits.connections)
        ]
        for writer in self._writers:
            writer.start()

    @property
    def answered(self) -> int:
        """Writes that were answered so far."""
        return sum(writer.answered for writer in self._writers)

    @property
    def breaks(self) -> list[int]:
        """How often each connection broke so far."""
        return [writer.breaks for writer in self._writers]

    def until_answered(self, more: int, timeout: float = 60.0) -> None:
        """Waits until so many more writes were answered than now."""
        goal = self.answered + more
        wait_until(lambda: self.answered >= goal, timeout, interval=0.001, what=f"{more} writes")

    def until_broken(self, than: list[int], timeout: float = 30.0) -> None:
        """Waits until every connection has broken once more."""
        wait_until(
            lambda: all(now > was for now, was in zip(self.breaks, than, strict=True)),
            timeout,
            what="the end of every connection to be noticed",
        )

    def stop(self) -> None:
        """Ends the writers once everything under way was answered. Raises what went wrong in one of them."""
        for writer in self._writers:
            writer.leaving.set()
        for writer in self._writers:
            writer.join(_PATIENCE_S)
        stuck = [writer.name for writer in self._writers if writer.is_alive()]
        assert not stuck, f"writers {stuck} have unanswered requests after {_PATIENCE_S} s"
        failures = [writer.failure for writer in self._writers if writer.failure]
        assert not failures, failures


class _Writer(threading.Thread):
    """One connection at a time to one volume (number, address, sectors)."""

    def __init__(self, load: Load, volume: tuple[int, str, int], habits: Habits, name: str) -> None:
        super().__init__(name=f"writer {name}", daemon=True)
        self.leaving = threading.Event()
        self.answered = 0
        self.breaks = 0
        self.failure = ""
        self._application = load.application
        self._hurry = load.hurry
        self._volume, self._uri, self._sectors = volume
        self._random = random.Random(f"{habits.seed} {name}")
        self._depth = habits.depth
        self._rest = habits.rest
        self._under_way: dict[int, Write | None] = {}
        """By cookie; None for a flush."""

    def run(self) -> None:
        """Writes until told to leave."""
        try:
            while not self.leaving.is_set():
                try:
                    connection = Connection(self._uri, timeout=_PATIENCE_S)
                except NbdError:
                    raise
                except OSError:  # the engine is not there yet
                    self.leaving.wait(_PAUSE_S)
                    continue
                # A socket that answers is the next engine's: nothing of the last one takes effect any more.
                self._application.lost(write for write in self._under_way.values() if write is not None)
                self._under_way.clear()
                try:
                    self._write(connection)
                except NbdError:
                    raise
                except ConnectionAbortedError as error:  # our own name for an answer that does not come
                    self.failure = f"{self.name}: {error}"
                    return
                except OSError:
                    self.breaks += 1
                finally:
                    connection.close()
        except (NbdError, AssertionError) as error:
            self.failure = f"{self.name}: {error!r}"

    def _write(self, connection: Connection) -> None:
        while not self.leaving.is_set():
            while len(self._under_way) < self._depth:
                self._send(connection)
            self._take_answer(connection)
            if self._rest and not self._hurry.is_set():
                self.leaving.wait(self._random.uniform(0.0, self._rest))
        while self._under_way:
            self._take_answer(connection)

    def _send(self, connection: Connection) -> None:
        if self._random.random() < 0.01:
            self._under_way[connection.post(nbd.NBD_CMD_FLUSH, 0, 0)] = None
            return
        sectors = self._length()
        most = self._sectors - sectors
        sector = self._random.randrange(min(_HOT, most) if self._random.random() < 0.6 else most)
        write = self._application.send(self._volume, sector, sectors)
        data = payload(self._application.group, self._volume, sector, sectors, write.sequence)
        # Noted before it is sent: where sending fails half way, the write may still take effect.
        self._under_way[-1] = write
        cookie = connection.post_write(sector * SECTOR, data, fua=self._random.random() < 0.02)
        self._under_way[cookie] = self._under_way.pop(-1)

    def _length(self) -> int:
        dice = self._random.random()
        if dice < 0.005:
            return self._random.choice((_LARGE - 1, _LARGE))
        return self._random.randint(1, 64 if dice < 0.03 else 10)

    def _take_answer(self, connection: Connection) -> None:
        cookie, error = connection.reply()
        assert cookie in self._under_way, f"an answer to a request {cookie} that was not made or is answered"
        write = self._under_way.pop(cookie)
        assert not error, f"a request was refused with error {error}"
        if write is not None:
            self._application.answered(write)
            self.answered += 1
