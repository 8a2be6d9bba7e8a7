"""Writers that know the order of what they write across volumes.

Each has a connection to every volume of its group and goes step by step: it sends a few writes, to volumes
that it draws, and begins the next step only when all of them were answered, as a database does with its log
and its tables. So of any two steps of a writer the order is known, whichever volumes they touched.
"""

import random
import threading
from collections.abc import Sequence

from tests.fault.connection import Connection
from tests.stamps import SECTOR, Application, Write, payload
from tests.waiting import wait_until

_PATIENCE_S = 90.0
_MOST_AT_ONCE = 4
_MOST_SECTORS = 12
_HOT = 64


class Steps:
    """Writers of one group, from their making until `stop`. `places`: address and sectors of each volume."""

    def __init__(
        self, application: Application, places: Sequence[tuple[str, int]], seed: int, rest: float
    ) -> None:
        self.application = application
        self.hurry = threading.Event()
        """While set, no writer rests (up to `rest` seconds) between two steps."""
        self.leaving = threading.Event()
        self.rest = rest
        self._writers = [_Writer(self, places, f"{seed} {number}") for number in range(len(places))]
        for writer in self._writers:
            writer.start()

    @property
    def answered(self) -> int:
        """Writes that were answered so far."""
        return sum(writer.answered for writer in self._writers)

    def until_answered(self, more: int, timeout: float = 60.0) -> None:
        """Waits until so many more writes were answered than now; at once if a writer has failed."""
        goal = self.answered + more
        wait_until(
            lambda: self.answered >= goal or self.failures, timeout, interval=0.001, what=f"{more} writes"
        )
        assert not self.failures, self.failures

    @property
    def failures(self) -> list[str]:
        """What made writers give up."""
        return [f"{writer.name}: {writer.failure}" for writer in self._writers if writer.failure]

    def stop(self) -> None:
        """Ends the writers after their step. Raises what went wrong in one of them."""
        self.leaving.set()
        for writer in self._writers:
            writer.join(_PATIENCE_S)
        stuck = [writer.name for writer in self._writers if writer.is_alive()]
        assert not stuck, f"writers {stuck} have unanswered requests after {_PATIENCE_S} s"
        assert not self.failures, self.failures


class _Writer(threading.Thread):
    def __init__(self, load: Steps, places: Sequence[tuple[str, int]], seed: str) -> None:
        super().__init__(name=f"writer {seed}", daemon=True)
        self.answered = 0
        self.failure = ""
        self._load = load
        self._random = random.Random(seed)
        self._connections = [Connection(address, timeout=_PATIENCE_S) for address, _ in places]
        self._sectors = [sectors for _, sectors in places]

    def run(self) -> None:
        """Step by step until told to leave."""
        load, pause = self._load, self._random.uniform
        try:
            while not load.leaving.is_set():
                self._step()
                if not load.hurry.is_set():
                    load.leaving.wait(pause(0.0, load.rest))
        except (OSError, AssertionError) as error:
            self.failure = repr(error)
        finally:
            for connection in self._connections:
                connection.close()

    def _step(self) -> None:
        under_way: list[tuple[int, int, Write]] = []
        for _ in range(self._random.randint(1, _MOST_AT_ONCE)):
            volume = self._random.randrange(len(self._sectors))
            sectors = self._random.randint(1, _MOST_SECTORS)
            most = self._sectors[volume] - sectors
            sector = self._random.randrange(min(_HOT, most) if self._random.random() < 0.5 else most)
            write = self._load.application.send(volume, sector, sectors)
            data = payload(self._load.application.group, volume, sector, sectors, write.sequence)
            fua = self._random.random() < 0.02
            cookie = self._connections[volume].post_write(sector * SECTOR, data, fua=fua)
            under_way.append((volume, cookie, write))
        # Answers of one connection may come in any order; what was asked there is one step all the same.
        waiting = {(volume, cookie): write for volume, cookie, write in under_way}
        for volume, _, _ in under_way:
            cookie, error = self._connections[volume].reply()
            assert not error, f"a write was refused with error {error}"
            self._load.application.answered(waiting.pop((volume, cookie)))
            self.answered += 1
