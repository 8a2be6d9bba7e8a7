"""Where the scenarios take place: nodes side by side, and nodes with a line of a given length between them.

Each pair is started when first asked for, lives in a room of its own, and is gone after `stop`. Volumes lie
in memory; the state directories of distant pairs lie on a real disk, since their disk queue does too.
"""

import os
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.bounded.processors import halves, held_to
from bench.contenders.base import Room
from bench.contenders.sites import FAR, NEAR, Sites
from tests.network.line import Line

_LARGEST_VOLUME = 64 << 20
"""So many copies lie in memory at a time that a volume cannot be large."""


@dataclass(frozen=True, slots=True)
class Distant:
    """Two nodes; all that the near one sends to the far one passes the line."""

    sites: Sites
    line: Line
    near: frozenset[int]
    """The processors of the near side, where the application belongs too."""

    def shape(self, round_trip: float, rate: float | None = None) -> None:
        """`round_trip` in seconds; `rate` in bytes per second each way, None for no bound."""
        self.line.delay(round_trip * 500)
        self.line.rate(rate)


class Ground:
    """See the module."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._stack = ExitStack()
        self._beside: Sites | None = None
        self._distant: dict[bool, Distant] = {}

    @property
    def volume_bytes(self) -> int:
        """The size of every volume."""
        return min(self._room.volume_bytes, _LARGEST_VOLUME)

    def beside(self) -> Sites:
        """Two nodes with nothing between them. Raises CannotStart."""
        if self._beside is None:
            sites = Sites(self._room_for("beside"))
            self._stack.callback(sites.stop)
            sites.start()
            self._beside = sites
        return self._beside

    def distant(self, *, apart: bool) -> Distant:
        """Two nodes and the line between them; `apart`: on processors of their own. Raises CannotStart."""
        if apart not in self._distant:
            name = "apart" if apart else "far"
            states = Path(tempfile.mkdtemp(prefix="fb-", dir="/var/tmp"))
            self._stack.callback(shutil.rmtree, states)
            sites = Sites(self._room_for(name), states)
            self._stack.callback(sites.stop)
            every = os.sched_getaffinity(0)
            near, far = halves(every) if apart else (every, every)
            with held_to(far):
                sites.start_node(FAR)
                line = self._stack.enter_context(Line(sites.document(FAR, "node", "show")["listen"]))
            with held_to(near):
                sites.start()
            sites.run(NEAR, "node", "set", FAR, f"address={line.address}")
            self._distant[apart] = Distant(sites, line, frozenset(near))
        return self._distant[apart]

    def stop(self) -> None:
        """End everything."""
        self._stack.close()

    def _room_for(self, name: str) -> Room:
        path = self._room.path / f"ground-{name}"  # no name that a contender uses for its state
        path.mkdir()
        return Room(path, self.volume_bytes)
