"""Reads in a journal on a real disk, and what is taken away from it while they are under way."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from farshore.core import actions as a
from farshore.engine.carrier import Carrier
from farshore.engine.journal_reads import JournalReads
from farshore.engine.pool import Pool
from farshore.engine.reactor import Reactor
from farshore.model.messages import FrameHead
from farshore.model.positions import Position
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

    def __post_init__(self) -> None:
        self.carry = self.reads.offer(self.queue_read, lambda: self.through)


class Deaf:
    """A core that the carrier tells nothing."""

    def synced(self, ticket: int, errno: int) -> list[a.Action]:
        raise AssertionError

    header_written = synced


def encoded(sequence: int) -> bytes:
    stamp = frame.FrameStamp(b"x" * 16, G, sequence, 0, Position(G, sequence - 1))
    return bytes(frame.encode(stamp, [(1, WRITE, 512 * sequence, 512), (0, FLUSH, 0, 0)], [b"d" * 512, None]))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    reactor = Reactor()
    pool = Pool(reactor, "test", 2)
    segments = Gated.open(RealFiles(), str(tmp_path / "journal"), b"s" * 16, 4096)
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


def test_frames_come_as_they_were_with_what_they_change(bench: Bench) -> None:
    bench.read(1, A, 6)
    bench.turn_until_told(1)
    assert bench.told == [(1, [8], "")]
    (whole,) = bench.frames
    assert bytes(whole.data) == encoded(7)
    assert whole.operations == [(1, WRITE, 512 * 7, 512), (0, FLUSH, 0, 0)]


def test_every_link_has_its_own_place(bench: Bench) -> None:
    for ticket, (link, after) in enumerate([(A, 0), (B, 20), (A, 2), (B, 22), (b"", 38), (b"", 40)]):
        bench.read(ticket, link, after)
        bench.turn_until_told(ticket + 1)
    assert [last for _, last, _ in bench.told] == [[2], [22], [4], [24], [40], []]
    assert {why for _, _, why in bench.told} == {""}


def test_what_nobody_may_hear_of_yet_is_not_read(bench: Bench) -> None:
    bench.through = 10
    bench.read(1, A, 0, 1 << 20)
    bench.turn_until_told(1)
    assert bench.told == [(1, [2, 4, 6, 8, 10], "")]


def test_what_takes_segments_away_waits_for_reads_and_later_reads_wait_for_it(bench: Bench) -> None:
    bench.segments.gate.clear()
    bench.read(1, A, 0)
    bench.read(2, B, 0)
    began: list[str] = []

    def trim() -> None:
        began.append("trim")
        bench.segments.trim(Position(G, 20))
        bench.reads.released()

    bench.reads.alone(trim)
    bench.reads.alone(lambda: began.append("begin"))
    bench.read(3, A, 30)
    bench.reactor.turn(0)
    assert began == []
    bench.segments.gate.set()
    bench.turn_until_told(2)
    assert sorted(bench.told) == [(1, [2], ""), (2, [2], "")]
    assert began == ["trim", "begin"]
    bench.segments.clear(Position(G, 40))
    assert len(bench.told) == 2
    bench.reads.released()
    bench.turn_until_told(3)
    assert bench.told[2] == (3, [], "")


def test_a_frame_that_is_not_whole_any_more_is_a_reason(bench: Bench) -> None:
    first = min(Path(bench.segments.directory).glob("*.seg"))
    content = bytearray(first.read_bytes())
    content[700:720] = b"decayed, decayed, de"
    first.write_bytes(content)
    bench.read(1, A, 0)
    bench.turn_until_told(1)
    ((ticket, found, why),) = bench.told
    assert (ticket, found) == (1, [])
    assert "not whole" in why


def test_a_link_that_is_gone_begins_anew(bench: Bench) -> None:
    bench.read(1, A, 0)
    bench.turn_until_told(1)
    bench.reads.forget(A)
    bench.reads.forget(B)
    bench.read(2, A, 2)
    bench.turn_until_told(2)
    assert bench.told[1] == (2, [4], "")
