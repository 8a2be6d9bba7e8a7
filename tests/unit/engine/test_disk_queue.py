"""The primary's disk queue on real files and threads: what its core asks for happens, in order."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from farshore.engine.disk_queue import DiskQueue
from farshore.engine.pool import Pool
from farshore.engine.reactor import Reactor
from farshore.model.messages import FrameHead
from farshore.model.positions import Position
from farshore.model.volumes import WRITE
from farshore.store.platform import RealFiles
from farshore.store.queue_files import Kept, QueueFiles, Shelf
from farshore.wire import frame
from tests.unit.engine.turning import turn_until

GROUP, OLD = b"g" * 16, b"a" * 16


def kept(sequence: int, size: int = 512) -> Kept:
    """A frame of one write."""
    follows = Position(OLD, sequence - 1)
    stamp = frame.FrameStamp(GROUP, OLD, sequence, 0, follows)
    body = frame.encode(stamp, [(1, WRITE, 0, size)], [bytes([sequence % 251]) * size])
    return Kept(Position(OLD, sequence), follows, body)


class Bench:
    """A queue and what it told."""

    def __init__(self, reactor: Reactor, pool: Pool, directory: Path) -> None:
        self.reactor = reactor
        self.pool = pool
        self.told: list[tuple[int, int, int]] = []
        shelf = Shelf(RealFiles(), str(directory / "queue"), b"l" * 16, 64 << 10)
        self.queue = DiskQueue(QueueFiles(shelf), pool, lambda *told: self.told.append(told))

    def until(self, condition: Callable[[], bool]) -> None:
        turn_until(self.reactor, condition)

    def idle(self) -> None:
        """Nothing is under way."""
        self.until(lambda: not self.pool.unfinished)

    def fill(self, first: int, last: int, size: int = 512) -> None:
        """Frames on disk."""
        for sequence in range(first, last + 1):
            self.queue.keep(kept(sequence, size))
            self.queue.append()
        self.idle()

    def read(self, after: int, most: int = 4096) -> tuple[list[int], str]:
        """The sequences that are read back at once."""
        found: list[tuple[list[tuple[FrameHead, object]], str]] = []
        self.queue.read(after, most, lambda frames, why: found.append((frames, why)))
        self.until(lambda: bool(found))
        frames, why = found[0]
        for head, body in frames:
            assert isinstance(body, memoryview)
            frame.check(body)
            assert head.size == len(body)
        return [head.last for head, _ in frames], why


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    reactor = Reactor()
    pool = Pool(reactor, "queue", 1)
    made = Bench(reactor, pool, tmp_path)
    yield made
    made.queue.close()
    made.idle()
    pool.close()
    reactor.close()


def test_frames_are_read_back_in_order(bench: Bench) -> None:
    bench.fill(1, 40)
    here = 0
    found: list[int] = []
    while found != list(range(1, 41)):
        more, why = bench.read(here)
        assert more
        assert not why
        found += more
        here = found[-1]
    assert bench.read(40) == ([], "")
    assert bench.told[-1][0] == 40
    assert bench.told[-1][2] == 0


def test_appends_keep_their_order_while_the_lane_is_busy(bench: Bench) -> None:
    bench.fill(1, 2)
    bench.queue.sync(lambda errno: None)
    for sequence in range(3, 30):
        bench.queue.keep(kept(sequence, 2 << 20 if sequence == 5 else 512))
        bench.queue.append()
    bench.idle()
    found: list[int] = []
    while not found or found[-1] != 29:
        found += bench.read(found[-1] if found else 0)[0]
    assert found == list(range(1, 30))


def test_what_is_kept_in_memory_is_bounded_by_what_the_peer_has(bench: Bench) -> None:
    for sequence in range(1, 6):
        bench.queue.keep(kept(sequence))
    assert len(bench.queue.kept_after(2)) == 3
    bench.queue.trim(4)
    assert len(bench.queue.kept_after(0)) == 1
    assert bench.queue.memory_bytes == len(kept(5).body)


def test_room_comes_back_when_the_peer_has_all_of_it(bench: Bench) -> None:
    bench.fill(1, 300)
    full = bench.told[-1][1]
    bench.queue.trim(200)
    bench.idle()
    assert 0 < bench.told[-1][1] < full
    bench.queue.trim(300)
    bench.idle()
    assert bench.told[-1][1] == 0
    bench.fill(301, 302)
    assert bench.read(300)[0] == [301, 302]


def test_a_dropped_queue_holds_nothing_and_may_be_used_again(bench: Bench) -> None:
    bench.fill(1, 5)
    bench.queue.keep(kept(6))
    bench.queue.drop()
    bench.idle()
    assert bench.told[-1][1] == 0
    assert bench.queue.kept_after(0) == []
    bench.fill(9, 10)
    assert bench.read(0)[0] == [9, 10]


def test_a_deleted_directory_is_told_as_a_failed_append(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "queue").write_text("somebody put a file here")
    bench.queue.keep(kept(1))
    bench.queue.append()
    bench.idle()
    assert bench.told[-1][2] != 0


def test_a_damaged_frame_is_told_and_not_read(bench: Bench, tmp_path: Path) -> None:
    bench.fill(1, 5)
    (segment,) = (tmp_path / "queue").glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[700] ^= 1
    segment.write_bytes(data)
    found, why = bench.read(0)
    assert found == []
    assert "not whole" in why


def test_nothing_is_left_of_a_queue_whose_link_is_gone(bench: Bench, tmp_path: Path) -> None:
    bench.fill(1, 5)
    bench.queue.close(remove=True)
    bench.idle()
    assert not (tmp_path / "queue").exists()
