"""Which error of which file has which end: the table of decision 0027, one cell after the other.

A cell says what fails, what is done so that it happens, and what is to come of it. The files are named as
they lie in a copy's directory; a volume's by its site.
"""

import errno
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Final

import pytest

from farshore.errors import FarshoreError
from farshore.model.options import Apply, LinkOptions, Mode
from tests.disks.failing_disk import On, Rule
from tests.disks.pairs import MIB, PIECE, SIZE, FailingPair
from tests.waiting import wait_until


class End(StrEnum):
    """What comes of a failure."""

    FAULTED = auto()
    """The primary answers nothing more until it is repaired; then its links go on by digest."""
    DOUBTFUL = auto()
    """The same, and its links stay paused until the operator asks for a resync."""
    REFUSED = auto()
    """The one request gets the error; the link stops there and comes back by itself."""
    ANSWERED = auto()
    """The request is answered from the peer; the region is shown until it is repaired."""
    MARKED = auto()
    """The application notices nothing; what was queued is marked, and the link comes back by itself."""
    PEER_FAULTED = auto()
    """The application notices nothing; the peer says that it has failed, and is unusable until its repair."""
    PEER_WAITS = auto()
    """The same, and the link comes back by itself once there is room."""
    COPIED = auto()
    """Nobody notices anything but an event at the peer: what it cannot read is copied anew."""


Trigger = Callable[[FailingPair], None]
QUEUED: Final = LinkOptions(mode=Mode.SYNC, apply=Apply.DIRECT, queue_memory=1 * MIB, queue_disk=8 * MIB)
DIRECT: Final = LinkOptions(mode=Mode.SYNC, apply=Apply.DIRECT)
JOURNAL: Final = LinkOptions(mode=Mode.SYNC, apply=Apply.JOURNAL)
_PIECES: Final = SIZE // PIECE
_EACH_EXTENT: Final = range(3, _PIECES, MIB // PIECE)


def _write(pair: FailingPair) -> None:
    """A piece of each extent, and a flush."""
    pair.app.write(*_EACH_EXTENT)
    pair.app.flush()


def _compare(pair: FailingPair) -> None:
    """Everything is compared."""
    pair.a.ask("resync", link=None, kind="digest", once=False)


def _try_to_compare(pair: FailingPair) -> None:
    """The same where the order cannot be recorded."""
    with pytest.raises(FarshoreError) as refused:
        _compare(pair)
    assert refused.value.code.name == "faulted"


def _read(pair: FailingPair) -> None:
    """The application reads a piece that it had flushed."""
    pair.app.write(5)
    pair.app.flush()
    pair.read(5)


def _outage(pair: FailingPair) -> None:
    """The line breaks, and is written to for longer than memory lasts."""
    pair.door.shut()
    wait_until(lambda: pair.a.link()["state"] != "replicating", what="the line to be missed")
    pair.app.write(*range(80))
    pair.app.flush()


def _outage_and_back(pair: FailingPair) -> None:
    """The same, and the queue is read back."""
    _outage(pair)
    pair.door.open()
    pair.a.ask("peer-back", peer=None)


def _for_a_while(pair: FailingPair) -> None:
    """Frames on their way to the peer's volumes, for a while."""
    for _ in range(3):
        _write(pair)


@dataclass(frozen=True, slots=True)
class Cell:
    """One row of the table."""

    role: str
    name: str
    rule: Rule
    end: End
    do: Trigger
    link: LinkOptions

    @property
    def quick(self) -> bool:
        """Whether it is tried where time is short: one of each file and end."""
        return self.name in _QUICK

    def __str__(self) -> str:
        return f"{self.role}: {self.name}"


@dataclass(frozen=True, slots=True)
class Place:
    """A file of one side, and what makes it be used."""

    role: str
    file: str
    path: str
    do: Trigger
    link: LinkOptions = DIRECT

    def cell(self, failure: str, end: End, *, first: int = 0, last: int = SIZE) -> Cell:
        """One failure of it."""
        on, error = _FAILURES[failure]
        rule = Rule(self.path, on, error, first=first, end=last)
        return Cell(self.role, f"{self.file}, {failure}", rule, end, self.do, self.link)

    def all(self, end: End, full: End | None = None) -> tuple[Cell, ...]:
        """The failures of a record that is written and synced; `full`: the end of a full disk."""
        ends = (end, full or end, end)
        names = ("EIO on write", "ENOSPC on write", "failed sync")
        return tuple(self.cell(name, each) for name, each in zip(names, ends, strict=True))


_FAILURES: Final = {
    "EIO on write": (On.WRITE, errno.EIO),
    "ENOSPC on write": (On.WRITE, errno.ENOSPC),
    "failed sync": (On.SYNC, errno.EIO),
    "EIO on read": (On.READ, errno.EIO),
}
_HERE: Final = Place("primary", "volume", "a-data.img", _write)
_READ_HERE: Final = Place("primary", "volume", "a-data.img", _read)
_QUEUE: Final = Place("primary", "disk queue", ".queue/", _outage, QUEUED)
_QUEUE_BACK: Final = Place("primary", "disk queue", ".queue/", _outage_and_back, QUEUED)
_THERE: Final = Place("secondary", "volume", "b-data.img", _write)
_COMPARED_THERE: Final = Place("secondary", "volume", "b-data.img", _compare)
_BEHIND: Final = Place("secondary", "volume behind a journal", "b-data.img", _for_a_while, JOURNAL)

CELLS: Final[tuple[Cell, ...]] = (
    _HERE.cell("EIO on write", End.REFUSED, first=3 * PIECE, last=4 * PIECE),
    _HERE.cell("ENOSPC on write", End.REFUSED),
    _HERE.cell("failed sync", End.DOUBTFUL),
    _READ_HERE.cell("EIO on read", End.ANSWERED),
    *Place("primary", "header", "/a/header", _try_to_compare).all(End.FAULTED),
    *Place("primary", "activity log", "/a/activity", _write).all(End.FAULTED),
    *Place("primary", "scoreboard", ".board", _try_to_compare).all(End.FAULTED),
    *_QUEUE.all(End.MARKED),
    _QUEUE_BACK.cell("EIO on read", End.MARKED),
    *_THERE.all(End.PEER_FAULTED, End.PEER_WAITS),
    _COMPARED_THERE.cell("EIO on read", End.COPIED),
    *Place("secondary", "header", "/b/header", _compare).all(End.PEER_FAULTED),
    *Place("secondary", "position", "/b/position", _write).all(End.PEER_FAULTED, End.PEER_WAITS),
    *Place("secondary", "journal", "/b/journal", _write, JOURNAL).all(End.PEER_FAULTED, End.PEER_WAITS),
    *_BEHIND.all(End.PEER_FAULTED, End.PEER_WAITS),
)
_QUICK: Final = frozenset(
    (
        *[f"volume, {failure}" for failure in _FAILURES],
        "header, failed sync",
        "activity log, ENOSPC on write",
        "scoreboard, EIO on write",
        "disk queue, EIO on write",
        "disk queue, EIO on read",
        "position, ENOSPC on write",
        "journal, ENOSPC on write",
    )
)
