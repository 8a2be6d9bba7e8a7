"""One life: a primary's process and those of its peers, from copies at rest to copies at rest.

The lines and the turns are those of `tests/unit/core/pair`; what a life adds is where it begins. A peer that
is a primary itself answers a greeting as such a one does.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any

from farshore.core import actions as a
from farshore.core.fences import answer_to_former, answer_to_successor
from farshore.core.primary import PrimarySetup
from farshore.model import messages as m
from farshore.model.header import Header
from farshore.model.options import LinkOptions, LinkState
from farshore.model.volumes import WRITE
from tests.explorer.copies import GEOMETRY, REGION, Kept, far_of, kept_far, spec_to, with_boards
from tests.unit.core.far import Far
from tests.unit.core.line import Line
from tests.unit.core.pair import Pair
from tests.unit.core.queue_disk import QueueDisk
from tests.unit.core.shells import TIMING, Near, new_id

_STEP = 0.05
"""Seconds of a turn in which nothing but time passes."""
_SETTLING = 90
"""Turns after which whatever has not happened will not."""
_CLOSED = frozenset({LinkState.DIVERGED, LinkState.FAILED})


class Elsewhere:
    """A copy that has no secondary's process: one that is a primary, or whose machine is out of reach. It
    has the face of a `Far`, as far as a line touches it."""

    holding = False

    def __init__(self, header: Header, meeting: Meeting, link: bytes) -> None:
        self.core = self.store = self
        self.header, self._meeting, self._link = header, meeting, link
        self.told = False
        """It has said that it was promoted."""

    def run(self, actions: Iterable[a.Action]) -> None:
        """Only answers."""
        for action in actions:
            self._meeting.from_far(self._link, action)

    def accepted(self, channel: bytes, hello: m.Hello) -> list[a.Action]:
        """As an engine answers its former feeder."""
        upstream = self.header.upstream
        former = upstream is not None and upstream.link == hello.link
        said = (answer_to_former if former else answer_to_successor)(self.header, hello)
        self.told |= said.code == "promoted"
        return [a.Send(channel, said), a.Close(channel, said.code, said.text)]

    def check(self, broken: Iterable[bytes]) -> None:
        """Nothing is kept here that could be wrong."""

    def clock(self, now: float, wall: float) -> None:
        """Nothing here hangs on it."""

    def turn_end(self) -> list[a.Action]:
        """Nothing to end."""
        return []

    tick = turn_end

    def nothing(self, *_: object) -> list[a.Action]:
        """What comes behind the greeting changes nothing."""
        return []

    heard = received = frame = disconnected = nothing


class Meeting(Pair):
    """A life of `copy` as primary. The machines of `there` run and can be reached; the others are away."""

    def __init__(self, copy: Kept, others: tuple[Kept, ...], there: frozenset[int], how: LinkOptions) -> None:
        self.geometry, self.group = GEOMETRY, copy.header.group
        self.now, self.ahead, self.checked, self.alive = 100.0, {}, False, False
        self._tokens, self._keys = count(1), count(1)
        specs = {each.number: spec_to(copy, each, how) for each in others}
        self.lines = {spec.id: Line(spec) for spec in specs.values()}
        self.near = self._near_of(copy, [specs[each.number] for each in others])
        self.copy = copy
        self.others = {specs[each.number].id: each for each in others}
        self.fars: dict[bytes, Any] = {}
        for link, other in self.others.items():
            self.lines[link].up = other.number in there
            self.fars[link] = self._begun(link, other)

    def _near_of(self, copy: Kept, specs: list[Any]) -> Near:
        boards = copy.board_files()
        setup = PrimarySetup(
            copy.header,
            GEOMETRY,
            tuple(specs),
            {},
            copy.hot,
            16,
            copy.boot_id,
            new_id(),
            new_id,
            TIMING,
            reserve=16,
        )
        near = Near(setup, self._from_near)
        near.boards = {link: board for link, board in boards.items() if link in self.lines}
        near.queues = {spec.id: QueueDisk() for spec in specs}
        near.disk.seen[1][:], near.disk.safe[1] = copy.seen, copy.safe
        return near

    def _begun(self, link: bytes, other: Kept) -> Far | Elsewhere:
        follows = other.upstream is not None and other.upstream.link == link
        if not self.lines[link].up or other.role.value == "primary" or not follows:
            return Elsewhere(other.header, self, link)
        far = far_of(other)
        far._line = lambda action: self.from_far(link, action)
        far.start(other.boot_id)
        far.core.clock(self.now, self.now)
        far.run(far.core.start())
        return far

    def from_far(self, link: bytes, action: a.Action) -> None:
        """What a peer sends."""
        self._from_far(link, action)

    # -- what happens -----------------------------------------------------------------------

    def settle(self) -> None:
        """Until everybody who can be met has been met and what they owe each other is done."""
        for _ in range(_SETTLING):
            self.turn(step=_STEP)
            if self.settled:
                break
        self.turn(2)

    @property
    def settled(self) -> bool:
        """Nothing more will happen by itself."""
        core = self.near.core
        if not core.opened and not core.fenced:
            return False
        return all(self._done(link) for link, line in self.lines.items() if line.up)

    def _done(self, link: bytes) -> bool:
        feeder = self.near.core.feeders[link]
        if isinstance(self.fars[link], Elsewhere):
            return feeder.state in _CLOSED or bool(self.lines[link].heard)
        return feeder.replicating or feeder.state in _CLOSED

    def write(self, region: int, value: int) -> int:  # type: ignore[override]
        """The whole of a region; the request's token."""
        token = next(self._tokens)
        operation = (1, WRITE, region * REGION, REGION)
        self.near.submit([operation], [value.to_bytes(4, "big") * (REGION // 4)], [token])
        return token

    def stop_after(self, units: int) -> None:
        """The lines carry so many units from the primary, and then nothing more."""
        for line in self.lines.values():
            line.stops = _limit(line, units)

    # -- what is left -----------------------------------------------------------------------

    def end(self, near: str, far: str) -> tuple[Kept, ...]:
        """The copies at rest after both ends have ended: by a `stop`, a `kill` or a loss of `power`."""
        if near == "stop" and not self.near.core.path.fault:
            self.near.run(self.near.core.stop())
            self.until(lambda: self.near.core.stopped)
        left = [self._near_kept(near == "power")]
        for link, other in self.others.items():
            process = self.fars[link]
            if far == "stop" and isinstance(process, Far):
                process.run(process.core.stop())
            kept = kept_far(other, process) if isinstance(process, Far) else other
            reached = isinstance(process, Far)
            left.append(kept.after_power_loss() if far == "power" and reached else kept)
        return tuple(sorted(left, key=lambda each: each.number))

    def _near_kept(self, power: bool) -> Kept:
        near, copy = self.near, self.copy
        boards = dict(copy.boards) | near.boards
        kept = Kept(
            copy.number,
            copy.role,
            near.header,
            bytes(near.disk.seen[1]),
            bytes(near.disk.safe[1]),
            copy.boot,
            near.hot if near.hot is not None else frozenset(),
            upstream=copy.upstream,
            turn=copy.turn,
            consents=copy.consents,
        )
        kept = with_boards(kept, boards)
        return kept.after_power_loss() if power else kept


def _limit(line: Line, units: int) -> Any:
    def stops(unit: object) -> bool:
        to_the_peer = bool(line.to_far) and line.to_far[0][1] is unit
        return to_the_peer and len(line.sent) - len(line.to_far) >= units

    return stops
