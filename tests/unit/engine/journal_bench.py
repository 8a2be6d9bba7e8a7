"""A journal on a real disk whose reads can be held up, and what stands where the core and the rest of an
engine are. The fixture `bench` makes one."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from farshore.core import actions as a
from farshore.engine.carrier import Carrier
from farshore.engine.journal_reads import JournalReads
from farshore.engine.pool import Pool
from farshore.engine.reactor import Reactor
from farshore.model.header import Header
from farshore.model.layers import Layer, LayerKind
from farshore.model.messages import FrameHead
from farshore.model.options import Role
from farshore.model.positions import History, Position, Stretch
from farshore.model.volumes import FLUSH, WRITE
from farshore.store.platform import RealFiles
from farshore.store.segments import Cursor, Entry, Segments
from farshore.wire import frame
from tests.unit.engine.turning import turn_until

G, A, B = b"g" * 16, b"a" * 16, b"b" * 16


class Gated(Segments):
    """Reads wait for `gate`."""

    gate: threading.Event

    def read(self, cursor: Cursor, most: int, through: int | None = None) -> tuple[list[Entry], Cursor]:
        assert self.gate.wait(10)
        return super().read(cursor, most, through)


@dataclass
class Bench:
    """Stands where the core and the rest of the engine are."""

    reactor: Reactor
    pool: Pool
    segments: Gated
    reads: JournalReads
    through: int = 1 << 62
    told: list[tuple[int, list[int], str]] = field(default_factory=list)
    frames: list[frame.Frame] = field(default_factory=list)

    def queue_read(self, ticket: int, found: Sequence[tuple[FrameHead, object]], why: str) -> list[a.Action]:
        self.told.append((ticket, [head.last for head, _ in found], why))
        for head, each in found:
            assert isinstance(each, frame.Frame)
            assert each.head == head
            self.frames.append(each)
        return []

    def read(self, ticket: int, link: bytes, after: int, most: int = 1) -> None:
        self.carry[a.QueueRead](a.QueueRead(ticket, link, after, most))

    def turn_until_told(self, count: int) -> None:
        turn_until(self.reactor, lambda: len(self.told) == count)

    def begin_anew(self) -> None:
        """The journal loses what it has as soon as nobody reads there; the held read goes on."""

        def begin() -> None:
            self.segments.clear(Position(G, 40))
            self.reads.released()

        self.reads.alone(begin)
        self.segments.gate.set()

    def __post_init__(self) -> None:
        self.carry = self.reads.offer(self.queue_read, lambda: self.through)


class Deaf:
    """A core that the carrier tells nothing."""

    def synced(self, ticket: int, errno: int) -> list[a.Action]:
        raise AssertionError

    header_written = synced


def encoded(sequence: int) -> bytes:
    """Made so many seconds after the epoch."""
    stamp = frame.FrameStamp(b"x" * 16, G, sequence, sequence * 10**9, Position(G, sequence - 1))
    return bytes(frame.encode(stamp, [(1, WRITE, 512 * sequence, 512), (0, FLUSH, 0, 0)], [b"d" * 512, None]))


LAYER = Layer(b"1" * 16, LayerKind.SNAPSHOT, ((1, 1 << 20),), "noon", Position(G, 0), 0.0)


def looked_at(bench: Bench) -> Any:
    """A role whose copy has this journal; the bench has what is asked of a core."""
    core = SimpleNamespace(
        preserve=SimpleNamespace(incomplete=(), layers=[LAYER]),
        keeper=SimpleNamespace(header=Header(G, A, Role.SECONDARY, journaling=True)),
        outbox=SimpleNamespace(now=0.0),
        history=lambda: History((Stretch(G, 40),)),
    )
    return SimpleNamespace(core=core, frames=SimpleNamespace(reads=bench.reads, segments=bench.segments))


@contextmanager
def benches(directory: Path) -> Iterator[Bench]:
    reactor = Reactor()
    pool = Pool(reactor, "test", 2)
    segments = Gated.open(RealFiles(), str(directory / "journal"), b"s" * 16, 4096)
    assert isinstance(segments, Gated)
    segments.gate = threading.Event()
    segments.gate.set()
    entries: list[Entry] = [(Position(G, last), encoded(last - 1)) for last in range(2, 41, 2)]
    segments.append(entries, Position(G, 0))
    carrier = Carrier(Deaf(), None, None)  # type: ignore[arg-type]
    yield Bench(reactor, pool, segments, JournalReads(segments, carrier, pool))
    segments.gate.set()
    pool.close()
    segments.close()
