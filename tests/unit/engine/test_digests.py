"""Digests of regions come from a process of their own, which has no part in our locks and ends with us."""

import errno
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from xxhash import xxh3_128_digest

from farshore.engine.digests import Digests
from farshore.engine.pool import Pool
from farshore.engine.reactor import Reactor
from farshore.store.claim import create_volume, open_volume
from farshore.store.volume import Volume
from tests.unit.engine.turning import turn_until

KIB, MIB = 1 << 10, 1 << 20


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Volume]:
    made = create_volume(str(tmp_path / "volume"), 4 * MIB)
    yield made
    made.close()


@pytest.fixture
def pool(reactor: Reactor) -> Iterator[Pool]:
    made = Pool(reactor, "reads", 1)
    yield made
    made.close()


@pytest.fixture
def digests(reactor: Reactor, volume: Volume, pool: Pool) -> Iterator[Digests]:
    made = Digests(reactor, {7: volume}, pool)
    yield made
    made.close()


def test_each_region_has_the_digest_of_its_bytes_holes_too(
    reactor: Reactor, volume: Volume, digests: Digests
) -> None:
    volume.write(os.urandom(100 * KIB), 50 * KIB)
    volume.write(b"x", 3 * MIB + 5)
    found: dict[int, tuple[bytes, int]] = {}
    ranges = [(0, 4 * MIB, 32 * KIB), (64 * KIB, 96 * KIB + 512, 64 * KIB), (MIB, MIB, 4 * KIB)]

    def note(number: int, data: bytes, code: int) -> None:
        found[number] = (data, code)

    for number, (offset, length, region) in enumerate(ranges):
        digests.request(7, offset, length, region, partial(note, number))
    turn_until(reactor, lambda: len(found) == len(ranges))
    for number, (offset, length, region) in enumerate(ranges):
        data = volume.read(offset, length)
        expected = b"".join(xxh3_128_digest(data[at : at + region]) for at in range(0, length, region))
        assert found[number] == (expected, 0)
    assert digests.waiting == 0


def test_a_region_that_somebody_waits_for_is_digested_without_the_process(
    reactor: Reactor, volume: Volume, digests: Digests
) -> None:
    volume.write(os.urandom(32 * KIB), MIB)
    found: list[tuple[bytes, int]] = []
    digests.at_once(7, MIB, 32 * KIB, lambda data, code: found.append((data, code)))
    turn_until(reactor, lambda: found)
    assert found == [(xxh3_128_digest(volume.read(MIB, 32 * KIB)), 0)]
    os.truncate(volume.path, MIB + 16 * KIB)
    digests.at_once(7, MIB, 32 * KIB, lambda data, code: found.append((data, code)))
    turn_until(reactor, lambda: len(found) == 2)
    assert found[1] == (b"", errno.EIO)


def test_a_disk_error_is_reported_by_its_number(reactor: Reactor, volume: Volume, digests: Digests) -> None:
    volume.write(b"x" * 64 * KIB, MIB)
    os.truncate(volume.path, MIB + 32 * KIB)
    found: list[int] = []
    digests.request(7, MIB, 64 * KIB, 64 * KIB, lambda _, code: found.append(code))
    turn_until(reactor, lambda: found)
    assert found == [errno.EIO]


def test_a_process_that_dies_is_no_disk_error_unless_the_next_one_dies_of_the_same(
    reactor: Reactor, volume: Volume, digests: Digests
) -> None:
    found: list[int] = []
    digests.request(7, 0, 4 * MIB, 32 * KIB, lambda _, code: found.append(code))
    assert digests._process is not None
    digests._process.kill()
    turn_until(reactor, lambda: found)
    assert found == [0]

    found.clear()
    digests.request(8, 0, 4 * MIB, 32 * KIB, lambda _, code: found.append(code))  # nobody knows this volume
    turn_until(reactor, lambda: found)
    assert found == [errno.EIO]
    digests.request(7, 0, 4 * MIB, 32 * KIB, lambda _, code: found.append(code))
    turn_until(reactor, lambda: len(found) == 2)
    assert found[1] == 0


def test_the_process_does_not_keep_our_claim_on_the_volume(
    reactor: Reactor, pool: Pool, volume: Volume
) -> None:
    digests = Digests(reactor, {7: volume}, pool)
    found: list[int] = []
    digests.request(7, 0, MIB, 32 * KIB, lambda _, code: found.append(code))
    turn_until(reactor, lambda: found)
    path = volume.path
    volume.close()  # as the death of the engine would; its helper has not noticed yet
    open_volume(path).close()
    digests.close()
