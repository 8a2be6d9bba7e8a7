"""The journal of frames in the engine: one write for a turn, order, replay, and what is not synced."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from farshore.core import actions as a
from farshore.engine.applying import steps_of
from farshore.engine.carrier import Carrier
from farshore.engine.durable_records import DurableRecords
from farshore.engine.frame_journal import FrameJournal, KeptFrame
from farshore.engine.journal import Journal
from farshore.engine.local_writes import LocalWrites
from farshore.engine.pool import Pool
from farshore.engine.reactor import Reactor
from farshore.engine.stored_copy import StoredCopy, open_copy
from farshore.model.copy_config import CopyConfig
from farshore.model.messages import FrameHead
from farshore.model.options import Role
from farshore.model.positions import Position
from farshore.model.volumes import TRIM, WRITE, VolumeSpec
from farshore.store.claim import create_volume
from farshore.store.platform import RealFiles
from farshore.store.process_lock import take_lock
from farshore.wire import frame
from tests.unit.engine.turning import turn_until

KIB = 1 << 10
G = b"g" * 16
START = Position(G, 0)


@dataclass
class Told:
    """Stands where the core is: remembers what it was told."""

    appended: list[int] = field(default_factory=list)
    done: list[tuple[int, int]] = field(default_factory=list)
    read: list[tuple[Sequence[tuple[FrameHead, a.Relayable]], int]] = field(default_factory=list)

    def synced(self, ticket: int, errno: int) -> list[a.Action]:
        return self.journal_done(ticket, errno)

    def header_written(self, ticket: int, errno: int) -> list[a.Action]:
        return self.journal_done(ticket, errno)

    def frames_appended(self, errno: int) -> list[a.Action]:
        self.appended.append(errno)
        return []

    def journal_done(self, ticket: int, errno: int) -> list[a.Action]:
        self.done.append((ticket, errno))
        return []

    def journal_read(
        self, _: int, frames: Sequence[tuple[FrameHead, a.Relayable]], errno: int
    ) -> list[a.Action]:
        self.read.append((frames, errno))
        return []


class Bench:
    """A secondary's files on a real disk with a journal over them."""

    def __init__(self, directory: Path) -> None:
        self.told = Told()
        self.reactor = Reactor()
        self.pool = Pool(self.reactor, "durable", 2)
        path = directory / "v1"
        create_volume(str(path), 64 * KIB).close()
        self.config = CopyConfig(
            group=b"g" * 16,
            group_name="g",
            copy=b"c" * 16,
            copy_name="g",
            role=Role.SECONDARY,
            volumes=(VolumeSpec(1, "v1", str(path), 64 * KIB),),
            control=str(directory / "ctl"),
            certificate="",
            key="",
            node_name="b",
        )
        self.directory = str(directory / "copy")
        Path(self.directory).mkdir()
        self.open()

    def open(self) -> None:
        self.stored: StoredCopy = open_copy(
            self.directory, self.config, take_lock(RealFiles(), self.directory)
        )
        self.writes = LocalWrites(self.stored.volumes, self.pool)
        self.writes.unsynced.clear()
        records = DurableRecords(self.stored, self.pool, self.writes)
        self.carrier = Carrier(self.told, records, Journal(lambda: 0.0, lambda _: None))
        self.journal = FrameJournal(self.stored, self.carrier, self.pool, self.reactor, self.writes)
        told = self.told
        self.carrier.table |= self.journal.offer(told.frames_appended, told.journal_done, told.journal_read)

    def again(self, config: CopyConfig | None = None) -> None:
        """The next process; the header says that there is a journal."""
        self.stored.header.write(replace(self.stored.header.header, journaling=True))
        self.stored.close()
        self.config = config or self.config
        self.open()

    def do(self, *actions: a.Action) -> None:
        self.carrier.do(actions)

    def finished(self, ticket: int) -> int:
        turn_until(self.reactor, lambda: any(done == ticket for done, _ in self.told.done))
        return next(errno for done, errno in self.told.done if done == ticket)

    def replay(self, after: Position) -> Position:
        """What a start does with the journal; how far it comes."""
        for ticket in range(100, 200):
            self.told.read.clear()
            self.do(a.ReadJournal(ticket, after))
            turn_until(self.reactor, lambda: bool(self.told.read))
            frames, errno = self.told.read[0]
            assert errno == 0
            if not frames:
                return after
            self.do(a.ApplyFrames(ticket, [frame for _, frame in frames]))
            assert self.finished(ticket) == 0
            after = Position(frames[-1][0].generation, frames[-1][0].last)
        raise AssertionError("the journal does not end")

    def image(self) -> bytes:
        return self.stored.volumes[1].read(0, 64 * KIB)

    def close(self) -> None:
        self.pool.close()
        self.stored.close()


@pytest.fixture
def bench(disk_path: Path) -> Iterator[Bench]:
    made = Bench(disk_path)
    yield made
    made.close()


def kept(sequence: int, *writes: tuple[int, bytes], volume: int = 1, code: int = WRITE) -> a.AppendFrame:
    operations = [(volume, code, offset, len(data)) for offset, data in writes]
    payloads = [data if code == WRITE else None for _, data in writes]
    stamp = frame.FrameStamp(b"g" * 16, G, sequence, 0, Position(G, sequence - 1))
    data = bytes(frame.encode(stamp, operations, payloads))
    whole = frame.check(data)
    steps = steps_of(whole, {volume: 64 * KIB})
    return a.AppendFrame(KeptFrame(whole, steps), Position(G, sequence + len(operations) - 1))


def test_frames_of_one_turn_are_appended_together_and_nothing_else_happens(bench: Bench) -> None:
    bench.do(a.BeginJournal(1, START))
    assert bench.finished(1) == 0
    bench.do(kept(1, (0, b"a" * 512)), kept(2, (512, b"b" * 512)))
    assert bench.journal.handed
    assert bench.told.appended == []
    bench.journal.append()
    assert bench.told.appended == [0]
    assert bench.journal.segments.end == Position(G, 2)
    assert bench.image() == bytes(64 * KIB)
    bench.do(a.SyncJournal(2))
    assert bench.finished(2) == 0


@pytest.mark.parametrize("slow", [False, True])
def test_frames_are_applied_in_order_and_count_as_unsynced_from_then_on(bench: Bench, slow: bool) -> None:
    bench.journal.slow = slow
    frames = [kept(1, (0, b"a" * 1024)), kept(2, (512, b"b" * 512)), kept(3, (512, b"c" * 256))]
    bench.do(a.ApplyFrames(1, [each.frame for each in frames]))
    bench.do(a.ApplyFrames(2, [kept(4, (0, b"\0" * 256), code=TRIM).frame]))
    assert bench.finished(2) == 0
    expected = bytes(256) + b"a" * 256 + b"c" * 256 + b"b" * 256
    assert bench.image()[:1024] == expected
    assert bench.writes.unsynced == {1}


def test_a_replay_applies_what_lies_behind_the_mark_and_nothing_before_it(bench: Bench) -> None:
    bench.do(a.BeginJournal(1, START))
    bench.finished(1)
    bench.do(*[kept(n, (n * 512, bytes([n]) * 512)) for n in range(1, 11)])
    bench.journal.append()
    bench.again()
    assert bench.replay(Position(G, 4)) == Position(G, 10)
    image = bench.image()
    assert [image[n * 512] for n in range(12)] == [0, 0, 0, 0, 0, 5, 6, 7, 8, 9, 10, 0]
    assert bench.writes.unsynced == {1}


def test_a_replay_leaves_out_what_was_meant_for_a_volume_that_is_gone(bench: Bench) -> None:
    bench.do(a.BeginJournal(1, START))
    bench.finished(1)
    bench.do(kept(1, (0, b"x" * 512), volume=2), kept(2, (0, b"a" * 512)))
    bench.journal.append()
    bench.again()
    assert bench.replay(START) == Position(G, 2)
    assert bench.image()[:512] == b"a" * 512


def test_a_journal_that_no_start_will_replay_gives_its_room_back(bench: Bench) -> None:
    bench.do(a.BeginJournal(1, START))
    bench.finished(1)
    bench.do(kept(1, (0, b"x" * 512)))
    bench.journal.append()
    bench.again()
    assert bench.journal.segments.end == Position(G, 1)
    bench.stored.header.write(replace(bench.stored.header.header, journaling=False))
    bench.stored.close()
    bench.open()
    assert bench.journal.segments.start is None
    assert not list(Path(bench.directory, "journal").glob("*.seg"))
