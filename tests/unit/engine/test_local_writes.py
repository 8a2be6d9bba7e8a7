"""Operations take effect in order, fast or slow; their errors come back by their place in the batch."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.engine import local_writes
from farshore.engine.local_writes import Errors, LocalWrites, carry_out
from farshore.engine.pool import Pool
from farshore.engine.reactor import Reactor
from farshore.model.volumes import FLUSH, TRIM, WRITE, ZERO, Operation
from farshore.store.claim import create_volume
from farshore.store.volume import Volume
from tests.unit.engine.turning import turn_until

MIB = 1 << 20


@pytest.fixture
def pool(reactor: Reactor) -> Iterator[Pool]:
    made = Pool(reactor, "test", 2)
    yield made
    made.close()


@pytest.fixture
def on_disk(disk_path: Path) -> Iterator[Volume]:
    made = create_volume(str(disk_path / "volume"), 8 * MIB)
    yield made
    made.close()


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Volume]:
    made = create_volume(str(tmp_path / "volume"), 8 * MIB)
    yield made
    made.close()


def test_overlapping_operations_take_effect_in_order(volume: Volume) -> None:
    operations: list[Operation] = [
        (1, WRITE, 0, 8192),
        (1, WRITE, 8192, 4096),
        (1, ZERO, 4096, 4096),
        (1, WRITE, 4096, 512),
        (1, TRIM, 0, 512),
        (0, FLUSH, 0, 0),
        (1, WRITE, 100, 10),
    ]
    payloads = [b"a" * 8192, b"b" * 4096, None, b"c" * 512, None, None, b"d" * 10]
    assert carry_out({1: volume}, operations, payloads) == {}
    expected = bytearray(b"a" * 8192 + b"b" * 4096)
    expected[4096:8192] = bytes(4096)
    expected[4096:4608] = b"c" * 512
    expected[:512] = bytes(512)
    expected[100:110] = b"d" * 10
    assert volume.read(0, 12288) == expected


@pytest.mark.parametrize("adjacent", [True, False])
def test_errors_name_the_operations_that_failed_and_the_others_are_done(
    volume: Volume, tmp_path: Path, adjacent: bool
) -> None:
    good_fd = volume.fd
    read_only = Volume(os.open(volume.path, os.O_RDONLY), volume.path, volume.size)
    step = 4096 if adjacent else 8192
    operations: list[Operation] = [(1, WRITE, number * step, 4096) for number in range(3)]
    operations += [(2, WRITE, MIB + number * step, 4096) for number in range(3)] + [(1, WRITE, 2 * MIB, 4)]
    errors = carry_out({1: volume, 2: read_only}, operations, [b"x" * 4096] * 6 + [b"last"])
    assert errors == dict.fromkeys((3, 4, 5), errno.EBADF)
    assert os.pread(good_fd, 4, 2 * MIB) == b"last"
    read_only.close()


def test_after_a_slow_write_batches_go_aside_until_the_disk_is_fast_again(
    reactor: Reactor, pool: Pool, on_disk: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = LocalWrites({1: on_disk}, pool)
    done: list[int] = []

    def note(number: int, errors: Errors) -> None:
        assert errors == {}
        done.append(number)

    writes.later = note

    def write(number: int, buffer: bytearray) -> None:
        operations: list[Operation] = [(1, WRITE, 0, 4), (1, WRITE, 8 * number, 4)]
        errors = writes.write(operations, [memoryview(buffer)] * 2, number)
        if errors is not None:
            note(number, errors)

    monkeypatch.setattr(local_writes, "SLOW", -1.0)  # everything is slow
    write(0, bytearray(b"zero"))
    assert done == [0]
    assert writes.aside
    buffer = bytearray(b"one ")
    write(1, buffer)
    buffer[:] = b"????"  # the receive buffer is used again while the write is still waiting
    monkeypatch.setattr(local_writes, "SLOW", 10.0)
    write(2, bytearray(b"two "))
    assert done == [0]
    turn_until(reactor, lambda: done == [0, 1, 2])
    turn_until(reactor, lambda: not writes.aside)
    write(3, bytearray(b"last"))
    assert done == [0, 1, 2, 3]
    assert on_disk.read(0, 32) == b"last" + bytes(4) + b"one " + bytes(4) + b"two " + bytes(
        4
    ) + b"last" + bytes(4)


def test_zeroes_on_a_disk_never_run_on_the_loop(reactor: Reactor, pool: Pool, on_disk: Volume) -> None:
    writes = LocalWrites({1: on_disk}, pool)
    order: list[int] = []
    writes.later = lambda ticket, _: order.append(ticket)
    assert writes.write([(1, WRITE, 0, 4)], [b"data"], 1) == {}
    assert writes.write([(1, ZERO, 0, MIB)], [None], 2) is None
    assert writes.write([(1, WRITE, 1, 2)], [b"xy"], 3) is None
    assert order == []
    turn_until(reactor, lambda: len(order) == 2)
    assert order == [2, 3]
    assert on_disk.read(0, 4) == b"\0xy\0"


def test_a_volume_is_unsynced_from_the_start_and_after_each_write(pool: Pool, volume: Volume) -> None:
    writes = LocalWrites({1: volume}, pool)
    assert writes.unsynced == {1}  # what an earlier process wrote may not be on the disk
    writes.unsynced.clear()
    writes.write([(0, FLUSH, 0, 0)], [None], 1)
    assert writes.unsynced == set()
    writes.write([(1, WRITE, 0, 1)], [b"x"], 2)
    assert writes.unsynced == {1}
